"""Pruners of cohorts: no order matters, the best is never pruned, and what has nothing to show goes."""

import math
from collections.abc import Sequence

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState

from tuner.searching.curves import REFRESH_SECONDS, Curve, CurveHistory, losses_of
from tuner.searching.pruners import CohortPruner, HalvingPruner, QuantilePruner
from tuner.searching.strategy import PRUNERS, make_pruner

EPOCHS = 9
ALL = [make_pruner(name, epochs=EPOCHS) for name in PRUNERS]
BY_ALL_AT_ONCE = [make_pruner(name, epochs=EPOCHS) for name in ("median", "asha", "percentile")]


def curve(number: int, *losses: float) -> Curve:
    """A trial that has reported these losses, from epoch 1 on."""
    return Curve(number=number, losses=dict(enumerate(losses, start=1)))


def constant(number: int, loss: float, epoch: int) -> Curve:
    return curve(number, *[loss] * epoch)


LOSS = st.integers(0, 20).map(float) | st.just(math.inf)
"""Whole numbers, so that there are ties."""


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[Curve], list[Curve]]:
    """Lanes that are all after one epoch, and others of any length."""
    epoch = draw(st.integers(1, EPOCHS - 1))
    lanes = draw(st.lists(st.lists(LOSS, min_size=epoch, max_size=epoch), min_size=1, max_size=9))
    others = draw(st.lists(st.lists(LOSS, min_size=1, max_size=EPOCHS), max_size=12))
    numbered = [curve(number, *losses) for number, losses in enumerate([*lanes, *others])]
    return numbered[: len(lanes)], numbered[len(lanes) :]


@pytest.mark.parametrize("pruner", ALL, ids=list(PRUNERS))
@given(cohort=cohorts(), data=st.data())
@settings(deadline=None, max_examples=50)
def test_the_order_of_lanes_and_of_others_changes_nothing(
    pruner: CohortPruner, cohort: tuple[list[Curve], list[Curve]], data: st.DataObject
) -> None:
    """Whoever was asked first has no advantage."""
    lanes, others = cohort
    shuffled = data.draw(st.permutations(lanes)), data.draw(st.permutations(others))
    assert pruner.condemned(*shuffled) == pruner.condemned(lanes, others)


@pytest.mark.parametrize("pruner", ALL, ids=list(PRUNERS))
@given(cohort=cohorts())
@settings(deadline=None, max_examples=50)
def test_the_best_of_all_is_never_pruned(
    pruner: CohortPruner, cohort: tuple[list[Curve], list[Curve]]
) -> None:
    """Nor is one that ties with it."""
    lanes, others = cohort
    epoch = lanes[0].epoch
    best = min(each.best_until(epoch) for each in [*lanes, *others])
    safe = {
        lane.number for lane in lanes if lane.best_until(epoch) == best and math.isfinite(lane.losses[epoch])
    }
    assert not safe & pruner.condemned(lanes, others)


@pytest.mark.parametrize("name", [name for name in PRUNERS if name != "none"])
@given(cohort=cohorts())
@settings(deadline=None, max_examples=30)
def test_a_lane_with_nothing_finite_goes(name: str, cohort: tuple[list[Curve], list[Curve]]) -> None:
    """Whatever it had before, and however few are known."""
    lanes, others = cohort
    gone = {lane.number for lane in lanes if math.isinf(lane.losses[lane.epoch])}
    assert gone <= make_pruner(name, epochs=EPOCHS).condemned(lanes, others)


@given(cohort=cohorts())
@settings(deadline=None)
def test_none_prunes_nothing(cohort: tuple[list[Curve], list[Curve]]) -> None:
    """Not even what has nothing finite: to go on is the user's wish."""
    assert make_pruner("none", epochs=EPOCHS).condemned(*cohort) == frozenset()


@pytest.mark.parametrize(
    ("pruner", "n_left"), [(HalvingPruner(), 2), (QuantilePruner(share=0.5), 4)], ids=["asha", "median"]
)
def test_the_first_cohort_is_pruned_too(pruner: CohortPruner, n_left: int) -> None:
    """Of eight lanes the best third, or half; Optuna's keep whichever was asked first, or all."""
    lanes = [constant(number, float(number), 1) for number in range(8)]
    assert pruner.condemned(lanes[::-1], []) == frozenset(range(n_left, 8))


def test_survivors_are_not_halved_again_at_every_epoch() -> None:
    """Those that were pruned count on: of 20 lanes 10 are left after epoch 1, and 6 after epoch 7."""
    pruner = QuantilePruner(share=0.5)
    lanes = [constant(number, float(number), 1) for number in range(20)]
    for epoch in range(2, EPOCHS):
        gone = pruner.condemned(
            [lane for lane in lanes if lane.epoch == epoch - 1],
            [lane for lane in lanes if lane.epoch < epoch - 1],
        )
        lanes = [
            constant(lane.number, lane.losses[1], epoch)
            if lane.epoch == epoch - 1 and lane.number not in gone
            else lane
            for lane in lanes
        ]
    assert sum(lane.epoch == EPOCHS - 1 for lane in lanes) == 6


