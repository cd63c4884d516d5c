"""Optuna's tables, written and read many rows at a time: all lanes of a worker in one transaction.

Optuna's own calls make a transaction for each parameter, reading and attribute, with its object mapper in between: some
25 of 1-2 ms a trial. Here they are multi-row statements on the same tables. That rests on the schema, so it is used
only where the database has the version that we know (`reason_against`); elsewhere `studies.trial_calls` does the same.
"""

import datetime as dt
import functools
import importlib
import json
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState

from studies.leases import Lease, Leases
from studies.outages import in_transaction
from studies.pending import AlsoWrite, Ending, Pending

KNOWN_SCHEMA = "v3.2.0.a"
"""Optuna 3.2 to 5.0."""
KNOWN_ENGINES = ("sqlite", "postgresql")
"""Those whose INSERT can return ids and replace rows, in the words used here."""
_IDS_PER_QUERY = 500
"""SQLite before 3.32 takes 999 variables in a statement."""

_studies: sa.Table = models.StudyModel.__table__
_trials: sa.Table = models.TrialModel.__table__
_params: sa.Table = models.TrialParamModel.__table__
_values: sa.Table = models.TrialValueModel.__table__
_intermediate_values: sa.Table = models.TrialIntermediateValueModel.__table__
_user_attrs: sa.Table = models.TrialUserAttributeModel.__table__
_system_attrs: sa.Table = models.TrialSystemAttributeModel.__table__


def reason_against(storage: RDBStorage) -> str | None:
    """Why this storage's tables cannot be written directly; None when they can."""
    engine = storage.engine.dialect
    if engine.name not in KNOWN_ENGINES:
        return f"{engine.name} has no INSERT that returns ids and replaces rows"
    if not engine.insert_returning:
        return f"this {engine.name} is too old for INSERT ... RETURNING"
    version = storage.get_current_version()
    if version != KNOWN_SCHEMA:
        return f"Optuna's tables have version {version}, and {KNOWN_SCHEMA} is the one that is known"
    return None


class TrialTables:
    """`studies.pending.TrialStore` by multi-row statements."""

    def __init__(self, storage: RDBStorage, study_id: int, leases: Leases) -> None:
        self._storage = storage
        self._study_id = study_id
        self._leases = leases

    def take(self, n: int) -> list[FrozenTrial]:
        """So many trials that run from now on, enqueued ones first. One transaction.

        Where an answer is lost in an outage, the first attempt's trials belong to nobody: `Leases.reclaim_stale` brings
        them back, as it does for Optuna's own `ask`. `take_under` leaves none.
        """
        return in_transaction(
            self._storage, lambda connection: self._read(connection, self._start(connection, n))
        )

    def take_under(self, leases: Sequence[Lease]) -> list[tuple[Lease, FrozenTrial]]:
        """A trial for each lease that is still ours, bound to it in the same transaction."""

        def taken(connection: sa.Connection) -> list[tuple[Lease, FrozenTrial]]:
            bound = self._leases.bind_new(connection, leases, lambda n: self._start(connection, n))
            trials = {_id(trial): trial for trial in self._read(connection, [b.trial_id for b in bound])}
            return [(lease, trials[lease.trial_id]) for lease in bound if lease.trial_id is not None]

        return self._leases.in_lock(taken)

    def _start(self, connection: sa.Connection, n: int) -> list[int]:
        """The ids of ``n`` trials that are RUNNING now: enqueued ones, then new ones."""
        # Numbers are counted, not drawn: whoever makes a trial holds the study's row, here as in Optuna.
        lock = sa.select(_studies.c.study_id).where(_studies.c.study_id == self._study_id).with_for_update()
        connection.execute(lock)
        queued = self._pop_queued(connection, n)
        return queued + self._create(connection, n - len(queued))

    def _pop_queued(self, connection: sa.Connection, n: int) -> list[int]:
        of_study = _trials.c.study_id == self._study_id
        queue = (
            sa.select(_trials.c.trial_id)
            .where(of_study, _trials.c.state == TrialState.WAITING)
            .order_by(_trials.c.trial_id)
            .limit(n)
            .with_for_update(skip_locked=True)  # another process pops that one just now
        )
        ids = list(connection.scalars(queue))
        if ids:
            start = sa.update(_trials).where(_trials.c.trial_id.in_(ids))
            connection.execute(start.values(state=TrialState.RUNNING, datetime_start=utc_now()))
        return ids

    def _create(self, connection: sa.Connection, n: int) -> list[int]:
        if n == 0:
            return []
        count = sa.select(sa.func.count()).select_from(_trials).where(_trials.c.study_id == self._study_id)
        n_before = int(connection.scalar(count) or 0)
        common = {"study_id": self._study_id, "state": TrialState.RUNNING, "datetime_start": utc_now()}
        rows = [{**common, "number": n_before + index} for index in range(n)]
        created = connection.execute(
            sa.insert(_trials).returning(_trials.c.trial_id, _trials.c.number), rows
        ).all()
        return [row.trial_id for row in sorted(created, key=lambda row: row.number)]

    def read(self, *, after: int, but: Container[int], among: Collection[int]) -> list[FrozenTrial]:
        """The trials with a greater id than ``after``, ``but`` not those; and the ones ``among`` these."""
        of_study = _trials.c.study_id == self._study_id

        def found(connection: sa.Connection) -> list[FrozenTrial]:
            newer = sa.select(_trials.c.trial_id).where(of_study, _trials.c.trial_id > after)
            ids = {trial_id for trial_id in connection.scalars(newer) if trial_id not in but}
            return self._read(connection, sorted(ids.union(among)))

        return in_transaction(self._storage, found)

    def _read(self, connection: sa.Connection, ids: Sequence[int | None]) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = []
        for start in range(0, len(ids), _IDS_PER_QUERY):
            trials += _read_trials(connection, ids[start : start + _IDS_PER_QUERY])
        return trials

    def write(self, pending: Mapping[int, Pending], also: AlsoWrite) -> frozenset[int]:
        """Write what is pending, by trial id, in one transaction; the ids of trials that are no longer ours."""

        def written(connection: sa.Connection) -> frozenset[int]:
            open_ids, lost = _fenced(connection, pending)
            _write_trials(connection, {trial_id: pending[trial_id] for trial_id in open_ids})
            also(connection, lost)
            return lost

        return in_transaction(self._storage, written)


