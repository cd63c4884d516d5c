"""Who is trained against whom."""

import pytest

from search_spaces.edits import Edit, EditKind
from search_spaces.errors import ConfigurationError
from studies.diagnosis import CauseName, Remedy
from studies.readings import EpochReadings, Telemetry
from studies.records import Outcome, TrialRecord
from tests.tuner.proving.made_findings import ACTION, finding, fixing
from tuner.proving.contest import BASELINE, REFERENCE, Contest, edited, label_of
from tuner.proving.yardstick import METRICS_OF_CAUSES, Yardstick

CONFIG = {"learning_rate": 3.0, "momentum": 0.9, "optimizer": "sgd", "seed": 7}


def test_each_remedy_is_applied_alone() -> None:
    """To the config without its seed; the reference is whole and seedless, too."""
    found = finding(fixing("learning_rate", 0.3), fixing("clip_norm", 1.0))
    contest = Contest.of(found, CONFIG, reference={"learning_rate": 0.1, "seed": 9})
    assert list(contest.configs) == [BASELINE, "learning_rate=0.3", "clip_norm=1", REFERENCE]
    assert contest.configs["clip_norm=1"] == {**contest.configs[BASELINE], "clip_norm": 1.0}
    assert all("seed" not in config for config in contest.configs.values())
    assert contest.reference == REFERENCE


def test_what_cannot_be_tried_is_left_out_with_its_reason() -> None:
    """Actions, edits of a search, what is there already, what the config cannot take."""
    widen = Remedy(sentence="Widen.", edits=(Edit(kind=EditKind.WIDEN, lever="learning_rate", high=9.0),))
    found = finding(
        ACTION, widen, fixing("momentum", 0.9), fixing("warmup_fraction", 0.05), fixing("learning_rate", 0.3)
    )
    contest = Contest.of(found, {**CONFIG, "warmup_steps": 10})
    assert list(contest.remedies) == ["learning_rate=0.3"]
    whys = [left.why for left in contest.left_out]
    assert whys[:3] == [
        "it is an action on data or code, which no training here can take",
        "it changes what a search looks at, not what one training does",
        "the config has it already",
    ]
    assert whys[3].startswith(
        "this config cannot take it: warmup_steps and warmup_fraction exclude each other"
    )


def test_a_reference_that_is_a_remedys_config_is_trained_once() -> None:
    """And one that is the faulty config is none."""
    found = finding(fixing("learning_rate", 0.3))
    same = Contest.of(found, CONFIG, reference={**CONFIG, "learning_rate": 0.3})
    assert same.reference == "learning_rate=0.3"
    assert len(same.configs) == 2
    assert Contest.of(found, CONFIG, reference=CONFIG).reference is None


def test_edits_are_in_the_config_s_terms() -> None:
    """A lever on another scale, a switch with its value, a bound, a default."""
    scaled = Edit(kind=EditKind.FIX, lever="one_minus_momentum", value=0.2)
    found = edited(CONFIG, [scaled])
    assert found is not None
    assert found["momentum"] == pytest.approx(0.8)
    narrow = Edit(kind=EditKind.NARROW, lever="learning_rate", high=0.5)
    assert edited(CONFIG, [narrow]) == {**CONFIG, "learning_rate": 0.5}
    assert edited({**CONFIG, "learning_rate": 0.2}, [narrow]) == {**CONFIG, "learning_rate": 0.2}
    dropped = edited(CONFIG, [Edit(kind=EditKind.DROP, lever="momentum")])
    assert dropped is not None
    assert dropped["momentum"] == 0.0
    switch = (
        Edit(kind=EditKind.FIX, lever="clipping", value=True),
        Edit(kind=EditKind.FIX, lever="clip_norm", value=1.0),
    )
    assert label_of(switch) == "clipping=true, clip_norm=1"
    with pytest.raises(ConfigurationError, match="A key to drop must be a config key, but got 'speed'"):
        edited(CONFIG, [Edit(kind=EditKind.DROP, lever="speed")])


def test_every_other_metric_has_a_reason() -> None:
    """And no cause is judged by an accuracy that its study does not have."""
    for cause, other in METRICS_OF_CAUSES.items():
        yardstick = Yardstick.of(finding(cause=cause), metric="validation_accuracy", direction="maximize")
        assert (yardstick.metric, yardstick.reason) == (other.metric, other.reason)
        assert not yardstick.is_own


def trial(*losses: float, accuracies: tuple[float, ...]) -> TrialRecord:
    rows = tuple(
        EpochReadings(epoch=epoch, train_loss=1.0, validation_loss=loss, validation_accuracy=accuracy)
        for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
    )
    return TrialRecord(
        number=0, state="complete", outcome=Outcome.COMPLETED, value=0.9, telemetry=Telemetry(epochs=rows)
    )


def test_overconfidence_is_read_where_the_weights_are_kept_and_overfitting_at_the_end() -> None:
    """Epoch 0 is no result; all other causes go by the trial's own value."""
    curve = trial(2.3, 0.5, 0.4, 0.8, accuracies=(0.1, 0.8, 0.9, 0.85))

    def of(cause: CauseName) -> Yardstick:
        return Yardstick.of(finding(cause=cause), metric="validation_accuracy", direction="maximize")

    assert of(CauseName.OVERCONFIDENCE).value(curve) == 0.4
    assert of(CauseName.OVERFITTING).value(curve) == 0.8
    assert of(CauseName.LEARNING_RATE_TOO_HIGH).value(curve) == 0.9
