"""What cannot be judged is said exactly, and a source claims no more than what was done."""

import dataclasses

from benchmarks.diagnosis.calibrate import SIGNS
from studies.diagnosis import missing_evidence
from studies.diagnosis import thresholds as limits
from studies.diagnosis.thresholds import before_training, counterfactual, curves, memorizing, over_trials
from studies.diagnosis.thresholds.threshold import BY_HAND, UNCALIBRATED, Threshold, shortened
from studies.records import StudyRecord
from tests.made_trials import good_trial


def _missing(n_epochs: int) -> list[str]:
    trial = good_trial()
    assert trial.telemetry is not None
    rows = trial.telemetry.epochs[: n_epochs + 1]
    short = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    return missing_evidence(StudyRecord(name="s", direction="maximize", trials=(short,)))


def test_a_short_training_leaves_only_the_late_jitter_unjudged() -> None:
    """A train loss that rises again and again is an oscillation, too, and is judged from fewer epochs."""
    (said,) = [sentence for sentence in _missing(5) if "oscillat" in sentence]
    assert said.startswith("No trial has 6 epochs, so an oscillation of validation at the end of a training")
    assert "the train loss" in said
    assert not any("oscillat" in sentence for sentence in _missing(6))


def _thresholds(module: object) -> dict[str, Threshold]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Threshold)}


def test_rules_over_trials_alone_say_that_no_benchmark_tried_them() -> None:
    """The benchmark diagnoses single trainings: their rules all ran there, those on studies never did."""
    single = [
        threshold
        for module in (before_training, curves, memorizing, counterfactual)
        for threshold in _thresholds(module).values()
    ]
    assert not [each for each in single if UNCALIBRATED in each.source]
    study = _thresholds(over_trials).values()
    assert not [each for each in study if BY_HAND in each.source]
    assert any(UNCALIBRATED in each.source for each in study)


def test_what_is_held_against_healthy_runs_is_not_called_chosen_by_hand() -> None:
    """Closure with the profile: its signs have a source of their own."""
    assert not [name for name, (threshold, _) in SIGNS.items() if BY_HAND in threshold.source]


def test_a_source_is_shortened_where_space_is_short() -> None:
    """For both kinds of our own."""
    assert shortened(limits.EDGE_SHARE.source) == "own design"
    assert shortened(limits.PERSISTENCE.source) == "own design; one bad epoch is noise"
