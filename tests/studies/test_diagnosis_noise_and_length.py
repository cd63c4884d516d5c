"""Trainings that went on for long after their best, and those whose updates see a handful of samples."""

import pytest

from studies.diagnosis import CauseName, Severity, diagnose_record, thresholds
from studies.diagnosis.reference import validation_error
from studies.diagnosis.standing import Standing, standing
from studies.records import StudyRecord, TrialRecord
from tests.early_cases import with_data
from tests.made_trials import good_trial, study_of, trial_of

RISE = thresholds.CONFIDENT_RISE.value


def too_sure(since: int = 22, *, errors: float = 4.0, rise: float = 0.3, fit: float = 0.02) -> TrialRecord:
    """By so many standard errors, with a validation loss that stays risen in all epochs since its best.

    Its late epochs jump between no rise at all and twice as much, so that the least of them says nothing.
    """
    n, best = since + 5, 4
    after = [0.1 * (1.0 + (0.0 if e % 2 else 2.0 * rise)) for e in range(since)]
    losses = (*(0.3 - 0.05 * e for e in range(best)), 0.1, *(max(each, 0.1001) for each in after))
    accuracy, late = 0.97, 0.1 * (1.0 + rise)
    telemetry = good_trial().telemetry
    assert telemetry is not None
    confidence = accuracy + errors * validation_error(telemetry, accuracy)
    assert len(losses) == n
    return trial_of((fit * late,) * n, (1.0,) * n, losses, (accuracy,) * n, confidence=(confidence,) * n)


def severities(trial: TrialRecord) -> list[Severity]:
    found = diagnose_record(study_of(trial), 0)
    return [finding.severity for finding in found if finding.symptom == "overconfidence"]


@pytest.mark.parametrize(
    ("trial", "is_fault"),
    [
        (too_sure(), True),
        (too_sure(since=21), False),
        (too_sure(errors=2.1), True),
        (too_sure(errors=1.9), False),
        (too_sure(rise=RISE * 1.2), True),
        (too_sure(rise=RISE * 0.8), False),
        (too_sure(fit=0.07), True),
        (too_sure(fit=0.09), False),
    ],
)
def test_who_went_on_long_after_the_best_need_not_know_all_by_heart(
    trial: TrialRecord, *, is_fault: bool
) -> None:
    """Sound trainings with such a rise stop sooner. The mean of the late losses tells it: they may jump."""
    assert severities(trial) == ([Severity.WARNING] if is_fault else [])


def test_no_accuracy_excuses_overconfidence() -> None:
    """What it harms are the probabilities, in a training that answers as well as the best."""
    trial = too_sure(30)
    record = study_of(trial, *(good_trial(n) for n in range(1, 4)))
    assert standing(trial, record) is Standing.HEALTHY
    found = [f.symptom for f in diagnose_record(record, 0) if f.severity is not Severity.NOTE]
    assert found == ["overconfidence"]


def noisy(*, batch: int = 4, error: float = 0.2, fit: float = 0.7) -> StudyRecord:
    """A quiet curve that ends with so many errors, and so much of them on the training data too."""
    n = 8
    losses = (0.9, 0.8, 0.75, 0.72, 0.7, 0.7, 0.7, 0.7)
    level = (1.0 - error,) * n
    on_train = (1.0 - fit * error,) * n
    trial = trial_of(
        tuple(fit * loss for loss in losses),
        on_train,
        losses,
        level,
        probe_loss=tuple(fit * loss for loss in losses),
        probe_accuracy=on_train,
        config={"batch_size": batch},
    )
    return study_of(with_data(trial))


@pytest.mark.parametrize(
    ("record", "is_blamed"),
    [
        (noisy(), True),
        (noisy(batch=8), True),
        (noisy(batch=9), False),
        (noisy(error=thresholds.TINY_BATCH_ERROR.value * 1.03), True),
        (noisy(error=thresholds.TINY_BATCH_ERROR.value * 0.97), False),
        (noisy(fit=thresholds.FIT_RATIO_NOISY.value * 1.03), True),
        (noisy(fit=thresholds.FIT_RATIO_NOISY.value * 0.97), False),
    ],
)
def test_a_handful_of_samples_holds_a_fit_down(record: StudyRecord, *, is_blamed: bool) -> None:
    """Where no curve swings either: updates that are mostly noise, a poor fit and many errors."""
    causes = {
        finding.symptom: finding.causes[0].name
        for finding in diagnose_record(record, 0)
        if finding.causes and finding.severity is not Severity.NOTE
    }
    assert (causes == {"underfitting": CauseName.BATCH_TOO_SMALL}) is is_blamed
