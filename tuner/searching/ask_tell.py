"""The loop every worker runs: take trials, train those of one structure together, tell them; until nothing is left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from studies.leases import Refusal
from studies.readings import EpochReadings
from studies.recorded import RecordedStudy
from studies.records import Outcome, TrialError
from tuner.searching.cohorts import CohortTrainer, no_refill
from tuner.searching.desk import STORAGE_ERRORS, Desk, HeldTrial
from tuner.searching.duplicates import FinishedTwins
from tuner.searching.failures import Failures
from tuner.searching.objective import Objective, taken_over
from tuner.searching.parallelism import LaneChoice
from tuner.searching.sparing import Sparing
from tuner.searching.strategy import make_pruner, make_sampler
from tuner.searching.weights import WeightsOfBest
from tuner.training.lanes.structure import structural_levers, structure_of
from tuner.training.stopwatch import Stopwatch

POLL_SECONDS = 0.5
"""How often a worker with nothing to do looks whether a held trial has come back."""
RECLAIM_SECONDS = 1.0
"""Between two looks for the trials of dead workers, which costs three transactions."""
ONE_AT_A_TIME = LaneChoice(n_lanes=1, refills=False, reason="one trial at a time, as nothing else was said")


class Ending(StrEnum):
    """Why a worker's loop ended."""

    BUDGET_SPENT = "budget_spent"
    OUT_OF_TIME = "out_of_time"
    INTERRUPTED = "interrupted"
    HALTED = "halted"
    """The same exception came `failures.SAME_ERRORS_TO_HALT` times in a row."""


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """How a worker's loop ended."""

    ending: Ending
    error: TrialError | None = None
    """The repeated exception, when halted."""
    n_lanes: int | None = None
    """Of the worker's cohorts; None where nothing was left to do."""


@dataclass(kw_only=True)
class Limits:
    """When a worker stops: the study's total, a deadline, or a person's wish."""

    n_trials: int | None
    deadline: float | None = None
    """On the clock of ``time.monotonic``."""
    n_workers: int = 1
    """That share what is left of the total: near the end none takes more than its share, so that all end together."""
    is_interrupted: Callable[[], bool] = field(default=lambda: False)

    def reached(self) -> Outcome | None:
        """Why training must end now, if it must. Cheap enough to be asked every few optimizer steps."""
        if self.is_interrupted():
            return Outcome.INTERRUPTED
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return Outcome.OUT_OF_TIME
        return None


_ENDINGS = {Outcome.INTERRUPTED: Ending.INTERRUPTED, Outcome.OUT_OF_TIME: Ending.OUT_OF_TIME}


