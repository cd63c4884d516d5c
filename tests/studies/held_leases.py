"""Leases of a made study: taken, begun, and fallen silent."""

import sqlalchemy as sa

from studies import tables
from studies.leases import Lease, Leases
from studies.machine import Process
from studies.recorded import RecordedStudy

ELSEWHERE = Process(machine="another-node", process_id=1, process_started=0.0)


def leases_of(recorded: RecordedStudy, *, me: Process | None = None, grace: float = 60.0) -> Leases:
    return Leases(recorded.storage, recorded.study, grace_seconds=grace, me=me)


def taken(leases: Leases, n_wanted: int | None = None) -> Lease:
    lease = leases.take(n_wanted)
    assert isinstance(lease, Lease)
    return lease


def begin_trial(recorded: RecordedStudy, leases: Leases, x: float = 0.5) -> tuple[Lease, int]:
    """Take, ask, bind, and suggest one parameter."""
    lease = taken(leases)
    trial = recorded.study.ask()
    lease = leases.bind(lease, trial._trial_id)
    trial.suggest_float("x", 0, 1) if x is None else trial.suggest_float("x", x, x)
    return lease, trial.number


def silence(recorded: RecordedStudy, seconds: float) -> None:
    """Make all leases look as if their workers had not beaten for so long."""
    with recorded.storage.engine.begin() as connection:
        connection.execute(sa.update(tables.leases).values(beat_at=tables.leases.c.beat_at - seconds))
