"""Where a worker takes trials and hands results in: leases, fences and the batch storage behind one counter."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from studies.batch import Batch, Told
from studies.leases import Lease, Leases, Refusal
from studies.recorded import RecordedStudy
from studies.records import SPARED_AT, Outcome
from tuner.searching.objective import Suggested, Trained
from tuner.training.lanes.lane import Lane
from tuner.training.stopwatch import Stopwatch

STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)
"""What our own reading and writing of the study raises when the database is away for longer than we wait."""

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class HeldTrial:
    """A trial in this worker's hands, from the ask to the tell."""

    trial: optuna.Trial
    lease: Lease
    suggested: Suggested | None = None
    values: dict[int, float | None] = field(default_factory=dict)
    """What the trained epochs gave, by epoch; None for what is not finite."""
    last_reported: int = 0
    """Epoch. A trial that is trained again, alone, comes through the same epochs; Optuna is told of each once."""
    spared_at: int | None = None
    """The epoch after which it was first condemned, if it runs on all the same."""
    is_lost: bool = False
    """Another worker has taken it over: its work here is dropped, and nothing more may be set on the trial."""

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def trial_id(self) -> int:
        return int(self.trial._trial_id)  # noqa: SLF001 - leases and telemetry are on ids

    @property
    def asked_for(self) -> Suggested:
        """What it trains; only of trials that have been suggested."""
        if self.suggested is None:
            raise RuntimeError(f"Trial {self.number} has not been suggested yet.")
        return self.suggested


