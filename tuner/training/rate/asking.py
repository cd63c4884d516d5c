"""Sweeps ask for optimizer steps, and whoever trains takes those of several sweeps together.

A sweep is a generator: it yields the steps it wants and is sent their losses. It reads like a loop over its own
training, and several of them can still go on side by side.
"""

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from tuner.training.rate.learner import Floats, Learners

T = TypeVar("T")

N_AT_ONCE = 8
"""Sweeps that go on together: more lanes gain little (benchmarks/lane_step.py) and hold more memory."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Optimizer steps that a sweep wants taken, one at each rate."""

    learning_rates: Sequence[float]
    seed: int | None = None
    """Start again with it first; None goes on."""


Asking = Generator[Wanted, Floats, T]
"""Yields what it wants, is sent the minibatch losses before the updates, [n_steps], and returns what it found."""


class OnSteps(Protocol):
    """Who is told of steps as they are taken."""

    def took(self, position: int, n_steps: int) -> None: ...

    def ended(self, position: int) -> None: ...


def together(
    learners: Learners, askings: Sequence[Asking[T]], on_steps: OnSteps, *, n_at_once: int = N_AT_ONCE
) -> list[T]:
    """Let each of ``askings`` have its steps, ``n_at_once`` of them in lockstep; what they found, in their order.

    None sees what another does: one whose loss is not finite starts again when it asks to, and the others go on.
    """
    waiting = deque(enumerate(askings))
    under_way: dict[int, _UnderWay[T]] = {}
    found: dict[int, T] = {}
    while waiting or under_way:
        while waiting and len(under_way) < n_at_once:
            position, asking = waiting.popleft()
            under_way[position] = _UnderWay(asking, learners, position)
        n_steps = min(len(each.left) for each in under_way.values())
        losses = learners.advance({position: each.left[:n_steps] for position, each in under_way.items()})
        for position, each in list(under_way.items()):
            on_steps.took(position, n_steps)
            try:
                each.answer(losses[position])
            except StopIteration as end:
                found[position] = end.value
                del under_way[position]
                learners.end(position)
                on_steps.ended(position)
    return [found[position] for position in sorted(found)]


class _UnderWay(Generic[T]):
    """An asking, and the steps it still waits for."""

    def __init__(self, asking: Asking[T], learners: Learners, position: int) -> None:
        self._asking = asking
        self._learners = learners
        self._position = position
        self._losses: list[Floats] = []
        self.left: Sequence[float] = ()
        """The rates of the steps that are still to be taken."""
        self._want(next(asking))

    def answer(self, losses: Floats) -> None:
        """Pass ``losses`` on once all that was wanted is there; StopIteration has what the asking found at its end."""
        self._losses.append(losses)
        self.left = self.left[len(losses) :]
        if not self.left:
            answered, self._losses = np.concatenate(self._losses), []
            self._want(self._asking.send(answered))

    def _want(self, wanted: Wanted) -> None:
        self.left = wanted.learning_rates
        if wanted.seed is not None:
            self._learners.start(self._position, wanted.seed)
