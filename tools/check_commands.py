"""Runs the commands that README and tutorial show; `make docs-check`.

    python tools/check_commands.py [DOCUMENT ...]

Every command of a fenced block without a language, or of `bash`, is run in build/docs-check, where
the clone's files are linked and recordings of the names used in the documents lie, on a graph of
its own. A launch runs on until the next one, and a camera beside it where the reader has one; what
never ends by itself ends when it has shown something. `ros2` is this machine's where that knows
this package, else tools/ros2_by_rclpy.py. Not run, but listed with the reason: what `NOT_RUN`
names, and blocks below a line `<!-- docs-check: not run, REASON -->`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from doc_recordings import write_bag, write_video

from mlss_core.simulate import SceneParams, simulate
from mlss_core.simulate.write import write_scene
from mlss_tracker_ros.demo_processes import end_with_parent, own_graph

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "docs-check"
DOCUMENTS = ("README.md", "docs/tutorial.md")
LANGUAGES = ("", "bash")
BLOCK = re.compile(
    r"(?:<!-- docs-check: not run, (?P<reason>.*?) -->\n+)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN = {
    r"ros2 bag ": "needs rosbag2 from apt",
    r"rviz:=true": "needs RViz2 from apt and a screen",
    r"camera:=usb_cam": "needs a camera and its driver from apt",
    r"rqt": "needs rqt from apt and a screen",
    r"box_picker": "needs a screen; test/ros/test_real_mouse.py runs it on one",
}
SHOWN = {  # commands that never end: what they print once they work
    r"ros2 topic hz": "average rate",
    r"ros2 topic echo (?!.*--once)": "---",
    r"ros2 run mlss_tracker_ros camera_node": "playing",
}
LIMIT_S = 900
READY_S = 120
END_S = 20


class Command(NamedTuple):
    """One line of a block, continuation lines joined."""

    document: str
    line: int  # of the block's fence, from 1
    text: str
    reason: str  # why it is not run; empty: it is

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.document}:{self.line}"


def main() -> int:
    """Run all; 1 when one failed."""
    documents = sys.argv[1:] or DOCUMENTS
    commands = [command for name in documents for command in commands_of(name)]
    prepare()
    shell = Shell()
    try:
        problems = [check(command, shell) for command in commands if not command.reason]
    finally:
        shell.close()
    for command in commands:
        if command.reason:
            print(f"{command.place}: not run, {command.reason}: {command.text}")
    failed = sum(bool(problem) for problem in problems)
    print(
        f"{len(problems)} commands run, {failed} failed, {len(commands) - len(problems)} not run"
    )
    return 1 if failed else 0


def check(command: Command, shell: Shell) -> str:
    """Run one command and say how that went; what is wrong, or nothing."""
    print(f"{command.place}: {command.text}", flush=True)
    began = time.monotonic()
    problem = shell.run(command.text)
    outcome = f"FAILED: {problem}" if problem else "ok"
    print(f"    {outcome} after {time.monotonic() - began:.0f} s", flush=True)
    return problem


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
            reason = reason or next((NOT_RUN[p] for p in NOT_RUN if re.search(p, text)), "")
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


class Shell:
    """Runs commands in build/docs-check, and keeps running what the next ones need."""

    def __init__(self) -> None:
        given = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # to the make that started this
        ours = {key: value for key, value in os.environ.items() if key not in given}
        path = f"{WORK / '.venv/bin'}:{os.environ['PATH']}"
        self._environment = {**ours, **own_graph(), "PATH": path}
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs = 0
        self._real_ros2 = self._output("ros2 pkg prefix mlss_tracker_ros") is not None
        if not self._real_ros2:
            link = WORK / "bin/ros2"
            link.parent.mkdir()
            link.write_text(f'#!/bin/sh\nexec python "{ROOT}/tools/ros2_by_rclpy.py" "$@"\n')
            link.chmod(0o755)
            self._environment["PATH"] = f"{link.parent}:{path}"

    def run(self, text: str) -> str:
        """Run one command; what is wrong, or nothing."""
        if text.startswith("ros2 launch "):
            return self._launch(text)
        shown = next((SHOWN[pattern] for pattern in SHOWN if re.match(pattern, text)), "")
        process, log = self._start(text)
        if shown:
            return self._end_when_shown(process, log, shown)
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self._end(process)
            return f"still running after {LIMIT_S} s"
        return f"code {code}, {last_lines(log)}" if code else ""

    def end(self) -> None:
        """End what runs in the background."""
        while self._running:
            self._end(self._running.pop())

    def close(self) -> None:
        """End everything, the daemon too that the real ros2 leaves on the graph."""
        self.end()
        if self._real_ros2:
            self._output("ros2 daemon stop")

    def _launch(self, text: str) -> str:
        """Start a launch in the place of the last one, and wait for its nodes."""
        self.end()
        arguments = dict(word.split(":=", 1) for word in shlex.split(text) if ":=" in word)
        if "image_topic" in arguments:  # the reader's own camera
            options = (
                f"-r image_raw:={arguments['image_topic']} --params-file {WORK}/config/cameras"
            )
            camera = f"python -m mlss_tracker_ros.camera_node --ros-args {options}/sim.yaml"
            self._running.append(self._start(camera)[0])
        process, log = self._start(text)
        self._running.append(process)
        cameras = [name for name in arguments.get("cameras", "").strip("[]").split(",") if name]
        state = "unconfigured" if arguments.get("autostart") == "false" else "active"
        end_s = time.monotonic() + READY_S
        for node in [f"/{name}/mlss_tracker" for name in cameras] or ["/mlss_tracker"]:
            while state not in (self._output(f"ros2 lifecycle get {node}") or "").split():
                if process.poll() is not None or time.monotonic() > end_s:
                    return f"{node} is not {state}, {last_lines(log)}"
        return ""

    def _end_when_shown(self, process: subprocess.Popen[bytes], log: Path, shown: str) -> str:
        end_s = time.monotonic() + READY_S
        while shown not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > end_s:
                self._end(process)
                return f"it did not print {shown!r}, {last_lines(log)}"
            time.sleep(0.1)
        self._end(process)
        return ""

    def _start(self, text: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a command in a shell of its own; its output goes to a file."""
        self._logs += 1
        log = WORK / f"log/{self._logs:02d}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=WORK,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        return process, log

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End a command and all that it started, as Ctrl-C does."""
        for number in (signal.SIGINT, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    continue

    def _output(self, text: str) -> str | None:
        """What a short command prints; None when it fails."""
        try:
            done = subprocess.run(
                shlex.split(text),
                cwd=WORK,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=READY_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def last_lines(log: Path) -> str:
    """End of a command's output, in one line."""
    return " | ".join(log.read_text(errors="replace").splitlines()[-5:]) or "it printed nothing"


if __name__ == "__main__":
    sys.exit(main())