class Desk:
    """The trials that one worker holds. ``study`` is for samplers, pruners and trials; one thread uses it.

    Args:
        recorded: the study, opened for writing.
        grace_seconds: after which silence a worker counts as dead.
        stopwatch: counts what is read and written as storage.
        on_trial: called after each trial that was told, with its number.
    """

    def __init__(
        self,
        recorded: RecordedStudy,
        *,
        grace_seconds: float,
        stopwatch: Stopwatch,
        on_trial: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._leases = Leases(recorded.storage, recorded.study, grace_seconds=grace_seconds)
        self._batch = Batch(recorded, leases=self._leases)
        self._stopwatch = stopwatch
        self._on_trial = on_trial
        # Replaced and never changed: the heart beats in a thread of its own.
        self._held: tuple[HeldTrial, ...] = ()
        self._unbound: tuple[Lease, ...] = ()

    @property
    def study(self) -> optuna.Study:
        return self._batch.study

    @property
    def held(self) -> tuple[HeldTrial, ...]:
        """What is in hand now."""
        return self._held

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """Beat for what is held while the body runs. An exception out of it gives everything back."""
        try:
            with self._leases.beating_many(self._all_leases, on_loss=self._lose):
                yield
        except BaseException:
            # Not a trial's own exception (those are told): the storage, the disk, a second Ctrl-C.
            self._give_up()
            raise

    def reclaim(self) -> None:
        """Bring back the trials of dead workers."""
        with self._stopwatch.on("storage"):
            for number in self._leases.reclaim_stale():
                _log.warning("The worker of trial %d died; its config is queued again.", number)

    def lease(self, n: int, n_wanted: int | None, *, n_workers: int) -> Sequence[Lease] | Refusal:
        """Leases on up to ``n`` more trials, and on no more than this worker's share of what is left."""
        with self._stopwatch.on("storage"):
            leases = self._leases.take_many(n, n_wanted, n_workers=n_workers)
        if not isinstance(leases, Refusal):
            self._unbound = tuple(leases)
        return leases

    def ask(self, leases: Sequence[Lease]) -> list[HeldTrial]:
        """A trial for each lease that is still ours."""
        with self._stopwatch.on("storage"):
            taken = self._batch.ask_under(leases)
        asked = [HeldTrial(trial=trial, lease=lease) for lease, trial in taken]
        self._held, self._unbound = (*self._held, *asked), ()
        return asked

    def note_epoch(self, held: HeldTrial, lane: Lane, value: float | None) -> None:
        """Keep the epoch that ``lane`` has just been through; it is written at the next flush. Not of a lost trial."""
        if held.is_lost:
            return
        epoch = lane.n_epochs_done
        with self._stopwatch.on("storage"):
            if epoch == 0:
                self._batch.save_probes(held.trial_id, lane.step_zero, lane.data_probe)
            self._batch.save_epoch(held.trial_id, lane.last_readings, lane.last_steps)
            if epoch == 0:
                return
            held.values[epoch] = value
            if value is not None and epoch > held.last_reported:
                held.trial.report(value, epoch)
                held.last_reported = epoch

    def spare(self, held: HeldTrial, epoch: int) -> None:
        """Note that a condemned trial runs on; only the first time counts. Not of a lost trial."""
        if held.spared_at is None and not held.is_lost:
            held.spared_at = epoch
            held.trial.set_user_attr(SPARED_AT, epoch)

    def flush(self) -> None:
        """Write all that is pending in one transaction, and find out what is no longer ours, which is dropped."""
        with self._stopwatch.on("storage"):
            self._drop_lost(self._batch.flush())

    def tell(self, results: Sequence[tuple[HeldTrial, Trained]]) -> None:
        """End trials with what came of them, and all else that is pending, in one transaction."""
        self._tell([_told(held, trained) for held, trained in results], [held for held, _ in results])

    def tell_failed(self, held: HeldTrial, error: Mapping[str, Any]) -> None:
        """End a trial by its own exception."""
        attributes = {"outcome": Outcome.FAILED.value, "error": dict(error)}
        told = Told(trial=held.trial, state=TrialState.FAIL, attributes=attributes, lease=held.lease)
        self._tell([told], [held])

    def _tell(self, told: Sequence[Told], ended: Sequence[HeldTrial]) -> None:
        with self._stopwatch.on("storage"):
            self._drop_lost(self._batch.tell(told))
        self._let_go(ended)
        for held in ended:
            if not held.is_lost:
                self._on_trial(held.number)

    def hand_back(self, held: Sequence[HeldTrial], outcome: Outcome) -> None:
        """End trials as not counted, for the reason given, and queue their configs."""
        if not held:
            return
        with self._stopwatch.on("storage"):
            for each in held:
                if not each.is_lost:
                    each.trial.set_user_attr("outcome", outcome.value)
            self._drop_lost(self._batch.hand_back([each.lease for each in held]))
        self._let_go(held)

    def _let_go(self, held: Sequence[HeldTrial]) -> None:
        gone = set(held)
        self._held = tuple(each for each in self._held if each not in gone)

    def _drop_lost(self, trial_ids: frozenset[int]) -> None:
        """Forget the trials that another worker has taken over: these, and those whose lease was seen to be gone.

        A trial that a person has ended, and no worker, has left its lease with us.
        """
        for held in self._held:
            if held.trial_id in trial_ids:
                held.is_lost = True
        lost = [held for held in self._held if held.is_lost]
        for held in lost:
            _log.warning(
                "Trial %d was taken over by another worker; its result here is dropped.", held.number
            )
        if lost:
            self._leases.release_many([held.lease for held in lost])
            self._let_go(lost)

    def _all_leases(self) -> tuple[Lease, ...]:
        return (*self._unbound, *(held.lease for held in self._held))

    def _lose(self, lease: Lease) -> None:
        for held in self._held:
            if held.lease.lease_id == lease.lease_id:
                held.is_lost = True

    def _give_up(self) -> None:
        """Give everything back if that is still possible; if not, whoever looks for stale leases next does it."""
        leases = self._all_leases()
        held, self._held, self._unbound = self._held, (), ()
        try:
            self._leases.release_many([lease for lease in leases if lease.trial_id is None])
            self._batch.hand_back([each.lease for each in held])
        except STORAGE_ERRORS as error:
            _log.warning("The trials in hand could not be given back now (%s).", error)
        finally:
            self._leases.forget(leases)


def _told(held: HeldTrial, trained: Trained) -> Told:
    is_pruned = trained.outcome in {Outcome.PRUNED, Outcome.DIVERGED} or trained.value is None
    return Told(
        trial=held.trial,
        state=TrialState.PRUNED if is_pruned else TrialState.COMPLETE,
        value=None if is_pruned else trained.value,
        attributes={"outcome": trained.outcome.value, "best_epoch": trained.best_epoch, **trained.attributes},
        lease=held.lease,
    )
