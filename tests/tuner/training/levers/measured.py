"""Trainings and steps in which the effect of a lever can be measured."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.problems import blobs, images
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.optimizers import build_optimizer

BLOBS = split_dataset(blobs(spread=1.0))  # 96 training samples
IMAGES = split_dataset(images(side=9))
RATE = 2**-10
"""A power of two, so that factors of it are exact."""


def trained(splits: Splits = BLOBS, **keys: Any) -> TrainingRun:
    run = TrainingRun(TrainingConfig(**{"width": 8, **keys}), splits)
    for _ in run.epochs():
        pass
    return run


def positions(splits: Splits = BLOBS, **keys: Any) -> list[Tensor]:
    """All parameters as one vector: before the first, and after each of the epochs, of one full batch each."""
    run = TrainingRun(TrainingConfig(**{"width": 8, "epochs": 1, "batch_size": "full", **keys}), splits)
    return [position(run) for _ in run.epochs()]


def position(run: TrainingRun) -> Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in run.model.parameters()])


def steps(splits: Splits = BLOBS, **keys: Any) -> list[Tensor]:
    """What each full batch moved."""
    return [after - before for before, after in itertools.pairwise(positions(splits, **keys))]


def walk(gradients: Sequence[float], **keys: Any) -> list[float]:
    """Where the optimizer of these keys takes one number that starts at 0, at rate 1."""
    parameter = Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = build_optimizer(TrainingConfig(**keys), [parameter])
    places = []
    for gradient in gradients:
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step(1.0)
        places.append(float(parameter.detach()))
    return places


def rates(**keys: Any) -> npt.NDArray[np.float64]:
    """The learning rate of each step, as a factor of the peak: ten steps an epoch, six epochs."""
    config = {"learning_rate": RATE, "epochs": 6, "batch_size": 10, **keys}
    series = trained(**config).telemetry().step_series("learning_rate").astype(np.float64)
    assert len(series) == 10 * config["epochs"]
    return series / RATE


def numbers(found: Any) -> npt.NDArray[np.float64]:
    return torch.as_tensor(found, dtype=torch.float64).detach().numpy()


def near(expected: Any, tolerance: float = 1e-4) -> Any:
    """What `numbers` may be instead."""
    return pytest.approx(numbers(expected), rel=tolerance, abs=1e-6)
