"""Open the database that studies live in, made safe for many workers.

SQLite gets write-ahead logging, a long busy time-out, and ``BEGIN IMMEDIATE``: with Optuna's defaults two workers
can pop one enqueued trial (seen: 7-9 of 60 trials run twice by 4 processes; with this recipe 0). PostgreSQL and
other servers ride out a restart: `studies.outages`.
"""

import os
import random
import sqlite3
import time
import weakref
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage

from search_spaces.errors import ConfigurationError
from studies import tables
from studies.outages import ServerStorage, storage_failure

DEFAULT_URL = "sqlite:///runs/tuner.db"
BUSY_SECONDS = 60.0
"""How long SQLite waits for another writer. Optuna's default of 5 s ends in "database is locked"."""
CREATION_ATTEMPTS = 8
"""Several workers that start on an empty PostgreSQL collide in CREATE TABLE; all but one must try again."""

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
"""The driver of URLs that name none, where ours differs from SQLAlchemy's. Many hosts hand out postgres://."""
_PACKAGES = {
    "psycopg": "'symptune[postgresql]'",
    "psycopg2": "psycopg2-binary",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "mariadb": "mariadb",
    "oracledb": "oracledb",
    "cx_Oracle": "cx_Oracle",
    "pyodbc": "pyodbc",
    "pymssql": "pymssql",
}
"""What to install for a driver's module; the names often differ."""


def resolve_url(url: str | None = None) -> str:
    """The storage's URL: ``url``, else ``TUNER_STORAGE``, else SQLite under ``runs/``.

    Raises:
        ConfigurationError: for what is no database URL, and for a database in memory.
    """
    text = url or os.environ.get("TUNER_STORAGE") or DEFAULT_URL
    if not isinstance(text, str) or "://" not in text:
        raise ConfigurationError(
            f"A storage must be a database URL such as {DEFAULT_URL} or postgresql+psycopg://user@host/name, "
            f"but got {text!r}."
        )
    try:
        parsed = sa.make_url(text)
    except sa.exc.ArgumentError as error:
        raise ConfigurationError(f"A storage must be a database URL, but got {text!r}: {error}.") from error
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    if _is_in_memory(parsed):
        raise ConfigurationError(
            f"A storage must outlive its process and be shared by workers, but {text!r} is a database in memory; "
            f"name a file, such as {DEFAULT_URL}."
        )
    return parsed.render_as_string(hide_password=False)


def shown_url(url: str) -> str:
    """``url`` as it may be printed: without its password."""
    return sa.make_url(url).render_as_string(hide_password=True)


def _is_in_memory(url: sa.URL) -> bool:
    if url.drivername.split("+")[0] != "sqlite":
        return False
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL; None for other engines and for in-memory databases."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def open_storage(url: str | None = None, *, writable: bool = True) -> RDBStorage:
    """A storage ready for use by this process.

    A reader never creates anything: neither the file nor a table.

    Raises:
        ConfigurationError: when the database is not there (reading), cannot be reached, or its driver is missing.
    """
    resolved = resolve_url(url)
    path = sqlite_path(resolved)
    if path is not None and not writable and not path.exists():
        raise ConfigurationError(
            f"There is no study database at {path}; run `tuner search` first, or name one with --storage."
        )
    try:
        if path is not None and writable:
            path.parent.mkdir(parents=True, exist_ok=True)
            _check_writable(path)
        storage = _create_with_retry(resolved) if writable else _open_reader(resolved)
    except ImportError as error:
        raise _missing_driver(resolved, error) from error
    except ConfigurationError:
        raise
    except (sa.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, RuntimeError) as error:
        reason = storage_failure(error) or str(error).strip().splitlines()[0]
        raise ConfigurationError(f"Storage {shown_url(resolved)} could not be opened: {reason}") from error
    # A server has few connections: they are closed when nobody holds the storage any more, not when the process ends.
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def _missing_driver(url: str, error: ImportError) -> ConfigurationError:
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error  # Optuna wraps it
    module = cause.name or sa.make_url(url).drivername
    package = _PACKAGES.get(module.split(".")[0], module)
    return ConfigurationError(
        f"Storage {shown_url(url)} needs the driver {module!r}, which is not installed: pip install {package}"
    )


def _check_writable(path: Path) -> None:
    """SQLite also writes beside its file (the write-ahead log): the folder must let it."""
    if os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK)):
        return
    raise ConfigurationError(
        f"A study database and its folder must be writable to add to it, but {path} may only be read; "
        f"copy it to a folder of yours and name the copy with --storage."
    )


class _WalConnection(sqlite3.Connection):
    """A connection factory rather than an event hook: it survives pickling and reaches every pooled connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


class LocalSqliteStorage(RDBStorage):
    """SQLite on a local disk, safe for several processes. Not for network file systems: WAL does not work there."""

    def __init__(self, url: str) -> None:
        super().__init__(
            url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS, "factory": _WalConnection}}
        )
        self._begin_immediate()

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)  # builds a new engine, without our hooks
        self._begin_immediate()

    def _begin_immediate(self) -> None:
        sa.event.listen(self.engine, "connect", _leave_begin_to_us)
        sa.event.listen(self.engine, "begin", _begin_immediate)
        self.engine.dispose()  # the constructor's connections missed the hooks


def _leave_begin_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _create(url: str) -> RDBStorage:
    is_sqlite = sa.make_url(url).get_backend_name() == "sqlite"
    storage = LocalSqliteStorage(url) if is_sqlite else ServerStorage(url)
    tables.create_tables(storage.engine)
    return storage


def _create_with_retry(url: str) -> RDBStorage:
    for attempt in range(1, CREATION_ATTEMPTS + 1):
        try:
            return _create(url)
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.OperationalError) as error:
            lost_race = "exist" in str(error) or "unique" in str(error).lower() or "duplicate" in str(error)
            if not lost_race or attempt == CREATION_ATTEMPTS:
                raise
            time.sleep(0.1 * attempt * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
    raise AssertionError("unreachable")


def _open_reader(url: str) -> RDBStorage:
    path = sqlite_path(url)
    if path is not None:
        url = _readable_url(url, path)
    arguments: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS}} if path is not None else {}
    # Looked at before Optuna does: its constructor writes its version into whatever database it is given.
    engine = sa.create_engine(url, **arguments)
    try:
        if not sa.inspect(engine).has_table(tables.optuna_trials.name):
            raise ConfigurationError(f"{shown_url(url)} holds no Optuna studies.")
    finally:
        engine.dispose()
    if path is None:
        return ServerStorage(url, skip_table_creation=True, skip_compatibility_check=True)
    return RDBStorage(url, engine_kwargs=arguments, skip_table_creation=True, skip_compatibility_check=True)


def _readable_url(url: str, path: Path) -> str:
    """``url``, or one that reads a database in a folder that may not be written.

    Readers of a database with write-ahead logging share a file beside it. Where they may not create it, SQLite reads
    the database as one that nobody changes, which is wrong only while a log waits beside it: then it says so itself.
    """
    log = Path(f"{path}-wal")
    if os.access(path.parent, os.W_OK) or (log.exists() and log.stat().st_size > 0):
        return url
    readable = sa.make_url(url).set(database=path.resolve().as_uri())
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    return readable.update_query_dict(query).render_as_string(hide_password=False)