def test_halving_decides_at_its_rungs_only() -> None:
    """Epochs 1, 3, 9; between them nobody is looked at."""
    pruner = HalvingPruner()
    decided = [
        epoch
        for epoch in range(1, 10)
        if pruner.condemned([constant(number, float(number), epoch) for number in range(9)], [])
    ]
    assert decided == [1, 3, 9]


def test_few_trials_are_no_median() -> None:
    """Four trials that reached the epoch decide nothing, as with Optuna's."""
    pruner = QuantilePruner(share=0.5)
    assert not pruner.condemned([constant(number, float(number), 1) for number in range(4)], [])


def test_patience_waits_for_lanes_that_still_improve() -> None:
    """Two epochs without a new best of their own; a lane that is bad and improves goes on."""
    pruner = make_pruner("patient", epochs=EPOCHS)
    others = [constant(number, 1.0, EPOCHS) for number in range(10, 18)]
    improving, stuck = curve(0, 9.0, 8.0, 7.0), curve(1, 9.0, 9.0, 9.0)
    assert pruner.condemned([improving, stuck], others) == frozenset({1})


def test_brackets_of_hyperband_begin_later_and_compare_their_own() -> None:
    """At epoch 1 only the first bracket is judged; each bracket gets its share of trials."""
    pruner = make_pruner("hyperband", epochs=EPOCHS)
    gone = pruner.condemned([constant(number, float(number), 1) for number in range(13)], [])
    assert gone == frozenset(range(3, 9))  # 9 of 13 in the first bracket, of which 3 go on
    gone = pruner.condemned([constant(number, float(number), 3) for number in range(13)], [])
    assert gone == frozenset(range(3, 9)) | {10, 11}


def reported(study: optuna.Study, *values: float, state: TrialState | None = TrialState.COMPLETE) -> int:
    trial = study.ask()
    for epoch, value in enumerate(values, start=1):
        trial.report(value, epoch)
    if state is not None:
        study.tell(trial, values[-1] if state is TrialState.COMPLETE else None, state=state)
    return int(trial.number)


@pytest.mark.parametrize(
    ("direction", "worse"), [(StudyDirection.MAXIMIZE, 0.1), (StudyDirection.MINIMIZE, 9.0)]
)
@pytest.mark.parametrize("name", ["median", "asha"])
def test_it_serves_a_trial_alone_as_an_optuna_pruner(
    name: str, direction: StudyDirection, worse: float
) -> None:
    """In the study's direction; what failed is no measure."""
    study = optuna.create_study(direction=direction, pruner=make_pruner(name, epochs=EPOCHS))
    for value in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5):
        reported(study, value, value)
    for _ in range(20):
        reported(study, worse, state=TrialState.FAIL)
    bad, good = study.ask(), study.ask()
    assert not bad.should_prune()
    bad.report(worse, 1)
    good.report(2.0 if direction is StudyDirection.MAXIMIZE else 0.5, 1)
    assert bad.should_prune()
    assert not good.should_prune()


@pytest.mark.parametrize("name", PRUNERS)
def test_an_objective_that_counts_from_0_is_served_too(name: str) -> None:
    """Optuna's users do: the first report decides nothing, however bad."""
    study = optuna.create_study(pruner=make_pruner(name, epochs=EPOCHS))
    trials = [study.ask() for _ in range(8)]
    for trial in trials:
        trial.report(float(trial.number), 0)
    assert not any(trial.should_prune() for trial in trials)


class TestHistory:
    def test_it_has_what_ended_and_what_runs_elsewhere_but_not_the_lanes(self) -> None:
        """And nothing of what failed or has reported nothing."""
        study = optuna.create_study(direction="minimize")
        complete, running = reported(study, 3.0, 2.0), reported(study, 5.0, state=None)
        pruned, mine = reported(study, 7.0, state=TrialState.PRUNED), reported(study, 1.0, state=None)
        reported(study, 1.0, state=TrialState.FAIL)
        study.ask()
        others = CurveHistory(study).others([mine])
        assert others == [curve(complete, 3.0, 2.0), curve(running, 5.0), curve(pruned, 7.0)]

    def test_it_is_read_again_when_it_is_old_or_something_was_told(self) -> None:
        """And not at every epoch."""
        study, now = optuna.create_study(), [0.0]
        history = CurveHistory(study, clock=lambda: now[0])

        def numbers() -> Sequence[int]:
            return [each.number for each in history.others([])]

        reported(study, 1.0)
        assert numbers() == [0]
        reported(study, 1.0)
        assert numbers() == [0]
        history.forget_age()
        assert numbers() == [0, 1]
        reported(study, 1.0)
        now[0] = REFRESH_SECONDS
        assert numbers() == [0, 1, 2]

    def test_values_are_turned_so_that_smaller_is_better(self) -> None:
        """What is not finite is the worst in both directions."""
        values = {1: 0.5, 2: math.nan, 3: math.inf, 4: None}
        assert losses_of(values, StudyDirection.MAXIMIZE) == {1: -0.5, 2: math.inf, 3: math.inf, 4: math.inf}
        assert losses_of({1: -math.inf, 2: 2.0}, StudyDirection.MINIMIZE) == {1: math.inf, 2: 2.0}
