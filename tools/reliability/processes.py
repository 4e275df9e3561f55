"""Nodes as processes of their own, and what the kernel says of them (Linux)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlss_tracker_ros.demo_processes import end_with_parent

TRACKER = ["-m", "mlss_tracker_ros.tracker_node"]
CAMERA = [str(Path(__file__).with_name("fault_camera.py"))]
END_S = 30.0  # for a process to end after Ctrl-C


class Usage(NamedTuple):
    """What a process holds."""

    rss_mb: float
    threads: int
    descriptors: int


def usage(pid: int) -> Usage:
    """Resident memory, threads and open files of a process."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    open_files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Usage(int(fields["VmRSS"].split()[0]) * 1024 / 1e6, int(fields["Threads"]), open_files)


def start_node(
    program: list[str],
    log: Path,
    namespace: str = "/",
    params: Mapping[str, Any] | None = None,
) -> subprocess.Popen[bytes]:
    """Run a node with ROS parameters; its output goes to `log`, and it ends with this process."""
    command = [sys.executable, *program, "--ros-args", "-r", f"__ns:={namespace}"]
    for name, value in (params or {}).items():
        command += ["-p", f"{name}:={json.dumps(value)}"]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C comes from end(), once
            preexec_fn=end_with_parent,
        )


def end(process: subprocess.Popen[bytes]) -> int:
    """End a process as Ctrl-C does; returns its exit code (-9 when it had to be killed)."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)  # a second one does no harm
    deadline = time.monotonic() + END_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    return process.wait()
