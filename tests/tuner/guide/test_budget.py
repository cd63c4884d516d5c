"""The budget's arithmetic: nothing here trains anything."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import ConfigurationError
from tuner.guide.budget import (
    MAX_EPOCHS,
    MAX_SEEDS,
    MIN_SEEDS,
    MIN_TRIALS,
    N_BASELINE,
    Budget,
    Pace,
    Spent,
    Wish,
    allot,
    epochs_that_fit,
    final_trials,
    n_final_trials,
    reserved_seconds,
    reserved_trials,
    seconds_for,
    shortage,
)
from tuner.guide.levers import Levers
from tuner.guide.plan import max_changes, planned_rounds
from tuner.guide.preview import preview

PLANNED = planned_rounds(Levers(), is_image=True, is_regression=False)
paces = st.builds(
    Pace,
    seconds_per_trial=st.floats(0.05, 60),
    n_workers=st.integers(1, 8),
    seconds_per_start=st.floats(0, 10),
)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("20m", Budget(seconds=1200)),
        ("90s", Budget(seconds=90)),
        ("1.5h", Budget(seconds=5400)),
        (" 50 trials ", Budget(trials=50)),
        ("50trials", Budget(trials=50)),
    ],
)
def test_a_budget_is_read_from_what_a_person_types(text: str, budget: Budget) -> None:
    """Seconds, minutes, hours or trials."""
    assert Budget.parse(text) == budget


@pytest.mark.parametrize("text", ["", "20", "20 minutes", "-5m", "m", "1.5trials", "20m 50trials"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    """The sentence shows all four forms."""
    with pytest.raises(ConfigurationError, match=r"like 20m, 90s, 1\.5h or 50trials, but got"):
        Budget.parse(text)


def test_a_budget_too_small_to_confirm_anything_is_refused() -> None:
    """Three baselines, and two configs on eight seeds, are the least."""
    assert MIN_TRIALS == N_BASELINE + 2 * MIN_SEEDS == 19
    with pytest.raises(ConfigurationError, match=r"19 trials or more .* but got 18"):
        Budget(trials=18)
    with pytest.raises(ConfigurationError, match="more than 0 seconds"):
        Budget(seconds=0.0)
    with pytest.raises(ConfigurationError, match="either seconds or trials"):
        Budget(seconds=1.0, trials=20)


def test_a_round_gets_its_part_in_proportion_to_what_is_wished_for_later() -> None:
    """40 trials are left before the seeds: 6 of 6 + 14 wished for is 12, of which 6 configs on 2 seeds."""
    allotted = allot(
        Wish(n=6, least=3),
        [Wish(n=10, least=3), Wish(n=4, least=2)],
        budget=Budget(trials=100),
        spent=Spent(trials=15),
        pace=Pace(seconds_per_trial=1.0, n_workers=1),
    )
    assert (allotted.n_affordable, allotted.n_configs, allotted.n_seeds) == (12, 6, 2)


def test_a_round_below_its_least_is_left_out() -> None:
    """Two configs of a wish for at least three are not worth a start."""
    pace = Pace(seconds_per_trial=10.0, n_workers=1)
    spent = Spent(seconds=80)
    tight = allot(Wish(n=6, least=3), [], budget=Budget(seconds=200), spent=spent, pace=pace)
    assert tight.n_configs == tight.n_trials == 0
    ample = allot(Wish(n=6, least=3), [], budget=Budget(seconds=500), spent=spent, pace=pace)
    assert ample.n_configs == 6


@pytest.mark.parametrize("budget", [Budget(trials=24), Budget(seconds=24)])
def test_where_little_is_left_the_earlier_round_comes_first(budget: Budget) -> None:
    """Its part of the 5 trainings left would be one; it takes the three that make it worth its start."""
    later = [Wish(n=4, least=2), Wish(n=10, least=3), Wish(n=6, least=2)]
    pace, spent = Pace(seconds_per_trial=1.0, n_workers=1), Spent(trials=3, seconds=3)
    allotted = allot(Wish(n=6, least=3), later, budget=budget, spent=spent, pace=pace)
    assert (allotted.n_configs, allotted.n_seeds) == (3, 1)


def test_workers_train_in_waves() -> None:
    """Three waves of two fit into 35 seconds after five of starting up; five trainings take as many waves."""
    pace = Pace(seconds_per_trial=10.0, n_workers=2, seconds_per_start=5.0)
    assert pace.n_trials(35.0) == 6
    assert pace.n_trials(34.9) == 4
    assert pace.seconds(5) == 35.0


@given(budget=st.integers(MIN_TRIALS, 400), pace=paces)
@settings(deadline=None)
def test_a_budget_of_trials_is_never_exceeded(budget: int, pace: Pace) -> None:
    """Whatever the rounds take of their allotments, the seeds still have theirs."""
    plan = preview(PLANNED, budget=Budget(trials=budget), pace=pace, epochs=10)
    assert plan.n_trials <= budget
    assert plan.rounds[-1].n_trials >= 2 * MIN_SEEDS


@given(seconds=st.floats(10, 7200), pace=paces)
@settings(deadline=None)
def test_a_budget_of_time_is_exceeded_only_by_what_the_minimum_needs(seconds: float, pace: Pace) -> None:
    """Three baselines and two configs on eight seeds are trained however little time there is."""
    plan = preview(PLANNED, budget=Budget(seconds=seconds), pace=pace, epochs=10)
    least = pace.seconds(N_BASELINE) + pace.seconds(2 * MIN_SEEDS)
    assert plan.seconds <= max(seconds, least) * 1.001


@given(trials=st.integers(MIN_TRIALS, 1000), seconds=st.floats(60, 7200), pace=paces)
@settings(deadline=None)
def test_the_seeds_are_reserved_first(trials: int, seconds: float, pace: Pace) -> None:
    """Never less than a confirmation needs, and about 45% of an ample budget."""
    assert reserved_trials(trials) >= 2 * MIN_SEEDS
    assert reserved_seconds(seconds, pace) >= pace.seconds(2 * MIN_SEEDS)
    assert reserved_trials(1000) == 450


def test_the_last_step_climbs_the_ladder_if_it_can_and_then_takes_more_seeds() -> None:
    """Four changes are five rungs: from 40 trainings on; the two ends are confirmed in any case."""
    assert (final_trials(40, 4).n_seeds, final_trials(40, 4).has_ladder) == (8, True)
    assert (final_trials(39, 4).n_seeds, final_trials(39, 4).has_ladder) == (MAX_SEEDS, False)
    assert (final_trials(16, 4).n_seeds, final_trials(16, 4).has_ladder) == (8, False)
    assert (final_trials(0, 4).n_seeds, final_trials(0, 4).has_ladder) == (MIN_SEEDS, False)
    assert (final_trials(55, 4).n_seeds, final_trials(55, 4).has_ladder) == (11, True)
    assert (final_trials(9, 0).n_seeds, final_trials(9, 0).has_ladder) == (9, False)


def test_epochs_are_as_many_as_let_every_round_have_its_wish() -> None:
    """Twice the time, twice the epochs, within the bounds; without a clock ten."""
    wishes = [each.wish for each in PLANNED]

    epoch = Pace(seconds_per_trial=0.9, n_workers=2)

    def epochs(seconds: float) -> int:
        return epochs_that_fit(Budget(seconds=seconds), wishes, n_rungs=6, epoch=epoch)

    assert epochs(900) == 16
    assert epochs(450) == 8
    assert epochs(10) == 1
    assert epochs(90_000) == MAX_EPOCHS
    trials = Budget(trials=50)
    assert epochs_that_fit(trials, wishes, n_rungs=6, epoch=epoch) == 10


def test_with_those_epochs_the_whole_plan_fits() -> None:
    """At the speed that they were chosen for every round is there, with its ladder."""
    budget, epoch = Budget(seconds=900), Pace(seconds_per_trial=0.9, n_workers=2, seconds_per_start=6.0)
    wishes = [each.wish for each in PLANNED]
    epochs = epochs_that_fit(budget, wishes, n_rungs=max_changes(PLANNED), epoch=epoch)
    pace = dataclasses.replace(epoch, seconds_per_trial=0.9 * epochs)
    plan = preview(PLANNED, budget=budget, pace=pace, epochs=epochs)
    assert not [each for each in plan.rounds if each.skipped]
    assert "every rung" in plan.rounds[-1].purpose
    assert plan.seconds <= 900


def test_a_short_round_starts_no_workers_and_is_charged_for_none() -> None:
    """Four trainings of a second end in this process before two others have started; forty do not."""
    pace = Pace(seconds_per_trial=1.0, n_workers=2, seconds_per_start=6.0)
    assert (pace.workers_for(4), pace.seconds(4), pace.n_trials(4.0)) == (1, 4.0, 4)
    assert (pace.workers_for(40), pace.seconds(40), pace.n_trials(26.0)) == (2, 26.0, 40)


@given(seconds=st.floats(0.0, 1000), pace=paces)
@settings(deadline=None)
def test_so_many_trainings_as_fit_do_fit(seconds: float, pace: Pace) -> None:
    """The two directions of the arithmetic agree, and more workers never make a round slower."""
    n_trials = pace.n_trials(seconds)
    assert pace.seconds(n_trials) <= seconds * 1.001 + 1e-6
    alone = dataclasses.replace(pace, n_workers=1)
    assert pace.seconds(n_trials) <= alone.seconds(n_trials)
    assert n_trials >= alone.n_trials(seconds)


@given(seconds=st.floats(5, 7200), epoch=st.floats(0.005, 10), n_workers=st.integers(2, 8))
@settings(deadline=None)
def test_more_workers_never_mean_fewer_epochs(seconds: float, epoch: float, n_workers: int) -> None:
    """With a small budget the start of workers once ate all of it."""
    wishes, budget = [each.wish for each in PLANNED], Budget(seconds=seconds)
    one = Pace(seconds_per_trial=epoch, n_workers=1)
    many = Pace(seconds_per_trial=epoch, n_workers=n_workers, seconds_per_start=6.0)
    n_rungs = max_changes(PLANNED)
    epochs = [epochs_that_fit(budget, wishes, n_rungs=n_rungs, epoch=pace) for pace in (one, many)]
    assert epochs[1] >= epochs[0]


def test_a_budget_that_will_be_exceeded_is_said_so() -> None:
    """19 trainings are the least; a plan that cannot be kept carries the sentence."""
    pace = Pace(seconds_per_trial=10.0, n_workers=1)
    assert shortage(Budget(seconds=190), pace) == ""
    assert shortage(Budget(trials=19), pace) == ""
    short = shortage(Budget(seconds=100), pace)
    assert short.startswith("The budget of 2 min will be exceeded: 3 baselines and 2 configs on 8 seeds")
    assert short.endswith("take about 3 min.")
    assert preview(PLANNED, budget=Budget(seconds=100), pace=pace, epochs=1).warning == short
    assert preview(PLANNED, budget=Budget(seconds=900), pace=pace, epochs=1).warning == ""


def test_of_a_guide_that_has_begun_what_is_left_is_planned() -> None:
    """Rounds that ended, or that a later step left behind, are done; a decided one keeps its size."""
    decided = {
        "baseline.floor.round": {"n_trials": 3}, "baseline.floor.ended": {},
        "rate.around.round": {"n_trials": 6}, "rate.around.ended": {}, "batch.finder": {},
        "regularization.weights.round": {"n_trials": 5},
    }  # fmt: skip
    pace = Pace(seconds_per_trial=1.0, n_workers=1)
    budget, spent = Budget(trials=80), Spent(trials=14)
    plan = preview(PLANNED, budget=budget, pace=pace, epochs=10, spent=spent, decided=decided)
    assert [each.skipped for each in plan.rounds[:3]] == ["already done"] * 3
    assert [each.n_trials for each in plan.rounds[:4]] == [0, 0, 0, 5]
    assert plan.n_trials - 5 + spent.trials <= 80
    ends = {"seeds.round": {"n_seeds": 8, "has_ladder": True, "n_trials": 40}, "seeds.ended": {}}
    at_the_end = preview(PLANNED, budget=budget, pace=pace, epochs=10, decided=ends)
    assert [each.n_trials for each in at_the_end.rounds] == [0] * len(PLANNED) + [24]


def test_what_is_left_of_a_budget_is_the_last_steps() -> None:
    """All of it, whatever was reserved."""
    pace = Pace(seconds_per_trial=2.0, n_workers=2)
    assert n_final_trials(budget=Budget(trials=60), spent=Spent(trials=25), pace=pace) == 35
    assert n_final_trials(budget=Budget(seconds=60), spent=Spent(seconds=40), pace=pace) == 20
    infinite = seconds_for(Wish(n=2, least=1), [], budget=Budget(trials=60), spent=Spent(), pace=pace)
    assert infinite == float("inf")
