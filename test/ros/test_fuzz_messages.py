"""Any message and any parameter: an honest reading, or one of the project's errors."""

import array
import dataclasses
import math
import os
import random

import numpy as np
import pytest
from hostile_messages import MAKERS
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D

from mlss_core.box import Box
from mlss_core.errors import BoxError, ConfigError, FrameError
from mlss_core.params import tracker_params
from mlss_core.presence import TrackState
from mlss_core.thermal import check_frame
from mlss_tracker_ros.camera_node import CameraParams
from mlss_tracker_ros.compressed_images import frame_from_compressed
from mlss_tracker_ros.debug_image import debug_picture
from mlss_tracker_ros.detections import box_from_detection, detections_from_results
from mlss_tracker_ros.frame_buffer import FrameBuffer
from mlss_tracker_ros.image_conversion import (
    DIRECT_ENCODINGS,
    MAX_FRAME_PIXELS,
    frame_from_image,
)
from mlss_tracker_ros.init_requests import CornerPair, request_from_detection, request_from_roi
from mlss_tracker_ros.node_params import NodeParams
from mlss_tracker_ros.parameters import check_changes, rows

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")), deadline=None, print_blob=True
)
uint32 = st.integers(0, 2**32 - 1)
small = st.integers(0, 40)
number = st.floats()


@fuzzed
@given(
    st.sampled_from([*DIRECT_ENCODINGS, "yuv422", "bayer_rggb8", "64FC1", "nonsense"])
    | st.text(max_size=20),
    small | uint32,
    small | uint32,
    st.integers(0, 200) | uint32,
    st.integers(0, 255),
    st.binary(max_size=3000),
    st.booleans(),
)
def test_any_image_is_refused_or_read_within_its_data(
    encoding, width, height, step, order, data, fits
):
    if fits and 0 < step * height < 1 << 16:
        data = (data * (step * height // max(len(data), 1) + 1))[: step * height]
    message = Image(width=width, height=height, step=step, is_bigendian=order)
    message.encoding, message.data = encoding.replace("\0", ""), array.array("B", data)
    try:
        frame = frame_from_image(message)
    except FrameError as refusal:
        one_line(refusal)
        return
    assert frame.shape[:2] == (height, width)
    assert frame.size <= 3 * MAX_FRAME_PIXELS
    frame.sum()  # every pixel can be read


@fuzzed
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]))
def test_any_compressed_data_is_refused_or_a_picture(data, start):
    message = CompressedImage(format="png", data=array.array("B", start + data))
    try:
        frame = frame_from_compressed(message)
    except FrameError as refusal:
        one_line(refusal)
        return
    assert frame.ndim in (2, 3)


@settings(parent=fuzzed, max_examples=2 * fuzzed.max_examples)
@given(st.sampled_from([Image, CompressedImage]), st.integers(0, 2**32))
def test_hostile_pictures_are_all_refused(kind, seed):
    message = MAKERS[kind](random.Random(seed))
    if isinstance(message, bytes):
        return  # what the middleware refuses
    read = frame_from_image if kind is Image else frame_from_compressed
    with pytest.raises(FrameError) as refusal:
        check_frame(read(message))
    one_line(refusal.value)


@fuzzed
@given(st.tuples(number, number, number, number, number), st.text(max_size=80), uint32)
def test_any_detection_is_refused_or_a_request_of_finite_numbers(numbers, target_id, nanosec):
    message = Detection2D(id=target_id.replace("\0", ""))
    message.header.stamp.nanosec = nanosec
    center = message.bbox.center
    center.position.x, center.position.y, center.theta = numbers[:3]
    message.bbox.size_x, message.bbox.size_y = numbers[3:]
    try:
        request = request_from_detection(message)
    except BoxError as refusal:
        one_line(refusal)
        return
    assert request.stamp_ns >= 0
    assert request.target_id.isprintable()
    assert len(request.target_id) <= 64
    if request.box is None:
        assert numbers[3] == numbers[4] == 0
    else:
        assert all(map(math.isfinite, request.box))
        assert request.box.w > 0 < request.box.h


