"""A study with everything that is recorded of it: open it, create or join it, list and delete studies by name."""

import contextlib
import dataclasses
import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from search_spaces.errors import ConfigurationError, unknown_name
from studies import tables
from studies.as_record import study_record
from studies.encoding import to_json
from studies.garbage import without_collector
from studies.outages import in_transaction, ride_out
from studies.overhead import OverheadTable
from studies.paths import StudyPaths
from studies.plan import StudyPlan
from studies.readings import Telemetry
from studies.records import StudyRecord, WorkerSeconds
from studies.storage import open_storage, resolve_url, shown_url
from studies.telemetry import TelemetryTables
from studies.watches import Watches

REPLICATES = re.compile(r"-fix-\d+(-[a-z]|-\d+)?(-step\d+)?$")
"""How the names of the studies end that `tuner fix` trains its replicates in: nobody made them by hand."""
N_NAMED = 10
"""Studies that an error names."""


@dataclass(frozen=True, kw_only=True)
class RecordedStudy:
    """An Optuna study, its plan, and its telemetry. ``plan`` is None for a study that symptune did not make."""

    name: str
    url: str
    storage: RDBStorage
    study: optuna.Study
    plan: StudyPlan | None

    @property
    def study_id(self) -> int:
        return int(self.study._study_id)  # noqa: SLF001 - Optuna offers no public way to a study's id

    @property
    def paths(self) -> StudyPaths:
        return StudyPaths.of(self.name, self.url)

    @property
    def telemetry(self) -> TelemetryTables:
        return TelemetryTables(self.storage, self.study_id)

    @property
    def overhead(self) -> OverheadTable:
        return OverheadTable(self.storage, self.study_id)

    @without_collector()
    def record(self, *, telemetry: bool = True, steps: bool = False) -> StudyRecord:
        """Everything that is known of the study now.

        Args:
            telemetry: whether to read the epoch cadence too; a progress bar does without.
            steps: whether to read the step cadence too, which is large.
        """
        readings: Mapping[int, Telemetry] = {}
        overhead: tuple[WorkerSeconds, ...] = ()
        is_ours = _is_registered(self.storage, self.study_id, self.name)
        if telemetry and is_ours:
            readings = self.telemetry.read(steps=steps)
            overhead = tuple(self.overhead.read().values())
        may_be_watched = is_ours and self.plan is None
        lost = Watches(self.storage, self.study_id).lost() if may_be_watched else frozenset[int]()
        return study_record(
            self.study, self.plan, readings, storage=shown_url(self.url), overhead=overhead, lost=lost
        )

    def n_trials_wanted(self) -> int | None:
        """The total that was asked for last; None when none was recorded."""
        table = tables.studies
        query = sa.select(table.c.n_trials_wanted).where(table.c.study_id == self.study_id)
        return in_transaction(self.storage, lambda connection: connection.scalar(query))

    def want_trials(self, n_trials: int) -> None:
        """Record the total, for `tuner resume`; a smaller one than before takes nothing back."""
        table = tables.studies
        is_more = sa.or_(table.c.n_trials_wanted.is_(None), table.c.n_trials_wanted < n_trials)
        query = (
            sa.update(table)
            .where(table.c.study_id == self.study_id, is_more)
            .values(n_trials_wanted=n_trials)
        )
        in_transaction(self.storage, lambda connection: connection.execute(query))


def create_study(name: str, plan: StudyPlan, url: str | None = None) -> RecordedStudy:
    """Create the study, or join it if it was planned the same way. Created once, even when many start together.

    Raises:
        ConfigurationError: when a study of that name exists with another plan; nothing is written then.
    """
    resolved = resolve_url(url)
    storage = open_storage(resolved, writable=True)
    if _study_id(storage, name) is None:
        _create(storage, name, plan)
    study_id = int(storage.get_study_id_from_name(name))
    if _read_plan(storage, study_id, name) is None:
        _adopt(storage, study_id, name, plan)
    check_joinable(name, _read_plan(storage, study_id, name), plan)
    return _recorded(name, resolved, storage, study_id)


