"""The last step: the ladder is climbed where the time is there, as the ends themselves have shown."""

from types import SimpleNamespace
from typing import Any

import pytest

from tuner.guide.budget import Pace
from tuner.guide.seeds import _has_ladder


def has_ladder(*, n_rungs: int, seconds_left: float | None, has_ladder: bool = False) -> bool:
    """Of 8 seeds, after ends that took 4 and 6 seconds a training."""
    asked = SimpleNamespace(pace=lambda seconds: Pace(seconds_per_trial=seconds, n_workers=1))
    ledger = SimpleNamespace(decide=lambda _key, make: make())
    session: Any = SimpleNamespace(asked=asked, ledger=ledger, seconds_left=seconds_left)
    ended = {"baseline": [SimpleNamespace(seconds=4.0)], "best": [SimpleNamespace(seconds=6.0), None]}
    ends: Any = SimpleNamespace(trials=ended)
    return _has_ladder(session, {"has_ladder": has_ladder, "n_seeds": 8}, ends, n_rungs=n_rungs)


@pytest.mark.parametrize(("n_rungs", "climbed"), [(2, True), (3, False)])
def test_the_ends_own_pace_says_whether_there_is_time_for_the_rungs(n_rungs: int, climbed: bool) -> None:
    """16 trainings of 5 seconds fit into 100 seconds, 24 do not."""
    assert has_ladder(n_rungs=n_rungs, seconds_left=100.0) is climbed


def test_a_budget_of_trials_was_exact_before() -> None:
    """Nothing is measured that could change it; and what was decided stays decided."""
    assert has_ladder(n_rungs=2, seconds_left=None) is False
    assert has_ladder(n_rungs=3, seconds_left=100.0, has_ladder=True) is True


def test_a_single_change_is_a_ladder_by_itself() -> None:
    """Its one step is the way from the baseline to the best, which are trained in any case."""
    assert has_ladder(n_rungs=0, seconds_left=0.0) is True
