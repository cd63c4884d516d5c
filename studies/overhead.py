"""The overhead meter: where the wall time of a study's workers went, kept beside its trials.

Each worker notes its seconds by activity every few seconds and at its end; one that is killed leaves its last note.
"""

import json
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from optuna.storages import RDBStorage

from studies import tables
from studies.encoding import to_json
from studies.outages import in_transaction, ride_out
from studies.records import WorkerSeconds

ACTIVITIES = ("training", "data", "evaluation", "telemetry", "sampler", "storage", "idle", "startup")
"""In the order in which they are told; what a search is for comes first."""
TRAINING_FLOOR = 0.7
"""Of the wall time. Below it there is something to gain by other settings, not by another machine (a rule of ours)."""

SHORTEST_SECONDS = 20.0
"""Of a search that is given advice: a shorter one is over before other settings pay, and starts for most of it."""
WORTH_SHARE = 0.1
"""Of the wall time: what took less is not worth a setting (a rule of ours)."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One worker's part in a study, from its start to its end: what its notes are kept under."""

    session_id: str
    worker: str

    @classmethod
    def of(cls, worker: str) -> "Session":
        return cls(session_id=uuid.uuid4().hex, worker=worker)


class OverheadTable:
    """The overhead of one study's workers."""

    def __init__(self, storage: RDBStorage, study_id: int) -> None:
        self._storage = storage
        self._study_id = study_id

    def keep(self, session: Session, *, wall_seconds: float, seconds: Mapping[str, float]) -> None:
        """Note where a worker's time has gone so far, in place of its earlier note. One transaction."""
        table = tables.overhead
        noted = {"wall_seconds": wall_seconds, "seconds": to_json(dict(seconds))}

        def replace(connection: sa.Connection) -> None:
            mine = table.c.session_id == session.session_id
            if connection.execute(sa.update(table).where(mine).values(**noted)).rowcount:
                return
            connection.execute(
                sa.insert(table).values(
                    session_id=session.session_id,
                    study_id=self._study_id,
                    worker=session.worker,
                    began_at=tables.database_seconds() - wall_seconds,
                    **noted,
                )
            )

        in_transaction(self._storage, replace)

    def read(self) -> dict[str, WorkerSeconds]:
        """By session, in the order of their starts; empty for a database from before the meter."""
        table = tables.overhead
        if not ride_out(self._storage, lambda: sa.inspect(self._storage.engine).has_table(table.name)):
            return {}
        query = (
            sa.select(table)
            .where(table.c.study_id == self._study_id)
            .order_by(table.c.began_at, table.c.session_id)
        )
        rows = in_transaction(self._storage, lambda connection: connection.execute(query).mappings().all())
        return {
            row["session_id"]: WorkerSeconds(
                worker=row["worker"],
                wall_seconds=row["wall_seconds"],
                seconds=json.loads(row["seconds"]),
            )
            for row in rows
        }


def total(workers: Iterable[WorkerSeconds]) -> WorkerSeconds | None:
    """The workers' times added up; None where there are none."""
    each = list(workers)
    if not each:
        return None
    named = {name for worker in each for name in worker.seconds}
    return WorkerSeconds(
        worker="all workers" if len(each) > 1 else each[0].worker,
        wall_seconds=math.fsum(worker.wall_seconds for worker in each),
        seconds={
            name: math.fsum(worker.seconds.get(name, 0.0) for worker in each) for name in ordered(named)
        },
    )


def ordered(activities: Iterable[str]) -> list[str]:
    """Known activities in the order of `ACTIVITIES`, then those of a newer symptune by name, then ``other``."""
    named = set(activities)
    known = [name for name in ACTIVITIES if name in named]
    return [*known, *sorted(named - {*known, "other"}), *(["other"] if "other" in named else [])]


def shares_text(worker: WorkerSeconds) -> str:
    """``training 78 %, storage 3 %, ...``: the largest first, and nothing under half a percent."""
    parts = sorted(worker.shares().items(), key=lambda part: -part[1])
    shown = [f"{name} {share:.0%}".replace("%", " %") for name, share in parts if share >= 0.005]
    return ", ".join(shown)


def advice(worker: WorkerSeconds, *, n_workers: int) -> str:
    """What to do where too little of the time was training; empty where enough was, or where nothing is worth it.

    Args:
        worker: the time of one worker, or that of several together.
        n_workers: that it is the time of.
    """
    shares = worker.shares()
    is_short = worker.wall_seconds < SHORTEST_SECONDS * n_workers
    if is_short or shares.get("training", 0.0) >= TRAINING_FLOOR:
        return ""
    largest = max(
        (name for name in shares if name != "training"),
        key=lambda name: (shares[name], name),
    )
    if shares[largest] < WORTH_SHARE:
        return ""
    return (_ADVICE_TO_ONE if n_workers == 1 else {}).get(largest) or _ADVICE.get(largest, "")


_ADVICE = {
    "startup": "Starting cost the most: a longer search, or fewer --workers for a short one, gets more out of it.",
    "idle": "Waiting for other workers cost the most: fewer --workers or --lanes leave less to wait for at the end.",
    "storage": "The database cost the most: keep it on a local disk, or take more --lanes, which write together.",
    "sampler": "The sampler cost the most: take --sampler random or qmc, or fewer trials, with which TPE's time grows.",
    "evaluation": "Evaluation cost the most: a smaller validation_fraction makes it cheaper.",
    "telemetry": "Telemetry cost the most: larger batches make it rarer.",
    "data": "Gathering the data cost the most: larger batches or more --lanes share it.",
    "other": "The most went into what no activity counts, such as a callback, or a machine that was busy elsewhere.",
}
_ADVICE_TO_ONE = {
    "startup": "Starting cost the most: a longer search gets more out of it.",
    "idle": "Waiting for workers of other machines cost the most: fewer --lanes leave less to wait for at the end.",
}
"""In place of what a single worker cannot follow."""
