"""Fixtures for all tests: storages, and an environment that a developer's own settings cannot reach."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import optuna
import pytest
import sqlalchemy as sa

from tests.servers import running_postgresql

# Before torch is imported: two threads of one process lose to one on a busy machine, by up to 20 times here.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A person's run explores; CI's repeats: a change must not be blamed for an example that nobody has seen before.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

_numbers = itertools.count()
_STARTED_IN = Path.cwd()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test in a folder of its own, on one thread, without the developer's storage, data or cache."""
    if "TUNER_DATA" in os.environ:  # may be relative to where pytest was started
        monkeypatch.setenv("TUNER_DATA", str((_STARTED_IN / os.environ["TUNER_DATA"]).resolve()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNER_STORAGE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with running_postgresql() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of an empty database."""
    name = f"studies_{next(_numbers)}"
    engine = sa.create_engine(f"{postgresql_server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    engine.dispose()
    return f"{postgresql_server}/{name}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tuner.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest) -> str:
    """Every storage that several workers may share: a contract's tests run on each."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
