"""The overhead meter: what is kept, what it adds up to, and what is said of it."""

import dataclasses
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from studies import tables
from studies.overhead import ACTIVITIES, OverheadTable, Session, advice, ordered, shares_text, total
from studies.recorded import delete_study, open_study
from studies.records import Outcome, StudyRecord, TrialRecord, WorkerSeconds
from studies.reports.overhead_figures import (
    COLORS,
    MAX_BARS,
    TOTAL,
    draw_where_time_went,
    where_time_went,
)
from tests.studies.plans import study
from tuner.training import stopwatch

TRAINED = WorkerSeconds(worker="here:1", wall_seconds=10.0, seconds={"training": 8.0, "storage": 1.0})


def test_the_activities_are_those_of_the_stopwatch() -> None:
    """What is counted has a place in the report, and a color."""
    assert set(ACTIVITIES) == set(stopwatch.ACTIVITIES)
    assert set(COLORS) == {*ACTIVITIES, "other"}


@settings(deadline=None)
@given(
    seconds=st.dictionaries(st.sampled_from(ACTIVITIES), st.floats(0.001, 1e4), min_size=1),
    beyond=st.floats(0, 1e3),
)
def test_shares_add_up_to_the_whole(seconds: dict[str, float], beyond: float) -> None:
    """Whatever no activity has counted is `other`."""
    shares = WorkerSeconds(worker="w", wall_seconds=sum(seconds.values()) + beyond, seconds=seconds).shares()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["other"] == pytest.approx(beyond / (sum(seconds.values()) + beyond), abs=1e-9)


def test_a_worker_that_did_nothing_has_shares_of_nothing() -> None:
    """And no division by zero."""
    idle = WorkerSeconds(worker="w", wall_seconds=0.0, seconds={"training": 0.0})
    assert idle.shares() == {"training": 0.0, "other": 0.0}


def test_a_later_note_replaces_the_earlier_one(storage_url: str) -> None:
    """A killed worker leaves what it noted last; sessions are told apart, and listed by their start."""
    table = study(storage_url).overhead
    late, early = Session.of("there:2"), Session.of("here:1")
    table.keep(late, wall_seconds=5.0, seconds={"training": 4.0})
    table.keep(early, wall_seconds=10.0, seconds={"training": 6.0})
    table.keep(early, wall_seconds=20.0, seconds={"training": 16.0, "idle": 1.0})
    found = open_study("first", storage_url).overhead.read()
    assert list(found) == [early.session_id, late.session_id]
    assert found[early.session_id] == WorkerSeconds(
        worker="here:1", wall_seconds=20.0, seconds={"training": 16.0, "idle": 1.0}
    )
    assert open_study("first", storage_url).record().overhead == tuple(found.values())


def test_each_study_has_its_own_and_takes_it_along_when_it_is_deleted(sqlite_url: str) -> None:
    """A study that is made anew under the old id begins at nothing."""
    recorded = study(sqlite_url)
    recorded.overhead.keep(Session.of("w"), wall_seconds=1.0, seconds={})
    assert OverheadTable(recorded.storage, recorded.study_id + 1).read() == {}
    delete_study(recorded)
    assert study(sqlite_url).overhead.read() == {}


def test_a_database_from_before_the_meter_can_be_read(sqlite_url: str) -> None:
    """It holds no notes, which is no fault."""
    recorded = study(sqlite_url)
    with recorded.storage.engine.begin() as connection:
        connection.execute(sa.text(f"drop table {tables.overhead.name}"))
    assert open_study("first", sqlite_url).record().overhead == ()


def test_workers_add_up() -> None:
    """Seconds by activity, wall time and all."""
    other = WorkerSeconds(worker="here:2", wall_seconds=30.0, seconds={"training": 10.0, "idle": 20.0})
    both = total([TRAINED, other])
    assert both is not None
    assert both.wall_seconds == 40.0
    assert both.seconds == {"training": 18.0, "storage": 1.0, "idle": 20.0}
    assert total([]) is None


def test_shares_are_told_the_largest_first() -> None:
    """What is under half a percent is left out."""
    worker = WorkerSeconds(
        worker="w", wall_seconds=100.0, seconds={"storage": 3.0, "training": 78.0, "idle": 0.1, "data": 18.0}
    )
    assert shares_text(worker) == "training 78 %, data 18 %, storage 3 %, other 1 %"


def test_activities_of_a_newer_symptune_are_shown_too() -> None:
    """Behind the known ones, before `other`."""
    assert ordered(["other", "zeal", "idle", "training", "art"]) == [
        "training",
        "idle",
        "art",
        "zeal",
        "other",
    ]


