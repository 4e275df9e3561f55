"""Fixtures and settings of all tests: data folder, GPU, an own ROS 2 graph."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

import mlss_core  # noqa: F401  says how OpenMP's threads wait: before torch is imported

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"

# Before any test imports rclpy: a graph of this test run's own, on this machine only, with the
# profile that carries whole frames. Child processes inherit all three. Domain 0 is everybody's,
# 101 the last that needs no free ports above the usual ones.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
os.environ.setdefault("FASTDDS_DEFAULT_PROFILES_FILE", str(REPOSITORY / "config" / "fastdds.xml"))

if find_spec("rclpy") is None:
    collect_ignore_glob = ["ros/*", "launch/*"]


def pytest_report_header() -> str:
    if find_spec("rclpy") is None:
        return "ROS 2: rclpy is not installed, so test/ros and test/launch are left out"
    return f"ROS 2: domain {os.environ['ROS_DOMAIN_ID']}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("data") and not SHARED.is_dir():
        pytest.skip(f"needs the data folder {SHARED}")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder with reference arrays and thermal sequences, beside the clone."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the data folder {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root folder of the repository."""
    return REPOSITORY


@pytest.fixture
def memory_within() -> Callable[[int], AbstractContextManager[None]]:
    """A `with memory_within(kB)` whose body may take no more resident memory, even in passing."""

    def peak_kb() -> int:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

    @contextmanager
    def within(limit_kb: int) -> Iterator[None]:
        Path("/proc/self/clear_refs").write_text("5")  # the peak of earlier tests says nothing
        before_kb = peak_kb()
        yield
        assert peak_kb() - before_kb < limit_kb

    return within
