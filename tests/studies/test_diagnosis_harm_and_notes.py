"""What costs nothing is a note, what is seen directly is a fault, and of two causes that look alike both are named."""

import dataclasses
import math
from typing import Any

import pytest

from studies.diagnosis import CauseName, Severity, diagnose_record, thresholds
from studies.records import TrialRecord
from tests.early_cases import stuck_trial, with_class_accuracy, with_code, with_data
from tests.made_trials import good_trial, study_of, trial_of
from tests.studies.lone_trials import faults, the_finding


def sure(*, rise: float, fit: float) -> TrialRecord:
    """Ends with the validation loss ``rise`` above its best, and a train loss ``fit`` times as large."""
    late = 0.1 * (1.0 + rise)
    train = (0.3, 0.1, 0.05, 0.03, 0.02, 0.01, fit * late, fit * late)
    validation = (0.3, 0.2, 0.12, 0.1, 0.1, 0.1, late, late)
    accuracy, confidence = (0.9, 0.95, 0.96, *(0.97,) * 5), (0.9, 0.95, 0.97, *(0.99,) * 5)
    return trial_of(train, (1.0,) * 8, validation, accuracy, confidence=confidence)


@pytest.mark.parametrize(
    ("rise", "fit", "severity"),
    [
        (0.42, 0.006, Severity.NOTE),  # a sound training with large batches
        (0.13, 0.002, Severity.NOTE),  # a sound training to the end
        (0.24, 0.003, Severity.WARNING),
        (thresholds.CONFIDENT_RISE.value * 0.97, 0.003, Severity.NOTE),
        (0.24, thresholds.KNOWN_BY_HEART.value * 1.03, Severity.NOTE),
    ],
)
def test_confidence_is_a_fault_after_long_training_by_heart(
    rise: float, fit: float, severity: Severity
) -> None:
    """Sound trainings end with some rise or some fit, overconfident ones with both."""
    finding = the_finding(sure(rise=rise, fit=fit))
    assert (finding.symptom, finding.severity) == ("overconfidence", severity)


@pytest.mark.parametrize(("share", "severity"), [(0.65, Severity.NOTE), (0.76, Severity.BLOCKER)])
def test_gradients_of_two_steps_added_are_a_note_where_nothing_is_lost(
    share: float, severity: Severity
) -> None:
    """Zeroed at every third step a good training stays good; at every fourth it does not."""
    assert the_finding(with_code(stale_gradient_share=share)).severity is severity
    assert faults(with_code(stuck_trial(), stale_gradient_share=share))[0] == "stale_gradients"


def poor(**changes: Any) -> TrialRecord:
    """Neither good nor bad enough for a symptom: an error of a tenth on both splits, and no more to come."""
    train = (0.6, 0.45, 0.4, 0.37, 0.36, 0.36, 0.35, 0.35)
    accuracy = (0.8, 0.86, 0.88, 0.89, 0.89, 0.9, 0.9, 0.9)
    trial = trial_of(train, accuracy, tuple(loss + 0.03 for loss in train), accuracy)
    return with_data(trial, **changes)


def test_inputs_out_of_scale_need_no_other_symptom_where_the_fit_is_poor() -> None:
    """An error of a tenth on both splits and pixels to 255: the scale; with a usual scale, nothing."""
    assert faults(poor()) == []
    assert faults(poor(input_mean=33.0, input_std=78.0)) == ["input_scale"]


def test_inputs_out_of_scale_do_no_harm_in_a_good_training() -> None:
    """Normalizing layers train well on any scale: a note."""
    assert faults(with_data(good_trial(), input_mean=33.0, input_std=78.0)) == []


def test_a_shift_between_the_splits_comes_before_the_scale_that_it_makes() -> None:
    """What is trained on alone is shifted: its scale is off because of that."""
    trial = poor(input_mean=3.0, input_std=3.1, input_shift=2.9)
    assert "input_scale" not in faults(trial)


@pytest.mark.parametrize(("ratio", "found"), [(0.97, []), (1.03, ["input_shift"])])
def test_a_validation_that_costs_more_than_training_is_a_lag(ratio: float, found: list[str]) -> None:
    """The accuracy of training may be lower, with dropout, and still validation lags: by its loss."""
    train, accuracy = (0.6, 0.4, 0.3, 0.25, 0.22, 0.2, 0.19, 0.18), (0.8, 0.88, 0.91, 0.93, *(0.94,) * 4)
    validation = tuple(loss * ratio * thresholds.SHIFT_LOSS_RATIO.value for loss in train)
    trial = with_data(trial_of(train, accuracy, validation, accuracy), input_shift=0.4)
    assert faults(trial) == found


