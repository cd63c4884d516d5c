"""The loop every worker runs: take a lease, ask for a trial, train it, tell the result; until nothing is left to do."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from studies.leases import Lease, LeaseLost, Leases, Refusal
from studies.recorded import RecordedStudy
from studies.records import EpochReadings, Outcome, TrialError
from tuner.searching.objective import Objective, Trained
from tuner.searching.strategy import make_pruner, make_sampler
from tuner.searching.weights import save_weights
from tuner.training.functions import UserCodeError

SAME_ERRORS_TO_HALT = 3
"""The same exception so many times in a row is the code's fault, not the config's."""
_POLL_SECONDS = 0.5
"""How often a worker with nothing to do looks whether a held trial has come back."""

STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)
"""What our own reading and writing of the study raises when the database is away for longer than we wait."""

_log = logging.getLogger(__name__)


class Ending(StrEnum):
    """Why a worker's loop ended."""

    BUDGET_SPENT = "budget_spent"
    OUT_OF_TIME = "out_of_time"
    INTERRUPTED = "interrupted"
    HALTED = "halted"
    """The same exception came `SAME_ERRORS_TO_HALT` times in a row."""


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """How a worker's loop ended."""

    ending: Ending
    error: TrialError | None = None
    """The repeated exception, when halted."""


