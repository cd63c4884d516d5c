"""What is seen of a search while it runs, where stderr is no terminal."""

import dataclasses
import datetime as dt

import pytest

from studies.records import Outcome, StudyRecord, TrialRecord
from tuner.cli.progress import showing_progress
from tuner.prepared_search import Progress

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def trial(number: int, outcome: Outcome | None, *, ended: float = 0.0) -> TrialRecord:
    """That ended at that second; None runs."""
    state = {None: "running", Outcome.COMPLETED: "complete", Outcome.PRUNED: "pruned"}.get(outcome, "fail")
    value = 0.5 if outcome is Outcome.COMPLETED else None
    when = None if outcome is None else BEGAN + dt.timedelta(seconds=ended)
    return TrialRecord(number=number, state=state, outcome=outcome, value=value, started=BEGAN, ended=when)


def progress(*trials: TrialRecord, n_before: int = 0, seconds: float = 10.0) -> Progress:
    record = StudyRecord(name="s", direction="maximize", metric="validation_accuracy", trials=trials)
    return Progress(record=record, n_trials=12, n_before=n_before, seconds=seconds)


def lines(capsys: pytest.CaptureFixture[str], *looks: Progress) -> list[str]:
    with showing_progress(quiet=False) as show:
        for look in looks:
            show(look)
    return capsys.readouterr().err.splitlines()


def test_trials_that_end_together_are_numbered_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Lanes end together; how the search stands is told after the last of them, at the pace so far."""
    running = [trial(number, None) for number in range(4)]
    first = [trial(number, Outcome.COMPLETED, ended=9.0) for number in range(3)]
    assert lines(
        capsys, progress(*running), progress(*first, running[3]), progress(*first, trial(3, Outcome.PRUNED))
    ) == [
        "[1/12] trial 0 completed 50.00%",
        "[2/12] trial 1 completed 50.00%",
        "[3/12] trial 2 completed 50.00% · best 50.00% · ETA 0:30",
        "[4/12] trial 3 pruned - · best 50.00% · ETA 0:20",
    ]


def test_the_first_look_tells_what_has_ended_since_the_search_began(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In a new study too, where nothing was there before; and of what was, nothing is said of the pace."""
    together = [trial(number, Outcome.COMPLETED) for number in range(12)]
    assert lines(capsys, progress(*together))[-1] == "[12/12] trial 11 completed 50.00% · best 50.00% · done"
    before = [trial(0, Outcome.COMPLETED, ended=1.0), trial(1, Outcome.PRUNED, ended=2.0)]
    assert lines(capsys, progress(*before, n_before=2)) == ["2 trials already there"]
    late = trial(1, Outcome.PRUNED, ended=7.0)
    earlier = trial(2, Outcome.COMPLETED, ended=2.0)
    assert lines(capsys, progress(before[0], late, earlier, n_before=2)) == [
        "2 trials already there",
        "[3/12] trial 1 pruned - · best 50.00% · ETA 1:30",
    ]


def test_what_comes_back_counts_neither_before_nor_after(capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers of a resumed search go on from what it began with; what is handed back is one line, and not lost."""
    handed_back = [trial(2, Outcome.INTERRUPTED, ended=3.0), trial(3, Outcome.OUT_OF_TIME, ended=3.0)]
    before = [trial(0, Outcome.COMPLETED, ended=1.0), trial(1, Outcome.COMPLETED, ended=2.0), *handed_back]
    after = [
        trial(4, Outcome.COMPLETED, ended=8.0),
        trial(5, Outcome.LOST, ended=9.0),
        *(dataclasses.replace(each, number=each.number + 4) for each in handed_back),
    ]
    assert lines(capsys, progress(*before, n_before=2), progress(*before, *after, n_before=2)) == [
        "2 trials already there",
        "[3/12] trial 4 completed 50.00% · best 50.00% · ETA 1:30",
        "[3/12] 1 lost",
        "[3/12] 2 handed back",
    ]
