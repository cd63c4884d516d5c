"""Trials and studies made by hand from curves, as a person would draw them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
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


LEARNING = (0.40, 0.20, 0.14, 0.11, 0.09, 0.075, 0.065, 0.057, 0.05, 0.045)
RISING = (0.88, 0.94, 0.955, 0.965, 0.972, 0.976, 0.979, 0.981, 0.983, 0.984)
VALIDATION_LOSS = (0.30, 0.20, 0.16, 0.14, 0.125, 0.115, 0.108, 0.103, 0.100, 0.098)
VALIDATION_ACCURACY = (0.91, 0.94, 0.952, 0.959, 0.963, 0.966, 0.968, 0.969, 0.970, 0.9705)


def good_trial(number: int = 0, **changes: Any) -> TrialRecord:
    """A usual MNIST training."""
    return trial_of(LEARNING, RISING, VALIDATION_LOSS, VALIDATION_ACCURACY, number=number, **changes)


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


def failed_trial(number: int, message: str = "mat1 and mat2 shapes cannot be multiplied") -> TrialRecord:
    error = TrialError(type="RuntimeError", message=message, where="model.py:12")
    return TrialRecord(number=number, state="fail", outcome=Outcome.FAILED, value=None, error=error)
