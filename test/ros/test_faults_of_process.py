"""Signals in every lifecycle state, and a device that fails."""

import signal
from pathlib import Path

import pytest
from conftest import PATIENCE_S
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from processes import TRACKER, start_node

FAILING = str(Path(__file__).with_name("failing_tracker.py"))
CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP
SHUTDOWN = Transition.TRANSITION_UNCONFIGURED_SHUTDOWN


@pytest.fixture
def launch(namespace, make_client, weights, tmp_path):
    """Starts a tracker process, and a client that has its first status."""
    processes = []

    def start(program=TRACKER, **params):
        log = tmp_path / "node.log"
        given = {"weights": weights, "presence.enabled": False, "autostart": False, **params}
        processes.append(start_node(program, log, namespace, given))
        client = make_client(namespace)
        client.until(lambda: client.statuses, "a status")
        return processes[-1], client, log

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def change(client, transition: int) -> bool:
    request = Transition(id=transition)
    return client.call(ChangeState, "mlss_tracker/change_state", transition=request).success


@pytest.mark.parametrize(
    ("number", "transitions"),
    [
        (signal.SIGTERM, []),  # unconfigured
        (signal.SIGINT, [SHUTDOWN]),  # finalized
        (signal.SIGTERM, [CONFIGURE]),  # inactive
        (signal.SIGINT, [CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP]),
        (signal.SIGTERM, [CONFIGURE, ACTIVATE]),
    ],
)
def test_a_signal_ends_the_process_in_any_lifecycle_state(launch, number, transitions):
    process, client, log = launch()
    for transition in transitions:
        assert change(client, transition)
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("memory", "OutOfMemoryError: CUDA out of memory"), ("cuda", "RuntimeError: CUDA error")],
)
def test_a_failing_device_is_an_error_state_and_not_the_end(launch, tmp_path, kind, reason):
    flag = tmp_path / "fail"
    flag.touch()
    process, client, log = launch([FAILING, kind, str(flag)], image_timeout_s=3600.0)
    assert not change(client, CONFIGURE)  # it fails as it warms up
    client.until_status("UNCONFIGURED", "cannot configure", "CUDA")
    flag.unlink()
    assert change(client, CONFIGURE)
    assert change(client, ACTIVATE)
    client.connect()
    client.start("a")
    flag.touch()
    client.send_frame()
    client.until_status("ERROR", f"processing failed: {reason}")
    answer = client.call(GetState, "mlss_tracker/get_state")  # it hangs in nothing
    assert answer.current_state.id == State.PRIMARY_STATE_ACTIVE
    client.send_frame()
    flag.unlink()
    assert [d.id for d in client.track().detections] == ["a"]
    client.until_status("TRACKING")
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
