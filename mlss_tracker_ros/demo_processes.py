"""The demo's other processes, and the ROS 2 graph of their own that they share."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mlss_core.errors import MlssError
from mlss_tracker_ros.fastdds import frame_profile

END_S = 15.0  # for a process to end after Ctrl-C


class DemoError(MlssError):
    """The demo cannot go on."""


def own_graph() -> dict[str, str]:
    """Environment of a ROS 2 graph of the demo's own, on this machine, for whole images."""
    graph = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", **frame_profile()}
    domains = list(range(1, 100))
    random.shuffle(domains)
    # port of a domain's first participant (DDSI-RTPS 9.6.2): taken where somebody is
    free = (domain for domain in domains if port_is_free(7410 + 250 * domain))
    return {**graph, "ROS_DOMAIN_ID": str(next(free, domains[0]))}


def port_is_free(port: int) -> bool:
    """Whether nobody listens on a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


class Children:
    """The other processes; every one ends with this one, whatever happens to it."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._interrupted = False

    def interrupt(self, *_: object) -> None:
        """Take Ctrl-C; `check` says so again, should a destructor swallow the exception."""
        self._interrupted = True
        raise KeyboardInterrupt

    def start(self, name: str, module: str, params: dict[str, Any]) -> None:
        """Run a node's module with ROS parameters; its output goes to NAME.log."""
        given = [f"{key}:={json.dumps(value)}" for key, value in params.items()]
        command = [sys.executable, "-m", module, "--ros-args"]
        for each in given:
            command += ["-p", each]
        with (self._log_folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C comes from stop(), once
                preexec_fn=end_with_parent,
            )

    def check(self) -> None:
        """Raise DemoError when one has ended by itself."""
        if self._interrupted:
            raise KeyboardInterrupt
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DemoError(
                    f"expected {name} to run, got its end with code {process.returncode}; see "
                    f"{self._log_folder / name}.log: {self.last_line(name)}"
                )

    def stop(self) -> dict[str, int]:
        """End all as Ctrl-C does; returns the exit codes that are not 0."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        bad: dict[str, int] = {}
        deadline = time.monotonic() + END_S
        for name, process in self._running.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode != 0:
                bad[name] = process.returncode
        self._running.clear()
        return bad

    def last_line(self, name: str) -> str:
        """What a process said last."""
        lines = (self._log_folder / f"{name}.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


def end_with_parent() -> None:
    """Have the kernel end this process when its parent dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def ros_distro() -> str:
    """Name of the sourced distribution, or of the wheels that `make setup` installs."""
    try:
        importlib.metadata.version("ros-rclpy")
    except importlib.metadata.PackageNotFoundError:
        return os.environ.get("ROS_DISTRO", "unknown")
    return os.environ.get("ROS_DISTRO", "kilted")
