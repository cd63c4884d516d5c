"""What a study remembers: outcomes, trial and study records. Plain data; what was measured is in `studies.readings`."""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution

from studies.plan import StudyPlan
from studies.proofs import ProofRecord
from studies.readings import NAN, Telemetry


class Outcome(StrEnum):
    """How a training ended."""

    COMPLETED = "completed"
    STOPPED_EARLY = "stopped_early"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    OUT_OF_TIME = "out_of_time"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    LOST = "lost"

    @property
    def sentence(self) -> str:
        """What happened, for a person."""
        return _OUTCOMES[self][0]

    @property
    def hint(self) -> str:
        """What one may do about it; empty where nothing is to be done."""
        return _OUTCOMES[self][1]

    @property
    def is_answer(self) -> bool:
        """Whether the outcome says something about the config, and not about the machine it ran on."""
        return self not in {Outcome.OUT_OF_TIME, Outcome.INTERRUPTED, Outcome.FAILED, Outcome.LOST}


HANDED_BACK = (Outcome.INTERRUPTED, Outcome.OUT_OF_TIME)
"""Outcomes of trainings that others stopped: their configs are queued again, and nothing is counted."""

WATCHED_CONFIG = "watched_config"
"""User attribute of a trial: what `tuner.watch` saw of its config."""
WATCHED_METRIC = "metric"
"""User attribute of a study that a watched loop made: the reading that its values are."""
SPARED_AT = "spared_at"
"""User attribute of a trial: the epoch after which it was condemned, and spared."""

_OUTCOMES = {
    Outcome.COMPLETED: ("It trained for all its epochs.", ""),
    Outcome.STOPPED_EARLY: ("It stopped when validation had not improved for `patience` epochs.", ""),
    Outcome.DIVERGED: ("A loss or a parameter became infinite or NaN.", "Lower learning_rate, or warm up."),
    Outcome.PRUNED: ("The pruner ended it: it did worse than other trials at the same epoch.", ""),
    Outcome.OUT_OF_TIME: ("The time limit ended it.", "Give --timeout more seconds, or resume."),
    Outcome.INTERRUPTED: ("A signal ended it.", "Run the same command again; its config is queued."),
    Outcome.FAILED: ("Its own code raised an exception.", "See the recorded error."),
    Outcome.LOST: ("The worker that trained it died.", "Its config is queued as a new trial."),
}


@dataclass(frozen=True, kw_only=True)
class TrialError:
    """The exception that ended a trial."""

    type: str
    message: str
    where: str = ""
    """``file:line`` of the innermost frame; two errors of one type and place count as the same."""

    def is_same(self, other: "TrialError | None") -> bool:
        return other is not None and (self.type, self.where) == (other.type, other.where)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial, as far as it got."""

    number: int
    state: str
    """Optuna's state in lower case: complete, pruned, fail, running, waiting."""
    outcome: Outcome | None
    """None while it runs or waits, and for trials of a study that was not made by this toolkit and failed."""
    value: float | None
    """The objective's value; None where none exists (running, failed, diverged)."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What the sampler suggested, by lever name."""
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    """The Optuna distribution of each of ``params``, as it was for this trial."""
    searched: Mapping[str, Any] = field(default_factory=dict)
    """``params`` under their config keys (momentum, not one_minus_momentum); equals ``params`` for a foreign study."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The whole config: ``searched`` over what was fixed over the defaults. Equals ``params`` for a foreign study."""
    intermediate_values: Mapping[int, float] = field(default_factory=dict)
    telemetry: Telemetry | None = None
    error: TrialError | None = None
    started: dt.datetime | None = None
    ended: dt.datetime | None = None
    replaces: int | None = None
    """The number of the lost or interrupted trial whose config this one trains again."""
    reuses: int | None = None
    """The number of the trial of the same config whose result this one took over without training."""
    spared_at: int | None = None
    """The epoch after which the pruner condemned it, if it was let run on to check the pruner."""
    test_accuracy: float | None = None
    """Of the best epoch's weights on the test split, where the plan asks for it; None elsewhere."""
    test_loss: float | None = None

    @property
    def seconds(self) -> float:
        """Wall time from start to end; NaN while it runs."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else NAN

    @property
    def is_counted(self) -> bool:
        """Whether ``--trials`` counts it: it has ended, and its config does not come back."""
        return self.state in {"complete", "pruned"} or (
            self.state == "fail" and self.outcome not in {Outcome.LOST, *HANDED_BACK}
        )

    @property
    def is_handed_back(self) -> bool:
        """Whether a living worker gave it back, because it was interrupted or its time was up."""
        return self.state == "fail" and self.outcome in HANDED_BACK

    @property
    def is_complete(self) -> bool:
        return self.state == "complete" and self.value is not None and math.isfinite(self.value)


@dataclass(frozen=True, kw_only=True)
class TrialCounts:
    """How the trials of a study ended; the five kinds exclude each other."""

    complete: int = 0
    pruned: int = 0
    diverged: int = 0
    failed: int = 0
    lost: int = 0
    """Dead workers' and interrupted trials: not counted towards ``--trials``, their configs come back."""

    @property
    def counted(self) -> int:
        """What ``--trials`` counts."""
        return self.complete + self.pruned + self.diverged + self.failed


