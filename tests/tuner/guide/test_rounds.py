"""Which rival is adopted: rules on scores made by hand."""

import math

import numpy as np
import pytest

from tests.tuner.guide.made_rounds import made_round
from tuner.guide.rounds import best_beyond_noise, fastest_of_the_same, noise_floor_of

INF = math.inf


def test_a_rival_within_two_noise_floors_is_no_winner() -> None:
    """The incumbent stays, however the rivals are ordered."""
    assert best_beyond_noise([0.970, 0.971, 0.9719], noise_floor=0.001, n_seeds=1) == 0
    assert best_beyond_noise([0.970, 0.971, 0.9721], noise_floor=0.001, n_seeds=1) == 2


def test_more_seeds_tell_smaller_differences() -> None:
    """The margin shrinks with the square root of the seeds."""
    scores = [0.970, 0.9712]
    assert best_beyond_noise(scores, noise_floor=0.001, n_seeds=1) == 0
    assert best_beyond_noise(scores, noise_floor=0.001, n_seeds=3) == 1


def test_whatever_trains_beats_an_incumbent_that_diverged() -> None:
    """And among rivals that diverged too, the incumbent stays."""
    assert best_beyond_noise([-INF, -INF, 0.1], noise_floor=0.5, n_seeds=1) == 2
    assert best_beyond_noise([-INF, -INF], noise_floor=0.5, n_seeds=1) == 0


def test_how_often_noise_alone_changes_something_is_as_documented() -> None:
    """Five rivals without any true difference: the 24% of ADOPTION_FLOORS' docstring."""
    random = np.random.default_rng(0)
    changed = [
        best_beyond_noise(scores.tolist(), noise_floor=1.0, n_seeds=1) != 0
        for scores in random.standard_normal((20_000, 6))
    ]
    assert np.mean(changed) == pytest.approx(0.24, abs=0.01)


def test_of_equals_the_clearly_faster_one_is_adopted() -> None:
    """Within one noise floor of the incumbent, at least a quarter and a second faster."""
    floor = {"noise_floor": 0.001, "n_seeds": 1}
    assert fastest_of_the_same([0.97, 0.9695, 0.9692], [10, 7, 6], **floor) == 2  # type: ignore[arg-type]
    assert fastest_of_the_same([0.97, 0.9685], [10, 5], **floor) == 0  # type: ignore[arg-type]
    assert fastest_of_the_same([0.97, 0.97], [10, 9], **floor) == 0  # type: ignore[arg-type]
    assert fastest_of_the_same([0.97, 0.97], [0.9, 0.3], **floor) == 0  # type: ignore[arg-type]


def test_a_better_rival_goes_before_a_faster_one() -> None:
    """Speed decides only where the values do not."""
    assert fastest_of_the_same([0.97, 0.98, 0.97], [10, 12, 2], noise_floor=0.001, n_seeds=1) == 1
    assert fastest_of_the_same([-INF, -INF, 0.5], [1, 1, 30], noise_floor=0.001, n_seeds=1) == 2


def test_the_noise_floor_is_the_deviation_of_replicates_and_no_less_than_told() -> None:
    """Three seeds that agree by luck are not believed; diverged ones have no number."""
    assert noise_floor_of([0.96, 0.97, 0.98], least=0.001) == pytest.approx(0.01)
    assert noise_floor_of([0.97, 0.97, 0.97], least=0.001) == 0.001
    assert noise_floor_of([0.97, None, math.nan], least=0.002) == 0.002


def test_scores_follow_the_direction_and_divergence_is_worst() -> None:
    """A loss is better the lower it is; a mean with a diverged seed is none."""
    rising = made_round(({}, 0.9), ({"dropout": 0.1}, 0.95), ({"dropout": 0.2}, None))
    assert rising.scores == [0.9, 0.95, -INF]
    assert rising.best == 1
    falling = made_round(({}, 0.3), ({"dropout": 0.1}, 0.2), direction="minimize")
    assert falling.scores == [-0.3, -0.2]
    assert falling.best == 1
