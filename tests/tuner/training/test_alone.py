"""`TrainingAlone`: what a search would do with one config."""

import copy

import pytest

from studies.records import Outcome
from tuner.training.alone import TrainingAlone
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import split_by_config
from tuner.training.loop import TrainingRun

CONFIG = TrainingConfig(width=16, epochs=3, learning_rate=0.1, momentum=0.9, dropout=0.2)


def test_it_is_the_slow_loops_training() -> None:
    """Epoch by epoch the same losses, but for rounding."""
    data = load_dataset("digits")
    alone = [row.train_loss for row in TrainingAlone(CONFIG, data, device="cpu").epochs()]
    slow = [row.train_loss for row in TrainingRun(CONFIG, data, device="cpu").epochs()]
    assert alone == pytest.approx(slow, rel=1e-5)


def test_it_goes_on_where_a_state_was_taken() -> None:
    """Bit for bit, whether the state is in the middle or at the end."""
    data = load_dataset("digits")
    whole = TrainingAlone(CONFIG, data, device="cpu")
    # As torch's own, a state is not a copy: the training goes on in its tensors.
    states = [copy.deepcopy(whole.lane.state_dict()) for _ in whole.epochs()]
    for state in states:
        again = TrainingAlone(CONFIG, data, device="cpu")
        again.lane.load_state_dict(state)
        rows = list(again.epochs())
        assert len(rows) == CONFIG.epochs - again_done(state)
        assert again.lane.outcome is Outcome.COMPLETED
        found, wanted = again.lane.telemetry().epochs, whole.lane.telemetry().epochs
        assert [row.train_loss for row in found] == [row.train_loss for row in wanted]


def again_done(state: dict[str, object]) -> int:
    """Trained epochs of a state."""
    telemetry = state["telemetry"]
    assert isinstance(telemetry, dict)
    return len(telemetry["epochs"]) - 1


def test_a_lane_among_others_has_its_numbers() -> None:
    """Side by side only the rounding differs."""
    data = load_dataset("digits")
    cohort = Cohort(split_by_config(data, CONFIG, device="cpu"))
    lane = cohort.admit(CONFIG)
    cohort.admit(TrainingConfig(width=16, epochs=3, learning_rate=0.3))
    while cohort.advance():
        pass
    alone = [row.validation_loss for row in TrainingAlone(CONFIG, data, device="cpu").epochs()]
    assert [row.validation_loss for row in lane.telemetry().epochs] == pytest.approx(alone, rel=1e-4)


def test_it_stops_when_asked_to() -> None:
    """The outcome is the one that was given."""
    alone = TrainingAlone(
        CONFIG, load_dataset("digits"), device="cpu", should_stop=lambda: Outcome.INTERRUPTED
    )
    assert len(list(alone.epochs())) == 1
    assert alone.lane.outcome is Outcome.INTERRUPTED
