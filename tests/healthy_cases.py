"""Healthy studies, each of which trips a rule of some tool."""

import dataclasses
from collections.abc import Callable

import numpy as np

from studies.readings import (
    NAN,
    Telemetry,
)
from studies.records import Outcome, StudyRecord, TrialRecord
from tests.made_trials import (
    DATA,
    LEARNING,
    RISING,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    good_trial,
    searched,
    study_of,
    trial_of,
)


def one_epoch_rise() -> StudyRecord:
    losses = list(VALIDATION_LOSS)
    losses[6] *= 1.3
    return study_of(trial_of(LEARNING, RISING, losses, VALIDATION_ACCURACY))


def train_loss_near_zero() -> StudyRecord:
    """(validation - train) / train is 99, and nothing is wrong."""
    train = (0.3, 0.1, 0.05, 0.02, 0.01, 0.005, 0.003, 0.002, 0.0015, 0.001)
    accuracies = (0.92, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0, 1.0, 1.0)
    steady = (0.2, 0.13, 0.11, 0.103, 0.1, 0.0995, 0.0995, 0.1, 0.1005, 0.1)
    validation = (0.94, 0.96, 0.968, 0.972, 0.974, 0.975, 0.9752, 0.9755, 0.9753, 0.9757)
    return study_of(trial_of(train, accuracies, steady, validation))


def dropout_makes_validation_better() -> StudyRecord:
    train = tuple(x + 0.25 for x in LEARNING)
    accuracies = tuple(a - 0.08 for a in RISING)
    return study_of(
        trial_of(train, accuracies, VALIDATION_LOSS, VALIDATION_ACCURACY, config={"dropout": 0.5})
    )


def noise_within_two_standard_errors() -> StudyRecord:
    """SE_val is 0.0016 here: readings 0.002 apart turn at every epoch."""
    jumps = (0.94, 0.96, 0.968, 0.970, 0.968, 0.970, 0.968, 0.970, 0.968, 0.970)
    return study_of(trial_of(LEARNING, RISING, VALIDATION_LOSS, jumps))


def short(n: int) -> Callable[[], StudyRecord]:
    def case() -> StudyRecord:
        return study_of(
            trial_of(LEARNING[:n], RISING[:n], VALIDATION_LOSS[:n], VALIDATION_ACCURACY[:n], number=0)
        )

    return case


def pruned_after_two_epochs() -> StudyRecord:
    poor = trial_of((2.2, 2.1), (0.2, 0.3), (2.1, 2.0), (0.3, 0.35), number=1, outcome=Outcome.PRUNED)
    return study_of(good_trial(0), poor)


def regression() -> StudyRecord:
    losses = (1.2, 0.8, 0.6, 0.5, 0.45, 0.42, 0.40, 0.39)
    record = study_of(
        trial_of(losses, None, tuple(x * 1.1 for x in losses), regression=True, data=None),
        metric="validation_loss",
    )
    return dataclasses.replace(record, direction="minimize")


def late_tiny_updates() -> StudyRecord:
    """Cosine decay to 0: the last updates are far below any "too slow" floor."""
    return study_of(good_trial(update_ratio=1e-7, config={"schedule": "cosine"}))


def standardized_input() -> StudyRecord:
    data = dataclasses.replace(DATA, input_min=-0.42, input_max=2.82, input_mean=0.0, input_std=1.0)
    return study_of(good_trial(data=data))


def shallow_sigmoid() -> StudyRecord:
    """Two layers of unlike size have unlike gradients."""
    return study_of(good_trial(layers=(("0", 5e-5), ("2", 0.3)), dead=NAN, config={"activation": "sigmoid"}))


def alive_but_sparse() -> StudyRecord:
    """Most activations are zero, most units alive: half of them dead is the limit, not beyond it."""
    return study_of(good_trial(dead=0.5))


def no_telemetry() -> StudyRecord:
    values = np.linspace(0.5, 0.9, 30)
    outside_in = np.argsort(np.abs(np.linspace(-1, 1, 30)))[::-1]
    rates = np.geomspace(1e-4, 1.0, 30)[outside_in]
    return study_of(
        *(
            searched(float(v), i, {"learning_rate": float(r)})
            for i, (v, r) in enumerate(zip(values, rates, strict=True))
        ),
        plan=False,
    )


HEALTHY: dict[str, Callable[[], StudyRecord]] = {
    "accuracy_above_95_percent": lambda: study_of(good_trial()),
    "one_epoch_rise": one_epoch_rise,
    "train_loss_near_zero": train_loss_near_zero,
    "dropout_makes_validation_better": dropout_makes_validation_better,
    "noise_within_two_standard_errors": noise_within_two_standard_errors,
    "three_epochs_that_are_good_enough": short(3),
    "pruned_after_two_epochs": pruned_after_two_epochs,
    "regression": regression,
    "late_tiny_updates": late_tiny_updates,
    "standardized_input": standardized_input,
    "shallow_sigmoid": shallow_sigmoid,
    "alive_but_sparse": alive_but_sparse,
    "no_telemetry": no_telemetry,
    "empty": study_of,
    "running": lambda: study_of(
        TrialRecord(number=0, state="running", outcome=None, value=None, telemetry=Telemetry())
    ),
}
