"""Steps are replayed where a probe has equal numbers from it and is faster, and else issued; the log says which."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training.lanes.recorded_calls import RecordedCalls
from tests.tuner.training.lanes.test_mlp import splits_of
from tuner.training.config import TrainingConfig
from tuner.training.lanes import engines, replaying
from tuner.training.lanes.capture import Results
from tuner.training.lanes.engine import LaneStart, Minibatch
from tuner.training.lanes.engines import engine_for
from tuner.training.lanes.replaying import recorder_for
from tuner.training.models import build_model


class Wrong(RecordedCalls):
    """Takes each step twice."""

    def record(self, step: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
        results, replay = super().record(step)
        return results, lambda: (replay(), replay())[0]


class Refusing(RecordedCalls):
    def record(self, step: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
        del step
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")


class Full(RecordedCalls):
    def warm_up(self, step: Callable[[], Results]) -> Results:
        del step
        raise torch.OutOfMemoryError("CUDA out of memory (fake).")


class FullWhileItRecords(RecordedCalls):
    """After so many recordings; what warms up still has room."""

    n_before = 0

    def record(self, step: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
        if self.n_recorded < self.n_before:
            return super().record(step)
        raise torch.OutOfMemoryError("CUDA out of memory (fake).")


class FullWhileItIsTimed(FullWhileItRecords):
    """The comparison records two forms: samples that lanes share, and those of each its own."""

    n_before = 2


class LooksAtValues(nn.Module):
    """What a recording would get wrong, if it did not refuse it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) if float(x.sum()) < 1e9 else self.linear(-x)


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "_FOUND", {})
    monkeypatch.setattr(replaying, "_TOLD", set())


