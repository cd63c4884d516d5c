"""A database that fails in mid-run ends a command in one sentence, and what it holds can be read afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

import tuner.cli
from studies.recorded import open_study

SEARCH = ["search", "--task", "digits", "--space", "quick", "--epochs", "1", "--set", "width=8"]
RUN = [*SEARCH, "--workers", "1", "--study", "s", "--quiet"]

FULL_DISK = """
import resource, sys
from tuner.cli import main
# Python ignores SIGXFSZ: writing fails, as on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = ["tuner", *sys.argv[2:]]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a process's files")
def test_a_disk_that_fills_up_ends_in_one_sentence_and_the_study_goes_on_later(
    sqlite_url: str, tmp_path: Path
) -> None:
    """No file may grow beyond what the database has plus 16 KiB: the second trial or so no longer fits."""

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *command],
            env=os.environ | {"TUNER_STORAGE": sqlite_url},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    assert run("-m", "tuner", *RUN, "--trials", "1").returncode == 0
    limit = (tmp_path / "tuner.db").stat().st_size + 16 * 1024
    full = run("-c", FULL_DISK, str(limit), *RUN, "--trials", "30")
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    said = full.stderr.strip().splitlines()[-1]
    assert said.startswith("error: The study's database could not be read or written (")
    assert 1 <= open_study("s", sqlite_url).record().counts.counted < 30
    again = run("-m", "tuner", *RUN, "--trials", "30")
    assert again.returncode == 0, again.stderr
    record = open_study("s", sqlite_url).record()
    assert record.counts.counted == 30
    assert {trial.state for trial in record.trials} <= {"complete", "pruned", "fail"}


@pytest.mark.parametrize(
    "error",
    [
        StorageInternalError("An exception is raised during the commit."),
        sa.exc.OperationalError("insert", {}, OSError("database or disk is full")),
    ],
)
def test_a_storage_failure_is_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; the database's reason without SQL."""
    with pytest.raises(SystemExit, match="1"):
        run_main_raising(error, monkeypatch)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("error: The study's database could not be read or written (")
    assert "insert" not in said


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no user's business to guess at it."""
    with pytest.raises(KeyError, match="ours"):
        run_main_raising(KeyError("ours"), monkeypatch)


def run_main_raising(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(tuner.cli, "app", fail)
    tuner.cli.main()
