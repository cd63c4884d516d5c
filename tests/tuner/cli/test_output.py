"""What is printed, letter by letter."""

import io
import json
import sys

import pytest

from tuner.cli.output import note, print_json, say, table

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