@pytest.mark.parametrize("activity", [name for name in (*ACTIVITIES, "other") if name != "training"])
def test_where_little_is_trained_something_is_advised(activity: str) -> None:
    """By what cost the most; nothing where training has its share."""
    seconds = {"training": 60.0} | ({} if activity == "other" else {activity: 40.0})
    little = WorkerSeconds(worker="w", wall_seconds=100.0, seconds=seconds)
    assert advice(little, n_workers=1)
    assert advice(dataclasses.replace(little, seconds={**seconds, "training": 160.0}), n_workers=1) == ""


def test_one_worker_is_not_advised_to_take_fewer() -> None:
    """Neither for its start, nor for its waiting; several are."""
    for activity in ("startup", "idle"):
        seconds = {"training": 60.0, activity: 40.0}
        worker = WorkerSeconds(worker="w", wall_seconds=100.0, seconds=seconds)
        assert "--workers" not in advice(worker, n_workers=1)
        assert "fewer --workers" in advice(worker, n_workers=2)


def test_what_is_not_worth_it_is_not_advised() -> None:
    """A search of a few seconds, of which most goes into its start; and many small parts."""
    short = WorkerSeconds(worker="w", wall_seconds=19.0, seconds={"training": 5.0, "startup": 14.0})
    assert advice(short, n_workers=1) == ""
    long = dataclasses.replace(short, wall_seconds=38.0, seconds={"training": 10.0, "startup": 28.0})
    assert advice(long, n_workers=1)
    assert advice(long, n_workers=2) == ""  # 19 s each
    parts = {"training": 65.0, **{name: 5.0 for name in ACTIVITIES if name != "training"}}
    assert advice(WorkerSeconds(worker="w", wall_seconds=100.0, seconds=parts), n_workers=1) == ""


def record_with(*workers: WorkerSeconds) -> StudyRecord:
    return StudyRecord(name="s", direction="maximize", trials=(), overhead=workers)


def test_the_figure_has_a_bar_for_each_worker_and_one_for_all() -> None:
    """The same process twice is two bars; each bar is whole."""
    data = where_time_went(record_with(TRAINED, TRAINED))
    assert data is not None
    assert list(data.frame["worker"].unique()) == ["1. here:1", "2. here:1", TOTAL]
    assert data.frame.groupby("worker")["share"].sum().to_list() == pytest.approx([1.0] * 3)
    assert data.sentence == "Of 20 worker seconds: training 80 %, storage 10 %, other 10 %."
    drawn = draw_where_time_went(data)
    assert [trace.name for trace in drawn.data] == ["training", "storage", "other"]
    assert drawn.layout.legend.traceorder == "normal"  # else plotly turns it round: `other` first


def test_one_worker_needs_no_sum_and_many_are_cut() -> None:
    """The longest have a bar; the sum holds all."""
    alone = where_time_went(record_with(TRAINED))
    assert alone is not None
    assert list(alone.frame["worker"].unique()) == ["1. here:1"]
    workers = [
        dataclasses.replace(TRAINED, worker=f"w{i}", wall_seconds=10.0 + i) for i in range(MAX_BARS + 3)
    ]
    many = where_time_went(record_with(*workers))
    assert many is not None
    assert many.n_left_out == 3
    assert many.frame["worker"].nunique() == MAX_BARS + 1
    assert where_time_went(record_with()) is None


def test_the_report_tells_where_the_time_went(sqlite_url: str, tmp_path: Path) -> None:
    """In a section of its own, which a study without notes lacks."""
    from studies.telling import report

    recorded = study(sqlite_url)
    without = report(recorded, tmp_path / "without.html").read_text(encoding="utf-8")
    recorded.overhead.keep(
        Session.of("here:1"), wall_seconds=100.0, seconds={"training": 30.0, "startup": 60.0}
    )
    page = report(recorded, tmp_path / "with.html").read_text(encoding="utf-8")
    assert "Where the time went" not in without
    assert "Of 100 worker seconds: startup 60 %, training 30 %, other 10 %." in page
    assert "Starting cost the most" in page


def test_of_work_that_was_broken_off_nothing_is_advised() -> None:
    """Its time says nothing of the settings."""
    worker = WorkerSeconds(worker="w", wall_seconds=100.0, seconds={"training": 30.0, "startup": 70.0})
    record = record_with(worker)
    handed_back = TrialRecord(number=0, state="fail", outcome=Outcome.INTERRUPTED, value=None)
    whole = where_time_went(record)
    broken_off = where_time_went(dataclasses.replace(record, trials=(handed_back,)))
    assert whole is not None
    assert broken_off is not None
    assert whole.sentence.startswith(f"{broken_off.sentence} Starting cost the most")
