"""Sweeps that go on together see what they would see alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tests.tuner.training.rate.learners import Quadratic, Untold, alone
from tuner.training.rate.asking import Asking, Wanted, together
from tuner.training.rate.learner import Floats
from tuner.training.rate.plan import SweepPlan
from tuner.training.rate.progress import RangeProgress, SweepProgress
from tuner.training.rate.sweep import sweeping

PLAN = SweepPlan(low=1e-4, high=100.0, n_steps=60, hold_steps=40)


class Quadratics:
    """A quadratic for each position, which refuses uneven steps and counts what is under way."""

    def __init__(self) -> None:
        self._at: dict[int, Quadratic] = {}
        self.most_at_once = 0

    def start(self, position: int, seed: int) -> None:
        self._at.setdefault(position, Quadratic([10.0, 1.0, 0.1], noise=0.1)).reset(seed)
        self.most_at_once = max(self.most_at_once, len(self._at))

    def end(self, position: int) -> None:
        del self._at[position]

    def advance(self, learning_rates: Mapping[int, Sequence[float]]) -> Mapping[int, Floats]:
        assert learning_rates.keys() == self._at.keys()
        assert len({len(rates) for rates in learning_rates.values()}) == 1
        return {position: self._at[position].advance(rates) for position, rates in learning_rates.items()}


@pytest.mark.parametrize("n_at_once", [1, 2, 3, 8])
def test_each_finds_what_it_finds_alone(n_at_once: int) -> None:
    """Whatever the others ask for, and in the order of the asking; no more go on at once than should."""
    learners = Quadratics()
    askings = [sweeping(PLAN, seed=seed) for seed in range(5)]
    found = together(learners, askings, Untold(), n_at_once=n_at_once)
    for seed, sweep in enumerate(found):
        wanted = alone(Quadratic([10.0, 1.0, 0.1], noise=0.1), sweeping(PLAN, seed=seed))
        assert sweep.to_json()["held"] == wanted.to_json()["held"]
        assert np.array_equal(sweep.ramp.loss, wanted.ramp.loss)
    assert learners.most_at_once == min(n_at_once, 5)


def test_an_answer_has_all_the_losses_that_were_wanted() -> None:
    """Though another's shorter stretch cuts it into parts."""

    def asking(lengths: list[int]) -> Asking[list[int]]:
        answered = []
        for i, length in enumerate(lengths):
            losses = yield Wanted(learning_rates=[0.1] * length, seed=None if i else 0)
            answered.append(len(losses))
        return answered

    lengths = [[7, 3], [2, 2, 2, 9], [5]]
    assert together(Quadratics(), [asking(each) for each in lengths], Untold()) == lengths


def test_steps_are_told_and_the_end_comes_nearer() -> None:
    """All steps of all sweeps are counted; what is expected ends as what was taken."""
    told: list[RangeProgress] = []
    taken: list[Any] = [sweeping(PLAN, seed=seed) for seed in range(3)]
    together(Quadratics(), taken, SweepProgress(PLAN, n_sweeps=3, tell=told.append))
    n_steps = [progress.n_steps for progress in told]
    assert n_steps == sorted(set(n_steps))
    assert all(progress.n_steps <= progress.n_expected_steps for progress in told)
    assert [progress.sweep for progress in told] == sorted(progress.sweep for progress in told)
    assert told[-1].sweep == 3
    assert told[0].n_expected_steps == 3 * (60 + 8 * 40)
