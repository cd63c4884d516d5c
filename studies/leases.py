"""Which worker holds which trial: the budget kept exact, and the trials of dead workers brought back.

A lease is a row in the study's database. A worker takes one before it asks for a trial, beats while it trains, and
releases it after telling the result. Because leases are handed out under a lock on the study's row, finished trials
and held leases never add up to more than the wanted total, however many nodes take part.

A worker is dead when its process is gone (seen from the same machine, at once) or when it has not beaten for a grace
time (from anywhere, on the database's clock). Its trial becomes FAIL without an outcome, and its config is queued as
a new trial. A worker that was only asleep finds its trial finished when it reports next: that is the fence.

    held ──release──> done
      └──(dead, or handed back)──> reclaiming ──> reclaimed
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from studies import tables
from studies.machine import Process
from studies.outages import in_transaction

GRACE_SECONDS = 60.0
"""Longer than a storage outage one wants to ride out (notes/cluster.md §1.3), shorter than a coffee."""
BEATS_PER_GRACE = 6
"""A beat may be lost, or late by a slow disk, several times before anyone calls the worker dead."""
MAX_LOSSES = 3
"""A config that has taken its worker down this often is not trained again: it is the cause, not the machine."""

REPLACES = "replaces"
"""User attribute of a trial: the number of the lost or interrupted trial whose config it trains again."""
N_LOSSES = "n_losses"
"""User attribute of a trial: how many workers its config has already cost."""

T = TypeVar("T")

_log = logging.getLogger(__name__)

_ours: set[str] = set()
"""The leases that this process works on now. One that it holds in the database and that is not here was left behind by
a loop that an exception ended: it is stale, although its process lives."""


class Refusal(StrEnum):
    """Why no lease was given."""

    BUDGET_SPENT = "budget_spent"
    REST_IS_HELD = "rest_is_held"
    """Every trial that is still wanted is in some worker's hands; one of them may yet come back."""


class LeaseLost(Exception):  # noqa: N818 - a state of affairs, not an error
    """The lease was taken from a worker that was thought dead. Its trial has been given back."""


class _AnotherIsAsking(Exception):  # noqa: N818 - a state of affairs, not an error
    """A live worker has asked for a trial and not yet bound its lease to it."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A worker's time-limited hold on one trial."""

    lease_id: str
    ordinal: int
    """The how-manieth lease of its study, from 1: never given twice, so it can seed what must not repeat."""
    trial_id: int | None = None


