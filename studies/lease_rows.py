"""The rows of `studies.leases`: every statement on them, for one or many leases at once."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from studies import tables
from studies.machine import Process
from studies.outages import in_transaction

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A worker's time-limited hold on one trial."""

    lease_id: str
    ordinal: int
    """The how-manieth lease of its study, from 1: never given twice, so it can seed what must not repeat."""
    trial_id: int | None = None


class LeaseRows:
    """The leases of one study in its database. What takes a connection works in the caller's transaction."""

    def __init__(self, storage: RDBStorage, study_id: int, me: Process) -> None:
        self.storage = storage
        self.me = me
        self._study_id = study_id

    def in_lock(self, body: Callable[[sa.Connection], T]) -> T:
        """The result of ``body`` in a transaction that no other taker or reclaimer of this study is in.

        ``body`` must be safe to repeat, as for `in_transaction`.
        """
        table = tables.studies

        def locked(connection: sa.Connection) -> T:
            # SQLite has no row locks, but every transaction of ours there begins IMMEDIATE.
            connection.execute(sa.select(table.c.study_id).where(self._mine(table)).with_for_update())
            return body(connection)

        return in_transaction(self.storage, locked)

    def _mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        condition: sa.ColumnElement[bool] = table.c.study_id == self._study_id
        return condition

    def named(
        self, connection: sa.Connection, lease_ids: Sequence[str], *, locked: bool = False
    ) -> list[tuple[Lease, str]]:
        """Those of these leases that there are, each with its status, in the order of their ordinals."""
        table = tables.leases
        query = (
            sa.select(table.c.lease_id, table.c.ordinal, table.c.trial_id, table.c.status)
            .where(table.c.lease_id.in_(lease_ids))
            .order_by(table.c.ordinal)
        )
        rows = connection.execute(query.with_for_update() if locked else query)
        return [
            (Lease(lease_id=row.lease_id, ordinal=row.ordinal, trial_id=row.trial_id), row.status)
            for row in rows
        ]

    def insert(self, connection: sa.Connection, leases: Sequence[Lease], *, status: str) -> None:
        """Add leases of this process."""
        now = tables.database_seconds()
        common = {"study_id": self._study_id, "status": status, **self.me.columns()}
        connection.execute(
            sa.insert(tables.leases).values(taken_at=now, beat_at=now),
            [{**common, **dataclasses.asdict(lease)} for lease in leases],
        )

    def bind(self, connection: sa.Connection, wanted: Mapping[str, int]) -> dict[str, Lease]:
        """Bind leases to trial ids, as far as they are held; those that were, by id."""
        table = tables.leases
        held = {
            lease.lease_id: dataclasses.replace(lease, trial_id=wanted[lease.lease_id])
            for lease, status in self.named(connection, list(wanted), locked=True)
            if status == "held"
        }
        if held:
            connection.execute(
                sa.update(table)
                .where(table.c.lease_id == sa.bindparam("of_lease"))
                .values(trial_id=sa.bindparam("to_trial")),
                [{"of_lease": lease_id, "to_trial": lease.trial_id} for lease_id, lease in held.items()],
            )
        return held

    def change_held(self, leases: Collection[Lease], **values: Any) -> frozenset[str]:
        """Change the rows of those of these leases that are held; the ids of those that were."""
        table = tables.leases
        ids = [lease.lease_id for lease in leases]

        def changed(connection: sa.Connection) -> frozenset[str]:
            named = self.named(connection, ids, locked=True)
            held = [lease.lease_id for lease, status in named if status == "held"]
            if held:
                connection.execute(sa.update(table).where(table.c.lease_id.in_(held)).values(**values))
            return frozenset(held)

        return in_transaction(self.storage, changed)

    def update(self, lease_id: str, status_now: str, **values: Any) -> bool:
        """Change one lease's row where it has this status; whether it had."""
        table = tables.leases
        query = (
            sa.update(table)
            .where(table.c.lease_id == lease_id, table.c.status == status_now)
            .values(**values)
        )
        return in_transaction(self.storage, lambda connection: connection.execute(query).rowcount == 1)

    def n_counted(self, connection: sa.Connection) -> int:
        """The finished trials of the study, less those that were given back."""
        trials, leases = tables.optuna_trials, tables.leases
        finished = sa.and_(self._mine(trials), tables.trial_state().in_(["COMPLETE", "PRUNED", "FAIL"]))
        # A difference of counts and not one count with a subquery for each trial, which SQLite searches by the study:
        # the time of all trials together would grow with the cube of their number.
        given_back = (
            sa.select(leases.c.trial_id)
            .where(self._mine(leases), leases.c.status.in_(["reclaiming", "reclaimed"]))
            .distinct()
        )
        count = sa.select(sa.func.count()).select_from(trials).where(finished)
        not_counted = count.where(trials.c.trial_id.in_(given_back))
        query = sa.select(count.scalar_subquery() - not_counted.scalar_subquery())
        return int(connection.scalar(query) or 0)

    def n_held(self, connection: sa.Connection) -> int:
        """The leases in some worker's hands, or being taken from them."""
        table = tables.leases
        query = sa.select(sa.func.count()).select_from(table)
        return int(
            connection.scalar(query.where(self._mine(table), table.c.status.in_(["held", "reclaiming"]))) or 0
        )

    def open_leases(self, connection: sa.Connection) -> list[dict[str, Any]]:
        """Their rows, each with its ``age``: seconds since the last beat, on the database's clock."""
        table = tables.leases
        age = (tables.database_seconds() - table.c.beat_at).label("age")
        query = sa.select(table, age).where(self._mine(table), table.c.status.in_(["held", "reclaiming"]))
        return [dict(row) for row in connection.execute(query).mappings()]

    def last_ordinal(self, connection: sa.Connection) -> int:
        """The highest that was given; 0 before the first."""
        table = tables.leases
        return int(connection.scalar(sa.select(sa.func.max(table.c.ordinal)).where(self._mine(table))) or 0)

    def release(self, connection: sa.Connection, leases: Collection[Lease]) -> None:
        """End the leases that are held: done where there was a trial, gone where none came of it."""
        table = tables.leases
        bound = [lease.lease_id for lease in leases if lease.trial_id is not None]
        unbound = [lease.lease_id for lease in leases if lease.trial_id is None]
        if bound:
            ours = sa.and_(table.c.lease_id.in_(bound), table.c.status == "held")
            connection.execute(sa.update(table).where(ours).values(status="done"))
        if unbound:
            # One that was bound although its worker was cut off before it knew stays: reclaiming finds its trial by it.
            ours = sa.and_(
                table.c.lease_id.in_(unbound), table.c.status == "held", table.c.trial_id.is_(None)
            )
            connection.execute(sa.delete(table).where(ours))

    def delete(self, lease_id: str) -> None:
        """Forget a lease that never had a trial."""
        query = sa.delete(tables.leases).where(tables.leases.c.lease_id == lease_id)
        in_transaction(self.storage, lambda connection: connection.execute(query))

    def unleased(self) -> tuple[list[int], bool]:
        """The trials that run without a lease and without parameters, and whether a live worker is asking now."""
        trials, leases, params = tables.optuna_trials, tables.leases, tables.optuna_params
        has_lease = sa.select(leases.c.trial_id).where(
            self._mine(leases), leases.c.trial_id == trials.c.trial_id
        )
        has_params = sa.select(params.c.trial_id).where(params.c.trial_id == trials.c.trial_id)
        running = sa.select(trials.c.trial_id).where(
            self._mine(trials), tables.trial_state() == TrialState.RUNNING.name
        )
        orphans = running.where(~has_lease.exists(), ~has_params.exists()).order_by(trials.c.trial_id)
        asking = sa.select(leases.c.lease_id).where(
            self._mine(leases), leases.c.trial_id.is_(None), leases.c.status == "held"
        )

        def found(connection: sa.Connection) -> tuple[list[int], bool]:
            return list(connection.scalars(orphans)), connection.scalar(asking.limit(1)) is not None

        return in_transaction(self.storage, found)
