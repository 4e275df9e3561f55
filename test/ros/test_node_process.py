"""The node as a process of its own: signals, kills, and what it says when it cannot start."""

import os
import signal
import subprocess
import sys

import pytest

from mlss_tracker_ros import running


def assert_clean_end(process: subprocess.Popen) -> None:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output


@pytest.fixture
def start_process(weights):
    """Starts tracker_node as its own process; none outlives the test."""
    processes = []

    def start(namespace: str, **params) -> subprocess.Popen:
        given = {"weights": weights, "presence.enabled": False, **params}
        arguments = [f"-p {name}:={value}" for name, value in given.items()]
        command = [sys.executable, "-m", "mlss_tracker_ros.tracker_node", "--ros-args"]
        command += ["-r", f"__ns:={namespace}", *" ".join(arguments).split()]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "params", "status"),
    [
        (signal.SIGINT, {}, "WAITING_IMAGE"),
        (signal.SIGTERM, {}, "WAITING_IMAGE"),
        (signal.SIGINT, {"autostart": "false"}, "UNCONFIGURED"),
    ],
)
def test_a_signal_ends_the_process_with_0_and_no_traceback(
    namespace, start_process, make_client, number, params, status
):
    process = start_process(namespace, **params)
    client = make_client(namespace)
    client.until_status(status)
    process.send_signal(number)
    assert_clean_end(process)


def test_ctrl_c_while_the_network_is_loaded_ends_with_0(namespace, start_process, make_client):
    process = start_process(namespace)
    client = make_client(namespace)
    client.until(lambda: client.statuses, "the node's first status")
    process.send_signal(signal.SIGINT)
    assert_clean_end(process)


def test_a_ctrl_c_that_breaks_off_an_exec_ends_with_0(tmp_path):
    (tmp_path / "interrupted.py").write_text("""
import os, signal, sys, time
from mlss_tracker_ros.running import run_node

def make():
    exec("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)")

sys.exit(run_node(make, []))
""")
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_ctrl_c_that_is_noticed_only_at_the_end_is_swallowed(monkeypatch):
    set_for = []

    def notice_first(number, handler):
        set_for.append((number, handler))
        if len(set_for) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(running.signal, "signal", notice_first)
    running.ignore_signals()
    ignored = [(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)]
    assert set_for == [ignored[0], *ignored]


def test_a_second_ctrl_c_does_not_spoil_the_exit(namespace, start_process, make_client):
    process = start_process(namespace)
    client = make_client(namespace)
    client.connect()
    client.start()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    assert_clean_end(process)


def test_a_killed_node_comes_back_waiting_for_a_new_box(namespace, start_process, make_client):
    process = start_process(namespace)
    client = make_client(namespace)
    client.connect()
    client.start("a")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    client.statuses.clear()
    start_process(namespace)
    client.detections.clear()

    def answered():  # the dead node still counts as a subscriber for a while
        client.send_frame()
        return client.detections

    first = client.until(answered, "the new node's first detections")[0]
    assert first.detections == []
    client.until_status("IDLE")


def test_a_parameter_out_of_range_ends_the_process_with_one_line(namespace, start_process):
    process = start_process(namespace, **{"search.scales": 99})
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output.startswith("error: expected parameter search.scales")
    assert "Traceback" not in output
