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
import math
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TypeVar

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage

from studies import tables
from studies.lease_rows import Lease, LeaseRows
from studies.machine import Process
from studies.outages import in_transaction
from studies.reclaiming import MAX_LOSSES, N_LOSSES, REPLACES, Reclaimer

__all__ = [
    "BEATS_PER_GRACE",
    "GRACE_SECONDS",
    "MAX_LOSSES",
    "N_LOSSES",
    "REPLACES",
    "Lease",
    "LeaseLost",
    "Leases",
    "Refusal",
]

GRACE_SECONDS = 60.0
"""Longer than a storage outage one wants to ride out (notes/cluster.md §1.3), shorter than a coffee."""
BEATS_PER_GRACE = 6
"""A beat may be lost, or late by a slow disk, several times before anyone calls the worker dead."""

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
        study_id = study._study_id  # noqa: SLF001 - Optuna offers no public way to a study's id
        self._rows = LeaseRows(storage, study_id, me or Process.current())
        self._reclaimer = Reclaimer(
            self._rows, study, grace_seconds=grace_seconds, is_at_work=lambda lease_id: lease_id in _ours
        )
        self._grace = grace_seconds

    @property
    def beat_seconds(self) -> float:
        return self._grace / BEATS_PER_GRACE

    def take(self, n_wanted: int | None) -> Lease | Refusal:
        """A lease on one more trial, or why there is none. ``n_wanted=None`` sets no limit."""
        taken = self.take_many(1, n_wanted)
        return taken if isinstance(taken, Refusal) else taken[0]

    def take_many(self, n: int, n_wanted: int | None, *, n_workers: int = 1) -> list[Lease] | Refusal:
        """Leases on up to ``n`` more trials, as many as the total leaves, or why there is none. One transaction.

        Args:
            n: how many, at least 1.
            n_wanted: the study's total; None sets no limit.
            n_workers: who share what is left of it, evenly: none takes more than its share, so that all end together.
        """
        # Outside: a transaction that is repeated must not leave leases twice.
        lease_ids = [uuid.uuid4().hex for _ in range(n)]
        leases = self._rows.in_lock(lambda connection: self._take(connection, lease_ids, n_wanted, n_workers))
        if not isinstance(leases, Refusal):
            _ours.update(lease.lease_id for lease in leases)
        return leases

    def _take(
        self, connection: sa.Connection, lease_ids: Sequence[str], n_wanted: int | None, n_workers: int
    ) -> list[Lease] | Refusal:
        taken = self._rows.named(connection, lease_ids)
        if taken:  # committed before the server went away
            return [lease for lease, _status in taken]
        n = len(lease_ids)
        if n_wanted is not None:
            # Held before counted: a trial that is told and released between the two queries is then seen
            # twice, and the lease refused for a moment. The other way round it would be seen by neither.
            n_held = self._rows.n_held(connection)
            n_counted = self._rows.n_counted(connection)
            if n_counted >= n_wanted:
                return Refusal.BUDGET_SPENT
            if n_counted + n_held >= n_wanted:
                return Refusal.REST_IS_HELD
            n = min(n, math.ceil((n_wanted - n_counted - n_held) / n_workers))
        last = self._rows.last_ordinal(connection)
        leases = [
            Lease(lease_id=lease_id, ordinal=last + index)
            for index, lease_id in enumerate(lease_ids[:n], start=1)
        ]
        self._rows.insert(connection, leases, status="held")
        return leases

    def bind(self, lease: Lease, trial_id: int) -> Lease:
        """The lease, now on the trial that was asked for.

        Raises:
            LeaseLost: when the worker slept so long that the lease was taken from it; the trial is given back.
        """
        bound = self.bind_many([lease], [trial_id])[0]
        if bound is None:
            raise LeaseLost
        return bound

    def bind_many(self, leases: Sequence[Lease], trial_ids: Sequence[int]) -> list[Lease | None]:
        """The leases, each now on its trial, in one transaction.

        None stands for a lease that was taken from us; its trial is given back. `bind_new` asks for the trials in the
        same transaction, and leaves nothing to give back.
        """
        wanted = {lease.lease_id: trial_id for lease, trial_id in zip(leases, trial_ids, strict=True)}
        bound = in_transaction(self._rows.storage, lambda connection: self._rows.bind(connection, wanted))
        for lease_id in wanted.keys() - bound.keys():
            _ours.discard(lease_id)
            self._reclaimer.give_back_unleased(wanted[lease_id])
        return [bound.get(lease.lease_id) for lease in leases]

    def bind_new(
        self, connection: sa.Connection, leases: Sequence[Lease], ask: Callable[[int], Sequence[int]]
    ) -> list[Lease]:
        """The leases that are still ours, each on a trial that is asked for now, in the caller's transaction.

        Args:
            connection: inside `in_lock`.
            leases: not bound yet.
            ask: the ids of so many new trials.
        """
        held = [
            lease
            for lease, status in self._rows.named(
                connection, [lease.lease_id for lease in leases], locked=True
            )
            if status == "held"
        ]
        free = [lease for lease in held if lease.trial_id is None]
        if not free:  # committed before the server went away, or all were taken from us
            return held
        wanted = dict(zip((lease.lease_id for lease in free), ask(len(free)), strict=True))
        return list(self._rows.bind(connection, wanted).values())

    def beat(self, lease: Lease) -> bool:
        """Say that the worker lives. False when the lease is no longer ours: stop, and drop the work."""
        return not self.beat_many([lease])

    def beat_many(self, leases: Collection[Lease]) -> list[Lease]:
        """Say for all these leases at once that their worker lives; those that are no longer ours."""
        held = self._rows.change_held(leases, beat_at=tables.database_seconds())
        return [lease for lease in leases if lease.lease_id not in held]

    def release(self, lease: Lease) -> None:
        """Give the lease up after the trial was told, or when no trial came of it."""
        self.release_many([lease])

    def release_many(self, leases: Collection[Lease]) -> None:
        """Give leases up after their trials were told, or where no trial came of them. One transaction."""
        self.forget(leases)
        in_transaction(self._rows.storage, lambda connection: self.release_in(connection, leases))

    def release_in(self, connection: sa.Connection, leases: Collection[Lease]) -> None:
        """Give leases up in the caller's transaction; `forget` them after it."""
        self._rows.release(connection, leases)

    def forget(self, leases: Iterable[Lease]) -> None:
        """Say that this process no longer works on these."""
        _ours.difference_update(lease.lease_id for lease in leases)

    def hand_back(self, lease: Lease) -> int | None:
        """End our own trial as not counted and queue its config; the number of the trial, or None if it was lost."""
        numbers = self.hand_back_many([lease])
        return numbers[0] if numbers else None

    def hand_back_many(self, leases: Collection[Lease]) -> list[int]:
        """End our own trials as not counted and queue their configs; the numbers of those that were still ours."""
        self.forget(leases)
        held = self._rows.change_held(leases, status="reclaiming", beat_at=tables.database_seconds())
        mine = [lease for lease in leases if lease.lease_id in held]
        numbers = [self._reclaimer.reclaim(lease.lease_id, lease.trial_id, was_lost=False) for lease in mine]
        return [number for number in numbers if number is not None]

    def reclaim_stale(self) -> list[int]:
        """Bring back the trials of dead workers; the numbers of those that were ended here."""
        return self._reclaimer.reclaim_stale()

    def n_counted(self) -> int:
        """The finished trials that ``--trials`` counts."""
        return in_transaction(self._rows.storage, self._rows.n_counted)

    def in_lock(self, body: Callable[[sa.Connection], T]) -> T:
        """The result of ``body`` in a transaction that no other taker or reclaimer of this study is in.

        ``body`` must be safe to repeat, as for `in_transaction`.
        """
        return self._rows.in_lock(body)

    @contextmanager
    def beating(self, lease: Lease, *, on_loss: Callable[[], None]) -> Iterator[None]:
        """Beat in the background while the body runs; ``on_loss`` is called once if the lease is taken from us."""
        with self.beating_many(lambda: (lease,), on_loss=lambda _lease: on_loss()):
            yield

    @contextmanager
    def beating_many(
        self, held: Callable[[], Collection[Lease]], *, on_loss: Callable[[Lease], None]
    ) -> Iterator[None]:
        """Beat in the background while the body runs: one thread, and one transaction a beat for all leases.

        Args:
            held: the leases that are ours now; asked before each beat, by the thread that beats.
            on_loss: called once, by that thread, for each lease that was taken from us.
        """
        stop = threading.Event()
        lost: set[str] = set()

        def beat_until_stopped() -> None:
            while not stop.wait(self.beat_seconds):
                leases = [lease for lease in held() if lease.lease_id not in lost]
                if not leases:
                    continue
                try:
                    taken_away = self.beat_many(leases)
                except sa.exc.SQLAlchemyError as error:
                    # An outage shorter than the grace time harms nobody; a longer one is the fence's business.
                    _log.warning("A heartbeat could not be written (%s); trying again.", error)
                    continue
                for lease in taken_away:
                    lost.add(lease.lease_id)
                    on_loss(lease)

        thread = threading.Thread(target=beat_until_stopped, name="lease-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
