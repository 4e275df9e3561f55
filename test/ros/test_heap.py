"""Free memory goes back to the system, by the thread that works."""

import subprocess
import sys
import threading

import pytest
from conftest import PATIENCE_S

from mlss_tracker_ros import worker
from mlss_tracker_ros.heap import HeapTrimmer

FRAGMENTS = """
import ctypes, sys
from mlss_tracker_ros.heap import trim_heap

def rss_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

kept, freed = [], []
for _ in range(1500):
    freed.append(bytearray(100_000))
    kept.append(bytearray(700))  # each keeps the pages before it from going back by themselves
del freed
held = rss_mb()
trim_heap()
print(held - rss_mb())
"""


THREADS = """
import ctypes, sys, threading
from mlss_tracker_ros.heap import share_heaps

if sys.argv[1] == "shared":
    share_heaps()
block = ctypes.CDLL(None).malloc
everybody = threading.Barrier(6)

def work():
    block(1000)
    everybody.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
@pytest.mark.parametrize(("how", "most"), [("shared", 2), ("left", 100)])
def test_threads_share_two_heaps(how, most):
    done = subprocess.run(
        [sys.executable, "-c", THREADS, how], capture_output=True, text=True, check=True
    )
    heaps = done.stderr.count("Arena ")
    assert heaps <= most
    assert (heaps > 2) == (how == "left")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_what_was_freed_between_used_blocks_goes_back_to_the_system():
    done = subprocess.run(
        [sys.executable, "-c", FRAGMENTS], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 100


def test_it_is_given_back_once_in_a_period(monkeypatch):
    calls = []
    monkeypatch.setattr("mlss_tracker_ros.heap.trim_heap", lambda: calls.append(1))
    often, seldom = HeapTrimmer(period_s=0.0), HeapTrimmer(period_s=3600.0)
    for _ in range(3):
        often()
        seldom()
    assert len(calls) == 3


@pytest.mark.parametrize("works", [True, False])
def test_the_worker_gives_memory_back_between_its_steps_and_while_it_waits(monkeypatch, works):
    from session_bench import Bench

    trimmed = threading.Event()

    class Trimmer:
        period_s = 3600.0 if works else 0.01
        __call__ = staticmethod(trimmed.set)

    monkeypatch.setattr(worker, "HeapTrimmer", Trimmer)
    bench = Bench()
    bench.tracker.learn = lambda: None
    thread = worker.Worker(bench.session, lambda step: None, lambda: None)
    if works:
        thread.post(lambda session: None)
    assert trimmed.wait(PATIENCE_S)
    thread.close()


def test_the_worker_gives_memory_back_when_it_ends(monkeypatch):
    from session_bench import Bench

    held = []
    bench = Bench()
    monkeypatch.setattr(worker, "trim_heap", lambda: held.append(len(bench.session.buffer)))
    thread = worker.Worker(bench.session, lambda step: None, lambda: None)
    bench.session.buffer.add(1, "frame", 100)
    assert held == []
    thread.close()
    assert held == [0]
