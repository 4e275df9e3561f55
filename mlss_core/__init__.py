"""MLSSNet thermal tracker in PyTorch: network, tracker, training, evaluation; no ROS."""

__version__ = "0.1.0"
