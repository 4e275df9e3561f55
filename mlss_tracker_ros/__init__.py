"""ROS 2 node of the MLSSNet thermal tracker: camera, tracker, demo and their message conversions."""
