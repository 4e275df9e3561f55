"""Transitions: the node comes up, goes down and comes back as it should."""

import gc
import random
import threading
from contextlib import contextmanager

import pytest
from conftest import PATIENCE_S
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from mlss_core.box import Box
from mlss_core.errors import BoxError
from mlss_tracker_ros.frame_buffer import Kept

SERVICE = "mlss_tracker"


def state_of(client) -> int:
    return client.call(GetState, f"{SERVICE}/get_state").current_state.id


def change(client, transition: int) -> bool:
    request = Transition(id=transition)
    return client.call(ChangeState, f"{SERVICE}/change_state", transition=request).success


@contextmanager
def uncollected():
    """Cycles stay in memory meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def held(kind: type) -> int:
    return sum(type(thing) is kind for thing in gc.get_objects())


def test_the_node_activates_itself_unless_told_otherwise(namespace, make_tracker, make_client):
    make_tracker(namespace, autostart=False)
    client = make_client(namespace)
    client.until_status("UNCONFIGURED")
    assert state_of(client) == State.PRIMARY_STATE_UNCONFIGURED
    assert client.images.get_subscription_count() == 0
    assert change(client, Transition.TRANSITION_CONFIGURE)
    client.until_status("INACTIVE")
    assert client.images.get_subscription_count() == 0
    assert change(client, Transition.TRANSITION_ACTIVATE)
    client.connect()
    client.until_status("WAITING_IMAGE")
    assert state_of(client) == State.PRIMARY_STATE_ACTIVE


@pytest.mark.parametrize("way_out", ["wait", "clean up"])
def test_no_worker_runs_the_tracker_of_one_that_hangs(
    namespace, make_tracker, make_client, monkeypatch, way_out
):
    monkeypatch.setattr("mlss_tracker_ros.worker.CLOSE_TIMEOUT_S", 0.1)
    node, client = make_tracker(namespace), make_client(namespace)
    client.connect()
    client.start()
    hangs, goes_on = threading.Event(), threading.Event()
    worker, update = node._worker, node._tracker.update

    def hang(*args):
        hangs.set()
        goes_on.wait(PATIENCE_S)
        return update(*args)

    monkeypatch.setattr(node._tracker, "update", hang)
    client.send_frame()
    client.until(hangs.is_set, "a device that hangs")
    assert change(client, Transition.TRANSITION_DEACTIVATE)
    assert not change(client, Transition.TRANSITION_ACTIVATE)
    client.until_status("INACTIVE: cannot activate", "still at it", "clean up")
    if way_out == "wait":
        goes_on.set()
        client.until(lambda: not worker.alive, "the end of the picture")
        assert len(worker.session.buffer) == 0
    else:
        assert change(client, Transition.TRANSITION_CLEANUP)
        assert change(client, Transition.TRANSITION_CONFIGURE)
    assert change(client, Transition.TRANSITION_ACTIVATE)
    client.connect()
    client.start()
    goes_on.set()
    client.until(lambda: not worker.alive, "the end of the picture")
    assert len(client.track().detections) == 1  # what hung has stopped nothing


def test_a_deactivated_node_is_deaf_and_comes_back_without_its_target(tracked):
    tracked.start()
    assert change(tracked, Transition.TRANSITION_DEACTIVATE)
    tracked.until_status("INACTIVE")
    tracked.until(lambda: not tracked.images.get_subscription_count(), "a deaf tracker")
    assert change(tracked, Transition.TRANSITION_CLEANUP)
    tracked.until_status("UNCONFIGURED")
    tracked.until(lambda: not tracked.node.count_publishers(f"{SERVICE}/detections"), "silence")
    assert change(tracked, Transition.TRANSITION_CONFIGURE)
    assert change(tracked, Transition.TRANSITION_ACTIVATE)
    tracked.connect()
    assert tracked.track().detections == []
    tracked.start("again")


def test_a_deactivated_node_holds_no_frame_even_before_python_collects_its_garbage(tracked):
    with uncollected():
        tracked.start()
        assert held(Kept) > 0
        assert change(tracked, Transition.TRANSITION_DEACTIVATE)
        tracked.until(lambda: held(Kept) == 0, "no frame held")


def test_refused_boxes_do_not_pile_up_until_python_collects_its_garbage(tracked):
    with uncollected():
        for n in range(1, 6):
            tracked.send_box(Box(80, 60, -n, 4))
            tracked.until_status(f"got -{n} x 4 px")
        tracked.until(lambda: held(BoxError) <= 1, "no error held but the newest")


def test_transitions_in_any_order_leave_a_node_that_works(namespace, make_tracker, make_client):
    make_tracker(namespace)
    client = make_client(namespace)
    rng = random.Random(0)
    transitions = [
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
    ]
    for _ in range(25):
        change(client, rng.choice(transitions))
    for transition in transitions[:2]:
        change(client, transition)
    assert state_of(client) == State.PRIMARY_STATE_ACTIVE
    client.connect()
    client.start()


def damaged_weights(kind: str, weights: str, folder) -> str:
    path = folder / f"{kind}.safetensors"
    whole = open(weights, "rb").read()  # noqa: PTH123, SIM115
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "foreign":
        path.write_bytes(b"PK\x03\x04" + bytes(1000))
    elif kind == "empty":
        path.write_bytes(b"")
    return str(path)


@pytest.mark.parametrize("kind", ["missing", "truncated", "foreign", "empty"])
def test_bad_weights_refuse_configuration_and_are_named(
    namespace, make_tracker, make_client, weights, tmp_path, kind
):
    path = damaged_weights(kind, weights, tmp_path)
    make_tracker(namespace, weights=path)
    client = make_client(namespace)
    status = client.until_status("UNCONFIGURED", "cannot configure", path)
    assert "\n" not in status.message
    assert state_of(client) == State.PRIMARY_STATE_UNCONFIGURED
    assert not change(client, Transition.TRANSITION_CONFIGURE)
    assert state_of(client) == State.PRIMARY_STATE_UNCONFIGURED


def test_an_impossible_device_refuses_configuration(namespace, make_tracker, make_client):
    make_tracker(namespace, device="abacus")
    client = make_client(namespace)
    client.until_status("cannot configure", "'abacus'")


def test_a_quality_of_service_that_does_not_exist_is_named(namespace, make_tracker, make_client):
    topic = f"{namespace}/{SERVICE}/detections"
    make_tracker(namespace, **{f"qos_overrides.{topic}.publisher.reliability": "perfect"})
    client = make_client(namespace)
    client.until_status("UNCONFIGURED", "cannot configure", "perfect")


@pytest.mark.parametrize(
    "params",
    [
        {"thermal.normalization": "fixed", "thermal.fixed_min": 7e3, "thermal.fixed_max": 9e3},
        {"thermal.crop_top": 80},
        {"presence.min_box_px": 40.0},
    ],
)
def test_a_node_comes_up_with_parameters_for_any_camera(
    namespace, make_tracker, make_client, params
):
    make_tracker(namespace, **params)
    client = make_client(namespace)
    client.until_status("WAITING_IMAGE")


def test_a_parameter_set_between_configure_and_activate_is_honoured(
    namespace, make_tracker, make_client
):
    make_tracker(namespace, autostart=False)
    client = make_client(namespace)
    assert change(client, Transition.TRANSITION_CONFIGURE)
    message = Parameter("presence.min_box_px", value=30.0).to_parameter_msg()
    answer = client.call(SetParameters, f"{SERVICE}/set_parameters", parameters=[message])
    assert answer.results[0].successful
    assert change(client, Transition.TRANSITION_ACTIVATE)
    client.connect()
    client.track()
    client.send_box()  # of 16 px
    client.until_status("init box refused", "at least 30 px")
