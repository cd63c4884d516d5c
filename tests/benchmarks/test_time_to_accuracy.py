import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import psutil
import pytest

from tests.benchmarks.conftest import BENCHMARKS

CURVE = [(2.0, 0.9), (5.0, 0.97), (9.0, 0.983)]


def test_the_database_is_read_as_others_write_it(tmp_path: Path) -> None:
    """No file, no table and no value are 0; then the best of all trials' intermediate values, NaN aside."""
    from time_to_accuracy import best_value

    database = tmp_path / "study.db"
    assert best_value(database) == 0
    sqlite3.connect(database).close()
    assert best_value(database) == 0
    study = optuna.create_study(storage=f"sqlite:///{database}")
    assert best_value(database) == 0
    for value in (0.5, 0.75, float("nan"), 0.25):
        study.ask().report(value, 1)
    assert best_value(database) == 0.75


def test_the_first_value_at_or_above_the_target_counts() -> None:
    """None where there is none; the curve goes on to the end of the watching."""
    from time_to_accuracy import Watched

    watched = Watched(improvements=CURVE, watched_seconds=10.0)
    assert watched.seconds_to(0.97) == 5.0
    assert watched.seconds_to(0.98) == 9.0
    assert watched.seconds_to(0.99) is None
    assert watched.curve == [*CURVE, (10.0, 0.983)]
    assert Watched(improvements=[], watched_seconds=10.0).curve == []


def test_who_does_not_arrive_counts_with_the_time_watched() -> None:
    """A lower bound of its seconds, and said so by the number that arrived."""
    from time_to_accuracy import Watched, summary

    ours = [Watched(improvements=CURVE, watched_seconds=10.0)] * 3
    expert = [Watched(improvements=CURVE[:2], watched_seconds=27.0)] * 3
    found = summary({"ours": ours, "expert": expert}, 0.98)
    assert found["expert_over_ours"] == 3.0
    assert found["seconds_to_target"]["expert"]["n_reached"] == 0
    assert found["seconds_to_target"]["ours"]["n_reached"] == 3


PARENT = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""


def test_a_watched_search_is_ended_with_its_children(tmp_path: Path) -> None:
    """Whatever it started is gone when the watching ends."""
    from time_to_accuracy import Search, watch

    child = tmp_path / "child"
    command = [sys.executable, "-c", PARENT, str(child)]
    search = Search(command=command, database=tmp_path / "none.db", environment={})
    watched = watch(search, lambda _, __: child.exists() and child.read_text() != "", tmp_path / "log")
    assert watched.improvements == []
    number = int(child.read_text(encoding="utf-8"))
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


def test_a_search_that_breaks_off_is_told_with_its_error(tmp_path: Path) -> None:
    """Instead of waiting for the limit."""
    from time_to_accuracy import Search, watch

    command = [sys.executable, "-c", "raise RuntimeError('no data here')"]
    search = Search(command=command, database=tmp_path / "none.db", environment={})
    with pytest.raises(SystemExit, match="no data here"):
        watch(search, lambda _, __: False, tmp_path / "log")


def test_the_curve_is_drawn_from_the_figures(tmp_path: Path) -> None:
    """Into a page that needs nothing else."""
    found = {
        "workload": "2 x 256, adam, batch 128",
        "task": "mnist",
        "target": 0.982,
        "curves": {"ours": [CURVE], "expert": [CURVE[:2]]},
    }
    (tmp_path / "found.json").write_text(json.dumps(found), encoding="utf-8")
    picture = tmp_path / "curve.html"
    command = [
        sys.executable,
        str(BENCHMARKS / "curve_picture.py"),
        str(tmp_path / "found.json"),
        str(picture),
    ]
    subprocess.run(command, check=True)
    page = picture.read_text(encoding="utf-8")
    assert "Best value at equal time" in page
    assert "0.983" in page
