"""Mild faults of the curves beside sound trainings that look like them: what a random draw of both has shown."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record, thresholds
from studies.diagnosis.progress import gain_of_path
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import expected_gain, warmup_cost
from studies.records import TrialRecord
from tests.early_cases import with_weight_norm
from tests.made_trials import DATA, step_zero, study_of, trial_of, with_steps

FALLING = (1.1, 0.8, 0.62, 0.53, 0.47, 0.43, 0.39, 0.36)
WARMED = (2.0, 1.2, 0.70, 0.55, 0.49, 0.45, 0.42, 0.38)
RISEN = (0.6, 0.4, 0.3, 0.32, 0.34, 0.36, 0.40, 0.42)


def faults(trial: TrialRecord) -> list[Finding]:
    return [each for each in diagnose_record(study_of(trial), 0) if each.severity is not Severity.NOTE]


def causes(trial: TrialRecord) -> list[CauseName]:
    found = faults(trial)
    return [cause.name for cause in found[0].causes] if found else []


def going_on(
    *,
    fit: float,
    rates: Sequence[float],
    losses: Sequence[float] = FALLING,
    n_steps: int = 20,
    update_ratio: float = 8e-3,
    n_validation: int = 700,
) -> TrialRecord:
    """Epochs of ``n_steps`` steps with a rate each, and a train loss that is a part of that on validation."""
    n, level = len(losses), (0.9,) * len(losses)
    data = dataclasses.replace(DATA, n_train=n_steps * 128, n_validation=n_validation)
    train = tuple(fit * loss for loss in losses)
    trial = trial_of(train, level, losses, level, update_ratio=update_ratio, data=data)
    return with_steps(trial, np.repeat(train, n_steps).tolist(), list(rates), n_epochs=n)


def warming(fit: float) -> TrialRecord:
    """A long warmup that cost between one and two standard errors of accuracy."""
    return going_on(
        fit=fit, rates=(*np.linspace(0.001, 0.1, 80), *(0.1,) * 80), losses=WARMED, n_validation=1400
    )


@pytest.mark.parametrize(("fit", "found"), [(0.8, [CauseName.WARMUP_TOO_LONG]), (0.5, [])])
def test_a_long_warmup_of_a_small_cost_is_a_fault_where_the_fit_is_poor(
    fit: float, found: list[CauseName]
) -> None:
    """The same cost in a training that has fitted its data is within the noise."""
    trial = warming(fit)
    assert thresholds.WARMUP_COST_POOR_FIT.value < warmup_cost(Signs(trial=trial))
    assert warmup_cost(Signs(trial=trial)) < thresholds.NOISE_FLOORS.value
    assert causes(trial) == found


@pytest.mark.parametrize(("update_ratio", "is_found"), [(8e-3, False), (3.5e-3, True)])
def test_a_steep_end_alone_is_not_short_of_epochs(update_ratio: float, is_found: bool) -> None:
    """Four times the epochs would gain as much in both; only one has far to go."""
    losses = (1.5, 1.25, 1.05, 0.90, 0.80, 0.73, 0.67, 0.62)
    trial = going_on(fit=0.8, rates=(0.1,) * 160, losses=losses, update_ratio=update_ratio, n_validation=1000)
    assert expected_gain(Signs(trial=trial)) > thresholds.EXPECTED_GAIN.value
    assert (CauseName.TOO_FEW_EPOCHS in causes(trial)) == is_found


@pytest.mark.parametrize(("n_steps", "found"), [(3, [CauseName.BATCH_TOO_LARGE]), (6, [])])
def test_a_handful_of_steps_an_epoch_is_too_few_at_a_smaller_promise(
    n_steps: int, found: list[CauseName]
) -> None:
    """What is promised lies between the two thresholds; the ways are the same length."""
    losses = (1.6, 1.1, 0.80, 0.63, 0.53, 0.47, 0.44, 0.43)
    rates = np.repeat(np.linspace(0.1, 0.02, 8), n_steps)
    trial = going_on(
        fit=0.6,
        rates=rates.tolist(),
        losses=losses,
        n_steps=n_steps,
        update_ratio=0.09 / n_steps,
        n_validation=350,
    )
    gain = gain_of_path(Signs(trial=trial))
    assert thresholds.GAIN_OF_FEW_STEPS.value < gain < thresholds.GAIN_OF_PATH.value
    assert causes(trial) == found


def risen(*, gap: float, memorized: float, n_validation: int = 5000) -> TrialRecord:
    """A validation loss that rises as the train loss falls, and answers that are given for certain."""
    late = (*(0.3, 0.2, 0.15, 0.12), *(memorized * loss for loss in RISEN[4:]))
    accuracy = (0.999 - gap,) * 8
    data = dataclasses.replace(DATA, n_validation=n_validation)
    known = (*accuracy[:4], *(0.999,) * 4)  # behind from the start on, it would be of another kind
    return trial_of(late, known, RISEN, accuracy, data=data, confidence=(0.99,) * 8)


@pytest.mark.parametrize(("gap", "memorized", "is_found"), [(0.12, 0.1, False), (0.17, 0.1, True)])
def test_a_gap_says_less_while_the_training_data_is_not_known_by_heart(
    gap: float, memorized: float, is_found: bool
) -> None:
    """Both validation losses rise by 40%."""
    assert (causes(risen(gap=gap, memorized=memorized))[:1] == [CauseName.OVERFITTING]) == is_found


def test_a_gap_of_an_eighth_is_enough_where_it_is() -> None:
    assert causes(risen(gap=0.11, memorized=0.02)) == []
    assert causes(risen(gap=0.13, memorized=0.02))[:1] == [CauseName.OVERFITTING]


@pytest.mark.parametrize(("memorized", "is_found"), [(0.001, True), (0.01, False)])
def test_few_validation_samples_are_enough_to_see_what_was_learned_by_heart_for_too_long(
    memorized: float, is_found: bool
) -> None:
    """A confidence of 2.5 standard errors above the accuracy, and two causes that only more data would tell apart."""
    trial = risen(gap=0.07, memorized=memorized, n_validation=115)
    errors = Signs(trial=trial).overconfidence / Signs(trial=trial).accuracy_noise
    assert thresholds.OVERCONFIDENT_BY_HEART.value < errors < thresholds.OVERCONFIDENT.value
    assert causes(trial) == [CauseName.OVERCONFIDENCE, CauseName.OVERFITTING] * is_found


def swollen(losses: Sequence[float], *, growth: float = 2.6, accuracy: float = 0.88) -> TrialRecord:
    """Weights ``growth`` times as large as before the training."""
    level = (accuracy,) * len(losses)
    start = step_zero()
    start = dataclasses.replace(
        start, layers=tuple(dataclasses.replace(layer, weight_norm=1.0) for layer in start.layers)
    )
    train = (0.9, 0.6, 0.45, 0.40, 0.42, 0.36, 0.33, 0.30)
    trial = trial_of(train, level, losses, level, probe=start, update_ratio=0.02)
    return with_weight_norm(trial, growth)


@pytest.mark.parametrize(
    ("losses", "found"),
    [
        ((0.9, 0.7, 0.55, 0.50, 0.56, 0.48, 0.55, 0.50), [CauseName.LEARNING_RATE_TOO_HIGH]),
        ((1.4, 1.2, 1.00, 0.80, 0.75, 0.60, 0.56, 0.40), []),
    ],
)
def test_who_falls_by_more_than_it_jumps_is_not_restless(
    losses: Sequence[float], found: list[CauseName]
) -> None:
    """A noisy validation loss on its way down says nothing of large weights."""
    trial = swollen(losses)
    assert Signs(trial=trial).late_noise > thresholds.LATE_NOISE.value
    assert causes(trial) == found


LEVEL = (0.9, 0.7, 0.55, 0.50, 0.50, 0.51, 0.50, 0.51)
ON_ITS_WAY = (1.4, 1.2, 1.00, 0.80, 0.75, 0.60, 0.56, 0.40)


@pytest.mark.parametrize(
    ("losses", "accuracy", "found"),
    [(LEVEL, 0.945, True), (ON_ITS_WAY, 0.945, False), (ON_ITS_WAY, 0.88, True)],
)
def test_units_lost_on_the_way_to_a_good_accuracy_are_no_oscillation(
    losses: Sequence[float], accuracy: float, found: bool
) -> None:
    """Who still falls has settled nowhere yet; half of the units lost at an accuracy clearly too low are the rate's."""
    trial = swollen(losses, growth=2.1, accuracy=accuracy)
    assert trial.telemetry is not None
    data = dataclasses.replace(DATA, n_validation=500, validation_class_counts=(50,) * 10)
    rows = tuple(dataclasses.replace(row, dead_fraction=0.4) for row in trial.telemetry.epochs)
    telemetry = dataclasses.replace(trial.telemetry, epochs=rows, data=data)
    told = [f.symptom for f in diagnose_record(study_of(dataclasses.replace(trial, telemetry=telemetry)), 0)]
    assert ("oscillation" in told) == found


