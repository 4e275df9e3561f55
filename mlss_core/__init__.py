"""MLSSNet thermal infrared tracker in PyTorch: network, tracker, training and evaluation, without ROS."""

__version__ = "0.1.0"
