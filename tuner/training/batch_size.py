"""Which batch size trains fastest: by measuring speed, memory and the time to a target loss."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.training.batching.asked import check_asked
from tuner.training.batching.candidates import Candidate, RateRule, Verdict, batch_candidates, rate_rule
from tuner.training.batching.memory import memory_meter
from tuner.training.batching.noise_scale import NoiseScale, read_noise_scale
from tuner.training.batching.race import (
    FINALISTS,
    Target,
    finalists,
    race,
    reference_steps,
    target_of,
)
from tuner.training.batching.reasons import reason_of
from tuner.training.batching.recheck import Recheck, recheck_rate, shortest_steps
from tuner.training.batching.stepping import SteppedTraining
from tuner.training.batching.throughput import Measured, measure_throughput, take_turns
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_by_config
from tuner.training.models import ModelBuilder
from tuner.training.schedules import effective_batch_size

__all__ = ["BatchSizeChoice", "Candidate", "NoiseScale", "Progress", "Verdict", "find_batch_size"]

NEARLY_BEST = 1.05
"""Times the best time to the target: what no one would notice. Among those the smallest batch is taken."""
CLEARLY_SLOWER = FINALISTS
"""Times the best time, up to which a candidate that makes the wanted effective batch exactly is preferred."""
N_SEEDS = 3
TIMED_LANES = 4
"""Of a perceptron: with them a lane's share of a step was 1.3 (batch 2048) to 1.9 times (batch 16 and 32) as small as a
lane alone takes on MNIST, and hardly larger than with eight."""
ALONE = 2.0
"""Times its share of `TIMED_LANES`, what a lane takes at most without company, as the trainings of a race are."""
TIMING_RATE_SHARE = 1e-3
"""Of the learning rate while throughput is measured: a step costs the same, and none diverges."""
THROUGHPUT_SHARE, REFERENCE_SHARE, NOISE_SHARE = 0.2, 0.05, 0.04
RACE_SHARE, TIMING_SHARE, RECHECK_SHARE = 0.45, 0.08, 0.15
OVERTIME_SHARE = 0.1
"""Of the time budget, in the order of the stages; and what a recheck may take beyond the whole of it."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the finder is."""

    stage: str
    fraction: float
    """Done, of the whole, by a rough plan."""
    seconds: float
    """Since it began."""
    budget_seconds: float

    @property
    def seconds_left(self) -> float:
        """By the plan, in which each stage has its share of the budget: most end sooner, so it is seldom too low."""
        return self.budget_seconds * (1 - self.fraction)


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class BatchSizeChoice:
    """The pick, and all that was measured for it."""

    batch_size: int
    accumulation_steps: int
    learning_rate: float
    """For this batch as it is, without a ``batch_lr_rule``."""
    candidates: tuple[Candidate, ...]
    knee: int
    """The smallest batch size with nearly all of the highest throughput."""
    largest_that_fits: int | None
    """By the memory model; None where no limit was seen."""
    target_loss: float
    """Of validation; see `race`."""
    rule: RateRule
    recheck: Recheck | None
    noise_scale: NoiseScale
    reason: str

    @property
    def picked(self) -> Candidate:
        return next(c for c in self.candidates if c.batch_size == self.batch_size)

    def to_json(self) -> dict[str, Any]:
        """As `tuner batch-size --json` prints it (DESIGN §3)."""
        return {
            "batch_size": self.batch_size,
            "accumulation_steps": self.accumulation_steps,
            "learning_rate": self.learning_rate,
            "effective_batch_size": self.picked.effective_batch_size,
            "rule": self.rule.rule,
            "base": {"learning_rate": self.rule.learning_rate, "batch_size": self.rule.batch_size},
            "target_loss": self.target_loss,
            "knee": self.knee,
            "largest_that_fits": self.largest_that_fits,
            "noise_scale": dataclasses.asdict(self.noise_scale),
            "recheck": dataclasses.asdict(self.recheck) if self.recheck else None,
            "reason": self.reason,
            "candidates": [dataclasses.asdict(candidate) for candidate in self.candidates],
        }