@pytest.mark.parametrize(("losses", "found"), [(LEVEL, True), (ON_ITS_WAY, False)])
def test_train_losses_that_rise_on_the_way_down_are_no_oscillation(
    losses: Sequence[float], found: bool
) -> None:
    """Nor are weights three times as large; the sentence tells of lost units where there are any."""
    trial = swollen(losses, growth=3.0)
    assert trial.telemetry is not None
    jagged = (0.9, 0.6, 0.7, 0.5, 0.58, 0.4, 0.47, 0.36)
    rows = tuple(
        dataclasses.replace(row, train_loss=jagged[row.epoch - 1]) if row.epoch else row
        for row in trial.telemetry.epochs
    )
    telemetry = dataclasses.replace(trial.telemetry, epochs=rows)
    told = diagnose_record(study_of(dataclasses.replace(trial, telemetry=telemetry)), 0)
    assert ("oscillation" in [f.symptom for f in told]) == found
    assert not found or told[0].sentence.endswith("3.0 times as large as before training.")


@pytest.mark.parametrize(
    ("height", "accuracy", "is_found"), [(3.0, 0.96, True), (1.8, 0.96, False), (3.0, 0.975, False)]
)
def test_a_violent_burst_is_a_fault_at_fewer_errors(height: float, accuracy: float, is_found: bool) -> None:
    """The weights are 1.9 times as large as before it; digits with large batches recover to an error of 0.026."""
    trial = dataclasses.replace(swollen(FALLING, growth=1.9, accuracy=accuracy), config={"optimizer": "adam"})
    losses = (2.33, 2.33 * height, 2.4, *np.linspace(1.6, 0.3, 77))
    found = causes(with_steps(trial, losses, (0.1,) * 80, n_epochs=8))
    assert found[:1] == [CauseName.MISSING_WARMUP] * is_found


@pytest.mark.parametrize(("width", "is_found"), [(4, True), (8, False)])
def test_eight_channels_are_no_bottleneck_of_a_fit_that_is_fair(width: int, is_found: bool) -> None:
    """A fit ratio of 0.45 at an accuracy of 0.9 tells of a handful of units, and of nothing where there are more."""
    trial = going_on(fit=0.45, rates=(0.1,) * 160, losses=(0.6, 0.4, 0.34, 0.31, 0.29, 0.28, 0.27, 0.26))
    narrow = dataclasses.replace(trial, config=trial.config | {"width": width})
    assert (CauseName.UNDERCAPACITY in causes(narrow)) == is_found
