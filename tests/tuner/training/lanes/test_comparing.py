"""How long engines are timed."""

from typing import Any

import pytest

from tests.tuner.training.lanes.recorded_calls import RecordedCalls
from tests.tuner.training.lanes.test_mlp import splits_of
from tests.tuner.training.lanes.test_replaying import starts_of
from tuner.training.lanes import comparing, replaying
from tuner.training.lanes.capture import WARM_UP_STEPS
from tuner.training.lanes.comparing import paces, paces_of
from tuner.training.lanes.engine import LaneSteps
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.lanes.one_by_one import OneByOneEngine


@pytest.fixture(autouse=True)
def _no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each step took longer than the whole timing should."""
    monkeypatch.setattr(comparing, "PROBE_SECONDS", 0.0)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[OneByOneEngine]:
    """The engine of each step that lanes in turn took."""
    engines: list[OneByOneEngine] = []
    take = OneByOneEngine.step

    def step(engine: OneByOneEngine, *args: Any, **keys: Any) -> LaneSteps:
        engines.append(engine)
        return take(engine, *args, **keys)

    monkeypatch.setattr(OneByOneEngine, "step", step)
    return engines


def test_slow_lanes_are_timed_twice(taken: list[OneByOneEngine]) -> None:
    """After one step that warms up: on a CPU a user's model may take seconds for each."""
    paces_of(starts_of(2), splits_of())
    assert len(taken) == 1 + 2


def test_as_many_steps_are_timed_as_are_asked_for(taken: list[OneByOneEngine]) -> None:
    """However slow they are."""
    splits = splits_of()
    paces(OneByOneEngine(splits), OneByOneEngine(splits), starts_of(2), splits, n_least=5)
    assert [taken.count(engine) for engine in set(taken)] == [1 + 5, 1 + 5]


def test_several_replays_are_timed() -> None:
    """The shortest step is one of three or more that only replay: the first one records, too."""
    splits, recorder = splits_of(), RecordedCalls()
    engines = (MlpEngine(splits, stacks=True, recorder=each) for each in (recorder, None))
    paces(*engines, starts_of(2), splits, n_least=replaying.TIMED_STEPS)
    assert recorder.n_recorded == 1
    assert recorder.n_replayed - recorder.n_recorded >= 3
    assert replaying.TIMED_STEPS > WARM_UP_STEPS
