"""Storage: URLs, SQLite made safe for many workers, and readers that write nothing."""

import multiprocessing
import os
import pickle
import re
import shutil
import sqlite3
import sys
from collections import Counter
from importlib.abc import MetaPathFinder
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from search_spaces.errors import ConfigurationError
from studies import tables
from studies.storage import DEFAULT_URL, open_storage, resolve_url, shown_url, sqlite_path


def test_the_url_comes_from_the_argument_the_environment_or_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this order; bare postgresql gets the driver that is a dependency."""
    assert resolve_url() == DEFAULT_URL
    monkeypatch.setenv("TUNER_STORAGE", "sqlite:///other.db")
    assert resolve_url() == "sqlite:///other.db"
    assert resolve_url("postgresql://u@h/d") == "postgresql+psycopg://u@h/d"
    assert (
        resolve_url("postgres://u:p@h:1/d?sslmode=require")
        == "postgresql+psycopg://u:p@h:1/d?sslmode=require"
    )
    assert resolve_url("postgresql+psycopg2://u@h/d") == "postgresql+psycopg2://u@h/d"


@pytest.mark.parametrize("text", ["runs/tuner.db", "C:\\runs\\tuner.db", "://nothing"])
def test_what_is_no_url_is_refused_in_one_sentence(text: str) -> None:
    """A path is the likely mistake; the message shows a URL."""
    with pytest.raises(ConfigurationError, match="must be a database URL"):
        resolve_url(text)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite+pysqlite:///:memory:",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "sqlite:///file:x?mode=memory&uri=true",
    ],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    """It would be gone with the process, and no worker could share it."""
    with pytest.raises(
        ConfigurationError, match=r"must outlive its process .* database in memory; name a file"
    ):
        open_storage(url)


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("mysql+pymysql://u@h/d", "pymysql", "pymysql"),
        ("mysql://u@h/d", "MySQLdb", "mysqlclient"),
        ("oracle+oracledb://u@h/d", "oracledb", "oracledb"),
        ("postgres://u@h/d", "psycopg", "'symptune[postgresql]'"),
        ("postgresql+pg8000://u@h/d", "pg8000", "pg8000"),
    ],
)
@pytest.mark.parametrize("writable", [True, False])
def test_a_missing_driver_names_its_own_package(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, package: str, writable: bool
) -> None:
    """And not PostgreSQL's to a user of MySQL. None of them is there: Python is told so."""
    monkeypatch.setattr(sys, "meta_path", [_Without(module), *sys.meta_path])
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    expected = f"needs the driver {module!r}, which is not installed: pip install {package}"
    with pytest.raises(ConfigurationError, match=re.escape(expected) + "$"):
        open_storage(url, writable=writable)


class _Without(MetaPathFinder):
    """An importer that knows one thing: this module is not installed."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        if fullname.partition(".")[0] == self._module:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def test_a_storage_object_is_refused_in_one_sentence() -> None:
    """Optuna takes one; we open our own, with the settings that many workers need."""
    with pytest.raises(ConfigurationError, match="must be a database URL"):
        resolve_url(optuna.storages.InMemoryStorage())  # type: ignore[arg-type]  # the mistake


def test_passwords_are_never_shown() -> None:
    """What is printed and recorded has stars."""
    assert "secret" not in shown_url("postgresql+psycopg://me:secret@host/db")


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    """Neither the database nor its folder nor a table."""
    url = f"sqlite:///{tmp_path / 'new' / 'tuner.db'}"
    with pytest.raises(
        ConfigurationError, match=r"no study database at .*tuner\.db; run `tuner search` first"
    ):
        open_storage(url, writable=False)
    assert not (tmp_path / "new").exists()
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("create table mine (x int)")
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(ConfigurationError, match="holds no Optuna studies"):
        open_storage(f"sqlite:///{foreign}", writable=False)
    assert foreign.read_bytes() == before


def test_a_file_that_is_no_database_is_said_in_one_sentence(tmp_path: Path) -> None:
    """No traceback of SQLite reaches the user."""
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, not a database at all" * 100)
    for writable in (True, False):
        with pytest.raises(ConfigurationError, match="could not be opened: file is not a database"):
            open_storage(f"sqlite:///{path}", writable=writable)


def test_a_server_that_is_away_is_said_in_one_sentence() -> None:
    """The port is closed: the message names the storage without its password."""
    with pytest.raises(
        ConfigurationError, match=r"Storage postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/db could not"
    ):
        open_storage("postgresql+psycopg://me:secret@127.0.0.1:1/db")


def test_an_unknown_engine_names_its_missing_driver() -> None:
    """SQLAlchemy's own text, not a traceback."""
    with pytest.raises(ConfigurationError, match=r"could not be opened|driver"):
        open_storage("nosuchengine://host/db")


