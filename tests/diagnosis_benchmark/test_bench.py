from statistics import fmean
from typing import Any

import pytest

from benchmarks.diagnosis.bench import Bench, change
from benchmarks.diagnosis.case import Case, Metric
from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.telemetry import quality_of, splits_of
from search_spaces.edits import Edit, EditKind
from studies.diagnosis import Cause, CauseName, Finding, Severity
from studies.diagnosis.finding import Remedy
from tuner.training.alone import TrainingAlone
from tuner.training.config import TrainingConfig

CASE = case_named("learning_rate_too_low/mlp/severe")
SEEDS = (5, 6, 7)
FINDING = Finding(
    trial=0,
    symptom="slow_training",
    severity=Severity.BLOCKER,
    sentence="It crawls.",
    causes=(Cause(name=CauseName.LEARNING_RATE_TOO_LOW, confidence=0.9),),
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(CASE, FINDING, task="digits", part="calibration", seeds=SEEDS)


def _quality_alone(case: Case, seed: int, metric: Metric = "accuracy", **changed: Any) -> float:
    """As slow as one can: one training at a time, on the data of the first seed."""
    config = TrainingConfig.from_mapping({**case.config(seed), **changed})
    of_split = TrainingConfig.from_mapping(case.config(SEEDS[0]))
    alone = TrainingAlone(config, splits_of(case, of_split, task="digits", part="calibration"))
    for _readings in alone.epochs():
        pass
    lane = alone.lane
    return quality_of(lane.model, lane.scaling, lane.splits, metric=metric)


def test_the_twins_own_rate_recovers_the_whole_gap(bench: Bench) -> None:
    """And `tuner fix` proves it; a tenth of a rate that is too low recovers nothing."""
    healthy, lower = bench.attempts([change(learning_rate=0.05), change(learning_rate=1e-5)], is_ours=True)
    assert healthy.recovered == pytest.approx(1.0)
    assert healthy.repairs
    assert healthy.verdict == "proven"
    assert lower.recovered < 0.2
    assert not lower.repairs


def test_lanes_are_judged_as_trainings_alone_would_be(bench: Bench) -> None:
    """The gap is that of six trainings, one after another."""
    faulty = [_quality_alone(CASE, seed) for seed in SEEDS]
    healthy = [_quality_alone(CASE, seed, learning_rate=0.05) for seed in SEEDS]
    assert bench.gap == pytest.approx(fmean(healthy) - fmean(faulty), abs=0.01)


def test_only_what_changes_the_config_and_can_be_trained_is_tried(bench: Bench) -> None:
    """The present value, an action, and a value that no config can have are left out."""
    narrowing = Remedy(sentence="x", edits=(Edit(kind=EditKind.FREE, lever="dropout"),))
    action = Remedy(sentence="Look at the data.", action="Look at the data.")
    refused = change(learning_rate=-1.0)
    assert bench.attempts([change(learning_rate=1e-4), action, refused, narrowing]) == []


def test_ours_go_on_along_a_lever_and_pay_for_it(bench: Bench) -> None:
    """Three times a rate that is 500 times too low leaves the cause; random changes take one step."""
    small = change(learning_rate=3e-4)
    (ours,) = bench.attempts([small], is_ours=True)
    (random,) = bench.attempts([small])
    assert ours.n_trials > 1
    assert ours.recovered > random.recovered
    assert random.n_trials == 1


def test_the_twin_is_measured_as_the_case_is() -> None:
    """By the test loss where the fault goes by it: a gap of losses is no accuracy less a loss."""
    case = case_named("overconfidence/mlp/mild")
    bench = Bench(case, FINDING, task="digits", part="calibration", seeds=SEEDS[:1])
    faulty, healthy = (
        fmean(_quality_alone(each, seed, metric="loss") for seed in SEEDS[:1])
        for each in (case, case.reference)
    )
    assert bench.gap == pytest.approx(healthy - faulty, abs=0.02)
