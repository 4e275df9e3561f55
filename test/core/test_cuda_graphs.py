import logging
import threading
import warnings

import pytest
import torch
from seeded import seeded_box, seeded_frames

from mlss_core.cuda_graphs import KEPT, LONGEST, SEEN, Replayed
from mlss_core.tracker import MLSSTracker

CPU = torch.device("cpu")


class Scaled:
    """A function that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, values, more, times=2):
        self.calls += 1
        return times * values.square().sum(dim=1) + more


def as_graphs_do(function, inputs, device):
    """A replay as of a graph: from buffers for input, to a result of the caller's own."""
    own = [value.clone() for value in inputs]

    def replay(*values):
        for kept, value in zip(own, values, strict=True):
            kept.copy_(value)
        return function(*own)

    return replay


def inputs_of(rows, seed=0, columns=5):
    fixed = torch.Generator().manual_seed(seed)
    return torch.rand(rows, columns, generator=fixed), torch.rand(rows, generator=fixed)


class Recorder:
    """Records as graphs do, and keeps count."""

    def __init__(self):
        self.shapes, self.replays = [], 0

    def __call__(self, function, inputs, device):
        self.shapes.append(tuple(inputs[0].shape))
        inner = as_graphs_do(function, inputs, device)

        def replay(*values):
            self.replays += 1
            return inner(*values)

        return replay


def expected_of(inputs, times=2):
    return times * inputs[0].square().sum(dim=1) + inputs[1]


def test_shapes_that_come_again_are_recorded_and_replayed():
    record = Recorder()
    fast = Replayed(Scaled(), CPU, record=record)
    for number in range(SEEN + 3):
        inputs = inputs_of(4, seed=number)
        with torch.inference_mode(number % 2 == 0):  # in the tracker, and outside
            torch.testing.assert_close(fast(*inputs), expected_of(inputs))
        assert len(record.shapes) == (1 if number + 1 >= SEEN else 0)
    assert record.replays == 2 + 3  # two to try it


def test_what_a_replay_gave_outlives_the_next_one():
    fast = Replayed(Scaled(), CPU, record=Recorder())
    for _ in range(SEEN):
        fast(*inputs_of(3))
    first = fast(*inputs_of(3, seed=1))
    kept = first.clone()
    fast(*inputs_of(3, seed=2))
    assert torch.equal(first, kept)


def test_settings_have_recordings_of_their_own():
    fast = Replayed(Scaled(), CPU, record=Recorder())
    for number in range(2 * SEEN + 2):
        inputs = inputs_of(2, seed=number)
        for times in (2, 3):
            torch.testing.assert_close(fast(*inputs, times=times), expected_of(inputs, times))


@pytest.mark.parametrize("longest", [4, LONGEST])
def test_long_batches_and_rare_shapes_are_never_recorded(longest):
    record = Recorder()
    fast = Replayed(Scaled(), CPU, longest, record)
    for number in range(2 * SEEN):
        fast(*inputs_of(longest + 1))
        fast(*inputs_of(2, columns=10 + number))
    assert not record.shapes


def test_recordings_that_were_not_used_for_longest_are_dropped():
    record = Recorder()
    fast = Replayed(Scaled(), CPU, record=record)
    for columns in range(1, KEPT + 2):
        for _ in range(SEEN):
            fast(*inputs_of(1, columns=columns))
    assert len(record.shapes) == KEPT + 1
    assert len(fast._replays) == KEPT
    before = record.replays
    fast(*inputs_of(1, columns=1))  # was dropped
    assert record.replays == before
    fast(*inputs_of(1, columns=2))
    assert record.replays == before + 1


def refuse(function, inputs, device):
    raise RuntimeError("operation not permitted\nwhen stream is capturing")


def of_its_first_input(function, inputs, device):
    result = function(*(torch.zeros_like(value) for value in inputs))
    return lambda *_: result


def of_memory_that_the_next_one_takes(function, inputs, device):
    result = function(*inputs).clone()
    return lambda *values: result.copy_(function(*values))


def wrong(function, inputs, device):
    return lambda *values: 1.1 * function(*values)