def find_batch_size(  # noqa: PLR0913 - one keyword per concern
    config: TrainingConfig,
    data: Dataset | Splits,
    *,
    device: str = "auto",
    model: ModelBuilder | None = None,
    rule: str | None = None,
    effective: int | None = None,
    target_loss: float | None = None,
    recheck: bool = True,
    candidates: Sequence[int] | None = None,
    n_seeds: int = N_SEEDS,
    budget_seconds: float = 40.0,
    on_progress: OnProgress = lambda _progress: None,
) -> BatchSizeChoice:
    """Find the batch size that reaches a target loss soonest, and the learning rate that goes with it.

    Args:
        config: its learning rate is known to work at its own batch size: both are the base of the rule. The rate stays
            constant meanwhile, since the trainings here are far shorter than a schedule.
        data: a data set, which is then split as the config says, or splits.
        device: where to train; splits are already somewhere, and stay there.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        rule: none, linear or sqrt; None is the config's own ``batch_lr_rule``, else linear for sgd, else sqrt.
        effective: a wanted effective batch; what is found is then how to accumulate it.
        target_loss: of validation; None is what the config itself reaches after two epochs (at least 200 optimizer
            steps, but no more than it would train).
        recheck: test the pick's rate with a short learning-rate range test, and lower it where it is not stable.
        candidates: batch sizes instead of powers of two; all of them are tried.
        n_seeds: trainings of each candidate that is near the best.
        budget_seconds: about how long it may take by the clock; slow models get shorter trainings and tests.
        on_progress: called now and then.

    Raises:
        ConfigurationError: for sizes that the data cannot have, a config that does not learn, a target that is not
            between 0 and the untrained model's loss, or a model that does not fit into memory even at the smallest
            batch.
    """
    check_asked(
        config,
        rule=rule,
        effective=effective,
        target_loss=target_loss,
        n_seeds=n_seeds,
        budget_seconds=budget_seconds,
    )
    splits = data if isinstance(data, Splits) else split_by_config(data, config, device=device)
    finder = _Finder(
        config=config,
        splits=splits,
        model=model,
        rule=rate_rule(config, len(splits.train_x), rule),
        # Not the config's own, which sets the target: that training would come to it by construction.
        seeds=range(config.seed + 1, config.seed + 1 + n_seeds),
        budget_seconds=budget_seconds,
        on_progress=on_progress,
    )
    return finder.find(effective=effective, sizes=candidates, target_loss=target_loss, recheck=recheck)


