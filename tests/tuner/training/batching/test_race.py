"""The time to the target against the time that is known by hand."""

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch

from search_spaces.errors import ConfigurationError
from tests.problems import blobs
from tests.tuner.training.batching.fakes import (
    INITIAL_LOSS,
    FakeMachine,
    FakeTraining,
    fake_candidates,
)
from tuner.training.batching.candidates import Candidate, Verdict
from tuner.training.batching.race import Target, race, reference_steps, steps_to_target, target_of
from tuner.training.batching.stepping import SteppedTraining, Stretch
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset

NOTHING = torch.empty(0)


def target(loss: float, *, samples_per_reading: int = 64) -> Target:
    return Target(loss=loss, x=NOTHING, y=NOTHING, samples_per_reading=samples_per_reading, reference_steps=1)


def timed(machine: FakeMachine, *sizes: int) -> tuple[Candidate, ...]:
    """Candidates whose throughput was measured."""
    return tuple(
        dataclasses.replace(c, samples_per_second=c.batch_size / machine.seconds_per_step(c.batch_size))
        for c in fake_candidates(*sizes)
    )


@pytest.mark.parametrize("size", [1, 16, 100, 1000])
def test_the_steps_to_the_target_are_those_of_the_curve(size: int) -> None:
    """Read between two readings by interpolation: within a reading's bend of the exact number."""
    (candidate,) = fake_candidates(size)
    training = FakeTraining(FakeMachine(), candidate)
    expected = training.steps_to(0.5)
    reach = steps_to_target(training, target(0.5), n_most=10_000)  # type: ignore[arg-type]
    assert reach.verdict is Verdict.REACHED
    assert reach.n_steps == pytest.approx(expected, rel=0.01, abs=0.1)


def test_a_training_that_is_there_already_takes_no_step() -> None:
    """The untrained loss is a reading, too."""
    training = FakeTraining(FakeMachine(), fake_candidates(16)[0])
    assert steps_to_target(training, target(INITIAL_LOSS), n_most=10).n_steps == 0  # type: ignore[arg-type]
    assert training.n_steps == 0


def test_a_training_that_is_taken_up_again_counts_its_earlier_steps() -> None:
    """In two parts it comes to the target at the step where it does in one."""
    (candidate,) = fake_candidates(16)
    training = FakeTraining(FakeMachine(), candidate)
    steps_to_target(training, target(0.5), n_most=100)  # type: ignore[arg-type]
    reach = steps_to_target(training, target(0.5), n_most=1000)  # type: ignore[arg-type]
    assert reach.n_steps == pytest.approx(training.steps_to(0.5), rel=0.01)
    assert steps_to_target(training, target(0.5), n_most=1000).n_steps == training.n_steps  # type: ignore[arg-type]


def test_a_training_is_given_up_after_its_steps() -> None:
    """Not one step more."""
    training = FakeTraining(FakeMachine(), fake_candidates(16)[0])
    reach = steps_to_target(training, target(1e-9), n_most=11)  # type: ignore[arg-type]
    assert reach.verdict is Verdict.TOO_SLOW
    assert math.isnan(reach.n_steps)
    assert training.n_steps == 11


def test_divergence_is_told() -> None:
    """Even when the loss at the validation is finite."""
    training = FakeTraining(FakeMachine(), fake_candidates(16)[0], diverges=True)
    assert steps_to_target(training, target(0.5), n_most=10).verdict is Verdict.DIVERGED  # type: ignore[arg-type]


def raced(machine: FakeMachine, candidates: tuple[Candidate, ...], **traits: Any) -> dict[int, Candidate]:
    """The race with an own reference of 64 samples, by batch size."""

    def start(candidate: Candidate, _seed: int) -> Any:
        return FakeTraining(machine, candidate, **traits)

    (reference,) = timed(machine, 64)
    ended = race(
        candidates,
        start,
        target(0.25),
        seeds=range(3),
        reference=reference,
        budget_seconds=1e6,
        on_part=lambda _part: None,
    )
    return {candidate.batch_size: candidate for candidate in ended}


@pytest.mark.parametrize("useful_batch", [20.0, 90.0, 700.0])
def test_the_best_candidate_is_the_one_of_an_exhaustive_computation(useful_batch: float) -> None:
    """Throughput rises with the batch, and beyond `useful_batch` progress a sample falls: the race finds the best."""
    machine = FakeMachine()
    candidates = timed(machine, 16, 32, 64, 128, 256, 512, 1024, 2048)
    exact = {
        c.batch_size: FakeTraining(machine, c, useful_batch=useful_batch).steps_to(0.25) * c.seconds_per_step
        for c in candidates
    }
    found = raced(machine, candidates, useful_batch=useful_batch)
    times = {size: c.seconds_to_target for size, c in found.items() if c.seconds_to_target is not None}
    assert min(times, key=times.__getitem__) == min(exact, key=exact.__getitem__)
    for size, seconds in times.items():
        assert seconds == pytest.approx(exact[size], rel=0.02)


