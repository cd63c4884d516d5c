"""Studies whose telemetry shows exactly one symptom.

All curves are made by hand: they are what a person would draw to explain the symptom.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from studies.readings import (
    NAN,
    LayerProbe,
    Telemetry,
)
from studies.records import Outcome, StudyRecord
from tests.made_trials import (
    DATA,
    failed_trial,
    good_trial,
    searched,
    step_zero,
    study_of,
    trial_of,
    with_steps,
)


def divergence() -> StudyRecord:
    trial = trial_of(
        (0.9, 1.8, NAN), (0.7, 0.4, NAN), config={"learning_rate": 3.0}, outcome=Outcome.DIVERGED
    )
    return study_of(trial)


def plateau() -> StudyRecord:
    """Stuck at chance from the first epoch on."""
    n = 8
    trial = trial_of((2.303,) * n, (0.11,) * n, (2.302,) * n, (0.11,) * n, update_ratio=1e-6)
    return study_of(trial)


def overfitting() -> StudyRecord:
    trial = trial_of(
        (0.8, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01),
        (0.75, 0.88, 0.94, 0.97, 0.985, 0.995, 0.999, 1.0),
        (0.60, 0.50, 0.48, 0.52, 0.58, 0.66, 0.75, 0.85),
        (0.82, 0.85, 0.86, 0.86, 0.855, 0.85, 0.845, 0.84),
    )
    return study_of(trial)


def slow_training() -> StudyRecord:
    """Falling steadily, but so slowly that little is learned by the end."""
    trial = trial_of(
        (2.28, 2.22, 2.16, 2.10, 2.04, 1.98, 1.92, 1.86),
        (0.15, 0.22, 0.28, 0.34, 0.39, 0.43, 0.46, 0.49),
        (2.25, 2.19, 2.13, 2.07, 2.01, 1.95, 1.89, 1.83),
        (0.18, 0.25, 0.31, 0.36, 0.41, 0.45, 0.48, 0.50),
        config={"learning_rate": 1e-4},
        update_ratio=2e-5,
    )
    return study_of(trial)


def underfitting() -> StudyRecord:
    """Flat on both splits alike, with a weight decay that is most of every update."""
    n = 8
    return study_of(
        trial_of(
            (1.0, 0.75, 0.66, 0.62, 0.61, 0.605, 0.604, 0.604),
            (0.75, 0.82, 0.84, 0.85, 0.85, 0.852, 0.853, 0.853),
            (0.9, 0.72, 0.66, 0.63, 0.625, 0.622, 0.621, 0.622),
            (0.79, 0.83, 0.84, 0.845, 0.847, 0.848, 0.848, 0.848),
            probe_loss=(0.62,) * n,
            probe_accuracy=(0.85,) * n,
            config={"weight_decay": 0.03},
            update_ratio=3e-3,
        )
    )


def clipped_updates() -> StudyRecord:
    """As slow as a rate that is too low, with every gradient cut down."""
    (slow,) = slow_training().trials
    assert slow.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, clip_fraction=1.0) if row.epoch else row for row in slow.telemetry.epochs
    )
    config = {**slow.config, "clip_norm": 1e-3}
    telemetry = dataclasses.replace(slow.telemetry, epochs=rows)
    return study_of(dataclasses.replace(slow, config=config, telemetry=telemetry))


def early_instability() -> StudyRecord:
    """The loss doubles in the first updates, is long in coming back, and the fit never gets over it."""
    trial = trial_of(
        (1.9, 0.9, 0.7, 0.62, 0.58, 0.56, 0.55, 0.55),
        (0.4, 0.72, 0.78, 0.80, 0.81, 0.815, 0.82, 0.82),
        (1.0, 0.8, 0.7, 0.65, 0.63, 0.62, 0.62, 0.63),
        (0.7, 0.75, 0.78, 0.79, 0.80, 0.80, 0.80, 0.80),
        config={"depth": 8},
    )
    losses = (2.33, *np.linspace(3.0, 4.6, 10), *np.linspace(4.4, 2.4, 9), *np.linspace(2.2, 0.55, 60))
    return study_of(with_steps(trial, losses, (0.1,) * 80, n_epochs=8))


def loss_spikes() -> StudyRecord:
    """Every second epoch the schedule starts again, and the loss with it."""
    falling = np.concatenate([np.linspace(0.9, 0.2, 20) for _ in range(5)])
    restarted = np.tile(np.linspace(0.5, 0.01, 20), 5)
    up_and_down = (0.7, 0.35, 0.7, 0.34, 0.68, 0.33, 0.68, 0.33, 0.67, 0.33)
    trial = trial_of(
        up_and_down,
        tuple(1.0 - 0.3 * loss for loss in up_and_down),
        tuple(loss + 0.05 for loss in up_and_down),
        (0.90, 0.925, 0.905, 0.93, 0.91, 0.931, 0.912, 0.932, 0.909, 0.92),
        config={"schedule": "restarts"},
        update_ratio=2e-2,
    )
    return study_of(with_steps(trial, falling, restarted, n_epochs=10))


def overconfidence() -> StudyRecord:
    """The training set is known by heart, accuracy stays, and the probabilities get worse."""
    return study_of(
        trial_of(
            (0.3, 0.15, 0.08, 0.02, 0.005, 0.002, 0.001, 0.0005),
            (0.92, 0.96, 0.98, 0.985, 1.0, 1.0, 1.0, 1.0),
            (0.15, 0.10, 0.08, 0.082, 0.090, 0.10, 0.11, 0.12),
            (0.955, 0.97, 0.976, 0.977, 0.978, 0.978, 0.978, 0.978),
            confidence=(0.95, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995, 0.996),
        )
    )


def oscillation() -> StudyRecord:
    jumps = (0.90, 0.93, 0.95, 0.955, 0.93, 0.958, 0.925, 0.956, 0.93, 0.957)
    trial = trial_of(
        (0.5, 0.3, 0.25, 0.22, 0.21, 0.20, 0.21, 0.19, 0.20, 0.19),
        (0.85, 0.91, 0.93, 0.94, 0.94, 0.945, 0.945, 0.947, 0.947, 0.948),
        (0.33, 0.24, 0.19, 0.18, 0.24, 0.18, 0.25, 0.18, 0.24, 0.18),
        jumps,
    )
    return study_of(trial)


def vanishing_gradients() -> StudyRecord:
    fading = (("0", 2e-8), ("2", 3e-6), ("4", 5e-4), ("6", 0.08))
    probe = step_zero(layers=tuple(LayerProbe(name=name, gradient_norm=norm) for name, norm in fading))
    n = 6
    trial = trial_of(
        (2.303,) * n,
        (0.11,) * n,
        (2.302,) * n,
        (0.11,) * n,
        layers=fading,
        probe=probe,
        dead=NAN,
        config={"activation": "sigmoid", "depth": 8},
    )
    return study_of(trial)


def dead_units() -> StudyRecord:
    trial = trial_of(
        (0.6, 0.45, 0.40, 0.37, 0.35, 0.33),
        (0.80, 0.86, 0.875, 0.885, 0.89, 0.895),
        (0.50, 0.43, 0.40, 0.38, 0.36, 0.35),
        (0.84, 0.87, 0.88, 0.885, 0.89, 0.893),
        dead=(0.4, 0.7, 0.8, 0.8, 0.82, 0.83),
        config={"learning_rate": 0.5},
    )
    return study_of(trial)


def falls_behind() -> StudyRecord:
    """Three epochs that fit well for their number, beside trials that had ten."""
    short = trial_of(
        (0.30, 0.18, 0.14), (0.91, 0.945, 0.955), (0.34, 0.28, 0.24), (0.90, 0.92, 0.93), number=3
    )
    return study_of(*(good_trial(n) for n in range(3)), short)


def edge_of_range() -> StudyRecord:
    """The higher the rate, the better, up to the bound."""
    rates = np.geomspace(1e-4, 1.0, 40)
    return study_of(
        *(searched(0.5 + 0.01 * i, i, {"learning_rate": float(r)}) for i, r in enumerate(rates)), plan=False
    )


def too_few_trials() -> StudyRecord:
    """Two levers and four trials, of which one stands alone."""
    values = (0.81, 0.90, 0.97, 0.85)
    trials = [searched(v, i, {"learning_rate": 0.01, "weight_decay": 0.001}) for i, v in enumerate(values)]
    probed = dataclasses.replace(trials[2], telemetry=Telemetry(data=DATA))
    return study_of(*trials[:2], probed, trials[3])


def many_failures() -> StudyRecord:
    return study_of(failed_trial(0), failed_trial(1), good_trial(2))


CASES: dict[str, Callable[[], StudyRecord]] = {
    case.__name__: case
    for case in (
        divergence,
        clipped_updates,
        early_instability,
        loss_spikes,
        slow_training,
        plateau,
        oscillation,
        overfitting,
        overconfidence,
        underfitting,
        vanishing_gradients,
        dead_units,
        falls_behind,
        edge_of_range,
        too_few_trials,
        many_failures,
    )
}
