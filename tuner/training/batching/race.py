"""The time each candidate takes to a target loss, because the fastest step is not the fastest training.

Time is steps times seconds a step. The steps to the target are the same on a busy machine and an idle one, and averaged
over seeds that the candidates share; the seconds come from the throughput's turns. So neither is a single stopwatch
reading.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from search_spaces.errors import ConfigurationError
from tuner.training.batching.candidates import Candidate, Verdict
from tuner.training.batching.memory import unless_out_of_memory
from tuner.training.batching.stepping import SteppedTraining
from tuner.training.batching.throughput import OnPart
from tuner.training.datasets.splits import Splits

TARGET_SAMPLES = 2048
"""Validation samples that the loss is read on: enough for a curve, at a few milliseconds a reading."""
READINGS = 40
"""Of the validation loss over the reference training; fewer where they would take long."""
READING_SHARE = 0.5
"""Of the reference training's time, what its readings may take beside it."""
N_LAST_READINGS = 3
"""Of the reference training, whose median is the target: one alone may be a lucky one."""
REFERENCE_EPOCHS, REFERENCE_STEPS = 2, 200
"""Length of the reference training: the longer of the two, and no longer than the training itself."""
SLOWEST = 1.5
"""Times the best time so far, after which a candidate is given up."""
FINALISTS = 1.3
"""Times the best time, within which a candidate gets more seeds."""
LATER_SLOWEST = 2.5
"""As `SLOWEST`, for further seeds: their curves may lie higher than the first one's."""
FIRST_ROUND_SHARE = 0.45
"""Of the race's time, for the first seed of all: so there is more than that for the second one of the finalists."""

