"""The node and its images: good, bad, compressed, held back, and from another time."""

import array

import cv2
import numpy as np
import pytest
from conftest import S, blob_frame, header_at
from sensor_msgs.msg import CompressedImage, Image

from mlss_core.box import Box
from mlss_tracker_ros.detections import box_from_detection
from mlss_tracker_ros.image_conversion import image_from_frame


@pytest.mark.parametrize("frame_id", ["thermal_optical", "", "1234567", "a/b c"])
def test_detections_have_the_header_of_their_image(tracked, frame_id):
    tracked.start()
    for stamp_ns in (200 * S + 1, 200 * S + 33_333_333, 201 * S):
        answer = tracked.track(stamp_ns=stamp_ns, frame_id=frame_id)
        assert answer.header == header_at(stamp_ns, frame_id)
        assert [d.header for d in answer.detections] == [answer.header]
        assert 0 <= answer.detections[0].results[0].hypothesis.score <= 1


def test_images_without_a_stamp_are_tracked_and_keep_their_zero(tracked):
    tracked.send_box(target_id="a")
    tracked.until_status("init box kept")
    for n in range(3):
        tracked.detections.clear()
        tracked.send_frame(stamp_ns=0)
        tracked.until(lambda n=n: tracked.detections, f"image {n}")
        assert tracked.detections[0].header.stamp == header_at(0).stamp
        assert len(tracked.detections[0].detections) == 1


def bad_image(**changes) -> Image:
    message = image_from_frame(blob_frame(99), header_at(500 * S))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


ALL_NAN = image_from_frame(np.full((120, 160), np.nan, np.float32), header_at(500 * S))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            bad_image(width=0, height=0, step=0, data=array.array("B")),
            "expected an image with pix",
        ),
        (bad_image(step=80), "step of at least 160"),
        (bad_image(step=200), "expected 24000 bytes"),
        (bad_image(data=array.array("B", bytes(100))), "got 100"),
        (bad_image(encoding="thermal14"), "'thermal14'"),
        (bad_image(width=2**31, height=2**31, step=2**31, data=array.array("B")), "bytes"),
    ],
)
def test_a_bad_image_is_refused_with_the_reason_and_the_next_one_is_tracked(
    tracked, message, reason
):
    tracked.start()
    tracked.detections.clear()
    tracked.send_image(message)
    tracked.until_status("ERROR", "image refused", reason)
    assert len(tracked.track(stamp_ns=501 * S).detections) == 1
    tracked.until_status("TRACKING")
    assert header_at(500 * S) not in [d.header for d in tracked.detections]


def test_pixels_that_are_not_numbers_are_survived_and_none_else_refused(
    namespace, make_tracker, make_client
):
    make_tracker(namespace)
    client = make_client(namespace)
    client.connect()
    frame = blob_frame(0, dtype=np.float32)
    client.send_box(target_id="a")
    client.until_status("init box kept")
    frame[::7, ::5] = np.nan
    frame[3, 3] = np.inf
    assert len(client.track(frame).detections) == 1
    client.send_image(ALL_NAN)
    client.until_status("ERROR", "finite pixel")
    assert len(client.track(blob_frame(2, dtype=np.float32), stamp_ns=501 * S).detections) == 1


def test_a_constant_frame_is_a_shutter_and_freezes_the_track(tracked):
    tracked.start()
    (before,) = tracked.track().detections
    (held,) = tracked.track(np.full((120, 160), 77, np.uint8)).detections
    assert box_from_detection(held) == box_from_detection(before)
    tracked.until_status("FROZEN")
    tracked.track()
    tracked.until_status("TRACKING")


def test_a_new_image_size_drops_the_track_and_says_why(tracked):
    tracked.start()
    assert tracked.track(blob_frame(1, (200, 150))).detections == []
    tracked.until_status("IDLE", "image changed from 160x120 px uint8 to 200x150 px", "dropped")
    tracked.send_box(Box(60, 60, 16, 16), "again")
    tracked.until_status("TRACKING")


def test_equal_and_backward_stamps_go_on_and_a_jump_back_drops_the_track(tracked):
    tracked.start()
    tracked.track(stamp_ns=300 * S)
    tracked.detections.clear()
    assert len(tracked.track(stamp_ns=300 * S).detections) == 1
    tracked.until_status("TRACKING", "repeats the one before")
    assert len(tracked.track(stamp_ns=300 * S - S // 2).detections) == 1
    tracked.until_status("TRACKING", "500.000 ms earlier")
    assert tracked.track(stamp_ns=5 * S).detections == []
    tracked.until_status("IDLE", "time jumped back by 294.500 s", "dropped target a")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compressed_images_are_tracked(namespace, make_tracker, make_client, dtype):
    make_tracker(namespace, image_transport="compressed")
    client = make_client(namespace)
    publisher = client.node.create_publisher(CompressedImage, "image_raw/compressed", 1)
    client.until(publisher.get_subscription_count, "the compressed subscription")
    client.until(client.boxes.get_subscription_count, "the box subscription")
    client.send_box(target_id="a")
    client.until_status("init box kept")
    for n in range(2):
        png = cv2.imencode(".png", blob_frame(n, dtype=dtype))[1].tobytes()
        header = header_at((10 + n) * S)
        message = CompressedImage(header=header, format="png", data=array.array("B", png))
        publisher.publish(message)
        assert len(client.answer(header).detections) == 1
    publisher.publish(CompressedImage(header=header_at(20 * S), format="png"))
    client.until_status("ERROR", "expected png or jpeg")


@pytest.mark.parametrize("reliable", [True, False])
def test_reliable_and_best_effort_cameras_are_heard(
    namespace, make_tracker, make_client, reliable
):
    make_tracker(namespace)
    client = make_client(namespace, reliable=reliable)
    client.connect()

    def answered():  # best effort: a busy computer may lose the first images
        client.send_frame()
        return client.detections

    assert client.until(answered, "an answer")[0].detections == []


def test_every_image_of_a_recording_is_answered_in_order(namespace, make_tracker, make_client):
    make_tracker(namespace, process_every_frame=True)
    client = make_client(namespace)
    client.connect()
    client.send_box(target_id="a")
    client.until_status("init box kept")
    headers = [client.send_frame() for _ in range(9)]
    client.answer(headers[-1])
    assert [d.header for d in client.detections] == headers
    assert all(len(d.detections) == 1 for d in client.detections)
    client.until(lambda: client.figures.get("processed") == "9", "the figures")
    assert client.figures["dropped"] == "0"


def test_a_full_buffer_holds_images_back_and_loses_none(namespace, make_tracker, make_client):
    make_tracker(namespace, process_every_frame=True, buffer_max_mb=1)
    client = make_client(namespace)
    client.connect()
    client.send_box(target_id="a")
    client.until_status("init box kept")
    frames = [blob_frame(n, (640, 512)) for n in range(10)]  # four of them fill the buffer
    headers = [client.send_frame(frame) for frame in frames]
    client.answer(headers[-1])
    assert [d.header for d in client.detections] == headers