def test_the_hopeless_are_given_up_and_only_finalists_get_more_seeds() -> None:
    """Beyond 1.5 times the best time there is no time, beyond 1.3 times no second seed."""
    machine = FakeMachine(overhead=1e-4)
    found = raced(machine, timed(machine, 4, 8, 16, 32, 64, 128))
    best = min(c.seconds_to_target for c in found.values() if c.seconds_to_target is not None)
    assert found[4].verdict is Verdict.TOO_SLOW
    assert found[4].seconds_to_target is None
    for candidate in found.values():
        if candidate.seconds_to_target is not None:
            assert candidate.n_seeds == (3 if candidate.seconds_to_target <= 1.3 * best else 1)


def test_the_seconds_are_a_mean_over_seeds_at_the_measured_speed() -> None:
    """Seeds whose curves fall at different speeds: the mean of their steps counts."""
    machine = FakeMachine(overhead=0.0)  # both are finalists
    half_lives = {0: 1000.0, 1: 1100.0, 2: 1200.0}
    (first, second) = timed(machine, 64, 128)
    ended = race(
        (first, second),
        lambda candidate, seed: FakeTraining(machine, candidate, half_life=half_lives[seed]),  # type: ignore[arg-type, return-value]
        target(0.25),
        seeds=range(3),
        reference=first,
        budget_seconds=1e6,
        on_part=lambda _part: None,
    )
    steps = ended[1].steps_to_target
    assert steps == pytest.approx(1100 * 3 / 128, rel=0.02)
    assert ended[1].seconds_to_target == pytest.approx(steps * machine.seconds_per_step(128))


def test_a_candidate_that_diverges_with_one_seed_counts_as_diverged() -> None:
    """A rate that blows up every third time is no rate."""
    machine = FakeMachine(overhead=0.0)
    (first, second) = timed(machine, 64, 128)
    ended = race(
        (first, second),
        lambda candidate, seed: FakeTraining(  # type: ignore[arg-type, return-value]
            machine, candidate, diverges=candidate.batch_size == 128 and seed == 1
        ),
        target(0.25),
        seeds=range(3),
        reference=first,
        budget_seconds=1e6,
        on_part=lambda _part: None,
    )
    assert [c.verdict for c in ended] == [Verdict.REACHED, Verdict.DIVERGED]
    assert ended[1].seconds_to_target is None


def test_a_candidate_that_runs_again_and_fails_loses_its_old_time() -> None:
    """What it took at another rate is no time of this one."""
    machine = FakeMachine()
    (candidate,) = timed(machine, 64)
    before = dataclasses.replace(candidate, steps_to_target=5.0, seconds_to_target=1.0)
    assert raced(machine, (before,), diverges=True)[64].seconds_to_target is None
    again = raced(machine, (before,))[64]
    assert again.seconds_to_target != 1.0
    assert again.n_seeds == 3


def test_a_target_that_none_reaches_ends_with_the_budget() -> None:
    """Each candidate has 1.5 times its share of the first round's 45%, at the measured speed."""
    machine = FakeMachine()
    candidates = timed(machine, 64, 128)
    trainings: list[FakeTraining] = []

    def start(candidate: Candidate, _seed: int) -> Any:
        trainings.append(FakeTraining(machine, candidate, half_life=1e9))
        return trainings[-1]

    ended = race(
        candidates,
        start,
        target(0.25),
        seeds=range(3),
        reference=candidates[0],
        budget_seconds=10.0,
        on_part=lambda _part: None,
        clock=lambda: 0.0,
    )
    assert [c.verdict for c in ended] == [Verdict.TOO_SLOW] * 2
    assert len(trainings) == 2
    for training in trainings:
        assert training.n_steps * training.candidate.seconds_per_step == pytest.approx(
            1.5 * 4.5 / 2, rel=0.02
        )


def test_the_reference_comes_to_its_own_target_whatever_the_budget() -> None:
    """The first limit is its own length, not what the budget would give."""
    machine = FakeMachine()
    candidates = timed(machine, 64, 128)
    n_steps = FakeTraining(machine, candidates[0]).steps_to(0.25)
    ended = race(
        candidates,
        lambda candidate, _seed: FakeTraining(machine, candidate),  # type: ignore[arg-type, return-value]
        dataclasses.replace(target(0.25), reference_steps=math.ceil(n_steps)),
        seeds=[0],
        reference=candidates[0],
        budget_seconds=1e-6,
        on_part=lambda _part: None,
        clock=lambda: 0.0,
    )
    assert ended[0].steps_to_target == pytest.approx(n_steps, rel=0.02)


class Watch:
    """A clock that only what a training does moves on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclasses.dataclass
class Timed(FakeTraining):
    """A training that takes its steps' seconds, and a reading its own."""

    watch: Watch = dataclasses.field(default_factory=Watch)
    reading_seconds: float = 0.0

    def train(self, n_steps: int) -> Stretch:
        stretch = super().train(n_steps)
        self.watch.seconds += stretch.seconds
        return stretch

    def validation_loss(self, x: Any, y: Any) -> float:
        self.watch.seconds += self.reading_seconds
        return super().validation_loss(x, y)


