"""The collector is off while a record is read, and then as it was."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from studies import recorded
from studies.garbage import without_collector
from tests.studies.plans import study


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    yield
    gc.enable()


def test_it_is_off_inside_and_on_again_afterwards() -> None:
    """After an error, too."""
    with without_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="no"), without_collector():
        raise ValueError("no")
    assert gc.isenabled()


def test_a_user_who_turned_it_off_keeps_it_off() -> None:
    gc.disable()
    with without_collector():
        pass
    assert not gc.isenabled()


def test_a_record_is_read_without_it(monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> None:
    """All of it: the rows, and what is made of them."""
    real, were_on = recorded.study_record, []

    def study_record(*arguments: Any, **chosen: Any) -> Any:
        were_on.append(gc.isenabled())
        return real(*arguments, **chosen)

    monkeypatch.setattr(recorded, "study_record", study_record)
    study(sqlite_url).record()
    assert were_on == [False]
    assert gc.isenabled()