class AskTellLoop:
    """One worker's share of a study.

    Args:
        recorded: the study, opened for writing; it must have a plan.
        objective: built from the plan.
        limits: when to stop.
        grace_seconds: after which silence a worker counts as dead.
        lanes: how many trials are asked for at once, and train together where their structures agree; and whether a
            lane that has ended is replaced at once, which is done only where no structure is searched: what was asked
            for would else wait in hand for a cohort of its own.
        stopwatch: counts the seconds by activity.
        on_epoch: called after each epoch of each trial, with its number.
        on_trial: called after each trial that was told, with its number.
    """

    def __init__(
        self,
        recorded: RecordedStudy,
        objective: Objective,
        limits: Limits,
        *,
        grace_seconds: float,
        lanes: LaneChoice = ONE_AT_A_TIME,
        stopwatch: Stopwatch | None = None,
        on_epoch: Callable[[int, EpochReadings], None] = lambda _number, _readings: None,
        on_trial: Callable[[int], None] = lambda _number: None,
    ) -> None:
        if recorded.plan is None:
            raise ValueError("Only a study with a plan can be worked on.")
        self._plan = recorded.plan
        self._objective = objective
        self._limits = limits
        self._n_lanes = lanes.n_lanes
        self._refills = lanes.refills and not structural_levers(objective.space)
        self._stopwatch = stopwatch or Stopwatch()
        self._desk = Desk(recorded, grace_seconds=grace_seconds, stopwatch=self._stopwatch, on_trial=on_trial)
        self._twins = FinishedTwins(self._desk.study)
        self._failures = Failures(self._desk)
        pruner = make_pruner(self._plan.pruner, epochs=self._plan.epochs)
        self._desk.study.pruner = pruner
        self._trainer = CohortTrainer(
            objective,
            self._desk,
            pruner,
            failures=self._failures,
            weights=WeightsOfBest(recorded, self._desk.study, objective.dataset),
            should_stop=limits.reached,
            stopwatch=self._stopwatch,
            sparing=Sparing(seed=self._plan.seed, share=self._plan.spared_share),
            on_epoch=on_epoch,
        )
        self._waiting: list[HeldTrial] = []
        """Suggested, and not yet trained."""
        self._is_seeded = False
        self._reclaimed_at: float | None = None

    def run(self) -> WorkerEnd:
        """Work until the budget is spent, time is up, someone interrupts, or one exception keeps coming."""
        with self._desk.attended():
            while (end := self._reason_to_end()) is None:
                self._reclaim_now_and_then()
                asked = self._ask(self._n_lanes)
                if asked is Refusal.BUDGET_SPENT:
                    return WorkerEnd(ending=Ending.BUDGET_SPENT, n_lanes=self._n_lanes)
                if isinstance(asked, Refusal):
                    with self._stopwatch.on("idle"):
                        time.sleep(POLL_SECONDS)
                    continue
                self._waiting = list(asked)
                self._train_waiting()
            return end

    def _reason_to_end(self) -> WorkerEnd | None:
        reason = self._limits.reached()
        if reason is not None:
            return WorkerEnd(ending=_ENDINGS[reason], n_lanes=self._n_lanes)
        repeated = self._failures.repeated()
        if repeated is None:
            return None
        return WorkerEnd(ending=Ending.HALTED, error=repeated, n_lanes=self._n_lanes)

    def _reclaim_now_and_then(self) -> None:
        now = time.monotonic()
        if self._reclaimed_at is None or now - self._reclaimed_at >= RECLAIM_SECONDS:
            self._desk.reclaim()
            self._reclaimed_at = now

    # -- asking --

    def _ask(self, n: int) -> Sequence[HeldTrial] | Refusal:
        """Up to ``n`` more trials with their configs, which are in the database when training starts."""
        leases = self._desk.lease(n, self._limits.n_trials, n_workers=self._limits.n_workers)
        if isinstance(leases, Refusal):
            return leases
        self._seed(leases[0].ordinal)
        asked = self._desk.ask(leases)
        suggested = self._suggest(asked)
        self._desk.flush()
        return self._without_twins(suggested)

    def _seed(self, ordinal: int) -> None:
        if self._is_seeded:
            return
        self._desk.study.sampler = make_sampler(
            self._plan.sampler,
            self._objective.space,
            study_seed=self._plan.seed,
            ordinal=ordinal,
            resolution=self._plan.resolution,
            configs=self._plan.configs,
        )
        self._is_seeded = True

    def _suggest(self, asked: Sequence[HeldTrial]) -> list[HeldTrial]:
        """Let the sampler choose for each; a trial whose config cannot be fails."""
        suggested: list[HeldTrial] = []
        for place, held in enumerate(asked):
            if held.is_lost:
                continue
            try:
                with self._stopwatch.on("sampler"):
                    held.suggested = self._objective.suggest(held.trial)
            except STORAGE_ERRORS:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a config that cannot be fails its trial
                self._failures.tell(held, error)
                if not suggested and self._failures.repeated() is not None:
                    self._desk.hand_back(asked[place + 1 :], Outcome.INTERRUPTED)
                    break
            else:
                suggested.append(held)
        return suggested

    def _without_twins(self, trials: Sequence[HeldTrial]) -> list[HeldTrial]:
        """Those of ours that must be trained; the others take over the result of the trial that trained the same."""
        ours = [held for held in trials if not held.is_lost]
        found = [(held, self._twins.find(held.asked_for.training)) for held in ours]
        told = [(held, taken_over(twin, held.trial)) for held, twin in found if twin is not None]
        if told:
            self._desk.tell(told)
        return [held for held, twin in found if twin is None and not held.is_lost]

    # -- training --

    def _train_waiting(self) -> None:
        """Train what was asked for, cohort by cohort. A trial that equals another one waits for what comes of it."""
        while self._waiting:
            end = self._reason_to_end()
            if end is not None:
                reason = self._limits.reached() or Outcome.INTERRUPTED
                self._desk.hand_back(self._waiting, reason)
                self._waiting = []
                return
            cohort = self._next_cohort()
            self._trainer.train(cohort, self._refill if self._refills else no_refill)
            self._waiting = self._without_twins(self._waiting)

    def _next_cohort(self) -> list[HeldTrial]:
        """The first that waits, and whoever has its structure and is not its twin."""
        structure = structure_of(self._waiting[0].asked_for.config)
        cohort: dict[str, HeldTrial] = {}
        for held in self._waiting:
            has_place = len(cohort) < self._n_lanes and structure_of(held.asked_for.config) == structure
            if has_place:
                cohort.setdefault(held.asked_for.training, held)
        self._waiting = [held for held in self._waiting if held not in cohort.values()]
        return list(cohort.values())

    def _refill(self, n: int) -> Sequence[HeldTrial]:
        """Up to ``n`` more trials for lanes that have ended; one that equals a trial in hand waits."""
        if self._reason_to_end() is not None:
            return ()
        in_training = {held.asked_for.training for held in self._desk.held}
        asked = self._ask(n)
        if isinstance(asked, Refusal):
            return ()
        fresh: list[HeldTrial] = []
        for held in asked:
            is_twin = held.asked_for.training in in_training
            (self._waiting if is_twin else fresh).append(held)
            in_training.add(held.asked_for.training)
        return fresh
