"""A pool of processes in which one that dies takes its own job with it and no other.

`concurrent.futures` gives up the whole pool when native code crashes; an evaluation of hundreds of
runs must not. Every process computes on one thread, so that results do not depend on how many run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import cv2

J = TypeVar("J")
R = TypeVar("R")

_THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class WorkerDiedError(Exception):
    """The process of a job ended before it answered."""


def run_parallel(
    work: Callable[[J], R], jobs: Sequence[J], processes: int
) -> Iterator[tuple[J, R | WorkerDiedError]]:
    """Give (job, result) pairs as they finish, in any order.

    `work` must be importable by name and must not raise; jobs and results must pickle. Leaving the
    loop early, or an interrupt, ends the processes.
    """
    waiting = list(reversed(jobs))
    busy: dict[Connection, tuple[BaseProcess, J]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < max(processes, 1):
                _send(_start(work), waiting.pop(), busy)
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                process, job = busy.pop(connection)
                try:
                    result: R | WorkerDiedError = connection.recv()
                except (EOFError, ConnectionResetError):
                    process.join()
                    result = WorkerDiedError(_how_it_ended(process.exitcode))
                    connection.close()
                else:
                    if waiting:
                        _send((process, connection), waiting.pop(), busy)
                    else:
                        _stop(process, connection)
                yield job, result
    finally:
        for connection, (process, _) in busy.items():
            process.kill()
            process.join()
            connection.close()


def _start(work: Callable[[J], R]) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")  # fork would copy torch's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs), daemon=True)
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(_THREADS)  # read by native libraries when the child loads them
    try:
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
    theirs.close()
    return process, ours


def _send(
    worker: tuple[BaseProcess, Connection], job: J, busy: dict[Connection, tuple[BaseProcess, J]]
) -> None:
    process, connection = worker
    busy[connection] = (process, job)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died: recv tells
        connection.send(job)


def _stop(process: BaseProcess, connection: Connection) -> None:
    connection.close()
    process.join()


def _serve(work: Callable[[Any], Any], connection: Connection) -> None:
    """Body of a process: answer jobs until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)  # OpenCV's own threads; the others read the environment
    while True:
        try:
            job = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        connection.send(work(job))


def _end_with_parent() -> None:
    """Leave no process behind when the parent is killed in the middle of a job."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"the process was ended by {signal.Signals(-exitcode).name}"
    return f"the process ended with exit code {exitcode}"