@fuzzed
@given(uint32, uint32, uint32, uint32, st.lists(st.tuples(number, number), max_size=5))
def test_any_region_and_any_clicks_are_refused_or_boxes_with_area(x, y, width, height, clicks):
    region = RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height)
    pair, requests = CornerPair(10.0), []
    for n, read in enumerate(
        [lambda: request_from_roi(region)]
        + [lambda at=at, n=n: pair.click(*at, float(n)) for n, at in enumerate(clicks)]
    ):
        try:
            requests.append(read())
        except BoxError as refusal:
            one_line(refusal)
        assert n <= len(clicks)
    for request in requests:
        assert request is None or (request.box.w > 0 and request.box.h > 0)


@fuzzed
@given(
    st.lists(
        st.tuples(
            st.text(max_size=5).map(lambda text: text.replace("\0", "")),
            st.none() | st.builds(Box, *4 * [st.floats(-1e9, 1e9)]),
            st.floats(0, 1),
            st.sampled_from(TrackState),
        ),
        max_size=4,
    )
)
def test_any_results_become_detections_and_a_picture(found):
    from mlss_core.tracker import TrackResult

    results = [TrackResult(*one) for one in found]
    message = detections_from_results(results, Header(frame_id="t"), "target")
    boxes = [result.box for result in results if result.box is not None]
    assert [box_from_detection(d) for d in message.detections] == boxes
    assert debug_picture(np.zeros((24, 32), np.uint16), results).shape == (24, 32, 3)


@fuzzed
@given(
    st.lists(
        st.tuples(st.integers(-(2**61), 2**61), st.integers(0, 300), st.integers(0, 6)),
        max_size=60,
    ),
    st.booleans(),
)
def test_a_frame_buffer_keeps_its_bounds_whatever_the_stamps(frames, hold):
    buffer = FrameBuffer(span_s=1.0, max_bytes=1000, hold_unread=hold)
    for n, (stamp_ns, size, action) in enumerate(frames):
        buffer.add(stamp_ns, n, size)
        if action == 1:
            buffer.pin(n)
        elif action == 2:
            buffer.forget(n - 1)
        elif action == 3:
            buffer.forget_before(n)
        elif action == 4:
            buffer.mark_read(n)
        kept = buffer.after(-1)
        assert buffer.size_bytes == sum(each.size_bytes for each in kept)
        assert hold or len(kept) <= 2 or buffer.size_bytes <= 1000
        assert kept[-1].number == n


FIELDS = [
    *(row.name for row in rows(NodeParams())),
    *(row.name for row in rows(tracker_params())),
]
ros_values = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | number
    | st.text(max_size=9)
    | st.lists(number, max_size=5)
    | st.lists(st.booleans(), min_size=1, max_size=3)
    | st.lists(st.text(max_size=3), min_size=1, max_size=3)
    | st.just(None)
)


class Values:
    """Stands for a node: every parameter at its default."""

    def __init__(self) -> None:
        self._values = {
            row.name: row.default
            for part in (NodeParams(), tracker_params())
            for row in rows(part)
        }

    def get_parameter(self, name: str) -> Parameter:
        value = self._values[name]
        return Parameter(name, value=list(value) if isinstance(value, tuple) else value)


@settings(parent=fuzzed, max_examples=3 * fuzzed.max_examples)
@given(st.dictionaries(st.sampled_from(FIELDS), ros_values, min_size=1, max_size=3))
def test_any_change_of_parameters_is_taken_whole_or_refused_with_a_reason(changes):
    given_changes = [Parameter(name, value=value) for name, value in changes.items()]
    answer = check_changes(Values(), given_changes, NodeParams(), tracker_params())
    assert answer.successful or answer.reason.startswith(("expected", "parameter"))
    one_line(answer.reason)


@fuzzed
@given(st.sampled_from(dataclasses.fields(CameraParams)), ros_values)
def test_any_camera_parameter_is_refused_or_taken(field, value):
    try:
        params = CameraParams(**{field.name: value})
    except ConfigError as refusal:
        one_line(refusal)
        return
    bounds = field.metadata.get("range")
    assert bounds is None or bounds[0] <= getattr(params, field.name) <= bounds[1]


def one_line(text: object) -> None:
    assert "\n" not in str(text)


@pytest.mark.parametrize("value", [0, 1.5, True, "1,2,3,4", [""], ["a"] * 4, [1.0, 2.0]])
def test_a_box_parameter_that_is_no_four_numbers_is_refused_with_the_reason(value):
    changes = [Parameter("init_box", value=value)]
    answer = check_changes(Values(), changes, NodeParams())
    assert not answer.successful
    assert "init_box" in answer.reason
