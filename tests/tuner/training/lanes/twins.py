"""A lane and its twin, the training alone: small trainings that are stable, and what it means that two are the same."""

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import line
from tests.tuner.training.test_checkpoint import assert_same_telemetry
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.course import Course
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.models import ModelBuilder

TIGHT = 1e-9
"""Relative error in float64 after some 50 steps of a stable training."""
LOOSE = 1e-3
"""Of a float32 loss over two epochs."""
STABLE: Mapping[str, Any] = {"epochs": 5, "batch_size": 16, "width": 12, "learning_rate": 0.05}


@cache
def digits() -> Splits:
    """160 samples to train on, 40 to validate; ten steps of 16 an epoch."""
    dataset = load_dataset("digits")
    few = dataclasses.replace(dataset, x_train=dataset.x_train[:200], y_train=dataset.y_train[:200])
    return split_dataset(few, device="cpu")


@cache
def regression() -> Splits:
    return split_dataset(line(), device="cpu")


def config_of(**keys: Any) -> TrainingConfig:
    return TrainingConfig(**{**STABLE, "precision": "float64", **keys})


@cache
def trained_alone(
    config: TrainingConfig, splits: Splits | None = None, model: ModelBuilder | None = None
) -> TrainingRun:
    """The twin, once for all engines that are compared with it."""
    run = TrainingRun(config, splits or digits(), model=model)
    for _ in run.epochs():
        pass
    return run


def advanced(cohort: Cohort) -> None:
    """To the end of all lanes."""
    while cohort.advance():
        pass


def assert_close(mine: Tensor, theirs: Tensor, tolerance: float) -> None:
    """To ``tolerance`` of the tensor's largest number, NaN where NaN.

    A bias before batch normalization is nothing but rounding: what is smaller than any weight counts as 0.01.
    """
    scale = max(float(theirs.double().abs().nan_to_num(0).max()), 0.01)
    torch.testing.assert_close(mine.double(), theirs.double(), rtol=0, atol=tolerance * scale, equal_nan=True)


def assert_same_course(mine: Course, theirs: Course, tolerance: float = TIGHT) -> None:
    """Ending, weights and every reading but the clock's; step readings, which are kept in float32, to its precision."""
    assert mine.outcome is theirs.outcome
    assert mine.best_epoch == theirs.best_epoch
    for name, tensor in theirs.model.state_dict().items():
        assert_close(mine.model.state_dict()[name], tensor, tolerance)
    for name, tensor in (theirs.best_weights or {}).items():
        assert_close(mine.best_weights[name], tensor, tolerance)
    ours, other = mine.telemetry(), theirs.telemetry()
    assert len(ours.epochs) == len(other.epochs)
    for row, expected in zip(ours.epochs, other.epochs, strict=True):
        assert_same_row(row, expected, max(tolerance, 1e-6))
    for name in ("train_loss", "learning_rate", "gradient_norm", "clipped"):
        np.testing.assert_allclose(
            ours.step_series(name), other.step_series(name), rtol=max(tolerance, 1e-5), atol=1e-7
        )
    assert repr(ours.data) == repr(other.data)
    assert_same_row(ours.step_zero, other.step_zero, 1e-9)
    assert_same_state(mine.state_dict(), theirs.state_dict(), tolerance)


def assert_same_state(mine: Mapping[str, Any], theirs: Mapping[str, Any], tolerance: float) -> None:
    """What both would go on with: optimizer, plateau, and a random stream that has drawn the very same numbers."""
    for name, column in theirs["optimizer"].items():
        for tensor, expected in zip(mine["optimizer"][name], column, strict=True):
            assert_close(tensor, expected, tolerance)
    assert (mine["plateau"] or {}) == pytest.approx(theirs["plateau"] or {}, rel=1e-6, nan_ok=True)
    for name, state in theirs["random"].items():
        assert torch.equal(mine["random"][name], state), name


def assert_same_row(row: Any, expected: Any, tolerance: float) -> None:
    mine, theirs = (dataclasses.asdict(each) for each in (row, expected))
    layers, expected_layers = mine.pop("layers"), theirs.pop("layers")
    for clock in ("seconds", "samples_per_second"):
        mine.pop(clock, None)
        theirs.pop(clock, None)
    by_class, expected_by_class = (each.pop("class_accuracy", ()) for each in (mine, theirs))
    assert by_class == pytest.approx(expected_by_class, rel=tolerance, nan_ok=True)
    assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance, nan_ok=True)
    assert len(layers) == len(expected_layers)
    for layer, expected_layer in zip(layers, expected_layers, strict=True):
        assert layer.pop("name") == expected_layer.pop("name")
        assert layer == pytest.approx(expected_layer, rel=tolerance, abs=tolerance, nan_ok=True)


def assert_same_bits(mine: Course, theirs: Course) -> None:
    """Weights, optimizer, random stream, and every reading but the clock's."""
    for name, tensor in theirs.model.state_dict().items():
        assert torch.equal(mine.model.state_dict()[name], tensor), name
    for name, tensor in (theirs.best_weights or {}).items():
        assert torch.equal(mine.best_weights[name], tensor), name
    assert_same_telemetry(mine.telemetry(), theirs.telemetry())
    assert_same_state(mine.state_dict(), theirs.state_dict(), 0.0)
