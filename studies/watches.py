"""Which process watches which trial of a loop of one's own: a loop that was killed leaves a trial that nobody ends.

A row beside those of the leases, with a status of its own: no worker's, so nothing is given out, counted or queued by
it. The readers of a study tell a trial whose process is gone as lost and write nothing; the study's next watch ends it.
A process of another machine, or from before a restart, is taken for dead after a day without an epoch: that is told,
and never written, since nobody can know from here.
"""

import time
import uuid
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from studies import tables
from studies.lease_rows import Lease, LeaseRows
from studies.machine import Process
from studies.outages import in_transaction
from studies.records import Outcome

WATCHED, ENDED = "watched", "done"
"""The status of a row while its loop runs, and after."""
SILENT_SECONDS = 86_400.0
"""Of a process that cannot be seen from here: an epoch of a day is rarer than a node that is gone (own design)."""
BEAT_SECONDS = 60.0
"""From one beat to the next at least: short epochs are not to wait for the disk."""


class Hold:
    """A trial that this process watches."""

    def __init__(self, rows: LeaseRows, lease: Lease) -> None:
        self._rows = rows
        self._lease_id = lease.lease_id
        self._beaten_at = time.monotonic()

    def beat(self) -> None:
        """An epoch has ended; written once a minute at most."""
        if time.monotonic() - self._beaten_at >= BEAT_SECONDS:
            self._beaten_at = time.monotonic()
            self._rows.update(self._lease_id, WATCHED, beat_at=tables.database_seconds())

    def release(self) -> None:
        """The loop has ended, and its trial was told."""
        self._rows.update(self._lease_id, WATCHED, status=ENDED)


class Watches:
    """Those of one study, as seen by one process."""

    def __init__(self, storage: RDBStorage, study_id: int, *, me: Process | None = None) -> None:
        self._rows = LeaseRows(storage, study_id, me or Process.current())
        self._storage = storage
        self._study_id = study_id

    def hold(self, trial_id: int) -> "Hold":
        """This process watches the trial from now on."""
        lease = Lease(lease_id=uuid.uuid4().hex, ordinal=0, trial_id=trial_id)
        in_transaction(self._storage, lambda connection: self._insert(connection, lease))
        return Hold(self._rows, lease)

    def lost(self) -> frozenset[int]:
        """The ids of the trials whose process is gone, or silent where nobody can see it. Nothing is written."""
        return frozenset(
            row["trial_id"] for row in self._watched() if self._is_gone(row) or self._is_silent(row)
        )

    def end_lost(self, study: optuna.Study) -> None:
        """Tell Optuna that the trials of processes that are gone have failed; each says `lost`."""
        for row in filter(self._is_gone, self._watched()):
            storage = study._storage  # noqa: SLF001 - tell() by id, which the public API lacks
            if storage.get_trial(row["trial_id"]).state is TrialState.RUNNING:
                storage.set_trial_user_attr(row["trial_id"], "outcome", Outcome.LOST.value)
                storage.set_trial_state_values(row["trial_id"], TrialState.FAIL)
            self._rows.update(row["lease_id"], WATCHED, status=ENDED)

    def _insert(self, connection: sa.Connection, lease: Lease) -> None:
        if not self._rows.named(
            connection, [lease.lease_id]
        ):  # else the answer of the first attempt was lost
            self._rows.insert(connection, [lease], status=WATCHED)

    def _watched(self) -> list[dict[str, Any]]:
        """The open rows, each with its ``age``: seconds since the last beat, on the database's clock."""
        table = tables.leases
        age = (tables.database_seconds() - table.c.beat_at).label("age")
        mine = sa.and_(table.c.study_id == self._study_id, table.c.status == WATCHED)
        query = sa.select(table, age).where(mine)
        return in_transaction(
            self._storage, lambda connection: [dict(row) for row in connection.execute(query).mappings()]
        )

    def _is_gone(self, row: dict[str, Any]) -> bool:
        return self._rows.me.sees_dead(Process.from_columns(row))

    def _is_silent(self, row: dict[str, Any]) -> bool:
        return row["machine"] != self._rows.me.machine and bool(row["age"] > SILENT_SECONDS)