@dataclass(frozen=True, kw_only=True)
class WorkerSeconds:
    """Where the time of one worker went, or that of several together: seconds by activity, each moment once."""

    worker: str
    """The machine and the process, for a person."""
    wall_seconds: float
    """From the start of the process to its last note; of several workers their sum."""
    seconds: Mapping[str, float]
    """By activity; see ``studies.overhead.ACTIVITIES``."""

    @property
    def other_seconds(self) -> float:
        """What no activity has counted."""
        return max(self.wall_seconds - sum(self.seconds.values()), 0.0)

    def shares(self) -> dict[str, float]:
        """The share of each activity in the wall time, and of ``other``; they add up to 1."""
        parts = {**self.seconds, "other": self.other_seconds}
        total = sum(parts.values())
        return {name: part / total if total > 0 else 0.0 for name, part in parts.items()}


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A whole study. ``plan`` is None for a study that was not made by this toolkit."""

    name: str
    direction: str
    trials: tuple[TrialRecord, ...]
    metric: str = "value"
    plan: StudyPlan | None = None
    storage: str = ""
    """The storage's URL without its password."""
    overhead: tuple[WorkerSeconds, ...] = ()
    """Where the time went, of each worker in the order of their starts; empty where nobody measured it."""
    proofs: tuple[ProofRecord, ...] = ()
    """What `tuner fix` found of remedies, by trial."""

    @property
    def is_maximized(self) -> bool:
        return self.direction == "maximize"

    @cached_property  # asked for by every rule on every trial
    def best(self) -> TrialRecord | None:
        """The complete trial with the best finite value, the earliest of equals; None when there is none."""
        complete = self.complete_trials
        if not complete:
            return None
        sign = -1.0 if self.is_maximized else 1.0
        return min(complete, key=lambda trial: (sign * float(trial.value or 0.0), trial.number))

    @cached_property  # asked for by every rule on every trial
    def complete_trials(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials if trial.is_complete)

    @cached_property
    def counts(self) -> TrialCounts:
        n = dict.fromkeys(("complete", "pruned", "diverged", "failed", "lost"), 0)
        for trial in self.trials:
            n[_kind(trial)] = n.get(_kind(trial), 0) + 1
        return TrialCounts(**{kind: n[kind] for kind in ("complete", "pruned", "diverged", "failed", "lost")})

    @property
    def n_reused(self) -> int:
        """Trials that took over the result of an earlier one of the same config, without training."""
        return sum(trial.reuses is not None for trial in self.trials)

    @property
    def n_handed_back(self) -> int:
        """Of the trials that count as lost, those that a living worker gave back."""
        return sum(trial.is_handed_back for trial in self.trials)

    @property
    def has_telemetry(self) -> bool:
        return any(trial.telemetry is not None and trial.telemetry.epochs for trial in self.trials)


def _kind(trial: TrialRecord) -> str:
    if trial.outcome is Outcome.DIVERGED:
        return "diverged"
    if trial.state == "fail":
        return "lost" if trial.outcome in {Outcome.LOST, *HANDED_BACK} else "failed"
    return trial.state
