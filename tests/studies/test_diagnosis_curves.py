import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.diagnosis.curves import (
    epoch_noise,
    flat_since,
    reversals,
    robust_epoch_noise,
    slope_t,
    trailing_run,
)

values = st.floats(-100.0, 100.0).map(lambda x: round(x, 3))


@settings(deadline=None)
@given(flags=st.lists(st.booleans(), max_size=20))
def test_trailing_run_counts_from_the_end(flags: list[bool]) -> None:
    """The slow twin walks backwards until it meets a false."""
    count = 0
    for flag in reversed(flags):
        if not flag:
            break
        count += 1
    assert trailing_run(np.array(flags, dtype=bool)) == count


def test_epoch_noise_is_the_noise_around_a_slope() -> None:
    """White noise of deviation 0.3 on a steep line is measured as 0.3, whatever the line."""
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=0.3, size=4000)
    line = 5.0 + 2.0 * np.arange(4000)
    assert epoch_noise(line + noise) == pytest.approx(0.3, rel=0.05)
    assert robust_epoch_noise(line + noise) == pytest.approx(0.3, rel=0.05)
    assert epoch_noise(line) == pytest.approx(0.0, abs=1e-9)


def test_one_bend_is_noise_only_to_the_plain_estimate() -> None:
    """The robust estimate forgives a single corner."""
    corner = np.concatenate([np.linspace(1.0, 0.0, 10), np.zeros(10)])
    assert robust_epoch_noise(corner) == pytest.approx(0.0, abs=1e-9)
    assert epoch_noise(corner) > 0.005


def test_three_readings_have_no_noise() -> None:
    """Below four entries neither estimate exists."""
    assert math.isnan(epoch_noise(np.array([1.0, 2.0, 3.0])))
    assert math.isnan(robust_epoch_noise(np.array([1.0, 2.0, 3.0])))


@pytest.mark.parametrize(
    ("curve", "n"), [([1, 2, 3], 0), ([1, 2, 1], 1), ([1, 2, 2, 1, 2], 2), ([3, 3, 3], 0), ([], 0)]
)
def test_reversals_are_turns(curve: list[float], n: int) -> None:
    """A level stretch is no turn."""
    assert reversals(np.array(curve, dtype=float)) == n


@settings(deadline=None)
@given(curve=st.lists(values, min_size=3, max_size=20))
def test_slope_t_is_the_textbooks(curve: list[float]) -> None:
    """The slow twin: least squares by polyfit, the residual's variance over n - 2 degrees of freedom."""
    y, x = np.array(curve), np.arange(len(curve), dtype=float)
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - (intercept + slope * x)
    error = math.sqrt(float(residual @ residual) / (len(y) - 2) / float(((x - x.mean()) ** 2).sum()))
    if error > 1e-6:
        assert slope_t(y) == pytest.approx(slope / error, rel=1e-3, abs=1e-6)


def test_a_straight_line_is_infinitely_sure() -> None:
    """No residual: the sign alone is left; a level line has no slope; two readings have no t."""
    assert slope_t(np.array([3.0, 2.0, 1.0])) == -math.inf
    assert slope_t(np.array([1.0, 1.0, 1.0])) == 0.0
    assert math.isnan(slope_t(np.array([1.0, 2.0])))


@pytest.mark.parametrize(
    ("curve", "start"),
    [
        ([2.3, 2.3, 2.3, 2.3], 0),
        ([2.3, 1.0, 0.5, 0.499, 0.5, 0.498], 2),
        ([2.3, 1.8, 1.4, 1.0], 3),
        ([1.0, 5.0, 6.0], 0),
        ([0.7], 0),
    ],
)
def test_flat_since_is_where_the_fall_ends(curve: list[float], start: int) -> None:
    """From the first position on which no later entry falls a percent an entry; the last one while it falls."""
    assert flat_since(np.array(curve), 0.01) == start