class Leases:
    """The leases of one study, as seen by one process."""

    def __init__(
        self,
        storage: RDBStorage,
        study: optuna.Study,
        *,
        grace_seconds: float = GRACE_SECONDS,
        me: Process | None = None,
    ) -> None:
        self._storage = storage
        self._study = study
        self._study_id = study._study_id  # noqa: SLF001 - Optuna offers no public way to a study's id
        self._grace = grace_seconds
        self._me = me or Process.current()
        self._ownerless_since: dict[int, float] = {}

    @property
    def _engine(self) -> sa.Engine:
        return self._storage.engine

    @property
    def beat_seconds(self) -> float:
        return self._grace / BEATS_PER_GRACE

    def take(self, n_wanted: int | None) -> Lease | Refusal:
        """A lease on one more trial, or why there is none. ``n_wanted=None`` sets no limit."""
        lease_id = uuid.uuid4().hex  # outside: a transaction that is repeated must not leave two leases
        lease = self._in_lock(lambda connection: self._take(connection, lease_id, n_wanted))
        if isinstance(lease, Lease):
            _ours.add(lease_id)
        return lease

    def _take(self, connection: sa.Connection, lease_id: str, n_wanted: int | None) -> Lease | Refusal:
        table = tables.leases
        taken = connection.scalar(sa.select(table.c.ordinal).where(table.c.lease_id == lease_id))
        if taken is not None:  # committed before the server went away
            return Lease(lease_id=lease_id, ordinal=taken)
        if n_wanted is not None:
            # Held before counted: a trial that is told and released between the two queries is then seen
            # twice, and the lease refused for a moment. The other way round it would be seen by neither.
            n_held = self._n_held(connection)
            n_counted = self._n_counted(connection)
            if n_counted >= n_wanted:
                return Refusal.BUDGET_SPENT
            if n_counted + n_held >= n_wanted:
                return Refusal.REST_IS_HELD
        ordinal = connection.scalar(
            sa.select(sa.func.coalesce(sa.func.max(table.c.ordinal), 0)).where(self._mine(table))
        )
        lease = Lease(lease_id=lease_id, ordinal=int(ordinal or 0) + 1)
        connection.execute(
            sa.insert(table).values(
                lease_id=lease.lease_id,
                study_id=self._study_id,
                ordinal=lease.ordinal,
                status="held",
                taken_at=tables.database_seconds(),
                beat_at=tables.database_seconds(),
                **self._me.columns(),
            )
        )
        return lease

    def bind(self, lease: Lease, trial_id: int) -> Lease:
        """The lease, now on the trial that was asked for.

        Raises:
            LeaseLost: when the worker slept so long that the lease was taken from it; the trial is given back.
        """
        if not self._update(lease.lease_id, "held", trial_id=trial_id):
            _ours.discard(lease.lease_id)
            self._give_back_unleased(trial_id)
            raise LeaseLost
        return Lease(lease_id=lease.lease_id, ordinal=lease.ordinal, trial_id=trial_id)

    def beat(self, lease: Lease) -> bool:
        """Say that the worker lives. False when the lease is no longer ours: stop, and drop the work."""
        return self._update(lease.lease_id, "held", beat_at=tables.database_seconds())

    def release(self, lease: Lease) -> None:
        """Give the lease up after the trial was told, or when no trial came of it."""
        _ours.discard(lease.lease_id)
        ours = sa.and_(tables.leases.c.lease_id == lease.lease_id, tables.leases.c.status == "held")
        query = (
            sa.delete(tables.leases).where(ours)
            if lease.trial_id is None
            else sa.update(tables.leases).where(ours).values(status="done")
        )
        in_transaction(self._storage, lambda connection: connection.execute(query))

    def hand_back(self, lease: Lease) -> int | None:
        """End our own trial as not counted and queue its config; the number of the trial, or None if it was lost."""
        _ours.discard(lease.lease_id)
        if not self._update(lease.lease_id, "held", status="reclaiming", beat_at=tables.database_seconds()):
            return None
        return self._reclaim(lease.lease_id, lease.trial_id, was_lost=False)

    def reclaim_stale(self) -> list[int]:
        """Bring back the trials of dead workers; the numbers of those that were ended here."""
        stale = self._in_lock(self._mark_stale)
        numbers = [self._reclaim(row["lease_id"], row["trial_id"], was_lost=True) for row in stale]
        numbers += [self._give_back_unleased(trial_id) for trial_id in self._ownerless()]
        return [number for number in numbers if number is not None]

    def _mark_stale(self, connection: sa.Connection) -> list[dict[str, Any]]:
        stale = [row for row in self._open_leases(connection) if self._is_stale(row)]
        for row in stale:
            connection.execute(
                sa.update(tables.leases)
                .where(tables.leases.c.lease_id == row["lease_id"])
                .values(status="reclaiming", beat_at=tables.database_seconds(), **self._me.columns())
            )
        return stale

    def n_counted(self) -> int:
        """The finished trials that ``--trials`` counts."""
        return in_transaction(self._storage, self._n_counted)

    @contextmanager
    def beating(self, lease: Lease, *, on_loss: Callable[[], None]) -> Iterator[None]:
        """Beat in the background while the body runs; ``on_loss`` is called once if the lease is taken from us."""
        stop = threading.Event()

        def beat_until_stopped() -> None:
            while not stop.wait(self.beat_seconds):
                try:
                    if not self.beat(lease):
                        on_loss()
                        return
                except sa.exc.SQLAlchemyError as error:
                    # An outage shorter than the grace time harms nobody; a longer one is the fence's business.
                    _log.warning("A heartbeat could not be written (%s); trying again.", error)

        thread = threading.Thread(target=beat_until_stopped, name="lease-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _in_lock(self, body: Callable[[sa.Connection], T]) -> T:
        """The result of ``body`` in a transaction that no other taker or reclaimer of this study is in."""
        table = tables.studies

        def locked(connection: sa.Connection) -> T:
            # SQLite has no row locks, but every transaction of ours there begins IMMEDIATE.
            connection.execute(sa.select(table.c.study_id).where(self._mine(table)).with_for_update())
            return body(connection)

        return in_transaction(self._storage, locked)

    def _mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        condition: sa.ColumnElement[bool] = table.c.study_id == self._study_id
        return condition

    def _update(self, lease_id: str, status_now: str, **values: Any) -> bool:
        table = tables.leases
        query = (
            sa.update(table)
            .where(table.c.lease_id == lease_id, table.c.status == status_now)
            .values(**values)
        )
        return in_transaction(self._storage, lambda connection: connection.execute(query).rowcount == 1)

    def _n_counted(self, connection: sa.Connection) -> int:
        trials, leases = tables.optuna_trials, tables.leases
        not_counted = (
            sa.select(leases.c.trial_id)
            .where(
                self._mine(leases),
                leases.c.trial_id == trials.c.trial_id,
                leases.c.status.in_(["reclaiming", "reclaimed"]),
            )
            .exists()
        )
        finished = tables.trial_state().in_(["COMPLETE", "PRUNED", "FAIL"])
        query = (
            sa.select(sa.func.count()).select_from(trials).where(self._mine(trials), finished, ~not_counted)
        )
        return int(connection.scalar(query) or 0)

    def _n_held(self, connection: sa.Connection) -> int:
        table = tables.leases
        query = sa.select(sa.func.count()).select_from(table)
        return int(
            connection.scalar(query.where(self._mine(table), table.c.status.in_(["held", "reclaiming"]))) or 0
        )

    def _open_leases(self, connection: sa.Connection) -> list[dict[str, Any]]:
        table = tables.leases
        age = (tables.database_seconds() - table.c.beat_at).label("age")
        query = sa.select(table, age).where(self._mine(table), table.c.status.in_(["held", "reclaiming"]))
        return [dict(row) for row in connection.execute(query).mappings()]

    def _is_stale(self, row: dict[str, Any]) -> bool:
        holder = Process.from_columns(row)
        if holder == self._me:
            return row["lease_id"] not in _ours
        return bool(row["age"] > self._grace) or self._me.sees_dead(holder)

    def _give_back_unleased(self, trial_id: int) -> int | None:
        """End and queue a trial whose lease is gone, under a lease of its own, so that it is not counted."""
        lease_id = uuid.uuid4().hex
        in_transaction(
            self._storage, lambda connection: self._insert_reclaiming(connection, lease_id, trial_id)
        )
        return self._reclaim(lease_id, trial_id, was_lost=False)

    def _insert_reclaiming(self, connection: sa.Connection, lease_id: str, trial_id: int) -> None:
        table = tables.leases
        if connection.scalar(sa.select(table.c.lease_id).where(table.c.lease_id == lease_id)) is not None:
            return  # the answer of the first attempt was lost
        connection.execute(
            sa.insert(table).values(
                lease_id=lease_id,
                study_id=self._study_id,
                ordinal=0,
                trial_id=trial_id,
                status="reclaiming",
                taken_at=tables.database_seconds(),
                beat_at=tables.database_seconds(),
                **self._me.columns(),
            )
        )

    def _reclaim(self, lease_id: str, trial_id: int | None, *, was_lost: bool) -> int | None:
        """End the trial of a lease in ``reclaiming`` and queue its config. Safe to repeat if we die half-way."""
        if trial_id is None:
            try:
                trial_id = self._orphan()
            except _AnotherIsAsking:
                return None  # stays in `reclaiming`, to be tried again in a moment
        if trial_id is None:  # its worker died before it had asked for a trial
            query = sa.delete(tables.leases).where(tables.leases.c.lease_id == lease_id)
            in_transaction(self._storage, lambda connection: connection.execute(query))
            return None
        trial = self._end_as_not_counted(trial_id, was_lost=was_lost)
        counts = trial.state is not TrialState.FAIL or trial.user_attrs.get("outcome") == "failed"
        if not counts and not self._is_replaced(trial):
            self._queue_again(trial, was_lost=was_lost)
        self._update(lease_id, "reclaiming", status="done" if counts else "reclaimed", trial_id=trial_id)
        return None if counts else trial.number

    def _orphan(self) -> int | None:
        """The trial that a worker had asked for when it died, before it could bind its lease to it.

        While a live worker is between asking and binding, its trial looks the same: then nobody can tell, and the
        reclaim waits.
        """
        orphans, someone_is_asking = self._unleased()
        if orphans and someone_is_asking:
            raise _AnotherIsAsking
        return orphans[0] if orphans else None

    def _ownerless(self) -> list[int]:
        """Trials that have belonged to nobody for longer than the grace time: the answer to an ask was lost."""
        orphans, someone_is_asking = self._unleased()
        now = time.monotonic()
        known = {} if someone_is_asking else self._ownerless_since
        self._ownerless_since = {trial_id: known.get(trial_id, now) for trial_id in orphans}
        return [trial_id for trial_id, since in self._ownerless_since.items() if now - since > self._grace]

    def _unleased(self) -> tuple[list[int], bool]:
        """The trials that run without a lease and without parameters, and whether a live worker is asking now."""
        table = tables.leases
        query = sa.select(table.c.trial_id, table.c.status).where(self._mine(table))
        rows = in_transaction(self._storage, lambda connection: connection.execute(query).all())
        leased = {row.trial_id for row in rows}
        orphans = [
            int(trial._trial_id)  # noqa: SLF001
            for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if trial._trial_id not in leased and not trial.params  # noqa: SLF001
        ]
        return orphans, any(row.trial_id is None and row.status == "held" for row in rows)

    def _end_as_not_counted(self, trial_id: int, *, was_lost: bool) -> FrozenTrial:
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

    def _queue_again(self, trial: FrozenTrial, *, was_lost: bool) -> None:
        params = trial.system_attrs.get("fixed_params", {}) | trial.params
        n_losses = trial.user_attrs.get(N_LOSSES, 0) + (1 if was_lost else 0)
        self._study.enqueue_trial(params, user_attrs={REPLACES: trial.number, N_LOSSES: n_losses})
