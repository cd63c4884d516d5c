"""Continuations are compared fairly: alike in all but the change, read where chance counts little."""

import math
from collections.abc import Sequence

import pytest

from studies.diagnosis.counterfactuals import Change
from tuner.training.counterfactuals.comparing import READ_AT, compared, n_steps_of


class Drawn:
    """A continuation whose losses are drawn beforehand; the first is read before any step."""

    def __init__(self, losses: Sequence[float]) -> None:
        self._losses = list(losses)
        self.n_steps = 0

    def train(self, n_steps: int) -> None:
        self.n_steps += n_steps

    def loss(self) -> float:
        return self._losses.pop(0)


def test_the_mean_of_the_last_readings_counts() -> None:
    """One lucky reading of a noisy training says nothing."""
    unchanged = Drawn([3.0, *([2.0, 4.0] * 4)])
    lower = Drawn([1.0] * 8)
    (row,) = compared(lambda change: lower if change else unchanged, [Change.LOWER_RATE], n_steps=100)
    assert (row.loss_before, row.unchanged_loss_after, row.loss_after) == (3.0, 3.0, 1.0)
    assert unchanged.n_steps == lower.n_steps == row.n_steps == 100
    assert READ_AT[-1] == 1.0


def test_a_continuation_of_a_few_steps_is_read_once_a_step() -> None:
    """A reading twice at the same step would weigh twice."""
    unchanged, lower = Drawn([3.0, 2.0, 1.0]), Drawn([2.0, 1.0])
    (row,) = compared(lambda change: lower if change else unchanged, [Change.LOWER_RATE], n_steps=3)
    assert (row.unchanged_loss_after, unchanged.n_steps) == (1.5, 3)


def test_a_change_that_changes_nothing_is_not_tried() -> None:
    """And where none applies, nothing is trained at all."""
    unchanged = Drawn([])
    assert compared(lambda change: None if change else unchanged, list(Change), n_steps=10) == ()
    assert unchanged.n_steps == 0


def test_a_training_that_diverged_has_no_continuation() -> None:
    """Its weights are gone."""
    assert compared(lambda _change: Drawn([math.nan]), [Change.LOWER_RATE], n_steps=10) == ()


def test_a_continuation_that_diverges_has_an_infinite_loss() -> None:
    """That the change did it is an answer."""
    begun = {None: [1.0] * 9, Change.HIGHER_RATE: [2.0, *([math.nan] * 7)]}
    (row,) = compared(lambda change: Drawn(begun[change]), [Change.HIGHER_RATE], n_steps=100)
    assert (row.loss_after, row.unchanged_loss_after) == (math.inf, 1.0)


@pytest.mark.parametrize(("n_an_epoch", "n_steps"), [(500, 200), (20, 60), (1, 3), (0, 3)])
def test_at_most_three_epochs(n_an_epoch: int, n_steps: int) -> None:
    """On few samples 200 steps would be another training."""
    assert n_steps_of(n_an_epoch) == n_steps
