"""The picture as a flat point cloud, so that stock RViz2 shows it and Publish Point picks pixels.

The plane is z = 0 of its own frame: 1 px = 0.01 m, pixel (0, 0) at the origin, x to the right, and
y up as RViz has it, so a pixel (u, v) lies at (0.01 u, -0.01 v, 0).
"""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from mlss_tracker_ros.image_conversion import byte_array

METRES_PER_PX = 0.01
MAX_POINTS = 1 << 20  # a larger picture leaves out whole rows and columns

_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])


def image_plane(picture: np.ndarray, header: Header) -> PointCloud2:
    """Organised cloud of a picture.

    Args:
        picture: (H, W, 3) uint8 BGR.
        header: frame of the plane, stamp of the image.
    """
    step = 1
    while -(-picture.shape[0] // step) * -(-picture.shape[1] // step) > MAX_POINTS:
        step += 1
    colours = picture[::step, ::step].astype(np.uint32)  # (h, w, 3)
    height, width = colours.shape[:2]
    points = np.zeros((height, width), _POINT)
    points["x"] = np.arange(width, dtype=np.float32) * (step * METRES_PER_PX)
    points["y"] = np.arange(height, dtype=np.float32)[:, None] * (-step * METRES_PER_PX)
    points["rgb"] = colours[..., 2] << 16 | colours[..., 1] << 8 | colours[..., 0]
    cloud = PointCloud2(header=header, height=height, width=width, is_dense=True)
    cloud.fields = [
        PointField(name=name, offset=4 * n, datatype=PointField.FLOAT32, count=1)
        for n, name in enumerate(("x", "y", "z", "rgb"))  # RViz reads rgb's bytes, not its value
    ]
    cloud.point_step = _POINT.itemsize
    cloud.row_step = cloud.point_step * width
    cloud.data = byte_array(points)
    return cloud


def pixel_on_plane(point: Point) -> tuple[float, float]:
    """Pixel-centre coordinates (right, down) of a point picked on the plane."""
    return point.x / METRES_PER_PX, -point.y / METRES_PER_PX