@pytest.fixture
def paces(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of a step that is replayed, and of one that is issued."""
    seconds = [1e-3, 2e-3]
    monkeypatch.setattr(replaying, "paces", lambda *_, **__: tuple(seconds))
    return seconds


def starts_of(n: int = 3, **keys: Any) -> list[LaneStart]:
    configs = [TrainingConfig(width=6, dropout=0.3, batch_size=16, seed=s, **keys) for s in range(n)]
    return [
        LaneStart(
            config=config,
            model=build_model(config, (9,), 4),
            generator=torch.Generator().manual_seed(config.seed),
        )
        for config in configs
    ]


def told(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [record.message for record in caplog.records if record.levelno == logging.INFO]


@pytest.mark.parametrize("name", replaying.RECORDING)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_equal_and_faster_is_replayed(
    name: str, optimizer: str, paces: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """The lanes are left as they were, and a second cohort of the form is not probed again."""
    del paces
    starts, recorder = starts_of(optimizer=optimizer), RecordedCalls()
    weights = [start.model.output.weight.clone() for start in starts]
    states = [start.generator.get_state() for start in starts]
    with caplog.at_level(logging.INFO):
        assert recorder_for(name, starts, splits_of(), recorder) is recorder
        n_recorded = recorder.n_recorded
        assert recorder_for(name, starts[:2], splits_of(), recorder) is recorder
    assert n_recorded == recorder.n_recorded > 0
    (sentence,) = told(caplog)
    assert sentence == (
        "Steps of 2 lanes of Sequential, which update all lanes at once, are replayed from a recording: "
        "one takes 1.00 ms so, and 2.00 ms if issued by Python."
    )
    for start, weight, state in zip(starts, weights, states, strict=True):
        assert torch.equal(start.model.output.weight, weight)
        assert torch.equal(start.generator.get_state(), state)


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [
        (Wrong, "not replayed: replayed, losses are "),
        (Refusing, "not replayed: they cannot be recorded (RuntimeError: operation not permitted when"),
        (Full, "not replayed: there is no memory for lanes to try it with."),
        (FullWhileItRecords, "not replayed: there is no memory for lanes to try it with."),
    ],
)
def test_else_it_is_issued(
    recorder: type[RecordedCalls], reason: str, paces: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Where numbers differ, where it cannot be recorded, and where memory ends: one sentence says why."""
    del paces
    with caplog.at_level(logging.INFO):
        assert recorder_for("mlp", starts_of(), splits_of(), recorder()) is None
    (sentence,) = told(caplog)
    assert reason in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("full", [Full, FullWhileItRecords])
def test_that_memory_was_short_is_not_kept(
    full: type[RecordedCalls], paces: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once however often it happens, and steps are replayed as soon as there is room."""
    del paces
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert recorder_for("mlp", starts_of(), splits_of(), full()) is None
        assert len(told(caplog)) == 1
        recorder = RecordedCalls()
        assert recorder_for("mlp", starts_of(), splits_of(), recorder) is recorder
    assert "are replayed from a recording" in told(caplog)[1]


def test_memory_that_ends_while_steps_are_timed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Not as a loss of pace, which would be kept."""
    recorder = FullWhileItIsTimed()
    with caplog.at_level(logging.INFO):
        assert recorder_for("mlp", starts_of(), splits_of(), recorder) is None
    assert recorder.n_recorded == 2
    assert "not replayed: there is no memory for lanes to try it with." in told(caplog)[0]
    assert replaying._FOUND == {}


def test_any_other_answer_is_kept_and_said_once(paces: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """A form that cannot be recorded is not tried again."""
    del paces
    recorder = RecordedCalls()
    with caplog.at_level(logging.INFO):
        assert recorder_for("mlp", starts_of(), splits_of(), Refusing()) is None
        assert recorder_for("mlp", starts_of(), splits_of(), recorder) is None
    assert recorder.n_recorded == 0
    assert len(told(caplog)) == 1


def test_what_gains_nothing_is_issued(paces: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """A twentieth is asked for."""
    paces[:] = [1.0, 1.04]
    with caplog.at_level(logging.INFO):
        assert recorder_for("mlp", starts_of(), splits_of(), RecordedCalls()) is None
    assert "are issued by Python, not replayed: one takes 1000.00 ms so, and 1040.00 ms" in told(caplog)[0]


def test_a_module_that_looks_at_values_is_issued(
    paces: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """Its pass waits for the device, which a recording refuses; a lane alone needs no vmap."""
    del paces
    start = LaneStart(
        config=TrainingConfig(batch_size=16), model=LooksAtValues(), generator=torch.Generator()
    )
    with caplog.at_level(logging.INFO):
        found = recorder_for("functional", [start], splits_of(), RecordedCalls())
    assert found is None
    assert "lanes at once, are issued by Python, not replayed: " in told(caplog)[0]


def test_the_probe_times_both() -> None:
    """Here the stand-in is slower than what it stands for, and is found to be."""
    assert recorder_for("mlp", starts_of(2), splits_of(), RecordedCalls()) is None


@pytest.mark.parametrize(("name", "n_recorded"), [("mlp", 1), ("functional", 1), ("one_by_one", 0)])
def test_an_engine_is_made_with_what_was_found(
    name: str, n_recorded: int, paces: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device with graphs it replays its steps; modules in turn never do."""
    del paces
    made: list[RecordedCalls] = []

    def graphs(_device: torch.device) -> RecordedCalls:
        made.append(RecordedCalls())
        return made[-1]

    monkeypatch.setattr(engines, "has_graphs", lambda _device: True)
    monkeypatch.setattr(engines, "CudaGraphs", graphs)
    splits, starts = splits_of(), starts_of(2)
    engine_for(name, starts, splits)  # what it finds is kept
    made.clear()
    engine = engine_for(name, starts, splits).engine
    engine.add(starts)
    for _ in range(5):
        part = [Minibatch(first_lane=0, n_lanes=2, x=splits.train_x, y=splits.train_y)]
        engine.step([part], [0.01] * 2, reads_norms=True, is_probed=False)
    assert sum(recorder.n_recorded for recorder in made) == n_recorded


@pytest.mark.parametrize("builder", replaying.RECORDING.values())
def test_lanes_in_turn_are_not_recorded(builder: replaying.RecordingBuilder) -> None:
    """Their learning rates are Python's, and would be the same in every replay."""
    with pytest.raises(ValueError, match="update all lanes at once, but got stacks=False"):
        builder(splits_of(), stacks=False, recorder=RecordedCalls())
