"""What is printed, letter by letter."""

import io
import json
import sys

import pytest

from studies.records import Outcome, StudyRecord, TrialRecord
from studies.reports import wording
from tuner.cli.output import note, print_json, say, show_trials_line, table

every_encoding = pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
"""Of stdout on Linux, on Windows and in bare containers, when it is no terminal."""


def stdout(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def written(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(stream.encoding)


@every_encoding
def test_json_fits_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Any reader gets back what was printed, beyond 16 bits too; people who have UTF-8 can read it."""
    stream = stdout(monkeypatch, encoding)
    value = {"study": "größe 測 🌱", "value": float("nan")}
    print_json(value)
    assert json.loads(written(stream)) == {"study": "größe 測 🌱", "value": None}
    assert ("測" in written(stream)) == (encoding == "utf-8")


@every_encoding
def test_a_line_fits_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """A letter that the encoding lacks is a question mark, not the end of the command."""
    stream = stdout(monkeypatch, encoding)
    say("bar ███ [/b]", head="Größe ")
    table(("lever [/b]",), [("測 [/b]",)])
    assert written(stream).count("[/b]") == 3
    assert ("███" in written(stream)) == (encoding == "utf-8")


def test_a_note_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """No markup, no emoji, on stderr, on one line; nothing when it should be quiet."""
    note("[2/4] :smile: [/b] " + "long " * 50)
    note("silent", quiet=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "[2/4] :smile: [/b] " + "long " * 50 + "\n"


def test_what_was_handed_back_does_not_read_as_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost is what dead workers held; in the counts both are one kind, which does not count towards the total."""
    outcomes = (Outcome.COMPLETED, Outcome.INTERRUPTED, Outcome.OUT_OF_TIME, Outcome.LOST)
    trials = tuple(
        TrialRecord(
            number=number,
            state="complete" if outcome is Outcome.COMPLETED else "fail",
            outcome=outcome,
            value=None,
        )
        for number, outcome in enumerate(outcomes)
    )
    record = StudyRecord(name="s", direction="maximize", trials=trials)
    show_trials_line(record)
    assert capsys.readouterr().out == "Trials  1 complete, 1 lost, 2 handed back\n"
    assert wording.counts(record) == "4 trials: 1 complete, 1 lost, 2 handed back"
    assert (record.counts.lost, record.counts.counted) == (3, 1)
    none_lost = StudyRecord(name="s", direction="maximize", trials=trials[:3])
    assert wording.counts(none_lost) == "3 trials: 1 complete, 2 handed back"
