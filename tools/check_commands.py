"""Runs the commands that README and tutorial show; `make docs-check`.

    python tools/check_commands.py [DOCUMENT ...]

Every command of a fenced block without a language, or of `bash`, is run in build/docs-check, where
the clone's files are linked and recordings of the names used in the documents lie. Not run, but
listed: commands of ROS 2's own tools, which come from apt (test/ros/test_documents.py checks their
words), and blocks below a line `<!-- docs-check: not run, REASON -->`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mlss_core.sequences import Sequence
from mlss_core.simulate import SceneParams, simulate
from mlss_core.simulate.write import write_scene

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "docs-check"
DOCUMENTS = ("README.md", "docs/tutorial.md")
LANGUAGES = ("", "bash")
FROM_APT = ("ros2", "rosdep")
BLOCK = re.compile(
    r"(?:<!-- docs-check: not run, (?P<reason>.*?) -->\n+)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LIMIT_S = 900


class Command(NamedTuple):
    """One line of a block, continuation lines joined."""

    document: str
    line: int  # of the block's fence, from 1
    text: str
    reason: str  # why it is not run; empty: it is


def main() -> int:
    """Run all; 1 when one failed."""
    documents = sys.argv[1:] or DOCUMENTS
    failed = ran = 0
    commands = [command for name in documents for command in commands_of(name)]
    prepare()
    for command in commands:
        place = f"{command.document}:{command.line}"
        if command.reason:
            print(f"{place}: not run, {command.reason}: {command.text}", flush=True)
            continue
        print(f"{place}: {command.text}", flush=True)
        began = time.monotonic()
        code = run(command.text)
        ran += 1
        failed += code != 0
        outcome = "ok" if code == 0 else f"FAILED with {code}"
        print(f"    {outcome} after {time.monotonic() - began:.0f} s", flush=True)
    print(f"{ran} commands run, {failed} failed, {len(commands) - ran} not run")
    return 1 if failed else 0


def commands_of(name: str) -> Iterator[Command]:
    """Commands of a document in the order they stand."""
    markdown = (ROOT / name).read_text()
    for block in BLOCK.finditer(markdown):
        if block["language"] not in LANGUAGES:
            continue
        line = markdown.count("\n", 0, block.start("text"))
        for text in re.sub(r"\\\n\s*", "", block["text"]).splitlines():
            words = shlex.split(text, comments=True)
            if not words:
                continue
            reason = block["reason"] or ""
            if not reason and words[0] in FROM_APT:
                reason = "needs ROS 2 from apt"
            yield Command(name, line, text, reason)


def prepare() -> None:
    """Make the folder anew: links to the clone's files, recordings, nothing else."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    for entry in [*ROOT.glob("[!.]*"), ROOT / ".venv"]:
        if entry.name not in ("build", "install", "log"):
            (WORK / entry.name).symlink_to(entry)
    scene = SceneParams(frames=30)  # the demo's: a person of about 40x90 px
    (WORK / "path/to").mkdir(parents=True)
    write_scene(scene, WORK).rename(WORK / "path/to/sequence")
    write_video(WORK / "flight.mp4", simulate(scene))
    write_bag(WORK / "flight", simulate(scene))


def write_video(path: Path, sequence: Sequence) -> None:
    """Write a grey film."""
    height, width = sequence.frames[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, height))
    for frame in sequence.frames:
        grey = cv2.normalize(frame, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)  # type: ignore[call-overload]
        writer.write(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    writer.release()


def write_bag(path: Path, sequence: Sequence) -> None:
    """Write a rosbag2 with 16-bit images on /image_raw at 30 Hz."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/image_raw", "sensor_msgs/msg/Image", typestore=store)
        for number, frame in enumerate(sequence.frames):
            now_ns = 10**9 + number * 33_333_333
            time = types["builtin_interfaces/msg/Time"](*divmod(now_ns, 10**9))
            height, width = frame.shape
            message = types[connection.msgtype](
                header=types["std_msgs/msg/Header"](stamp=time, frame_id="camera"),
                height=height,
                width=width,
                encoding="mono16",
                is_bigendian=0,
                step=2 * width,
                data=np.frombuffer(frame.astype("<u2").tobytes(), np.uint8),
            )
            writer.write(connection, now_ns, store.serialize_cdr(message, connection.msgtype))


def run(text: str) -> int:
    """Run one command in a shell, its output on the terminal's error stream; its exit code."""
    path = f"{WORK / '.venv/bin'}:{os.environ['PATH']}"
    given = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # to the make that started this
    ours = {key: value for key, value in os.environ.items() if key not in given}
    shell = ["bash", "-euo", "pipefail", "-c", text]
    try:
        return subprocess.run(
            shell, cwd=WORK, env={**ours, "PATH": path}, stdout=sys.stderr, timeout=LIMIT_S
        ).returncode
    except subprocess.TimeoutExpired:
        return 124


if __name__ == "__main__":
    sys.exit(main())
