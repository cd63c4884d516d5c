"""What a range test works on: anything that can start again and be stepped."""

import copy
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from search_spaces.errors import ConfigurationError

Floats = npt.NDArray[np.float64]


class Learner(Protocol):
    """A training that can start again as often as one likes."""

    def reset(self, seed: int) -> None:
        """Start again, with the data order, dropout and (where they are ours to draw) initial weights of ``seed``."""

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        """Take an optimizer step at each rate; the minibatch losses before the updates, [len(learning_rates)]."""


class Learners(Protocol):
    """Several such trainings, by position."""

    def start(self, position: int, seed: int) -> None:
        """Start again at ``position``, or for the first time."""

    def end(self, position: int) -> None:
        """There is no more to do at ``position``."""

    def advance(self, learning_rates: Mapping[int, Sequence[float]]) -> Mapping[int, Floats]:
        """As `Learner.advance`, for every training that was started and has not ended; all by as many steps."""


class OneLearner:
    """A learner where several are expected, for sweeps that go on one at a time."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner

    def start(self, position: int, seed: int) -> None:
        del position
        self._learner.reset(seed)

    def end(self, position: int) -> None:
        """Nothing is held."""

    def advance(self, learning_rates: Mapping[int, Sequence[float]]) -> Mapping[int, Floats]:
        ((position, rates),) = learning_rates.items()
        return {position: self._learner.advance(rates)}


Copied = TypeVar("Copied")


def copy_of(trained: Copied, *, what: str = "model", memo: dict[int, Any] | None = None) -> Copied:
    """A deep copy of a model, or of ``what`` else is trained with it; ``memo`` is that of ``copy.deepcopy``.

    Raises:
        ConfigurationError: when it cannot be copied.
    """
    try:
        return copy.deepcopy(trained, memo)
    except (RuntimeError, TypeError, ValueError, pickle.PicklingError) as error:
        raise ConfigurationError(
            f"Copies of the model are trained, so copy.deepcopy({what}) must work, but got: {error}"
        ) from error