Start = Callable[[Candidate, int], SteppedTraining]
"""Makes an untrained training of a candidate with a seed."""
Clock = Callable[[], float]
"""Wall seconds."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A validation loss, read on a fixed part of the validation data."""

    loss: float
    x: Tensor
    y: Tensor
    samples_per_reading: int
    """Training samples between two readings, for every candidate."""
    reference_steps: int
    """Optimizer steps of the reference training."""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How one training came to the target."""

    verdict: Verdict
    n_steps: float
    """Optimizer steps, interpolated between two readings; NaN when the target was not reached."""


def steps_to_target(
    training: SteppedTraining,
    target: Target,
    *,
    n_most: int,
    deadline: float = math.inf,
    clock: Clock = time.monotonic,
) -> Reach:
    """Train on until the validation loss is at the target, or ``n_most`` optimizer steps have been taken in all.

    Or until ``clock`` is past ``deadline``, looked at after each reading of the loss.
    """
    every = max(1, round(target.samples_per_reading / training.samples_per_step))
    before, loss = training.n_steps, training.validation_loss(target.x, target.y)
    if loss <= target.loss:
        return Reach(verdict=Verdict.REACHED, n_steps=before)
    while training.n_steps < n_most:
        if clock() > deadline:
            return Reach(verdict=Verdict.OUT_OF_TIME, n_steps=math.nan)
        stretch = training.train(min(every, n_most - training.n_steps))
        new = training.validation_loss(target.x, target.y)
        if stretch.has_diverged or not math.isfinite(new):
            return Reach(verdict=Verdict.DIVERGED, n_steps=math.nan)
        if new <= target.loss:
            share = (loss - target.loss) / (loss - new)
            n_steps = before + share * (training.n_steps - before)
            return Reach(verdict=Verdict.REACHED, n_steps=n_steps)
        before, loss = training.n_steps, new
    return Reach(verdict=Verdict.TOO_SLOW, n_steps=math.nan)


def reference_steps(training: SteppedTraining, seconds_per_step: float, budget_seconds: float) -> int:
    """Optimizer steps of the reference training."""
    per_epoch = training.steps_per_epoch
    wanted = max(REFERENCE_EPOCHS * per_epoch, REFERENCE_STEPS)
    whole = max(training.config.epochs, 1) * per_epoch
    return max(N_LAST_READINGS, min(wanted, whole, int(budget_seconds / seconds_per_step)))


def target_of(
    training: SteppedTraining,
    n_steps: int,
    *,
    seed: int,
    loss: float | None = None,
    budget_seconds: float = math.inf,
    clock: Clock = time.monotonic,
) -> Target:
    """``loss`` as the target, or the one that ``training`` comes to in ``n_steps`` optimizer steps.

    With fewer readings where they would take more than `READING_SHARE` of ``budget_seconds``, and fewer steps where
    both together do take more, but enough for a few readings.

    Raises:
        ConfigurationError: when the training comes to none, or ``loss`` is not below where it starts.
    """
    x, y = target_samples(training.splits, seed=seed)
    began = clock()
    losses = [training.validation_loss(x, y)]
    start, reading_seconds = losses[0], clock() - began
    deadline = began + (1 + READING_SHARE) * budget_seconds
    n_affordable = READING_SHARE * budget_seconds / reading_seconds if reading_seconds > 0 else math.inf
    every = max(1, n_steps // int(max(N_LAST_READINGS + 1, min(n_affordable, READINGS))))
    while training.n_steps < n_steps and (clock() <= deadline or len(losses) <= N_LAST_READINGS):
        stretch = training.train(min(every, n_steps - training.n_steps))
        losses.append(training.validation_loss(x, y))
        if stretch.has_diverged or not math.isfinite(losses[-1]):
            losses.extend([math.inf] * N_LAST_READINGS)
            break
    reached = statistics.median(losses[-N_LAST_READINGS:])
    if loss is None and not reached < start:
        raise ConfigurationError(
            "The config must learn before batch sizes are compared on it, but in "
            f"{training.n_steps} steps of batch {training.samples_per_step} at rate "
            f"{training.config.learning_rate:.3g} its validation loss went from {start:.4g} to {losses[-1]:.4g}; "
            "find a rate with `tuner lr-range`."
        )
    if loss is not None and not loss < start:
        raise ConfigurationError(
            f"target_loss must be below the untrained model's {start:.4g}, but got {loss:.4g}."
        )
    return Target(
        loss=reached if loss is None else loss,
        x=x,
        y=y,
        samples_per_reading=every * training.samples_per_step,
        reference_steps=training.n_steps,
    )


def target_samples(splits: Splits, *, seed: int) -> tuple[Tensor, Tensor]:
    """The part of the validation data that the loss is read on, drawn by ``seed``."""
    n = len(splits.validation_x)
    drawn = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:TARGET_SAMPLES]
    indices = drawn.sort().values.to(splits.device)
    return splits.validation_x.index_select(0, indices), splits.validation_y.index_select(0, indices)


def race(
    candidates: Sequence[Candidate],
    start: Start,
    target: Target,
    *,
    seeds: Sequence[int],
    reference: Candidate,
    budget_seconds: float,
    on_part: OnPart,
    clock: Clock = time.monotonic,
) -> tuple[Candidate, ...]:
    """Every candidate's time to the target: all of them with the first seed, those near the best with the others.

    ``seeds`` should not hold the one that set the target: that training comes to it by construction. The reference
    goes first, then its neighbors: a good time early gives the hopeless up sooner. Where only one is left there is no
    more to decide; a race of one runs with all seeds. A candidate that diverges with any seed counts as diverged. The
    race ends with the first reading of a loss after ``budget_seconds`` on the ``clock``; a further training that this
    cuts off is as if it had not begun.
    """
    contest = _Race(
        candidates=candidates,
        start=start,
        target=target,
        reference=reference,
        began=clock(),
        budget_seconds=budget_seconds,
        clock=clock,
    )
    nearest = sorted(candidates, key=lambda c: abs(math.log(c.batch_size / reference.batch_size)))
    for i, seed in enumerate(seeds):
        judged = contest.judged(nearest)
        runners = judged if i == 0 else finalists(judged)
        if i > 0 and (contest.is_over or len(runners) < min(2, len(candidates))):
            break
        share = FIRST_ROUND_SHARE if i == 0 and len(seeds) > 1 else 1.0
        for j, candidate in enumerate(runners):
            contest.run(candidate, seed, share=share, n_runners=len(runners))
            on_part((i + (j + 1) / len(runners)) / len(seeds))
    return tuple(contest.judged(candidates))


@dataclass(frozen=True, kw_only=True)
class _Race:
    """A race that goes on: what it is run with, and who came how far."""

    candidates: Sequence[Candidate]
    start: Start
    target: Target
    reference: Candidate
    began: float
    budget_seconds: float
    clock: Clock
    reaches: dict[int, list[Reach]] = field(default_factory=dict)
    """By batch size, one a seed."""

    @property
    def is_over(self) -> bool:
        return self.clock() > self.began + self.budget_seconds

    def run(self, candidate: Candidate, seed: int, *, share: float, n_runners: int) -> None:
        """One training of ``candidate``, which ends when ``share`` of the race's time is over."""
        before = self.reaches.setdefault(candidate.batch_size, [])
        seconds = self._limit(is_first=not before, budget_seconds=self.budget_seconds * share / n_runners)
        n_most = max(1, math.ceil(seconds / candidate.seconds_per_step))
        deadline = self.began + self.budget_seconds * share
        if self.clock() > deadline:
            reach = Reach(verdict=Verdict.OUT_OF_TIME, n_steps=math.nan)
        else:
            begun = unless_out_of_memory(partial(self._reach, candidate, seed, n_most, deadline))
            reach = begun or Reach(verdict=Verdict.OUT_OF_MEMORY, n_steps=math.nan)
        if not before or reach.verdict is not Verdict.OUT_OF_TIME:
            before.append(reach)

    def judged(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        return [_judged(candidate, self.reaches.get(candidate.batch_size, ())) for candidate in candidates]

    def _limit(self, *, is_first: bool, budget_seconds: float) -> float:
        """Seconds of training after which a candidate is given up."""
        best = min(_seconds(c, self.reaches.get(c.batch_size, ())) for c in self.candidates)
        if math.isinf(best):
            best = max(self.target.reference_steps * self.reference.seconds_per_step, budget_seconds)
        return best * (SLOWEST if is_first else LATER_SLOWEST)

    def _reach(self, candidate: Candidate, seed: int, n_most: int, deadline: float) -> Reach:
        training = self.start(candidate, seed)
        return steps_to_target(training, self.target, n_most=n_most, deadline=deadline, clock=self.clock)


def finalists(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that came to the target in nearly the best time."""
    times = {c.batch_size: c.seconds_to_target for c in candidates if c.seconds_to_target is not None}
    limit = FINALISTS * min(times.values(), default=0.0)
    return [c for c in candidates if times.get(c.batch_size, math.inf) <= limit]


def _seconds(candidate: Candidate, reaches: Sequence[Reach]) -> float:
    """Seconds to the target, a mean over the seeds; infinite when one did not come there."""
    if not reaches or any(reach.verdict is not Verdict.REACHED for reach in reaches):
        return math.inf
    return statistics.fmean(reach.n_steps for reach in reaches) * candidate.seconds_per_step


def _judged(candidate: Candidate, reaches: Sequence[Reach]) -> Candidate:
    if not reaches:
        return candidate
    failures = [reach.verdict for reach in reaches if reach.verdict is not Verdict.REACHED]
    if failures:
        return dataclasses.replace(
            candidate, verdict=failures[0], steps_to_target=None, seconds_to_target=None, n_seeds=len(reaches)
        )
    return dataclasses.replace(
        candidate,
        verdict=Verdict.REACHED,
        steps_to_target=statistics.fmean(reach.n_steps for reach in reaches),
        seconds_to_target=_seconds(candidate, reaches),
        n_seeds=len(reaches),
    )
