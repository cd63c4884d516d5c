"""Studies whose telemetry shows exactly one symptom, and healthy ones that trip the rules of other tools.

All curves are made by hand: they are what a person would draw to explain the symptom.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution

from studies.plan import StudyPlan
from studies.readings import (
    NAN,
    DataProbe,
    EpochReadings,
    LayerProbe,
    LayerReadings,
    StepReadings,
    StepZeroProbe,
    Telemetry,
)
from studies.records import Outcome, StudyRecord, TrialError, TrialRecord

LN10 = math.log(10.0)
DEFAULTS: Mapping[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "epochs": 10,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "clip_norm": 0.0,
    "batch_size": 128,
    "dropout": 0.0,
    "augmentation": 0.0,
    "label_smoothing": 0.0,
    "schedule": "constant",
    "warmup_steps": 0,
    "warmup_fraction": 0.0,
    "model": "mlp",
    "depth": 1,
    "width": 128,
    "activation": "relu",
    "normalization": "none",
    "initialization": "glorot",
    "input_scaling": "unit",
    "patience": 0,
    "plateau_patience": 3,
}
"""The config of a training in which nobody chose anything."""
DATA = DataProbe(
    n_train=48_000,
    n_validation=12_000,
    n_test=10_000,
    input_min=0.0,
    input_max=1.0,
    input_mean=0.13,
    input_std=0.31,
    train_class_counts=(4_800,) * 10,
    validation_class_counts=(1_200,) * 10,
)
HEALTHY_LAYERS = (("0", 0.11), ("2", 0.13), ("4", 0.15))
RATE = FloatDistribution(1e-4, 1.0, log=True)


def curve(*values: float) -> tuple[float, ...]:
    return values


def study_of(*trials: TrialRecord, plan: bool = True, metric: str = "validation_accuracy") -> StudyRecord:
    made_by_us = StudyPlan(
        task="mnist",
        model="mlp",
        space={},
        sampler="tpe",
        pruner="median",
        epochs=10,
        seed=0,
        metric=metric,
        direction="maximize",
    )
    return StudyRecord(
        name="case", direction="maximize", trials=trials, metric=metric, plan=made_by_us if plan else None
    )


def step_zero(**changes: Any) -> StepZeroProbe:
    layers = tuple(
        LayerProbe(name=name, gradient_norm=norm, dead_fraction=0.1) for name, norm in HEALTHY_LAYERS
    )
    return dataclasses.replace(
        StepZeroProbe(train_loss=2.33, expected_loss=LN10, gradient_norm=0.3, layers=layers), **changes
    )


def trial_of(
    train_loss: Sequence[float],
    train_accuracy: Sequence[float] | None = None,
    validation_loss: Sequence[float] | None = None,
    validation_accuracy: Sequence[float] | None = None,
    *,
    number: int = 0,
    config: dict[str, Any] | None = None,
    layers: Sequence[tuple[str, float]] = HEALTHY_LAYERS,
    update_ratio: float = 4e-3,
    dead: Sequence[float] | float = 0.1,
    probe: StepZeroProbe | None = None,
    data: DataProbe | None = DATA,
    outcome: Outcome = Outcome.COMPLETED,
    clip_fraction: float = NAN,
    regression: bool = False,
    **readings: Sequence[float],
) -> TrialRecord:
    """A trial from its curves of epochs 1, 2, ...; epoch 0 is put before them. Missing curves are NaN.

    Args:
        readings: more quantities of the epochs, such as ``probe_loss``, each a curve of the same length.
    """
    n = len(train_loss)
    missing = (NAN,) * n
    dead_at = (dead,) * n if isinstance(dead, float) else tuple(dead)
    curves = [
        train_loss,
        train_accuracy or missing,
        validation_loss or missing,
        validation_accuracy or missing,
    ]
    untrained = EpochReadings(epoch=0, train_loss=LN10, train_accuracy=NAN if regression else 0.1)
    rows = [
        EpochReadings(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            validation_loss=v_loss,
            validation_accuracy=v_accuracy,
            learning_rate=(config or {}).get("learning_rate", 0.1),
            gradient_norm=0.5,
            clip_fraction=clip_fraction,
            dead_fraction=dead_at[epoch - 1],
            layers=tuple(
                LayerReadings(
                    name=name, gradient_norm=norm, update_ratio=update_ratio, dead_fraction=dead_at[epoch - 1]
                )
                for name, norm in layers
            ),
            **{name: float(curve[epoch - 1]) for name, curve in readings.items()},
        )
        for epoch, (loss, accuracy, v_loss, v_accuracy) in enumerate(zip(*curves, strict=True), start=1)
    ]
    reported = [v for v in (validation_accuracy or ()) if math.isfinite(v)]
    diverged = outcome is Outcome.DIVERGED
    complete = outcome in {Outcome.COMPLETED, Outcome.STOPPED_EARLY}
    return TrialRecord(
        number=number,
        state="complete" if complete else "pruned",
        outcome=outcome,
        value=None if diverged else max(reported, default=0.5),
        searched=config or {},
        config={**DEFAULTS, **(config or {})},
        intermediate_values=dict(enumerate(reported, start=1)),
        telemetry=Telemetry(
            epochs=(untrained, *rows), step_zero=probe or step_zero(), data=data if data is not None else None
        ),
    )


def with_steps(
    trial: TrialRecord,
    losses: Sequence[float],
    rates: Sequence[float],
    *,
    n_epochs: int = 1,
    clipped: bool = False,
) -> TrialRecord:
    """The trial with its step cadence, which ``n_epochs`` epochs share in equal parts."""
    assert trial.telemetry is not None
    parts = [np.array_split(np.array(values, dtype=np.float32), n_epochs) for values in (losses, rates)]
    blocks = tuple(
        StepReadings(
            epoch=epoch,
            train_loss=loss,
            learning_rate=rate,
            gradient_norm=np.full(len(loss), 0.5, dtype=np.float32),
            clipped=np.full(len(loss), clipped),
        )
        for epoch, (loss, rate) in enumerate(zip(*parts, strict=True), start=1)
    )
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, steps=blocks))


LEARNING = curve(0.40, 0.20, 0.14, 0.11, 0.09, 0.075, 0.065, 0.057, 0.05, 0.045)
RISING = curve(0.88, 0.94, 0.955, 0.965, 0.972, 0.976, 0.979, 0.981, 0.983, 0.984)
VALIDATION_LOSS = curve(0.30, 0.20, 0.16, 0.14, 0.125, 0.115, 0.108, 0.103, 0.100, 0.098)
VALIDATION_ACCURACY = curve(0.91, 0.94, 0.952, 0.959, 0.963, 0.966, 0.968, 0.969, 0.970, 0.9705)


def good_trial(number: int = 0, **changes: Any) -> TrialRecord:
    """A usual MNIST training."""
    return trial_of(LEARNING, RISING, VALIDATION_LOSS, VALIDATION_ACCURACY, number=number, **changes)


# --- One symptom each


def divergence() -> StudyRecord:
    trial = trial_of(
        curve(0.9, 1.8, NAN), curve(0.7, 0.4, NAN), config={"learning_rate": 3.0}, outcome=Outcome.DIVERGED
    )
    return study_of(trial)


def plateau() -> StudyRecord:
    """Stuck at chance from the first epoch on."""
    n = 8
    trial = trial_of((2.303,) * n, (0.11,) * n, (2.302,) * n, (0.11,) * n, update_ratio=1e-6)
    return study_of(trial)


def overfitting() -> StudyRecord:
    trial = trial_of(
        curve(0.8, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01),
        curve(0.75, 0.88, 0.94, 0.97, 0.985, 0.995, 0.999, 1.0),
        curve(0.60, 0.50, 0.48, 0.52, 0.58, 0.66, 0.75, 0.85),
        curve(0.82, 0.85, 0.86, 0.86, 0.855, 0.85, 0.845, 0.84),
    )
    return study_of(trial)


def slow_training() -> StudyRecord:
    """Falling steadily, but so slowly that little is learned by the end."""
    trial = trial_of(
        curve(2.28, 2.22, 2.16, 2.10, 2.04, 1.98, 1.92, 1.86),
        curve(0.15, 0.22, 0.28, 0.34, 0.39, 0.43, 0.46, 0.49),
        curve(2.25, 2.19, 2.13, 2.07, 2.01, 1.95, 1.89, 1.83),
        curve(0.18, 0.25, 0.31, 0.36, 0.41, 0.45, 0.48, 0.50),
        config={"learning_rate": 1e-4},
        update_ratio=2e-5,
    )
    return study_of(trial)


def underfitting() -> StudyRecord:
    """Flat on both splits alike, with a weight decay that is most of every update."""
    n = 8
    return study_of(
        trial_of(
            curve(1.0, 0.75, 0.66, 0.62, 0.61, 0.605, 0.604, 0.604),
            curve(0.75, 0.82, 0.84, 0.85, 0.85, 0.852, 0.853, 0.853),
            curve(0.9, 0.72, 0.66, 0.63, 0.625, 0.622, 0.621, 0.622),
            curve(0.79, 0.83, 0.84, 0.845, 0.847, 0.848, 0.848, 0.848),
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
    """The loss doubles in the first updates, and the fit never gets over it."""
    trial = trial_of(
        curve(1.9, 0.9, 0.7, 0.62, 0.58, 0.56, 0.55, 0.55),
        curve(0.4, 0.72, 0.78, 0.80, 0.81, 0.815, 0.82, 0.82),
        curve(1.0, 0.8, 0.7, 0.65, 0.63, 0.62, 0.62, 0.63),
        curve(0.7, 0.75, 0.78, 0.79, 0.80, 0.80, 0.80, 0.80),
        config={"depth": 8},
    )
    losses = (2.33, 3.0, 4.6, 4.4, 3.0, 2.2, 1.9, 1.5, *np.linspace(1.2, 0.55, 72))
    return study_of(with_steps(trial, losses, (0.1,) * 80, n_epochs=8))


def loss_spikes() -> StudyRecord:
    """Every second epoch the schedule starts again, and the loss with it."""
    falling = np.concatenate([np.linspace(0.9, 0.2, 20) for _ in range(5)])
    restarted = np.tile(np.linspace(0.5, 0.01, 20), 5)
    up_and_down = curve(0.7, 0.35, 0.7, 0.34, 0.68, 0.33, 0.68, 0.33, 0.67, 0.33)
    trial = trial_of(
        up_and_down,
        tuple(1.0 - 0.3 * loss for loss in up_and_down),
        tuple(loss + 0.05 for loss in up_and_down),
        (0.90, 0.925, 0.905, 0.93, 0.91, 0.931, 0.912, 0.932, 0.929, 0.931),
        config={"schedule": "restarts"},
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
    jumps = curve(0.90, 0.93, 0.95, 0.955, 0.93, 0.958, 0.925, 0.956, 0.93, 0.957)
    trial = trial_of(
        curve(0.5, 0.3, 0.25, 0.22, 0.21, 0.20, 0.20, 0.19, 0.19, 0.19),
        curve(0.85, 0.91, 0.93, 0.94, 0.94, 0.945, 0.945, 0.947, 0.947, 0.948),
        curve(0.33, 0.24, 0.19, 0.18, 0.24, 0.18, 0.25, 0.18, 0.24, 0.18),
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
        curve(0.6, 0.45, 0.40, 0.37, 0.35, 0.33),
        curve(0.80, 0.86, 0.875, 0.885, 0.89, 0.895),
        curve(0.50, 0.43, 0.40, 0.38, 0.36, 0.35),
        curve(0.84, 0.87, 0.88, 0.885, 0.89, 0.893),
        dead=(0.4, 0.7, 0.8, 0.8, 0.82, 0.83),
        config={"learning_rate": 0.5},
    )
    return study_of(trial)


def searched(
    value: float,
    number: int,
    params: dict[str, float],
    distributions: dict[str, BaseDistribution] | None = None,
) -> TrialRecord:
    """A complete trial of a search, without telemetry."""
    return TrialRecord(
        number=number,
        state="complete",
        outcome=Outcome.COMPLETED,
        value=value,
        params=params,
        distributions=distributions or dict.fromkeys(params, RATE),
        config=params,
    )


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


def failed_trial(number: int, message: str = "mat1 and mat2 shapes cannot be multiplied") -> TrialRecord:
    error = TrialError(type="RuntimeError", message=message, where="model.py:12")
    return TrialRecord(number=number, state="fail", outcome=Outcome.FAILED, value=None, error=error)


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
        edge_of_range,
        too_few_trials,
        many_failures,
    )
}


# --- Healthy controls: each trips a rule of some tool


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
