import logging
import threading
import warnings

import pytest
import torch
from seeded import seeded_box, seeded_frames, seeded_network
from torch import Tensor

from mlss_core.cuda_graphs import LONGEST, recorded
from mlss_core.model.backbone import Features
from mlss_core.network_params import NetworkParams
from mlss_core.runtime import InferenceNetwork
from mlss_core.tracker import MLSSTracker

PX = 6
CPU = torch.device("cpu")


class Pass:
    """A forward pass that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, patches: Tensor) -> Features:
        self.calls += 1
        return Features(2 * patches, patches.square())


def as_graphs_do(forward, batches):
    """Replays as of graphs: from one buffer for input, to results of the caller's own."""

    def replay_of(batch):
        def replay(patches):
            batch.copy_(patches)
            return Features(2 * batch, batch.square())

        return replay

    return [replay_of(batch) for batch in batches]


def test_short_batches_are_replayed_and_others_computed():
    forward = Pass()
    fast = recorded(forward, PX, CPU, as_graphs_do)
    tried = forward.calls
    for length in range(1, LONGEST + 1):
        patches = torch.rand(length, 1, PX, PX)
        with torch.inference_mode(length % 2 == 0):  # in the tracker, and outside
            fast(patches)
        torch.testing.assert_close(fast(patches), Features(2 * patches, patches.square()))
    assert forward.calls == tried
    for shape in ((LONGEST + 1, 1, PX, PX), (1, 1, PX + 1, PX), (2, 1, 1, 1)):
        patches = torch.rand(shape)
        torch.testing.assert_close(fast(patches), Features(2 * patches, patches.square()))
    assert forward.calls == tried + 3


def refuse(forward, batches):
    raise RuntimeError("operation not permitted\nwhen stream is capturing")


def of_its_first_input(forward, batches):
    found = [forward(batch) for batch in batches]
    return [lambda patches, levels=levels: levels for levels in found]


def of_memory_that_the_next_one_takes(forward, batches):
    found = [forward(batch) for batch in batches]

    def replay(patches, levels):
        for level, value in zip(levels, forward(patches), strict=True):
            level.copy_(value)
        return levels

    return [lambda patches, levels=levels: replay(patches, levels) for levels in found]


def one_length_wrong(forward, batches):
    right = as_graphs_do(forward, batches)
    return [*right[:3], lambda patches: Features(2.1 * patches, patches.square()), *right[4:]]


def nothing_that_is_a_number(forward, batches):
    return [lambda patches: Features(*(level / 0 * 0 for level in forward(patches)))] * LONGEST


def too_few(forward, batches):
    return as_graphs_do(forward, batches[1:])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (refuse, "operation not permitted when stream is capturing"),
        (of_its_first_input, "a replay of 8 patches gives other values"),
        (of_memory_that_the_next_one_takes, "a replay of 8 patches gives other values"),
        (one_length_wrong, "a replay of 5 patches gives other values"),
        (nothing_that_is_a_number, "a replay of 8 patches gives other values"),
        (too_few, "must match"),
    ],
)
def test_what_cannot_be_recorded_or_is_wrong_is_computed_and_said_once(record, reason, caplog):
    forward = Pass()
    assert recorded(forward, PX, CPU, record) is forward
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert reason in said.getMessage()
    assert "\n" not in said.getMessage()


def test_graphs_where_there_is_no_cuda_are_left_alone_with_a_warning(caplog):
    forward = Pass()
    if not torch.cuda.is_available():
        assert recorded(forward, PX, CPU) is forward
        assert len(caplog.records) == 1
    InferenceNetwork(seeded_network(NetworkParams()), CPU, "fp32")  # does not even try
    assert len(caplog.records) <= 1


# On a GPU


def pair(monkeypatch, precision):
    """The same network with graphs, and without."""
    network, device = seeded_network(NetworkParams(), seed=2), torch.device("cuda")
    with_graphs = InferenceNetwork(network, device, precision)
    with monkeypatch.context() as patch:
        patch.setattr("mlss_core.runtime.recorded", lambda forward, *_: forward)
        return with_graphs, InferenceNetwork(network, device, precision)


def patches_of(length, seed=0):
    """Patches that a seed makes, (length, 1, 255, 255) on the GPU."""
    fixed = torch.Generator().manual_seed(seed)
    return 255 * torch.rand(length, 1, 255, 255, generator=fixed).cuda()


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.005 * b.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_graphs_compute_what_the_forward_pass_does(monkeypatch, caplog, precision):
    graphs, plain = pair(monkeypatch, precision)
    assert not caplog.records  # they are in use
    for length in (1, 3, LONGEST, 2, LONGEST + 1, 1):
        patches = patches_of(length, seed=length)
        assert_same(graphs.features(patches), plain.features(patches))


@pytest.mark.gpu
def test_what_graphs_gave_for_one_frame_outlives_the_next_frames(monkeypatch):
    graphs, plain = pair(monkeypatch, "fp32")
    first = graphs.features(patches_of(3))
    kept = [level.clone() for level in first]
    for length in (3, 1, LONGEST, 3):  # the same graph, and others in the same memory
        graphs.features(patches_of(length, seed=9))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))
    assert_same(first, plain.features(patches_of(3)))


@pytest.mark.gpu
def test_graphs_recorded_by_one_thread_are_replayed_by_another(monkeypatch):
    graphs, plain = pair(monkeypatch, "fp32")
    patches, found = patches_of(2), []
    thread = threading.Thread(target=lambda: found.append(graphs.features(patches)))
    thread.start()
    thread.join()
    assert_same(found[0], plain.features(patches))


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "limit_px"), [("fp32", 1e-2), ("auto", 0.5)])
def test_graphs_track_30_frames_as_the_forward_pass_does(monkeypatch, precision, limit_px):
    fast = MLSSTracker(device="cuda", precision=precision)
    monkeypatch.setattr("mlss_core.runtime.recorded", lambda forward, *_: forward)
    plain = MLSSTracker(device="cuda", precision=precision)
    frames = seeded_frames(31)
    for tracker in (fast, plain):
        tracker.initialize(frames[0], seeded_box(), "a")
        tracker.initialize(frames[0], seeded_box(1), "b")
    for number, frame in enumerate(frames[1:]):
        for a, b in zip(fast.update(frame), plain.update(frame), strict=True):
            assert a.state == b.state
            if a.box is not None:
                assert max(abs(x - y) for x, y in zip(a.box, b.box, strict=True)) < limit_px
        if number % 2:  # every other template is learnt within the next update
            fast.learn()
            plain.learn()


@pytest.mark.gpu
def test_an_update_waits_for_the_gpu_twice_for_responses_and_for_boxes():
    tracker, frames = MLSSTracker(device="cuda"), seeded_frames(9)
    tracker.initialize(frames[0], seeded_box())
    torch.cuda.set_sync_debug_mode("warn")
    try:
        for frame in frames[1:]:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                tracker.update(frame)
            assert 1 <= sum("synchronizing" in str(one.message) for one in said) <= 2
    finally:
        torch.cuda.set_sync_debug_mode("default")