def test_sqlite_runs_with_write_ahead_logging_after_pickling_too(sqlite_url: str) -> None:
    """The hooks must be set again on the engine that unpickling builds."""
    storage = open_storage(sqlite_url)
    for opened in (storage, pickle.loads(pickle.dumps(storage))):  # noqa: S301 - our own bytes
        with opened.engine.connect() as connection:
            assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("pragma synchronous").scalar() == 1
            other = sqlite3.connect(sqlite_path(sqlite_url) or "", timeout=0)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute(
                    "begin immediate"
                )  # the open transaction holds the write lock from its first word
            other.close()
        opened.engine.dispose()


def test_a_database_of_another_schema_is_refused(sqlite_url: str) -> None:
    """Telemetry of a future version is not misread."""
    storage = open_storage(sqlite_url)
    with storage.engine.begin() as connection:
        connection.execute(sa.update(tables.schema).values(version=99))
    with pytest.raises(ConfigurationError, match="has schema 99"):
        open_storage(sqlite_url)


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that may not be written. Root may write anywhere, and tests may run as root: only what we ask the
    system is told so; that nothing is written all the same, the tests look at."""
    folder = tmp_path / "a shared folder"
    folder.mkdir()
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: may(path, mode) and (mode != os.W_OK or Path(path) != folder)
    )
    return folder


def test_a_database_in_a_read_only_folder_is_read_and_not_written(read_only: Path, tmp_path: Path) -> None:
    """SQLite's own reader must create a file beside a database with a write-ahead log, or fails."""
    url = f"sqlite:///{tmp_path / 'made.db'}"
    storage = open_storage(url)
    optuna.create_study(storage=storage, study_name="theirs").enqueue_trial({"x": 1})
    storage.engine.dispose()
    shutil.copy(tmp_path / "made.db", read_only / "made.db")
    before = (read_only / "made.db").read_bytes()
    url = f"sqlite:///{read_only / 'made.db'}"
    reader = open_storage(url, writable=False)
    with reader.engine.connect() as connection:
        assert connection.scalar(sa.select(tables.optuna_trials.c.state)) == "WAITING"
        assert [file.name for file in read_only.iterdir()] == ["made.db"]
    assert optuna.get_all_study_names(reader) == ["theirs"]
    with pytest.raises(sa.exc.OperationalError, match="readonly"), reader.engine.begin() as connection:
        connection.execute(sa.delete(tables.optuna_trials))
    reader.engine.dispose()
    with pytest.raises(
        ConfigurationError, match=r"folder must be writable .* may only be read; copy it to a folder"
    ):
        open_storage(url)
    assert (read_only / "made.db").read_bytes() == before


def test_a_log_that_waits_beside_a_read_only_database_is_not_passed_over(
    read_only: Path, tmp_path: Path
) -> None:
    """A worker was killed there: what it wrote last is in the log alone."""
    storage = open_storage(f"sqlite:///{tmp_path / 'made.db'}")
    optuna.create_study(storage=storage, study_name="in the log")
    for suffix in ("", "-wal", "-shm"):  # as a kill leaves them: the last connection is still open
        shutil.copy(tmp_path / f"made.db{suffix}", read_only / f"made.db{suffix}")
    reader = open_storage(f"sqlite:///{read_only / 'made.db'}", writable=False)
    assert optuna.get_all_study_names(reader) == ["in the log"]
    reader.engine.dispose()
    storage.engine.dispose()


def test_columns_are_as_wide_as_what_is_kept_in_them() -> None:
    """MySQL's FLOAT has 4 bytes (seconds since 1970 to two minutes), its TEXT and BLOB end at 64 KiB."""
    for table in tables.leases.metadata.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=mysql.dialect()))
        assert not re.search(r"\b(FLOAT|TEXT|BLOB)\b", ddl), ddl
        ddl = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        assert not re.search(r"\b(FLOAT|REAL)\b|LONG", ddl), ddl


def test_many_processes_start_on_an_empty_database(storage_url: str) -> None:
    """They collide in CREATE TABLE and all come through; one study is made."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open_and_create, args=(storage_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert optuna.get_all_study_names(open_storage(storage_url)) == ["shared"]


def test_four_processes_never_run_one_enqueued_trial_twice(sqlite_url: str) -> None:
    """Optuna's own SQLite settings run 2 to 9 of 60 trials twice; BEGIN IMMEDIATE makes the pop atomic."""
    study = optuna.create_study(storage=open_storage(sqlite_url), study_name="queue")
    for index in range(40):
        study.enqueue_trial({"x": index})
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        popped = [x for part in pool.map(_pop_ten, [sqlite_url] * 4) for x in part]
    assert Counter(popped) == Counter(range(40))
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)


def _open_and_create(url: str) -> None:
    from tests.studies.plans import study

    study(url, "shared")


def _pop_ten(url: str) -> list[int]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.load_study(study_name="queue", storage=open_storage(url))
    popped = []
    for _ in range(10):
        trial = study.ask()
        popped.append(trial.suggest_int("x", 0, 100))
        study.tell(trial, 1.0)
    return popped
