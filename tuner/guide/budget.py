"""What a guide may spend, and how it is split over rounds that have not begun. Arithmetic only: nothing is measured."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from search_spaces.errors import ConfigurationError

SHARE_OF_SEEDS = 0.45
"""Of the whole budget, kept for the last step: two configs and every rung between them on eight seeds each are more
trainings than all rounds before; own design."""
SHARE_OF_TRAINING = 0.7
"""Of the time before the seeds step that goes into trainings; range tests, the batch-size finder and widened rounds
take the rest. Own design."""
MIN_SEEDS = 8
"""Replicates of a confirmation; with fewer an interval says little (docs/comparison.md)."""
MAX_SEEDS = 12
"""More replicates narrow the interval by less than 20%."""
MAX_SEEDS_OF_A_ROUND = 3
"""Where the budget is ample, configs of a round are compared on so many seeds instead of one."""
MIN_EPOCHS, MAX_EPOCHS = 1, 20
"""Between what says anything at all of a config, and what small networks need; own design."""
EPOCHS_WITHOUT_A_CLOCK = 10
"""Of each training where the budget counts trials: `tuner search`'s own default."""

N_BASELINE = 3
"""Seeds of the baseline: the fewest that show how far replicates differ."""
MIN_TRIALS = N_BASELINE + 2 * MIN_SEEDS

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_BUDGET = re.compile(r"\s*(?:(?P<amount>\d+(?:\.\d+)?)\s*(?P<unit>[smh])|(?P<trials>\d+)\s*trials?)\s*")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds, or trainings: one of the two.

    Raises:
        ConfigurationError: for both, for neither, and for less than a confirmation needs.
    """

    seconds: float | None = None
    trials: int | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.trials is None):
            raise ConfigurationError(f"A budget must be either seconds or trials, but got {self}.")
        if self.seconds is not None and not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise ConfigurationError(f"A budget must be more than 0 seconds, but got {self.seconds}.")
        if self.trials is not None and self.trials < MIN_TRIALS:
            raise ConfigurationError(
                f"A budget must be {MIN_TRIALS} trials or more ({N_BASELINE} of the baseline, and 2 configs on "
                f"{MIN_SEEDS} seeds at the end), but got {self.trials}."
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The budget that ``20m``, ``90s``, ``1.5h`` or ``50trials`` names."""
        found = _BUDGET.fullmatch(text)
        if found is None:
            raise ConfigurationError(f"A budget must be like 20m, 90s, 1.5h or 50trials, but got {text!r}.")
        if found["trials"]:
            return cls(trials=int(found["trials"]))
        return cls(seconds=float(found["amount"]) * _UNITS[found["unit"]])

    @property
    def text(self) -> str:
        """The budget for a person."""
        return f"{self.trials} trials" if self.seconds is None else duration(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a round would like: ``n`` configs, the incumbent among them; below ``least`` it is not worth its start."""

    n: int
    least: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.n:
            raise ValueError(f"A wish must have 1 <= least <= n, but got {self}.")


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a guide has used up so far, interruptions not counted."""

    seconds: float = 0.0
    trials: int = 0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast trainings end here."""

    seconds_per_trial: float
    n_workers: int
    seconds_per_start: float = 0.0
    """What starting workers costs a round; one that ends as soon in the guide's own process starts none."""

    def workers_for(self, n_trials: int) -> int:
        """Processes for so many trainings: one, the guide's own, where others would start too late to help."""
        return self.n_workers if self._beside(n_trials) < self._here(n_trials) else 1

    def n_trials(self, seconds: float) -> int:
        """How many trainings end in ``seconds``: workers go in waves."""
        in_turn = math.floor(max(seconds - self.seconds_per_start, 0.0) / self.seconds_per_trial + 1e-9)
        return max(in_turn * self.n_workers, math.floor(max(seconds, 0.0) / self.seconds_per_trial + 1e-9))

    def seconds(self, n_trials: int) -> float:
        """How long ``n_trials`` trainings take with `workers_for` them."""
        return min(self._beside(n_trials), self._here(n_trials))

    def of_epochs(self, epochs: int) -> "Pace":
        """Of trainings of so many epochs, where this is the pace of one epoch each."""
        return replace(self, seconds_per_trial=epochs * self.seconds_per_trial)

    def _beside(self, n_trials: int) -> float:
        return self.seconds_per_start + math.ceil(n_trials / self.n_workers) * self.seconds_per_trial

    def _here(self, n_trials: int) -> float:
        return n_trials * self.seconds_per_trial


@dataclass(frozen=True, kw_only=True)
class Allotment:
    """How many configs a round may train, on how many seeds each; no configs where it is not worth its start."""

    n_configs: int
    n_seeds: int
    n_affordable: int

    @property
    def n_trials(self) -> int:
        return self.n_configs * self.n_seeds


def allot(wish: Wish, later: Sequence[Wish], *, budget: Budget, spent: Spent, pace: Pace) -> Allotment:
    """A round's part of what is left before the seeds, in proportion to what it and later rounds would like.

    A round whose part is below what makes it worth its start takes that much, if it is there: the guide's order is that
    of importance. What a round leaves goes to those after it, since each is allotted only when it begins.
    """
    if budget.seconds is not None:
        part = seconds_for(wish, later, budget=budget, spent=spent, pace=pace)
        n_part, n_left = pace.n_trials(part), pace.n_trials(_seconds_left(budget.seconds, spent, pace))
    else:
        n_left = max(_trials_of(budget) - reserved_trials(_trials_of(budget)) - spent.trials, 0)
        n_part = math.floor(n_left * _share(wish, later) + 1e-9)
    n_affordable = max(n_part, min(n_left, wish.least))
    n_configs = min(wish.n, n_affordable)
    if n_configs < wish.least:
        return Allotment(n_configs=0, n_seeds=0, n_affordable=n_affordable)
    n_seeds = min(max(n_affordable // wish.n, 1), MAX_SEEDS_OF_A_ROUND)
    return Allotment(n_configs=n_configs, n_seeds=n_seeds, n_affordable=n_affordable)


def seconds_for(wish: Wish, later: Sequence[Wish], *, budget: Budget, spent: Spent, pace: Pace) -> float:
    """The time that a round and its instruments may take; infinite where the budget counts trials."""
    if budget.seconds is None:
        return math.inf
    return _seconds_left(budget.seconds, spent, pace) * _share(wish, later)


def _seconds_left(seconds: float, spent: Spent, pace: Pace) -> float:
    """Of a budget of time, before what is kept for the seeds."""
    return max(seconds - reserved_seconds(seconds, pace) - spent.seconds, 0.0)


def n_final_trials(*, budget: Budget, spent: Spent, pace: Pace) -> int:
    """How many trainings the last step may have: all that is left."""
    if budget.seconds is not None:
        return pace.n_trials(budget.seconds - spent.seconds)
    return max(_trials_of(budget) - spent.trials, 0)


@dataclass(frozen=True, kw_only=True)
class FinalTrials:
    """How the last step spends its trainings."""

    n_seeds: int
    """Of the baseline and of the best config."""
    has_ladder: bool
    """Whether every rung between the two is trained on as many."""


def final_trials(n_trials: int, n_changes: int) -> FinalTrials:
    """The ladder where it can be had on `MIN_SEEDS` seeds, then more seeds.

    The two ends are always replicated: without that nothing is confirmed, however little is left.
    """
    has_ladder = n_changes > 0 and n_trials >= (n_changes + 1) * MIN_SEEDS
    n_configs = n_changes + 1 if has_ladder else min(n_changes, 1) + 1
    return FinalTrials(n_seeds=min(max(n_trials // n_configs, MIN_SEEDS), MAX_SEEDS), has_ladder=has_ladder)


def reserved_trials(trials: int) -> int:
    """Trainings kept for the seeds step."""
    return max(math.floor(trials * SHARE_OF_SEEDS), 2 * MIN_SEEDS)


def reserved_seconds(seconds: float, pace: Pace) -> float:
    """Seconds kept for the seeds step."""
    return max(seconds * SHARE_OF_SEEDS, pace.seconds(2 * MIN_SEEDS))


def epochs_that_fit(budget: Budget, wishes: Sequence[Wish], *, n_rungs: int, epoch: Pace) -> int:
    """The most epochs of each training with which all rounds fit, within bounds.

    ``epoch`` is the pace of trainings of one epoch.
    """
    if budget.seconds is None:
        return EPOCHS_WITHOUT_A_CLOCK
    for epochs in range(MAX_EPOCHS, MIN_EPOCHS, -1):
        if all_fits(budget, wishes, n_rungs=n_rungs, pace=epoch.of_epochs(epochs)):
            return epochs
    return MIN_EPOCHS


def all_fits(budget: Budget, wishes: Sequence[Wish], *, n_rungs: int, pace: Pace) -> bool:
    """Whether all rounds get what they would like, and the seeds step every rung on `MIN_SEEDS` seeds."""
    at_the_end = MIN_SEEDS * (n_rungs + 1)
    if budget.seconds is None:
        return sum(wish.n for wish in wishes) + at_the_end <= _trials_of(budget)
    before = (1 - SHARE_OF_SEEDS) * SHARE_OF_TRAINING * budget.seconds
    fits_before = sum(pace.seconds(wish.n) for wish in wishes) <= before
    return fits_before and pace.seconds(at_the_end) <= SHARE_OF_SEEDS * budget.seconds


def shortage(budget: Budget, pace: Pace) -> str:
    """Why the budget will be exceeded, as a sentence; empty where it can be kept."""
    least = pace.seconds(N_BASELINE) + pace.seconds(2 * MIN_SEEDS)
    if budget.seconds is None or least <= budget.seconds:
        return ""
    return (
        f"The budget of {budget.text} will be exceeded: {N_BASELINE} baselines and 2 configs on {MIN_SEEDS} seeds "
        f"are trained in any case, and take about {duration(least)}."
    )


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _share(wish: Wish, later: Sequence[Wish]) -> float:
    return wish.n / (wish.n + sum(other.n for other in later))


def _trials_of(budget: Budget) -> int:
    if budget.trials is None:
        raise ValueError("A budget of seconds has no trials.")
    return budget.trials