def utc_now() -> dt.datetime:
    """Naive UTC, as Optuna 5 keeps its times."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def local_time(utc: dt.datetime | None) -> dt.datetime | None:
    """Naive local time, as Optuna 5 shows its times."""
    return None if utc is None else utc.replace(tzinfo=dt.UTC).astimezone().replace(tzinfo=None)


def _id(trial: FrozenTrial) -> int:
    return int(trial._trial_id)  # noqa: SLF001 - Optuna's tables are keyed by it


def _fenced(connection: sa.Connection, pending: Mapping[int, Pending]) -> tuple[list[int], frozenset[int]]:
    """Which trials are still to be written, and which another worker has ended: in neither, those we have told."""
    columns = (_trials.c.trial_id, _trials.c.state, _trials.c.datetime_complete)
    ours = sa.select(*columns).where(_trials.c.trial_id.in_(pending)).order_by(_trials.c.trial_id)
    found = {row.trial_id: row for row in connection.execute(ours.with_for_update())}
    running = [trial_id for trial_id, row in found.items() if row.state is TrialState.RUNNING]
    told = [trial_id for trial_id, row in found.items() if _is_told(pending[trial_id].ending, row)]
    return running, frozenset(pending).difference(running, told)


def _is_told(ending: Ending | None, row: Any) -> bool:
    return ending is not None and row.state is ending.state and row.datetime_complete == ending.at


def _write_trials(connection: sa.Connection, pending: Mapping[int, Pending]) -> None:
    _replace(connection, _params, ("trial_id", "param_name"), _param_rows(pending))
    for table, name in ((_user_attrs, "user_attrs"), (_system_attrs, "system_attrs")):
        _replace(connection, table, ("trial_id", "key"), _attribute_rows(pending, name))
    _replace(connection, _intermediate_values, ("trial_id", "step"), _intermediate_rows(pending))
    endings = {trial_id: trial.ending for trial_id, trial in pending.items() if trial.ending is not None}
    _replace(connection, _values, ("trial_id", "objective"), _value_rows(endings))
    if endings:
        end = sa.update(_trials).where(_trials.c.trial_id == sa.bindparam("of_trial"))
        rows = [
            {"of_trial": trial_id, "state": ending.state, "datetime_complete": ending.at}
            for trial_id, ending in endings.items()
        ]
        connection.execute(end, rows)


def _replace(
    connection: sa.Connection, table: sa.Table, keys: tuple[str, ...], rows: Iterable[dict[str, Any]]
) -> None:
    """Insert rows, or replace those with the same keys: an attribute that was set before, a reading sent again."""
    found = list(rows)
    if found:
        columns = tuple(found[0])
        connection.execute(_replacement(connection.dialect.name, table, keys, columns), found)


@functools.cache
def _replacement(engine: str, table: sa.Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> Any:
    dialect = importlib.import_module(
        f"sqlalchemy.dialects.{engine}"
    )  # late: PostgreSQL's takes 0.1 s to load
    statement = dialect.insert(table)
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=list(keys), set_=changed)


def _param_rows(pending: Mapping[int, Pending]) -> Iterator[dict[str, Any]]:
    for trial_id, trial in pending.items():
        for name, (value, distribution) in trial.params.items():
            yield {
                "trial_id": trial_id,
                "param_name": name,
                "param_value": value,
                "distribution_json": distribution_to_json(distribution),
            }


def _attribute_rows(pending: Mapping[int, Pending], name: str) -> Iterator[dict[str, Any]]:
    for trial_id, trial in pending.items():
        for key, text in getattr(trial, name).items():
            yield {"trial_id": trial_id, "key": key, "value_json": text}


def _intermediate_rows(pending: Mapping[int, Pending]) -> Iterator[dict[str, Any]]:
    stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    for trial_id, trial in pending.items():
        for step, reading in trial.intermediate_values.items():
            value, kind = stored(reading)
            yield {
                "trial_id": trial_id,
                "step": step,
                "intermediate_value": value,
                "intermediate_value_type": kind,
            }


def _value_rows(endings: Mapping[int, Ending]) -> Iterator[dict[str, Any]]:
    for trial_id, ending in endings.items():
        for objective, number in enumerate(ending.values or ()):
            value, kind = models.TrialValueModel.value_to_stored_repr(number)
            yield {"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind}


def _read_trials(connection: sa.Connection, ids: Sequence[int | None]) -> list[FrozenTrial]:
    def rows_of(table: sa.Table, order: str) -> Mapping[int, list[Any]]:
        grouped: dict[int, list[Any]] = defaultdict(list)
        query = sa.select(table).where(table.c.trial_id.in_(ids)).order_by(table.c[order])
        for row in connection.execute(query):
            grouped[row.trial_id].append(row)
        return grouped

    heads = connection.execute(
        sa.select(_trials).where(_trials.c.trial_id.in_(ids)).order_by(_trials.c.trial_id)
    ).all()
    params = rows_of(_params, "param_id")  # in the order in which they were suggested
    values = rows_of(_values, "objective")
    users, systems = rows_of(_user_attrs, "key"), rows_of(_system_attrs, "key")
    steps = rows_of(_intermediate_values, "step")
    return [
        _frozen(head, *(rows.get(head.trial_id, ()) for rows in (params, values, users, systems, steps)))
        for head in heads
    ]


def _frozen(
    head: Any,
    params: Sequence[Any],
    values: Sequence[Any],
    users: Sequence[Any],
    systems: Sequence[Any],
    steps: Sequence[Any],
) -> FrozenTrial:
    distributions = {row.param_name: _distribution_of(row.distribution_json) for row in params}
    value_of = models.TrialValueModel.stored_repr_to_value
    reading_of = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    return FrozenTrial(
        number=head.number,
        state=head.state,
        value=None,
        values=[value_of(row.value, row.value_type) for row in values] or None,
        datetime_start=local_time(head.datetime_start),
        datetime_complete=local_time(head.datetime_complete),
        params={
            row.param_name: distributions[row.param_name].to_external_repr(row.param_value) for row in params
        },
        distributions=distributions,
        user_attrs={row.key: json.loads(row.value_json) for row in users},
        system_attrs={row.key: json.loads(row.value_json) for row in systems},
        intermediate_values={
            row.step: reading_of(row.intermediate_value, row.intermediate_value_type) for row in steps
        },
        trial_id=head.trial_id,
    )


@functools.lru_cache(maxsize=1024)
def _distribution_of(text: str) -> BaseDistribution:
    return json_to_distribution(text)
