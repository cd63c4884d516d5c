"""The tables that live beside Optuna's own in a study's database, their schema version, and the database's clock.

Optuna's tables are declared with the few columns we count by; everything else of Optuna is reached through its own API,
or written by `studies.trial_tables`.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from search_spaces.errors import ConfigurationError

SCHEMA_VERSION = 1

# MySQL's TEXT and BLOB end at 64 KiB: the layers of a large network, or the steps of an epoch at batch 1, are longer.
_LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_LongBlob = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")

_metadata = sa.MetaData()

schema = sa.Table("tuner_schema", _metadata, sa.Column("version", sa.Integer, primary_key=True))

studies = sa.Table(
    "tuner_studies",
    _metadata,
    sa.Column("study_id", sa.Integer, primary_key=True, autoincrement=False),
    # SQLite reuses the ids of deleted studies: a row counts only if the name agrees too.
    sa.Column("study_name", sa.String(512), nullable=False),
    # None for a study of someone else's in which an objective of ours keeps telemetry.
    sa.Column("plan", _LongText),
    sa.Column("n_trials_wanted", sa.Integer),
)

leases = sa.Table(
    "tuner_leases",
    _metadata,
    sa.Column("lease_id", sa.String(32), primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("trial_id", sa.Integer, index=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("machine", sa.String(256), nullable=False),
    sa.Column("process_id", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Double, nullable=False),
    sa.Column("taken_at", sa.Double, nullable=False),
    sa.Column("beat_at", sa.Double, nullable=False),
)

epochs = sa.Table(
    "tuner_epochs",
    _metadata,
    sa.Column("trial_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("train_loss", sa.Double),
    sa.Column("train_accuracy", sa.Double),
    sa.Column("validation_loss", sa.Double),
    sa.Column("validation_accuracy", sa.Double),
    sa.Column("calibration_error", sa.Double),
    sa.Column("learning_rate", sa.Double),
    sa.Column("gradient_norm", sa.Double),
    sa.Column("clip_fraction", sa.Double),
    sa.Column("dead_fraction", sa.Double),
    sa.Column("seconds", sa.Double),
    sa.Column("samples_per_second", sa.Double),
    sa.Column("layers", _LongText, nullable=False),
    sa.Column("steps", _LongBlob),
)

probes = sa.Table(
    "tuner_probes",
    _metadata,
    sa.Column("trial_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("step_zero", _LongText),
    sa.Column("data", _LongText),
)

# What came after the first version: a new table, where new columns would need a new schema of every database.
readings = sa.Table(
    "tuner_readings",
    _metadata,
    sa.Column("trial_id", sa.Integer, primary_key=True, autoincrement=False),
    # epoch (more of the epoch cadence), code, counterfactuals; the last two have epoch 0.
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("body", _LongText, nullable=False),
)

overhead = sa.Table(
    "tuner_overhead",
    _metadata,
    sa.Column("session_id", sa.String(32), primary_key=True),
    sa.Column("study_id", sa.Integer, nullable=False, index=True),
    sa.Column("worker", sa.String(256), nullable=False),
    sa.Column("began_at", sa.Double, nullable=False),
    sa.Column("wall_seconds", sa.Double, nullable=False),
    sa.Column("seconds", _LongText, nullable=False),
)

optuna_trials = sa.Table(
    "trials",
    sa.MetaData(),
    sa.Column("trial_id", sa.Integer, primary_key=True),
    sa.Column("study_id", sa.Integer),
    # An enum type of its own on PostgreSQL: compare it as text.
    sa.Column("state", sa.String(8)),
)

optuna_params = sa.Table("trial_params", sa.MetaData(), sa.Column("trial_id", sa.Integer))

optuna_studies = sa.Table(
    "studies",
    sa.MetaData(),
    sa.Column("study_id", sa.Integer, primary_key=True),
    sa.Column("study_name", sa.String(512)),
)


def trial_state() -> sa.ColumnElement[str]:
    """Optuna's trial state as text, on every engine."""
    return sa.cast(optuna_trials.c.state, sa.String(16))


def create_tables(engine: sa.Engine) -> None:
    """Create what is missing and check the schema version.

    Raises:
        ConfigurationError: when the database was written by a version of symptune with another schema.
    """
    _metadata.create_all(engine)
    with engine.begin() as connection:
        version = connection.scalar(sa.select(sa.func.max(schema.c.version)))
        if version is None:
            connection.execute(sa.insert(schema).values(version=SCHEMA_VERSION))
        elif version != SCHEMA_VERSION:
            raise ConfigurationError(
                f"This symptune reads telemetry schema {SCHEMA_VERSION}, but the database has schema {version}; "
                f"use the symptune version that wrote it, or a new database."
            )


def has_tables(engine: sa.Engine) -> bool:
    """Whether symptune ever wrote to this database."""
    return sa.inspect(engine).has_table(studies.name)


def forget_study(connection: sa.Connection, study_id: int) -> None:
    """Delete every row of ours that belongs to ``study_id``."""
    for table in (epochs, probes, readings, leases, overhead, studies):
        connection.execute(sa.delete(table).where(table.c.study_id == study_id))


def forget_deleted_studies(connection: sa.Connection) -> None:
    """Delete every row of ours whose study is gone: optuna-dashboard deletes Optuna's rows and not ours.

    SQLite gives the ids of deleted studies and trials out again; rows left under them would be taken for the new
    study's. A study counts as gone when none with its id has its name.
    """
    lives = sa.select(optuna_studies.c.study_id).where(
        optuna_studies.c.study_id == studies.c.study_id, optuna_studies.c.study_name == studies.c.study_name
    )
    connection.execute(sa.delete(studies).where(~lives.exists()))
    for table in (epochs, probes, readings, leases, overhead):
        connection.execute(sa.delete(table).where(table.c.study_id.not_in(sa.select(studies.c.study_id))))


class database_seconds(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """Seconds since 1970 on the database's clock, so that the clocks of the nodes do not matter."""

    inherit_cache = True
    type = sa.Double()


@compiles(database_seconds, "sqlite")
def _sqlite_seconds(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_seconds, "postgresql")
def _postgresql_seconds(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "extract(epoch from clock_timestamp())::float8"


@compiles(database_seconds, "mysql")
def _mysql_seconds(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "unix_timestamp(sysdate(6))"
