"""The batch sizes that are tried, each with the learning rate that a rule gives it. Loads no torch."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig
from tuner.training.schedules import effective_batch_size, peak_learning_rate

SMALLEST, LARGEST = 16, 8192
"""Samples. Below, a step is nearly all overhead; above, throughput has flattened out on every device we know of."""
LARGEST_SHARE = 1 / 4
"""Of the training data: with fewer than four steps an epoch there is little left to compare."""


class Verdict(StrEnum):
    """What became of a candidate."""

    REACHED = "reached"
    TOO_SLOW = "too_slow"
    """Given up: not at the target in 1.5 times the best time."""
    OUT_OF_TIME = "out_of_time"
    """Not at the target when the race's time was up."""
    DIVERGED = "diverged"
    NOT_TRIED = "not_tried"
    """Not trained to the target, because a smaller batch is as fast at a step."""
    OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One batch size, and what was measured of it."""

    batch_size: int
    """Samples that are passed through the model at once."""
    accumulation_steps: int
    learning_rate: float
    """By the rule, or lowered after the recheck."""
    verdict: Verdict = Verdict.NOT_TRIED
    samples_per_second: float | None = None
    memory_bytes: int | None = None
    """The most that training held beyond what the process, or the device, held before."""
    steps_to_target: float | None = None
    """Optimizer steps, a mean over the seeds."""
    seconds_to_target: float | None = None
    """``steps_to_target`` at the measured throughput: evaluation is not counted."""
    n_seeds: int = 0
    """Trainings that ``steps_to_target`` is the mean of."""

    @property
    def effective_batch_size(self) -> int:
        """Samples of one optimizer step."""
        return self.batch_size * self.accumulation_steps

    @property
    def seconds_per_step(self) -> float:
        """Of an optimizer step.

        Raises:
            ValueError: when its throughput was not measured.
        """
        if self.samples_per_second is None:
            raise ValueError(f"Batch size {self.batch_size} has no throughput.")
        return self.effective_batch_size / self.samples_per_second

    def at_speed(self, samples_per_second: float) -> Self:
        """The candidate with another throughput, and the time to the target that follows from it."""
        timed = dataclasses.replace(self, samples_per_second=samples_per_second)
        if self.steps_to_target is None:
            return timed
        return dataclasses.replace(timed, seconds_to_target=self.steps_to_target * timed.seconds_per_step)

    def config(self, config: TrainingConfig) -> TrainingConfig:
        """``config`` at this batch size; its learning rate is what it says."""
        return dataclasses.replace(
            config,
            batch_size=self.batch_size,
            accumulation_steps=self.accumulation_steps,
            learning_rate=self.learning_rate,
            batch_lr_rule="none",
        )


@dataclass(frozen=True, kw_only=True)
class RateRule:
    """How the learning rate follows the effective batch, from a pair that is known."""

    rule: str
    learning_rate: float
    batch_size: int
    """The effective batch that ``learning_rate`` is meant for."""
    config: TrainingConfig
    """As the user gave it, with the rule and the pair."""

    def rate(self, effective: int, n_train: int) -> float:
        """The rate at ``effective`` samples an optimizer step."""
        at_batch = dataclasses.replace(self.config, batch_size=effective, accumulation_steps=1)
        return peak_learning_rate(at_batch, n_train)


def rate_rule(config: TrainingConfig, n_train: int, rule: str | None = None) -> RateRule:
    """The rule, and the pair it starts from.

    The rule is ``rule``, else the config's own, else linear for sgd and sqrt for the optimizers that divide by the
    gradient's size (Goyal et al. 2017, arXiv:1706.02677; Malladi et al. 2022, arXiv:2205.10287). The pair is the
    config's ``learning_rate`` with its ``base_batch_size`` where it has a rule, else with its own effective batch.

    Raises:
        ConfigurationError: for a rule that there is not.
    """
    base = effective_batch_size(config, n_train)
    if config.batch_lr_rule != "none":
        base = config.base_batch_size
        rule = rule or config.batch_lr_rule
    rule = rule or ("linear" if config.optimizer == "sgd" else "sqrt")
    pair = {"batch_lr_rule": rule, "base_batch_size": base}
    ruled = TrainingConfig.from_mapping(config.to_mapping() | pair)
    return RateRule(rule=rule, learning_rate=config.learning_rate, batch_size=base, config=ruled)


def batch_candidates(
    config: TrainingConfig,
    n_train: int,
    *,
    rule: RateRule,
    effective: int | None = None,
    sizes: Sequence[int] | None = None,
) -> tuple[Candidate, ...]:
    """The candidates, smallest batch first.

    Args:
        config: its own batch is one of them, unless an effective batch or the sizes are given.
        n_train: samples to train on.
        rule: gives each its learning rate.
        effective: a wanted effective batch: the candidates are then the ways to accumulate it.
        sizes: instead of powers of two.

    Raises:
        ConfigurationError: for sizes or an effective batch that the data cannot have.
    """
    _check_sizes(n_train, effective, sizes)
    if effective is not None:
        pairs = [_accumulating(size, effective) for size in sizes or [*_powers(effective), effective]]
    else:
        own = effective_batch_size(config, n_train)
        pairs = [(size, 1) for size in sizes or [*_powers(n_train * LARGEST_SHARE), own]]
    return tuple(
        Candidate(
            batch_size=size,
            accumulation_steps=n_steps,
            learning_rate=rule.rate(size * n_steps, n_train),
        )
        for size, n_steps in sorted(set(pairs))
    )


def _check_sizes(n_train: int, effective: int | None, sizes: Sequence[int] | None) -> None:
    faults = []
    if effective is not None and not 2 <= effective <= n_train:
        faults.append(f"effective must be 2 to {n_train}, the samples there are, but got {effective}.")
    limit = n_train if effective is None else min(effective, n_train)
    wrong = [size for size in sizes or () if not 1 <= size <= limit]
    if wrong:
        faults.append(f"Candidates must be 1 to {limit}, but got {', '.join(map(str, wrong))}.")
    if sizes is not None and not sizes:
        faults.append("Candidates must be one batch size or more, but got none.")
    if faults:
        raise ConfigurationError("\n".join(faults))


def _powers(limit: float) -> list[int]:
    """Powers of two up to ``limit``; for small data a few below the usual smallest."""
    last = int(math.log2(max(min(limit, LARGEST), 2)))
    first = min(int(math.log2(SMALLEST)), max(last - 2, 1))
    return [2**power for power in range(first, last + 1)]


def _accumulating(size: int, effective: int) -> tuple[int, int]:
    """About ``size`` samples at a time, and how many times.

    The largest divisor of ``effective`` in (size / 2, size]; where there is none ``size`` itself, as often as it fits.
    """
    divisors = [part for part in range(size, size // 2, -1) if effective % part == 0]
    part = divisors[0] if divisors else size
    return part, effective // part
