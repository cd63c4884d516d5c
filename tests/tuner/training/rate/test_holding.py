"""By how little a rate may cost and still be stable."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.tuner.training.rate.learners import alone
from tuner.training.rate.holding import StabilityLimit
from tuner.training.rate.learner import Floats


class Costly:
    """The loss falls from 1 to 0.1, plus a share of that fall for every decade above 0.01; without noise."""

    def __init__(self, share: float) -> None:
        self._share = share

    def reset(self, seed: int) -> None:
        pass

    def advance(self, learning_rates: Sequence[float]) -> Floats:
        decades = np.maximum(np.log10(learning_rates) + 2, 0.0)
        return np.asarray(0.1 + 0.9 * self._share * decades)


@pytest.mark.parametrize(("share", "decades"), [(0.01, 0.25), (0.001, 2.5)])
def test_a_rate_that_costs_more_than_a_quarter_percent_of_the_fall_is_not_stable(
    share: float, decades: float
) -> None:
    """At 1% a decade the limit lies a quarter of a decade up; at 0.1% two and a half."""
    search = StabilityLimit(seed=0, n_steps=60, initial_loss=1.0)
    limit = alone(Costly(share), search.search(0.005, low=1e-4, high=1e3))
    assert limit.highest_stable == pytest.approx(0.01 * 10**decades, rel=0.12)