def open_study(name: str, storage: str | None = None, *, writable: bool = False) -> RecordedStudy:
    """The study of that name.

    Args:
        name: as `tuner list` shows it.
        storage: a database URL; default ``TUNER_STORAGE``, else ``sqlite:///runs/tuner.db``.
        writable: whether the caller will add trials, notes or artifacts.

    Raises:
        ConfigurationError: when the database or the study is not there.
    """
    resolved = resolve_url(storage)
    opened = open_storage(resolved, writable=False)
    study_id = _study_id(opened, name)
    if study_id is None:
        names = sorted(optuna.get_all_study_names(opened))
        own = [each for each in names if not REPLICATES.search(each)]
        raise (
            unknown_name("The study's name", name, own or names, limit=N_NAMED)
            if names
            else ConfigurationError(f"{shown_url(resolved)} holds no studies yet; run `tuner search` first.")
        )
    n_objectives = _n_objectives(opened, study_id)
    if n_objectives != 1:
        raise ConfigurationError(f"A study must have one objective, but {name!r} has {n_objectives}.")
    if writable:
        opened = open_storage(resolved, writable=True)
    return _recorded(name, resolved, opened, study_id)


def list_studies(storage: str | None = None) -> list[RecordedStudy]:
    """The studies of a database that have one objective, by name. An absent SQLite file is an error, no empty list."""
    resolved = resolve_url(storage)
    opened = open_storage(resolved, writable=False)
    ids = {name: opened.get_study_id_from_name(name) for name in sorted(optuna.get_all_study_names(opened))}
    return [
        _recorded(name, resolved, opened, study_id)
        for name, study_id in ids.items()
        if _n_objectives(opened, study_id) == 1
    ]


def delete_study(recorded: RecordedStudy) -> None:
    """Delete the study, its trials and its telemetry. Files under its folder stay."""
    writable = open_storage(recorded.url, writable=True)
    in_transaction(writable, lambda connection: tables.forget_study(connection, recorded.study_id))
    optuna.delete_study(study_name=recorded.name, storage=writable)


def _recorded(name: str, url: str, storage: RDBStorage, study_id: int) -> RecordedStudy:
    study = optuna.load_study(study_name=name, storage=storage)
    return RecordedStudy(
        name=name, url=url, storage=storage, study=study, plan=_read_plan(storage, study_id, name)
    )


def _n_objectives(storage: RDBStorage, study_id: int) -> int:
    return len(storage.get_study_directions(study_id))


def _study_id(storage: RDBStorage, name: str) -> int | None:
    try:
        return int(storage.get_study_id_from_name(name))
    except KeyError:
        return None


def record_of(study: optuna.Study, *, steps: bool = False) -> StudyRecord:
    """The record of any Optuna study, in memory or in a journal too; with telemetry where ours is in its database."""
    if len(study.directions) != 1:
        raise ConfigurationError(
            f"A study must have one objective, but {study.study_name!r} has {len(study.directions)}."
        )
    backend = getattr(study._storage, "_backend", study._storage)  # noqa: SLF001 - Optuna wraps databases in a cache
    if isinstance(backend, RDBStorage):
        study_id = int(study._study_id)  # noqa: SLF001
        return _recorded(study.study_name, backend.url, backend, study_id).record(steps=steps)
    return study_record(study, None, {}, storage="")


def telemetry_of(study: optuna.Study) -> TelemetryTables | None:
    """Where an objective of ours keeps its readings in a study of someone else's; None unless it is in a database."""
    backend = getattr(study._storage, "_backend", study._storage)  # noqa: SLF001
    if not isinstance(backend, RDBStorage):
        return None
    ride_out(backend, lambda: tables.create_tables(backend.engine))
    study_id = int(study._study_id)  # noqa: SLF001
    if not _is_registered(backend, study_id, study.study_name):
        in_transaction(backend, tables.forget_deleted_studies)
        in_transaction(backend, lambda c: _register(c, study_id, study.study_name, plan=None))
    return TelemetryTables(backend, study_id)


