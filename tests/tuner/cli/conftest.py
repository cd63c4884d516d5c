"""The command run in this process, and a study to run it on."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tuner.cli import main

SEARCH = ("search", "--task", "digits", "--workers", "1", "--epochs", "2", "--set", "width=8", "--study", "s")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process: torch is loaded once for all tests."""

    def run_command(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["tuner", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run_command


@pytest.fixture
def searched(run: Run) -> Run:
    """A study `s` of 4 trials."""
    assert run(*SEARCH, "--trials", "4", "--quiet").code == 0
    return run
