"""The meter: wall time and activities of one worker, noted now and then."""

import pytest
import sqlalchemy as sa

from studies.overhead import OverheadTable
from tests.studies.plans import study
from tuner.searching.metering import KEPT_EVERY_SECONDS, OverheadMeter
from tuner.training.stopwatch import Stopwatch


class Clock:
    """Goes on by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_was_before_counts_as_startup_and_as_wall_time(sqlite_url: str) -> None:
    """Notes are taken every few seconds, and hold what is counted up to that moment."""
    recorded, clock = study(sqlite_url), Clock()
    stopwatch = Stopwatch(clock=clock)
    meter = OverheadMeter(recorded.overhead, stopwatch, before_seconds=3.0, clock=clock)
    with stopwatch.on("training"):
        clock.now += KEPT_EVERY_SECONDS - 1
        meter.keep_now_and_then()
        assert recorded.overhead.read() == {}
        clock.now += 2
        meter.keep_now_and_then()
    (noted,) = recorded.overhead.read().values()
    assert noted.wall_seconds == pytest.approx(3.0 + KEPT_EVERY_SECONDS + 1)
    assert noted.seconds["startup"] == 3.0
    assert noted.seconds["training"] == pytest.approx(KEPT_EVERY_SECONDS + 1)
    assert noted.other_seconds == pytest.approx(0.0)
    assert meter.session.session_id in recorded.overhead.read()


def test_a_database_that_is_away_ends_no_search(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The seconds stay with the stopwatch, and are noted the next time."""
    recorded = study(sqlite_url)
    with recorded.storage.engine.begin() as connection:
        connection.execute(sa.text("drop table tuner_overhead"))
    with caplog.at_level("INFO"):
        OverheadMeter(
            OverheadTable(recorded.storage, recorded.study_id), Stopwatch(), before_seconds=0.0
        ).keep()
    assert "could not be noted" in caplog.text