def _create(storage: RDBStorage, name: str, plan: StudyPlan) -> None:
    # Before, and not after: what is deleted here can belong to no study that exists.
    in_transaction(storage, tables.forget_deleted_studies)
    another_was_first = contextlib.suppress(optuna.exceptions.DuplicatedStudyError)
    with another_was_first, _unannounced():
        optuna.create_study(
            study_name=name, storage=storage, direction=StudyDirection[plan.direction.upper()]
        )


@contextlib.contextmanager
def _unannounced() -> Iterator[None]:
    """Without the storage's line that a study was created. Optuna's verbosity, which is the caller's, stays."""
    logger, thread = logging.getLogger(RDBStorage.__module__), threading.get_ident()

    def is_news(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno > logging.INFO

    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)


def _adopt(storage: RDBStorage, study_id: int, name: str, plan: StudyPlan) -> None:
    """Give a study that has no plan and no trials this one: it was just created, or its creator died just then."""
    has_direction = storage.get_study_directions(study_id) == [StudyDirection[plan.direction.upper()]]
    if not has_direction or storage.get_n_trials(study_id):
        return
    in_transaction(storage, lambda connection: _register(connection, study_id, name, plan=to_json(plan)))


def _register(connection: sa.Connection, study_id: int, name: str, *, plan: str | None) -> None:
    """Insert the study's row, unless there is one: the first node's counts."""
    try:
        with connection.begin_nested():
            connection.execute(
                sa.insert(tables.studies).values(study_id=study_id, study_name=name, plan=plan)
            )
    except sa.exc.IntegrityError:
        return


def check_joinable(name: str, recorded: StudyPlan | None, plan: StudyPlan) -> None:
    """Whether a study that was recorded so may be gone on with as ``plan`` says.

    Raises:
        ConfigurationError: when it was not made by symptune, or planned differently.
    """
    if recorded is None:
        raise ConfigurationError(
            f"Study {name!r} exists but was not made by symptune, so its task and space are unknown; "
            f"choose another name with --study."
        )
    # What was recorded went through JSON: compare like with like.
    differences = recorded.differences(_plan_from_json(to_json(plan)))
    if differences:
        raise ConfigurationError(
            f"A study goes on only as it was begun, but for {name!r} {'; '.join(differences)}; "
            f"use the recorded settings (`tuner resume {name}`) or another --study."
        )


def _read_plan(storage: RDBStorage, study_id: int, name: str) -> StudyPlan | None:
    if not ride_out(storage, lambda: tables.has_tables(storage.engine)):
        return None
    text = in_transaction(storage, lambda connection: _plan_text(connection, study_id, name))
    return None if text is None else _plan_from_json(text)


def _is_registered(storage: RDBStorage, study_id: int, name: str) -> bool:
    """Whether telemetry under this id is this study's, and not a deleted one's whose id was given out again."""
    table = tables.studies
    if not ride_out(storage, lambda: tables.has_tables(storage.engine)):
        return False
    query = sa.select(table.c.study_id).where(table.c.study_id == study_id, table.c.study_name == name)
    return in_transaction(storage, lambda connection: connection.scalar(query)) is not None


def _plan_text(connection: sa.Connection, study_id: int, name: str) -> str | None:
    table = tables.studies
    query = sa.select(table.c.plan).where(table.c.study_id == study_id, table.c.study_name == name)
    return connection.scalar(query)


def _plan_from_json(text: str) -> StudyPlan:
    known = {field.name for field in dataclasses.fields(StudyPlan)}
    return StudyPlan(**{key: value for key, value in json.loads(text).items() if key in known})
