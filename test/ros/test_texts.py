"""What senders write does not flood logs, statuses or memory."""

import array

import pytest
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2D

from mlss_core.errors import BoxError, FrameError
from mlss_tracker_ros.compressed_images import frame_from_compressed
from mlss_tracker_ros.frame_buffer import FrameBuffer
from mlss_tracker_ros.image_conversion import frame_from_image
from mlss_tracker_ros.init_requests import request_from_detection
from mlss_tracker_ros.input_monitor import describe_image, message_bytes
from mlss_tracker_ros.texts import short

LONG = "x" * (1 << 20)


def test_ordinary_words_stay_as_they_are_and_others_become_one_short_line():
    assert short("16UC1; png compressed") == "16UC1; png compressed"
    assert short("été 16") == "été 16"
    assert short("a\nb") == "a\\nb"
    assert len(short(LONG)) == len(short("\u202e" * 32)) == 35


@pytest.mark.parametrize("word", [LONG, "\x1b[2J\n" * 1000])
def test_errors_and_descriptions_repeat_no_endless_text(word):
    image = Image(width=16, height=16, step=16, encoding=word, data=array.array("B", bytes(256)))
    compressed = CompressedImage(format=word, data=array.array("B", b"GIF89a"))
    for convert, message in ((frame_from_image, image), (frame_from_compressed, compressed)):
        with pytest.raises(FrameError) as refusal:
            convert(message)
        assert len(str(refusal.value)) < 600
        assert str(refusal.value).isprintable()
        assert len(describe_image(message)) < 60


@pytest.mark.parametrize("target_id", ["a\nERROR: b", "\x1b[31m", "\u202eabc", "a\0"])
def test_an_id_that_would_forge_log_lines_is_refused(target_id):
    message = Detection2D(id=target_id)
    message.bbox.size_x = message.bbox.size_y = 10.0
    with pytest.raises(BoxError, match="printable") as refusal:
        request_from_detection(message)
    assert str(refusal.value).isprintable()


def test_images_without_data_fill_no_memory_even_when_their_stamps_stand_still():
    buffer = FrameBuffer(span_s=2.0, max_bytes=1 << 20)
    for _ in range(2000):
        empty = Image()
        buffer.add(1, empty, message_bytes(empty))
    assert len(buffer) <= 512
    texts = Image(encoding=LONG)
    texts.header.frame_id = LONG
    assert message_bytes(texts) > 2 * len(LONG)
