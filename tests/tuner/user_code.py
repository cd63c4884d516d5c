"""What users bring: tasks and models as functions of a module, some of them broken."""

import math
import os
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.problems import blob_arrays, linear_model

__all__ = ["blob_arrays", "linear_model"]


def other_blobs() -> tuple[Any, Any]:
    """The same task with one sample changed: another data hash."""
    x, y = blob_arrays()
    x = x.clone()
    x[0, 0] += 1
    return x, y


def always_raises(_config: Any, _input_shape: tuple[int, ...], _n_outputs: int) -> nn.Module:
    raise ValueError("this model cannot be built")


def raises_in_one_process(_config: Any, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Elsewhere it is only slow."""
    if os.environ["WHERE_MODELS_CANNOT_BE_BUILT"] == str(os.getpid()):
        raise ValueError("this model cannot be built here")
    time.sleep(float(os.environ["SECONDS_A_MODEL_TAKES_ELSEWHERE"]))
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), n_outputs))


def exits(_config: Any, _input_shape: tuple[int, ...], _n_outputs: int) -> nn.Module:
    sys.exit(0)


def raises_at_random_places(_config: Any, _input_shape: tuple[int, ...], _n_outputs: int) -> nn.Module:
    """A different exception type for each learning rate: no streak of the same one."""
    kinds = [ValueError, KeyError, RuntimeError, TypeError, ZeroDivisionError]
    raises_at_random_places.calls += 1  # type: ignore[attr-defined]
    raise kinds[raises_at_random_places.calls % len(kinds)]("one of many")  # type: ignore[attr-defined]


raises_at_random_places.calls = 0  # type: ignore[attr-defined]


class _Explosive(nn.Module):
    """Fine until it has seen a number of batches; then its outputs are infinite."""

    def __init__(self, input_shape: tuple[int, ...], n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(input_shape), n_outputs)
        self.n_batches = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.linear(x.flatten(1))
        if self.training:
            self.n_batches += 1
        return outputs * float("inf") if self.n_batches > 8 else outputs


def explosive_model(_config: Any, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    return _Explosive(input_shape, n_outputs)


def noise_task() -> tuple[np.ndarray, np.ndarray]:
    """400 samples whose labels are coin flips."""
    random = np.random.default_rng(0)
    return random.standard_normal((400, 6)).astype(np.float32), random.integers(0, 2, 400)