@dataclass(kw_only=True)
class _Finder:
    """The stages of `find_batch_size` on one config and its data."""

    config: TrainingConfig
    splits: Splits
    model: ModelBuilder | None
    rule: RateRule
    seeds: Sequence[int]
    budget_seconds: float
    on_progress: OnProgress

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._fraction = 0.0

    def find(
        self,
        *,
        effective: int | None,
        sizes: Sequence[int] | None,
        target_loss: float | None,
        recheck: bool,
    ) -> BatchSizeChoice:
        measured = self.measure(effective=effective, sizes=sizes)
        target, noise = self.reference(measured, target_loss)
        raced = self.race(measured, target)
        picked, raced, rechecked = self.pick(
            raced, target, measured.knee, effective=effective, recheck=recheck
        )
        return BatchSizeChoice(
            batch_size=picked.batch_size,
            accumulation_steps=picked.accumulation_steps,
            learning_rate=picked.learning_rate,
            candidates=raced,
            knee=measured.knee,
            largest_that_fits=measured.largest_that_fits,
            target_loss=target.loss,
            rule=self.rule,
            recheck=rechecked,
            noise_scale=noise,
            reason=reason_of(picked, raced, target.loss, self.rule, rechecked, effective=effective),
        )

    def measure(self, *, effective: int | None, sizes: Sequence[int] | None) -> Measured:
        """Throughput and memory."""
        n_train = len(self.splits.train_x)
        candidates = batch_candidates(self.config, n_train, rule=self.rule, effective=effective, sizes=sizes)
        own = effective_batch_size(self.config, n_train) if effective is None else 0
        # What torch and the data hold once a training has begun is no candidate's memory.
        self._start(candidates[0], self.config.seed).train(1)
        return measure_throughput(
            candidates,
            self._start_slowed,
            memory_meter(self.splits.device),
            at_least=own if sizes is None else n_train,
            budget_seconds=self.budget_seconds * THROUGHPUT_SHARE,
            on_part=self._stage("throughput", 0.0, THROUGHPUT_SHARE),
            n_lanes=self._timed_lanes,
        )

    def reference(self, measured: Measured, loss: float | None) -> tuple[Target, NoiseScale]:
        """The target, and the noise scale where the reference training came to it."""
        reference = self._reference_of(measured.candidates)
        training = self._start(reference, self.config.seed)
        budget = self.budget_seconds * REFERENCE_SHARE
        n_steps = reference_steps(training, self._alone * reference.seconds_per_step, budget)
        target = target_of(training, n_steps, seed=self.config.seed, loss=loss, budget_seconds=budget)
        n_most = int(self.budget_seconds * NOISE_SHARE * (reference.samples_per_second or 0.0))
        return target, read_noise_scale(training, seed=self.config.seed, n_most=n_most)

    def race(self, measured: Measured, target: Target) -> tuple[Candidate, ...]:
        """The time to the target, of every candidate whose throughput gives it a chance."""
        on_part = self._stage("training", 1 - RECHECK_SHARE - TIMING_SHARE - RACE_SHARE, RACE_SHARE)
        raced = self._race(
            measured.hopeful(self.rule.batch_size), measured.candidates, target, RACE_SHARE, on_part
        )
        timed = self._timed_again(finalists(raced))
        by_size = {candidate.batch_size: candidate for candidate in (*raced, *timed)}
        return tuple(by_size.get(candidate.batch_size, candidate) for candidate in measured.candidates)

    def _timed_again(self, runners: Sequence[Candidate]) -> list[Candidate]:
        """The few between which it is decided, timed among themselves with more turns each."""
        if len(runners) < 2:
            return []
        speeds = take_turns(
            runners,
            self._start_slowed,
            deadline=time.monotonic() + self.budget_seconds * TIMING_SHARE,
            on_part=self._stage("timing", 1 - RECHECK_SHARE - TIMING_SHARE, TIMING_SHARE),
            n_lanes=self._timed_lanes,
        )
        return [c.at_speed(speeds[c.batch_size]) for c in runners if c.batch_size in speeds]

    def pick(
        self,
        candidates: tuple[Candidate, ...],
        target: Target,
        knee: int,
        *,
        effective: int | None,
        recheck: bool,
    ) -> tuple[Candidate, tuple[Candidate, ...], Recheck | None]:
        """The pick, the candidates with what rechecks changed, and the recheck of the pick.

        A candidate whose rate is lowered runs to the target once more, and competes again with the time it then takes.
        """
        rechecks: dict[int, Recheck] = {}
        while True:
            picked = pick_candidate(candidates, knee, effective=effective)
            if not recheck or picked.batch_size in rechecks or not self._has_time_to_recheck(picked):
                return picked, candidates, rechecks.get(picked.batch_size)
            checked = recheck_rate(
                picked,
                self.config,
                self.splits,
                model=self.model,
                budget_seconds=self.budget_seconds * RECHECK_SHARE / self._alone,
                on_part=self._stage("recheck", 1 - RECHECK_SHARE, RECHECK_SHARE),
            )
            rechecks[picked.batch_size] = checked
            if checked.learning_rate == picked.learning_rate:
                continue
            lowered = dataclasses.replace(picked, learning_rate=checked.learning_rate)
            (again,) = self._race((lowered,), candidates, target, self._share_left(), lambda _part: None)
            candidates = tuple(again if c.batch_size == again.batch_size else c for c in candidates)

    def _race(
        self,
        runners: Sequence[Candidate],
        candidates: Sequence[Candidate],
        target: Target,
        share: float,
        on_part: Callable[[float], None],
    ) -> tuple[Candidate, ...]:
        return race(
            runners,
            self._start,
            target,
            seeds=self.seeds,
            reference=self._reference_of(candidates),
            budget_seconds=self.budget_seconds * share,
            on_part=on_part,
        )

    def _share_left(self) -> float:
        """Of the budget, and no less than what a recheck has: most stages end before their time is up."""
        return max(RECHECK_SHARE, 1 - (time.monotonic() - self._began) / self.budget_seconds)

    def _has_time_to_recheck(self, candidate: Candidate) -> bool:
        """Whether the shortest range test ends within the budget, but for a little overtime."""
        seconds = shortest_steps() * self._alone * candidate.seconds_per_step
        return seconds <= (self._share_left() + OVERTIME_SHARE) * self.budget_seconds

    def _reference_of(self, candidates: Sequence[Candidate]) -> Candidate:
        """The candidate nearest to the pair that the rule starts from; of equals, the one with the best throughput."""
        measured = [c for c in candidates if c.samples_per_second is not None]
        return min(
            measured,
            key=lambda c: (
                abs(math.log(c.effective_batch_size / self.rule.batch_size)),
                -(c.samples_per_second or 0.0),
            ),
        )

    @property
    def _timed_lanes(self) -> int:
        """A perceptron's lanes train in one pass, for sure. Of other models only a probe would tell: timed alone."""
        return TIMED_LANES if self.model is None and self.config.model == "mlp" else 1

    @property
    def _alone(self) -> float:
        return ALONE if self._timed_lanes > 1 else 1.0

    def _start(self, candidate: Candidate, seed: int, n_lanes: int = 1) -> SteppedTraining:
        config = dataclasses.replace(candidate.config(self.config), seed=seed)
        return SteppedTraining(config, self.splits, model=self.model, n_lanes=n_lanes)

    def _start_slowed(self, candidate: Candidate, n_lanes: int) -> SteppedTraining:
        rate = candidate.learning_rate * TIMING_RATE_SHARE
        slowed = dataclasses.replace(candidate, learning_rate=rate)
        return self._start(slowed, self.config.seed, n_lanes)

    def _stage(self, name: str, begin: float, share: float) -> Callable[[float], None]:
        def on_part(part: float) -> None:
            self._fraction = max(
                self._fraction, min(begin + share * part, 1.0)
            )  # a second recheck starts anew
            self.on_progress(
                Progress(
                    stage=name,
                    fraction=self._fraction,
                    seconds=time.monotonic() - self._began,
                    budget_seconds=self.budget_seconds,
                )
            )

        on_part(0.0)
        return on_part


def pick_candidate(candidates: Sequence[Candidate], knee: int, *, effective: int | None = None) -> Candidate:
    """The smallest batch among those with nearly the best time to the target; the knee where none reached it.

    Where a wanted ``effective`` batch is made exactly by a candidate that is not clearly slower, only such compete.
    """
    times = {c.batch_size: c.seconds_to_target for c in candidates if c.seconds_to_target is not None}
    if not times:
        return next(c for c in candidates if c.batch_size == knee)
    tolerated = CLEARLY_SLOWER * min(times.values())
    exact = {c.batch_size for c in candidates if c.effective_batch_size == effective}
    times = {
        size: seconds for size, seconds in times.items() if size in exact and seconds <= tolerated
    } or times
    limit = NEARLY_BEST * min(times.values())
    smallest = min(size for size, seconds in times.items() if seconds <= limit)
    return next(c for c in candidates if c.batch_size == smallest)
