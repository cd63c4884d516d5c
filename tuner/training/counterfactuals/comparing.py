"""A training that goes on with a change, against the same training that goes on without it."""

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Protocol

from studies.diagnosis.counterfactuals import Change
from studies.readings import Counterfactual

N_STEPS = 200
"""Optimizer steps of a continuation: enough for a lower rate to show, and seconds even of a large network."""
MOST_EPOCHS = 3
"""Of a continuation: on few samples 200 steps would be a training of their own."""
READ_AT = (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Shares of the steps at which the loss is read. The mean counts: where updates are noisy, one reading is chance, and
their spikes are what a lower rate would spare."""


class Continuation(Protocol):
    """A training that can go on, on copies of its own: another continuation never sees what this one did."""

    def train(self, n_steps: int) -> None:
        """Take the next ``n_steps`` optimizer steps."""

    def loss(self) -> float:
        """The plain loss on a fixed sample of training data, in eval mode."""


Begin = Callable[[Change | None], Continuation | None]
"""The training as it ended, about to go on with a change; None where the change would change nothing."""


def n_steps_of(n_steps_an_epoch: int) -> int:
    """How many optimizer steps a continuation takes."""
    return min(N_STEPS, MOST_EPOCHS * max(n_steps_an_epoch, 1))


def compared(begin: Begin, changes: Iterable[Change], *, n_steps: int) -> tuple[Counterfactual, ...]:
    """What each of ``changes`` that applies comes to; ``()`` for a training whose loss is not finite.

    All continuations begin alike and see the same samples in the same order.
    """
    rows: list[Counterfactual] = []
    before = unchanged_after = math.nan
    for change in changes:
        continuation = begin(change)
        if continuation is None:
            continue
        if not rows:  # not before: where no change applies, nothing is trained
            before, unchanged_after = _unchanged(begin, n_steps)
            if not math.isfinite(before):
                return ()
        rows.append(
            Counterfactual(
                change=change,
                n_steps=n_steps,
                loss_before=before,
                loss_after=_loss_after(continuation, n_steps),
                unchanged_loss_after=unchanged_after,
            )
        )
    return tuple(rows)


def _unchanged(begin: Begin, n_steps: int) -> tuple[float, float]:
    """The loss before and after a continuation as it was; the second is not worth its time without the first."""
    continuation = begin(None)
    if continuation is None:
        raise TypeError("Without a change there is always a continuation.")
    before = continuation.loss()
    return before, _loss_after(continuation, n_steps) if math.isfinite(before) else math.nan


def _loss_after(continuation: Continuation, n_steps: int) -> float:
    """The mean of the loss over the last part of ``n_steps``; infinite where the training diverged."""
    losses, n_done = [], 0
    for n_due in sorted({max(round(share * n_steps), 1) for share in READ_AT}):
        continuation.train(n_due - n_done)
        n_done = n_due
        losses.append(continuation.loss())
    return statistics.fmean(losses) if all(math.isfinite(loss) for loss in losses) else math.inf
