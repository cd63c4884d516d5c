"""Trials of dead workers brought back: ended as not counted, and their configs queued as new trials."""

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from studies import tables
from studies.lease_rows import Lease, LeaseRows
from studies.machine import Process
from studies.outages import in_transaction

MAX_LOSSES = 3
"""A config that has taken its worker down this often is not trained again: it is the cause, not the machine."""

REPLACES = "replaces"
"""User attribute of a trial: the number of the lost or interrupted trial whose config it trains again."""
N_LOSSES = "n_losses"
"""User attribute of a trial: how many workers its config has already cost."""

_log = logging.getLogger(__name__)


class _AnotherIsAsking(Exception):  # noqa: N818 - a state of affairs, not an error
    """A live worker has asked for a trial and not yet bound its lease to it."""


class Reclaimer:
    """Brings back what workers of one study left behind.

    Args:
        rows: of the study's leases.
        study: whose trials they are on.
        grace_seconds: after which silence a worker counts as dead.
        is_at_work: whether this process works on a lease of its own, by its id.
    """

    def __init__(
        self,
        rows: LeaseRows,
        study: optuna.Study,
        *,
        grace_seconds: float,
        is_at_work: Callable[[str], bool],
    ) -> None:
        self._rows = rows
        self._study = study
        self._grace = grace_seconds
        self._is_at_work = is_at_work
        self._ownerless_since: dict[int, float] = {}

    def reclaim_stale(self) -> list[int]:
        """Bring back the trials of dead workers; the numbers of those that were ended here."""
        stale = self._rows.in_lock(self._mark_stale)
        numbers = [self.reclaim(row["lease_id"], row["trial_id"], was_lost=True) for row in stale]
        numbers += [self.give_back_unleased(trial_id) for trial_id in self._ownerless()]
        return [number for number in numbers if number is not None]

    def _mark_stale(self, connection: sa.Connection) -> list[dict[str, Any]]:
        stale = [row for row in self._rows.open_leases(connection) if self._is_stale(row)]
        for row in stale:
            connection.execute(
                sa.update(tables.leases)
                .where(tables.leases.c.lease_id == row["lease_id"])
                .values(status="reclaiming", beat_at=tables.database_seconds(), **self._rows.me.columns())
            )
        return stale

    def _is_stale(self, row: dict[str, Any]) -> bool:
        holder = Process.from_columns(row)
        if holder == self._rows.me:
            return not self._is_at_work(row["lease_id"])
        return bool(row["age"] > self._grace) or self._rows.me.sees_dead(holder)

    def give_back_unleased(self, trial_id: int) -> int | None:
        """End and queue a trial whose lease is gone, under a lease of its own, so that it is not counted."""
        lease_id = uuid.uuid4().hex
        in_transaction(
            self._rows.storage, lambda connection: self._insert_reclaiming(connection, lease_id, trial_id)
        )
        return self.reclaim(lease_id, trial_id, was_lost=False)

    def _insert_reclaiming(self, connection: sa.Connection, lease_id: str, trial_id: int) -> None:
        if not self._rows.named(connection, [lease_id]):  # else the answer of the first attempt was lost
            self._rows.insert(
                connection, [Lease(lease_id=lease_id, ordinal=0, trial_id=trial_id)], status="reclaiming"
            )

    def reclaim(self, lease_id: str, trial_id: int | None, *, was_lost: bool) -> int | None:
        """End the trial of a lease in ``reclaiming`` and queue its config. Safe to repeat if we die half-way."""
        if trial_id is None:
            try:
                trial_id = self._orphan()
            except _AnotherIsAsking:
                return None  # stays in `reclaiming`, to be tried again in a moment
        if trial_id is None:  # its worker died before it had asked for a trial
            self._rows.delete(lease_id)
            return None
        trial = self.end_as_not_counted(trial_id, was_lost=was_lost)
        counts = trial.state is not TrialState.FAIL or trial.user_attrs.get("outcome") == "failed"
        if not counts and not self._is_replaced(trial):
            self.queue_again(trial, was_lost=was_lost)
        self._rows.update(lease_id, "reclaiming", status="done" if counts else "reclaimed", trial_id=trial_id)
        return None if counts else trial.number

    def _orphan(self) -> int | None:
        """The trial that a worker had asked for when it died, before it could bind its lease to it.

        While a live worker is between asking and binding, its trial looks the same: then nobody can tell, and the
        reclaim waits.
        """
        orphans, someone_is_asking = self._rows.unleased()
        if orphans and someone_is_asking:
            raise _AnotherIsAsking
        return orphans[0] if orphans else None

    def _ownerless(self) -> list[int]:
        """Trials that have belonged to nobody for longer than the grace time: the answer to an ask was lost."""
        orphans, someone_is_asking = self._rows.unleased()
        now = time.monotonic()
        known = {} if someone_is_asking else self._ownerless_since
        self._ownerless_since = {trial_id: known.get(trial_id, now) for trial_id in orphans}
        return [trial_id for trial_id, since in self._ownerless_since.items() if now - since > self._grace]

    def end_as_not_counted(self, trial_id: int, *, was_lost: bool) -> FrozenTrial:
        """FAIL the trial, unless its worker told a result at the last moment; what became of it."""
        storage = self._study._storage  # noqa: SLF001 - tell() by id, which the public API lacks
        trial = storage.get_trial(trial_id)
        if trial.state.is_finished():
            return trial
        given_up = was_lost and trial.user_attrs.get(N_LOSSES, 0) + 1 >= MAX_LOSSES
        try:
            if given_up:
                message = f"{MAX_LOSSES} workers died while they trained this config."
                error = {"type": "WorkerDied", "message": message, "where": ""}
                storage.set_trial_user_attr(trial_id, "outcome", "failed")
                storage.set_trial_user_attr(trial_id, "error", error)
            storage.set_trial_state_values(trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            _log.info("Trial %d ended while it was being reclaimed.", trial.number)
        return storage.get_trial(trial_id)

    def _is_replaced(self, trial: FrozenTrial) -> bool:
        others = self._study.get_trials(deepcopy=False)
        return any(other.user_attrs.get(REPLACES) == trial.number for other in others)

    def queue_again(self, trial: FrozenTrial, *, was_lost: bool) -> None:
        """Enqueue the trial's config as a new trial, which says whose place it takes."""
        params = trial.system_attrs.get("fixed_params", {}) | trial.params
        n_losses = trial.user_attrs.get(N_LOSSES, 0) + (1 if was_lost else 0)
        self._study.enqueue_trial(params, user_attrs={REPLACES: trial.number, N_LOSSES: n_losses})
