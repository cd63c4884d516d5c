"""The recovered share of the gap to the healthy reference has an honest interval."""

import math

import numpy as np
import pytest
from scipy import stats

from tuner.proving.share import recovered_share, share_text

SEEDS = 5


def _noisy(rng: np.random.Generator, share: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gains and gaps over one noisy faulty config, as paired replicates have them."""
    faulty = rng.normal(0.0, 0.5, n)
    gaps = 3.0 + rng.normal(0.0, 0.3, n) - faulty
    return 3.0 * share + rng.normal(0.0, 0.3, n) - faulty, gaps


@pytest.mark.parametrize(("n", "confidence"), [(3, 0.95), (5, 0.9833)])
def test_the_interval_holds_the_true_share_as_often_as_it_says(n: int, confidence: float) -> None:
    """Normal noise, 2,000 experiments, within what 2,000 can show; also of three seeds."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        found = recovered_share(*_noisy(rng, 0.8, n), confidence=confidence)
        inside += found.low <= 0.8 <= found.high
    assert inside / 2000 == pytest.approx(confidence, abs=3.0 * math.sqrt(0.05 / 2000))


def test_the_bounds_are_where_a_paired_t_test_turns() -> None:
    """The slow twin: at each bound, gain less share times gap is just not told from zero."""
    gains, gaps = _noisy(np.random.default_rng(1), 0.7, SEEDS)
    found = recovered_share(gains, gaps, confidence=0.9)
    assert found.mean == pytest.approx(gains.mean() / gaps.mean())
    assert found.low < found.mean < found.high
    for bound in (found.low, found.high):
        assert stats.ttest_1samp(gains - bound * gaps, 0.0).pvalue == pytest.approx(0.1)


def test_fewer_seeds_know_less() -> None:
    """The same spread on three seeds has the wider interval."""
    gains, gaps = np.array([1.0, 0.8, 1.2, 0.9, 1.1, 1.0]), np.array([1.1, 1.0, 1.2, 1.1, 1.0, 1.2])
    few = recovered_share(gains[:3], gaps[:3], confidence=0.95)
    many = recovered_share(gains, gaps, confidence=0.95)
    assert few.high - few.low > 2.0 * (many.high - many.low)


def test_a_gap_that_may_be_zero_gives_no_bounds() -> None:
    """And one seed gives none either: any share is possible."""
    lost = recovered_share(np.array([1.0, 0.9, 1.1]), np.array([0.1, -0.3, 0.4]), confidence=0.95)
    single = recovered_share(np.array([1.0]), np.array([2.0]), confidence=0.95)
    for found in (lost, single):
        assert (found.low, found.high) == (-math.inf, math.inf)
    assert share_text(single) == "50% (no bounds) of the gap to the healthy reference"


def test_equal_gains_are_as_sure_as_one_validation_sample() -> None:
    """A perfect remedy of a dead network gains the same on every seed: that is luck of the resolution, no certainty."""
    gains, gaps = np.full(3, 0.40), np.full(3, 0.41)
    found = recovered_share(gains, gaps, confidence=0.95, resolution=0.01)
    assert found.low < found.mean - 0.05 < found.mean + 0.05 < found.high
    assert share_text(found).startswith("98% (89% to 106%)")


def test_the_reference_itself_recovers_all() -> None:
    """A remedy that is the healthy config has no noise of its own."""
    gaps = np.array([0.4, 0.5, 0.45])
    found = recovered_share(gaps, gaps, confidence=0.95)
    assert (found.low, found.mean, found.high) == pytest.approx((1.0, 1.0, 1.0))
