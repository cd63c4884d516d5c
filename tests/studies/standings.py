"""Trials that stand so many noise floors behind the best of their study, and studies around them."""

import dataclasses
from typing import Any

from studies.diagnosis import Severity, diagnose_record
from studies.diagnosis.reference import validation_error
from studies.records import StudyRecord, TrialRecord
from tests.early_cases import with_code, with_data
from tests.made_trials import (
    LEARNING,
    RISING,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    good_trial,
    study_of,
    trial_of,
)

BEST = max(VALIDATION_ACCURACY)


def noise_floors(n: float) -> float:
    """An accuracy so many noise floors behind that of a good trial."""
    telemetry = good_trial().telemetry
    assert telemetry is not None
    return BEST - n * validation_error(telemetry, BEST)


def reaching(accuracy: float, **changes: Any) -> TrialRecord:
    """A good training but for its accuracy, which grows to this and no higher."""
    level = (*(min(each, accuracy) for each in VALIDATION_ACCURACY[:-1]), accuracy)
    return trial_of(LEARNING, RISING, VALIDATION_LOSS, level, **changes)


def fallen(accuracy: float, **changes: Any) -> TrialRecord:
    """As good as any in the sixth epoch, and not at the end."""
    level = (*VALIDATION_ACCURACY[:5], BEST, *VALIDATION_ACCURACY[6:9], accuracy)
    return trial_of(LEARNING, RISING, VALIDATION_LOSS, level, **changes)


def among(trial: TrialRecord, n_peers: int = 3, peer: TrialRecord | None = None) -> StudyRecord:
    """Beside good trials, or so many of another one."""
    return study_of(
        trial, *(dataclasses.replace(peer or good_trial(), number=n) for n in range(1, n_peers + 1))
    )


def fitting(fit: float, floors: float = 1.0, **code: Any) -> TrialRecord:
    """A watched training that ends so many noise floors behind, with such an accuracy on training samples."""
    end = noise_floors(floors)
    level = (*(min(each, end) for each in VALIDATION_ACCURACY[:-1]), end)
    trial = trial_of(
        LEARNING, RISING, VALIDATION_LOSS, level, probe_accuracy=(fit,) * 10, probe_loss=LEARNING, number=0
    )
    return with_code(with_data(trial, label_mixing=1.0), **({"stale_gradient_share": 0.0} | code))


def among_the_best(case: TrialRecord) -> TrialRecord:
    """The same training as good as any within a noise floor, and no better than a good one."""
    assert case.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, validation_accuracy=noise_floors(1.0), probe_accuracy=0.95)
        if row.epoch > 0
        else row
        for row in case.telemetry.epochs
    )
    telemetry = dataclasses.replace(case.telemetry, epochs=rows)
    return dataclasses.replace(case, telemetry=telemetry, value=noise_floors(1.0), number=0)


def severities(trial: TrialRecord, record: StudyRecord) -> dict[str, Severity]:
    return {finding.symptom: finding.severity for finding in diagnose_record(record, trial.number)}


def behind(epochs: int = 10, *, fit: float = 0.5, floors: float = 6.0, **changes: Any) -> TrialRecord:
    """A training that ends so many noise floors behind, with a train loss of ``fit`` times that of validation.

    The validation loss falls to half over the last doubling of the epochs, and then no more than by a hundredth.
    """
    losses = tuple(0.3 if n < epochs // 2 else 0.15 for n in range(epochs))
    level = (*(noise_floors(floors + 2.0),) * (epochs - 1), noise_floors(floors))
    probe = 1.0 - fit * (1.0 - level[-1])
    return trial_of(
        tuple(fit * loss for loss in losses),
        (probe,) * epochs,
        losses,
        level,
        probe_loss=tuple(fit * loss for loss in losses),
        probe_accuracy=(probe,) * epochs,
        **changes,
    )
