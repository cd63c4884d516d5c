"""Instruments that are ready for every guide, and two guides for whoever only looks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuner.workflow.guides import FEW, make_ready, tuned
from tuner.workflow import Tuning


@pytest.fixture(autouse=True)
def _ready_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    make_ready(monkeypatch)


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tuning, str]]:
    """One guide from end to end, for whoever only looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        url = f"sqlite:///{Path.cwd() / 'g.db'}"
        make_ready(patch)
        yield tuned(url, budget="44trials"), url


@pytest.fixture(scope="package")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tuning, str]]:
    """A guide of two levers that nobody interrupted, for those that are interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("short"))
        url = f"sqlite:///{Path.cwd() / 'g.db'}"
        make_ready(patch)
        yield tuned(url, space=FEW), url