@dataclass(kw_only=True)
class Limits:
    """When a worker stops: the study's total, a deadline, or a person's wish."""

    n_trials: int | None
    deadline: float | None = None
    """On the clock of ``time.monotonic``."""
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
        on_trial: called after each trial that was told, with its number.
    """

    def __init__(
        self,
        recorded: RecordedStudy,
        objective: Objective,
        limits: Limits,
        *,
        grace_seconds: float,
        on_epoch: Callable[[int, EpochReadings], None] = lambda _number, _readings: None,
        on_trial: Callable[[int], None] = lambda _number: None,
    ) -> None:
        if recorded.plan is None:
            raise ValueError("Only a study with a plan can be worked on.")
        self._recorded = recorded
        self._plan = recorded.plan
        self._study = recorded.study
        self._study.pruner = make_pruner(self._plan.pruner, epochs=self._plan.epochs)
        self._objective = objective
        self._limits = limits
        self._leases = Leases(recorded.storage, recorded.study, grace_seconds=grace_seconds)
        self._on_epoch = on_epoch
        self._on_trial = on_trial
        self._n_trials_before = len(self._study.get_trials(deepcopy=False))
        self._is_seeded = False

    def run(self) -> WorkerEnd:
        """Work until the budget is spent, time is up, someone interrupts, or one exception keeps coming."""
        while True:
            reason = self._limits.reached()
            if reason is not None:
                return WorkerEnd(ending=_ENDINGS[reason])
            repeated = repeated_error(self._study, since=self._n_trials_before)
            if repeated is not None:
                return WorkerEnd(ending=Ending.HALTED, error=repeated)
            for number in self._leases.reclaim_stale():
                _log.warning("The worker of trial %d died; its config is queued again.", number)
            lease = self._leases.take(self._limits.n_trials)
            if lease is Refusal.BUDGET_SPENT:
                return WorkerEnd(ending=Ending.BUDGET_SPENT)
            if isinstance(lease, Refusal):
                time.sleep(_POLL_SECONDS)
                continue
            self._one_trial(lease)

    def _one_trial(self, lease: Lease) -> None:
        if not self._is_seeded:
            self._study.sampler = make_sampler(
                self._plan.sampler,
                self._objective.space,
                study_seed=self._plan.seed,
                ordinal=lease.ordinal,
                resolution=self._plan.resolution,
                configs=self._plan.configs,
            )
            self._is_seeded = True
        fence = _Fence()
        try:
            trial = self._study.ask()
            lease = self._leases.bind(lease, trial._trial_id)  # noqa: SLF001 - leases are on ids
            with self._leases.beating(lease, on_loss=fence.close):
                self._train_and_tell(trial, lease, fence)
        except LeaseLost:
            return
        except BaseException:
            # Not a trial's own exception (those are told): the storage, the disk, a second Ctrl-C.
            self._give_up(lease)
            raise
        self._leases.release(lease)
        self._on_trial(trial.number)

    def _give_up(self, lease: Lease) -> None:
        """Give the trial back if that is still possible; if not, another worker does it after the grace time."""
        try:
            if lease.trial_id is None:
                self._leases.release(lease)
            else:
                self._leases.hand_back(lease)
        except STORAGE_ERRORS as error:
            _log.warning("The trial in hand could not be given back now (%s).", error)

    def _train_and_tell(self, trial: optuna.Trial, lease: Lease, fence: "_Fence") -> None:
        try:
            trained = self._objective.train(
                trial,
                telemetry=self._recorded.telemetry,
                should_stop=lambda: Outcome.LOST if fence.is_closed else self._limits.reached(),
                on_epoch=lambda readings: self._on_epoch(trial.number, readings),
            )
        except UpdateFinishedTrialError:
            return  # fenced before the first epoch
        except STORAGE_ERRORS:
            raise  # the machine's fault, not the config's: never counted as a bad value
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what a user's model or data raises fails this trial
            _log.warning("Trial %d failed.", trial.number, exc_info=error)
            self._tell_failed(trial, error_record(error))
            return
        if trained.outcome in _ENDINGS:
            self._set_attributes(trial, outcome=trained.outcome.value)
            self._leases.hand_back(lease)
        elif trained.outcome is not Outcome.LOST:
            self._tell(trial, trained)

    def _tell(self, trial: optuna.Trial, trained: Trained) -> None:
        is_pruned = trained.outcome in {Outcome.PRUNED, Outcome.DIVERGED} or trained.value is None
        self._set_attributes(
            trial, outcome=trained.outcome.value, best_epoch=trained.best_epoch, **trained.attributes
        )
        if is_pruned:
            self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        else:
            told = self._study.tell(trial, trained.value, skip_if_finished=True)
            if told.state is TrialState.COMPLETE:  # and not taken over by another worker meanwhile
                self._keep_weights_of_best(trial, trained)

    def _keep_weights_of_best(self, trial: optuna.Trial, trained: Trained) -> None:
        """Weights are a convenience: a disk that is full must not end the search."""
        if trained.run is None or self._study.best_trial.number != trial.number:
            return
        folder = self._recorded.paths.weights(trial.number)
        about = {"study": self._recorded.name, "trial": trial.number}
        try:
            save_weights(folder, trained.run, self._objective.dataset, self._plan.metric, **about)
        except OSError as error:
            _log.warning("The weights of trial %d could not be kept (%s).", trial.number, error)

    def _tell_failed(self, trial: optuna.Trial, error: TrialError) -> None:
        text = {"type": error.type, "message": error.message, "where": error.where}
        self._set_attributes(trial, outcome=Outcome.FAILED.value, error=text)
        self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def _set_attributes(self, trial: optuna.Trial, **attributes: object) -> None:
        try:
            for key, value in attributes.items():
                trial.set_user_attr(key, value)
        except UpdateFinishedTrialError:
            _log.warning(
                "Trial %d was taken over by another worker; its result here is dropped.", trial.number
            )


def repeated_error(study: optuna.Study, *, since: int) -> TrialError | None:
    """The exception that ended the last trials, if it was always the same.

    Args:
        study: with the errors in its trials' attributes.
        since: the number of trials that were there when the run began: what they ended with is the past.
    """
    finished = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.number >= since and trial.datetime_complete is not None
    ]
    finished.sort(key=lambda trial: (trial.datetime_complete, trial.number))
    last = [trial.user_attrs.get("error") for trial in finished[-SAME_ERRORS_TO_HALT:]]
    errors = [TrialError(**error) for error in last if isinstance(error, dict)]
    if len(errors) == SAME_ERRORS_TO_HALT and all(errors[0].is_same(error) for error in errors):
        return errors[-1]
    return None


def error_record(error: BaseException) -> TrialError:
    """What is kept of an exception: its type, its text, and where it came from."""
    if isinstance(error, UserCodeError) and error.__cause__ is not None:
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    message = str(error).strip() or type(error).__name__
    return TrialError(type=type(error).__name__, message=message[:2000], where=where)


class _Fence:
    """Set by the heartbeat when the lease was taken from us; read by the training loop."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True
