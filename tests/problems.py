"""Tiny tasks whose answers are known, and models and task functions as a user would write them."""

import numpy as np
import torch
from torch import nn

from tuner.training.data import Dataset, TaskData
from tuner.training.datasets.user_data import check_data

N_CLASSES = 3


def blobs(
    n: int = 120, *, n_features: int = 4, n_test: int = 0, spread: float = 0.3, seed: int = 0
) -> Dataset:
    """Three well separated Gaussian blobs: any sound training gets every sample right."""
    random = np.random.default_rng(seed)
    centers = np.eye(N_CLASSES, n_features) * 3
    y = np.arange(n + n_test) % N_CLASSES
    x = (centers[y] + spread * random.standard_normal((n + n_test, n_features))).astype(np.float32)
    data = TaskData(
        x=x[:n],
        y=y[:n],
        x_test=x[n:] if n_test else None,
        y_test=y[n:] if n_test else None,
    )
    return check_data(data, name="blobs")


def images(n: int = 60, *, side: int = 8, seed: int = 0) -> Dataset:
    """uint8 noise with one bright row, whose place is the class."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % N_CLASSES
    x = random.integers(0, 60, (n, 1, side, side), dtype=np.uint8)
    x[np.arange(n), 0, y * 2] = 255
    return check_data(TaskData(x=x, y=y), name="images")


def line(n: int = 80, *, seed: int = 0) -> Dataset:
    """y = 2 x0 - x1 without noise: a linear model reaches loss 0."""
    x = np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)
    return check_data(TaskData(x=x, y=2 * x[:, 0] - x[:, 1], kind="regression"), name="line")


def blob_arrays() -> tuple[torch.Tensor, torch.Tensor]:
    """A task function that returns (x, y)."""
    data = blobs()
    return data.x_train, data.y_train


def hard_blobs() -> tuple[torch.Tensor, torch.Tensor]:
    """A task function whose classes overlap: accuracies differ from config to config."""
    data = blobs(spread=1.5)
    return data.x_train, data.y_train


def line_task() -> TaskData:
    """A task function that declares a regression."""
    data = line()
    return TaskData(x=data.x_train, y=data.y_train, kind="regression", name="line")


def linear_model(_config: object, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """A model function as a user writes it."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(input_shape)), n_outputs))


def no_model(_config: object, _input_shape: tuple[int, ...], _n_outputs: int) -> str:
    """A model function that forgot what to return."""
    return "linear"
