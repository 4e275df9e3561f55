"""ROS 2 nodes of the MLSSNet thermal tracker: camera, tracker, demo, and their messages."""