@pytest.mark.parametrize(
    ("shift", "accuracy", "found"), [(0.7, 0.9, ["input_shift"]), (0.4, 0.9, []), (0.7, 0.97, [])]
)
def test_inputs_far_from_those_of_validation_need_no_lag(
    shift: float, accuracy: float, found: list[str]
) -> None:
    """No augmentation that is meant so moves them so far and leaves the accuracy short."""
    level = (accuracy,) * 8
    losses = (0.6, 0.4, 0.3, 0.25, 0.22, 0.2, 0.19, 0.18)
    trial = with_data(trial_of(losses, level, tuple(0.9 * loss for loss in losses), level), input_shift=shift)
    assert faults(trial) == found


def test_splits_of_other_classes_have_other_inputs() -> None:
    """A shift of a fifth of a deviation is no second finding where the classes differ."""
    trial = stuck_trial()
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, train_accuracy=0.9) if row.epoch else row for row in trial.telemetry.epochs
    )
    lagging = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    counts = {"train_class_counts": (100,) * 7 + (0,) * 3, "validation_class_counts": (0,) * 7 + (70,) * 3}
    assert "input_shift" not in faults(with_data(lagging, input_shift=0.22, **counts))
    assert "input_shift" in faults(with_data(lagging, input_shift=0.22))


def test_classes_nine_times_rarer_and_answered_worse_are_a_fault() -> None:
    """With ten the rarest one alone would be rare, and nobody would see the harm."""
    counts = {
        "train_class_counts": (300,) * 5 + (35,) * 5,
        "validation_class_counts": (100,) * 5 + (12,) * 5,
    }
    trial = with_class_accuracy(good_trial(), (0.94,) * 5 + (0.83,) * 5)
    assert faults(with_data(trial, **counts)) == ["skewed_classes"]


def test_a_class_that_is_missing_because_it_is_rare_is_an_imbalance_first() -> None:
    """Three samples in all: a random split may give train none of them."""
    trial = with_data(
        good_trial(), train_class_counts=(0, 4, 380, 380), validation_class_counts=(3, 2, 130, 130)
    )
    causes = [cause.name for cause in the_finding(trial).causes]
    assert causes == [CauseName.CLASS_IMBALANCE, CauseName.UNSTRATIFIED_SPLIT]


def test_copies_that_were_moved_overlap() -> None:
    """No value is where it was, and the network has seen them all the same."""
    finding = the_finding(with_data(overlap_fraction=0.0, moved_fraction=0.7))
    assert finding.causes[0].name == CauseName.TRAIN_VALIDATION_OVERLAP
    assert diagnose_record(study_of(with_data(moved_fraction=0.005)), 0) == []


def test_a_leak_in_a_part_of_the_samples_is_said_to_be_one() -> None:
    """The sentence says of which part."""
    finding = the_finding(with_data(leak_accuracy=1.0, n_leak_features=1, leak_share=0.7))
    assert finding.causes[0].name == CauseName.TARGET_LEAKAGE
    assert "70% of the held-out samples" in finding.sentence


@pytest.mark.parametrize(("error", "found"), [(0.03, []), (0.3, ["inconsistent_labels"])])
def test_few_errors_are_no_label_noise_however_they_surprise(error: float, found: list[str]) -> None:
    """A smooth network doubts all samples alike and errs once in thirty times."""
    loss = 1.05 * _most_surprising(error)
    train = tuple(0.9 * loss * factor for factor in (2.0, 1.5, 1.2, 1.1, 1.05, 1.0, 0.95, 0.9))
    level = (1.0 - error,) * 8
    flat = (2.0 * loss, 1.3 * loss, *(loss,) * 6)
    assert faults(trial_of(train, level, flat, level, confidence=level)) == found


def _most_surprising(error: float) -> float:
    """Fano's bound with ten classes."""
    return -error * math.log(error) - (1.0 - error) * math.log(1.0 - error) + error * math.log(9.0)


def test_moved_copies_are_kept_apart_by_splitting_first() -> None:
    """Dropping samples that are equal value for value would find none of them."""
    moved = the_finding(with_data(overlap_fraction=0.0, moved_fraction=0.7))
    equal = the_finding(with_data(overlap_fraction=0.7, moved_fraction=0.0))
    assert "Split first" in str(moved.remedies[0])
    assert "Drop the copies" in str(equal.remedies[0])