def nothing_that_is_a_number(function, inputs, device):
    return lambda *values: function(*values) / 0 * 0


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (refuse, "operation not permitted when stream is capturing"),
        (of_its_first_input, "a replay of 4 rows gives other values"),
        (of_memory_that_the_next_one_takes, "a replay of 4 rows gives other values"),
        (wrong, "a replay of 4 rows gives other values"),
        (nothing_that_is_a_number, "a replay of 4 rows gives other values"),
    ],
)
def test_what_cannot_be_recorded_or_is_wrong_is_computed_and_said_once(record, reason, caplog):
    function = Scaled()
    fast = Replayed(function, CPU, record=record)
    for _ in range(3 * SEEN):
        torch.testing.assert_close(fast(*inputs_of(4)), expected_of(inputs_of(4)))
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert reason in said.getMessage()
    assert "\n" not in said.getMessage()


def test_a_warning_follows_where_one_of_many_fails(caplog):
    record = Recorder()

    def later(function, inputs, device):
        return (record if not record.shapes else wrong)(function, inputs, device)

    fast = Replayed(Scaled(), CPU, record=later)
    for rows in (1, 2):
        for number in range(SEEN + 1):
            inputs = inputs_of(rows, seed=number)
            torch.testing.assert_close(fast(*inputs), expected_of(inputs))
    assert len(caplog.records) == 1


def test_where_there_is_no_cuda_nothing_is_recorded(caplog):
    function = Scaled()
    fast = Replayed(function, CPU)
    for _ in range(2 * SEEN):
        fast(*inputs_of(1))
    assert function.calls == 2 * SEEN
    assert not caplog.records


# On a GPU


def without_graphs(tracker):
    """The same tracker, launching every kernel by itself."""
    for replayed in (tracker._look, tracker._cutter._crop, tracker._refiner._compare):
        replayed._record = None
    return tracker


def follow(tracker, frames):
    tracker.initialize(frames[0], seeded_box(), "a")
    tracker.initialize(frames[0], seeded_box(1), "b")
    results = []
    for number, frame in enumerate(frames[1:]):
        results.append(tracker.update(frame))
        if number % 2:  # every other template is learnt within the next update
            tracker.learn()
    return results


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "limit_px"), [("fp32", 1e-2), ("fp16", 0.5), ("bf16", 0.5)])
def test_graphs_track_30_frames_as_the_kernels_alone_do(caplog, precision, limit_px):
    frames = seeded_frames(31)
    fast = MLSSTracker(device="cuda", precision=precision)
    found = follow(fast, frames)
    assert not caplog.records
    assert fast._look._replays  # they are in use
    assert fast._cutter._crop._replays
    assert fast._refiner._compare._replays
    plain = without_graphs(MLSSTracker(device="cuda", precision=precision))
    for ours, theirs in zip(found, follow(plain, frames), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.state == b.state
            if a.box is not None:
                assert max(abs(x - y) for x, y in zip(a.box, b.box, strict=True)) < limit_px
    assert not plain._look._replays


@pytest.mark.gpu
def test_graphs_recorded_by_one_thread_are_replayed_by_another():
    frames = seeded_frames(2 * SEEN + 4)
    fast = MLSSTracker(device="cuda", precision="fp32")
    fast.initialize(frames[0], seeded_box())
    for frame in frames[1 : SEEN + 3]:
        fast.update(frame)
    assert fast._look._replays
    found = []
    thread = threading.Thread(target=lambda: found.append(fast.update(frames[SEEN + 3])))
    thread.start()
    thread.join()
    plain = without_graphs(MLSSTracker(device="cuda", precision="fp32"))
    plain.initialize(frames[0], seeded_box())
    for frame in frames[1 : SEEN + 4]:
        (expected,) = plain.update(frame)
    ((result,),) = found
    assert max(abs(x - y) for x, y in zip(result.box, expected.box, strict=True)) < 1e-2


@pytest.mark.gpu
def test_an_update_waits_for_the_gpu_twice_for_responses_and_for_boxes():
    tracker, frames = MLSSTracker(device="cuda"), seeded_frames(31)
    tracker.initialize(frames[0], seeded_box())
    for frame in frames[1:25]:  # all graphs are recorded by then
        tracker.update(frame)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        for frame in frames[25:]:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                tracker.update(frame)
            assert 1 <= sum("synchronizing" in str(one.message) for one in said) <= 2
    finally:
        torch.cuda.set_sync_debug_mode("default")