@pytest.mark.parametrize("reading_seconds", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("half_life", [1000.0, 5000.0, 1e9])
def test_the_race_ends_by_the_clock(reading_seconds: float, half_life: float) -> None:
    """However slow its readings are: at most two of them, and the steps between, after its time is up."""
    machine, watch = FakeMachine(), Watch()
    candidates = timed(machine, 16, 32, 64, 128, 256, 512, 1024)
    race(
        candidates,
        lambda candidate, _seed: Timed(  # type: ignore[arg-type, return-value]
            machine, candidate, half_life=half_life, watch=watch, reading_seconds=reading_seconds
        ),
        target(0.25),
        seeds=range(3),
        reference=candidates[2],
        budget_seconds=2.0,
        on_part=lambda _part: None,
        clock=watch,
    )
    assert watch.seconds <= 2.0 + 2 * reading_seconds + machine.seconds_per_step(1024)


def test_finalists_keep_two_seeds_where_the_first_took_all_its_time() -> None:
    """There is half as much again for the second, by the same clock."""
    machine, watch = FakeMachine(overhead=0.0), Watch()
    candidates = timed(machine, 64, 128, 256)
    # 3 trainings of 47, 24 and 12 readings: as long as the first round.
    ended = race(
        candidates,
        lambda candidate, _seed: Timed(machine, candidate, watch=watch, reading_seconds=0.01),  # type: ignore[arg-type, return-value]
        target(0.25),
        seeds=range(3),
        reference=candidates[0],
        budget_seconds=0.95 / 0.45,
        on_part=lambda _part: None,
        clock=watch,
    )
    assert [c.n_seeds for c in ended] == [2, 2, 2]
    assert all(c.verdict is Verdict.REACHED for c in ended)


def test_a_first_training_that_the_clock_cuts_off_is_out_of_time() -> None:
    """It was not shown to be slow; and the reference's time still counts."""
    machine, watch = FakeMachine(), Watch()
    candidates = timed(machine, 64, 128)
    ended = race(
        candidates,
        lambda candidate, _seed: Timed(machine, candidate, watch=watch, reading_seconds=0.1),  # type: ignore[arg-type, return-value]
        target(0.25),
        seeds=range(3),
        reference=candidates[0],
        budget_seconds=13.0,
        on_part=lambda _part: None,
        clock=watch,
    )
    assert [c.verdict for c in ended] == [Verdict.REACHED, Verdict.OUT_OF_TIME]


def stepped(**keys: Any) -> SteppedTraining:
    return SteppedTraining(TrainingConfig(**keys), split_dataset(blobs(), seed=0, device="cpu"))


def test_the_target_is_what_the_reference_comes_to() -> None:
    """The median of its last readings: at or above where it ends, far below where it starts."""
    training = stepped(batch_size=8)
    found = target_of(training, 60, seed=0)
    end = training.validation_loss(found.x, found.y)
    assert training.n_steps == 60
    assert end <= found.loss < 1.2 * end
    assert found.samples_per_reading == 8


def test_the_reference_is_two_epochs_or_200_steps_within_training_and_budget() -> None:
    """12 steps an epoch: 200 steps, or the 120 of ten epochs, or what the budget gives."""
    assert reference_steps(stepped(batch_size=8, epochs=100), 1e-3, 60.0) == 200
    assert reference_steps(stepped(batch_size=8, epochs=10), 1e-3, 60.0) == 120
    assert reference_steps(stepped(batch_size=8, epochs=10), 1.0, 60.0) == 60


def test_the_reference_ends_by_the_clock() -> None:
    """With the few readings that make a target, whose length is then what it was; slow readings are fewer."""
    ticks = itertools.count()
    found = target_of(
        stepped(batch_size=8), 120, seed=0, budget_seconds=1.0, clock=lambda: float(next(ticks))
    )
    assert found.samples_per_reading == 30 * 8
    assert found.reference_steps == 90
    found = target_of(stepped(batch_size=8), 120, seed=0, budget_seconds=1.0, clock=lambda: 0.0)
    assert (found.samples_per_reading, found.reference_steps) == (3 * 8, 120)


@pytest.mark.parametrize(
    ("keys", "loss", "said"),
    [
        (
            {"learning_rate": 1e-30},
            None,
            "must learn before batch sizes are compared .* find a rate with `tuner",
        ),
        ({"learning_rate": 1e30}, None, "must learn before .* to inf"),
        ({}, 50.0, r"target_loss must be below the untrained model's [\d.]+, but got 50"),
    ],
)
def test_a_config_that_does_not_learn_and_a_target_that_is_none_are_refused(
    keys: dict[str, Any], loss: float | None, said: str
) -> None:
    """In one sentence, with what to do."""
    with pytest.raises(ConfigurationError, match=said):
        target_of(stepped(**keys), 20, seed=0, loss=loss)
