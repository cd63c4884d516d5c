"""Which rival is adopted: rules on scores made by hand."""

import math

import numpy as np
import pytest

from tests.tuner.guide.made_rounds import made_round
from tuner.guide.rounds import (
    Candidate,
    RateLimit,
    best_beyond_noise,
    fastest_of_the_same,
    noise_floor_of,
    whole_groups,
)
from tuner.training.config import TrainingConfig

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


@pytest.mark.parametrize(("n_rivals", "share"), [(1, 0.15), (3, 0.25), (5, 0.25), (9, 0.25)])
def test_how_often_noise_alone_changes_something_is_as_documented(n_rivals: int, share: float) -> None:
    """With a noise floor that three seeds of the baseline show, rivals without any true difference win in at most one
    round out of four."""
    random = np.random.default_rng(0)
    floors = random.standard_normal((20_000, 3)).std(1, ddof=1)
    changed = [
        best_beyond_noise(scores.tolist(), noise_floor=floor, n_seeds=1) != 0
        for scores, floor in zip(random.standard_normal((20_000, 1 + n_rivals)), floors, strict=True)
    ]
    assert np.mean(changed) == pytest.approx(share, abs=0.015)


def test_rivals_that_diverged_make_the_best_no_luckier() -> None:
    """Only those with a value count for how much the best must lead."""
    scores = [0.970, 0.9721, *[-INF] * 20]
    assert best_beyond_noise(scores, noise_floor=0.001, n_seeds=1) == 1
    assert best_beyond_noise([0.970, 0.9721, *[0.97] * 20], noise_floor=0.001, n_seeds=1) == 0


def test_a_group_is_trained_whole_or_not_at_all() -> None:
    """What a small budget cuts off takes its neighbors of the group with it."""
    groups = ("a", "a", "b", "b", "", "")
    candidates = [Candidate(label=str(place), group=group) for place, group in enumerate(groups)]
    assert [len(whole_groups(candidates, n)) for n in range(8)] == [0, 0, 2, 2, 4, 5, 6, 6]


def test_a_limit_of_the_rate_is_that_of_its_optimizer_and_of_batches_no_larger() -> None:
    """The full batch is larger than any number."""
    limit = RateLimit(optimizer="sgd", batch_size=64, rate=0.1)

    def excludes(**keys: object) -> bool:
        return limit.excludes(TrainingConfig.from_mapping({"learning_rate": 0.2, "batch_size": 64, **keys}))

    assert excludes()
    assert excludes(batch_size=32)
    assert not excludes(learning_rate=0.1)
    assert not excludes(optimizer="adam")
    assert not excludes(batch_size=128)
    assert not excludes(batch_size="full")


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
