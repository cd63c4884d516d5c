"""Trainings whose losses are known by hand, and a way to let one asking have its steps from one of them."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from tests.problems import blobs
from tuner.training.rate.asking import Asking, together
from tuner.training.rate.learner import Floats, Learner, OneLearner

T = TypeVar("T")


class Untold:
    """Wants to know of no steps."""

    def took(self, position: int, n_steps: int) -> None:
        pass

    def ended(self, position: int) -> None:
        pass


def alone(learner: Learner, asking: Asking[T]) -> T:
    """What ``asking`` finds on ``learner``."""
    (found,) = together(OneLearner(learner), [asking], Untold(), n_at_once=1)
    return found


class Quadratic:
    """1/2 sum(curvature * x^2) by gradient descent; noise as a share of the gradient as it is at that step."""

    def __init__(self, curvatures: Sequence[float], *, noise: float = 0.0, momentum: float = 0.0) -> None:
        self._curvatures = np.array(curvatures)
        self._noise = noise
        self._momentum = momentum

    def reset(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._x = self._random.standard_normal(len(self._curvatures))
        self._velocity = np.zeros_like(self._x)

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        n = len(self._curvatures)
        noises = self._noise / math.sqrt(n) * self._random.standard_normal((len(learning_rates), n))
        losses = []
        with np.errstate(over="ignore", invalid="ignore"):  # a rate too high may well reach infinity
            for rate, noise in zip(learning_rates, noises, strict=True):
                gradient = self._curvatures * self._x
                losses.append(0.5 * (gradient @ self._x))
                gradient += noise * math.sqrt(gradient @ gradient)
                self._velocity = self._momentum * self._velocity + gradient
                self._x = self._x - rate * self._velocity
        return np.array(losses)


class Curve:
    """A loss that is a function of the rate alone."""

    def __init__(self, loss: Callable[[float], float], *, noise: float = 0.0) -> None:
        self._loss = loss
        self._noise = noise

    def reset(self, seed: int) -> None:
        self._seed = seed
        self._random = np.random.default_rng(seed)

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        losses = np.array([self._loss(rate) for rate in learning_rates])
        return losses + self._noise * self._random.standard_normal(len(losses))


def blob_batches(n: int = 120) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Minibatches of 30, as a user's own loop may have them."""
    data = blobs(n)
    return list(zip(data.x_train.split(30), data.y_train.split(30), strict=True))
