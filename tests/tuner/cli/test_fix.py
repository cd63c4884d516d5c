"""`tuner fix` as it is typed: a study of two single trainings, of which one guesses."""

import dataclasses
import re
from pathlib import Path

import optuna
import pytest

from studies.diagnosis import Finding
from studies.records import StudyRecord
from tests.tuner.cli.conftest import Run
from tests.tuner.proving.made_findings import ACTION, finding, fixing
from tuner.proving import choosing, judging

FAULT = finding(fixing("learning_rate", 0.3), fixing("dropout", 0.1), ACTION)
TRAIN = (
    "train",
    "--task",
    "digits",
    "--epochs",
    "2",
    "--set",
    "width=16",
    "--set",
    "momentum=0.9",
    "--study",
    "s",
)
FIX = ("fix", "s", "--workers", "1", "--lanes", "3", "--seeds", "3")


def diagnosed(record: StudyRecord, trial: int | None = None, **_: bool) -> list[Finding]:
    """What guesses is at fault."""
    return [
        dataclasses.replace(FAULT, trial=each.number)
        for each in record.trials
        if trial in {None, each.number} and (each.value or 0.0) < 0.5
    ]


@pytest.fixture
def broken(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Trial 0 of `s` has a rate of 3, trial 1 one of 0.1."""
    for rate in ("3", "0.1"):
        assert run(*TRAIN, "--set", f"learning_rate={rate}", "--quiet").code == 0
    for module in (choosing, judging):
        monkeypatch.setattr(module, "diagnose_record", diagnosed)
    return run


def test_a_dry_run_says_what_it_costs_and_writes_nothing(broken: Run) -> None:
    """Configs, trainings, seconds; the JSON the same."""
    ran = broken(*FIX, "--dry-run")
    assert ran.code == 0
    assert re.search(
        r"12 trainings in s-fix-0, about \d+ s of training: trial 0 as it is, 2 remedies", ran.out
    )
    assert (
        "trial 1 as healthy reference, on 3 fresh seeds each. A remedy that leaves the same cause" in ran.out
    )
    assert "not tried: Clean the data. (it is an action on data or code" in ran.out
    json = broken(*FIX, "--dry-run", "--json").json
    assert (json["n_trainings"], json["reference"], json["replicates"]) == (12, 1, "s-fix-0")
    assert [row["study"] for row in broken("list", "--json").json] == ["s"]


def test_a_proven_remedy_ends_with_a_config_that_trains(broken: Run) -> None:
    """Progress on stderr, the verdict of each remedy, the change as flags and as a file; exit code 0."""
    ran = broken(*FIX)
    assert ran.code == 0
    assert "12 trainings in s-fix-0" in ran.err
    assert "[12/12]" in ran.err
    assert "proven      Set learning_rate to 0.3." in ran.out
    assert "not proven  Set dropout to 0.1." in ran.out
    assert "\nnot tried   Clean the data." in ran.out
    assert "--set learning_rate=0.3" in ran.out
    command = re.search(r"tuner (train --config \S+ --task digits)", ran.out)
    assert command is not None
    trained = broken(*command[1].split(), "--json", "--quiet")
    assert trained.json["value"] > 0.5
    assert trained.json["config"]["learning_rate"] == 0.3

    again = broken(*FIX, "--json", "--quiet")
    assert (again.code, again.err) == (0, "")
    assert [each["verdict"] for each in again.json["remedies"]] == ["proven", "not_proven"]
    assert again.json["config"]["learning_rate"] == 0.3
    page = Path(again.json["report"]).read_text(encoding="utf-8")
    assert "Remedies that were tried" in page
    assert "tuner train --task digits --model mlp" in page
    assert "--set epochs=2" in page
    assert "Proven against divergence: learning_rate=0.3." in page
    assert Path(again.json["file"]).exists()


def test_a_verdict_that_is_told_is_not_told_again(broken: Run) -> None:
    """The report is not written anew; one that lacks the verdict is."""
    assert broken(*FIX, "--quiet").code == 0
    page = Path("runs/s/report.html")
    page.write_text(marked := page.read_text(encoding="utf-8") + "<!-- as it was -->", encoding="utf-8")
    assert "Writing the report" not in broken(*FIX).err
    assert page.read_text(encoding="utf-8") == marked
    page.write_text("another", encoding="utf-8")
    assert "Writing the report" in broken(*FIX).err
    assert "Proven against divergence" in page.read_text(encoding="utf-8")


def test_the_proven_config_is_told_with_the_study(broken: Run) -> None:
    """By `tuner show`, with its value and how to train it; before there is one, nothing is."""
    assert broken("show", "s", "--json").json["proven"] is None
    assert broken(*FIX, "--quiet").code == 0
    shown = broken("show", "s")
    assert re.search(
        r"Proven  on 3 fresh seeds: trial 0 with learning_rate=0.3 has validation accuracy \d\d", shown.out
    )
    assert "tuner train --config runs/s/fixed-0.yaml --task digits" in shown.out
    assert broken("show", "s", "--json").json["proven"]["change"] == "learning_rate=0.3"
    page = Path("runs/s/report.html").read_text(encoding="utf-8")
    assert "To use it: <code>tuner train --config runs/s/fixed-0.yaml --task digits</code>" in page


def test_exit_codes_tell_nothing_wrong_from_nothing_proven(
    broken: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 and 4; an action is told, and nothing is trained for it."""
    healthy = broken("fix", "s", "--trial", "1")
    assert (healthy.code, healthy.out.splitlines()[0]) == (
        0,
        "Verdict   Nothing is wrong: trial 1 of 's' has no fault to mend.",
    )
    monkeypatch.setattr(choosing, "diagnose_record", lambda _record, _trial: [finding(ACTION)])
    told = broken("fix", "s")
    assert told.code == 4
    assert told.out.count("Clean the data.") == 1
    assert "Nothing was trained: no edit of a config mends divergence of trial 0. Clean the data." in told.out
    assert broken("fix", "s", "--json").json["not_tried"][0]["action"] == "Drop the rows."
    assert [row["study"] for row in broken("list", "--json").json] == ["s"]


def test_mistakes_are_one_sentence(broken: Run) -> None:
    """A study or a trial that is not there, and too few seeds: exit code 2."""
    missing = broken("fix", "other")
    assert (missing.code, missing.err) == (2, "error: The study's name must be one of s, but got 'other'.\n")
    assert broken("fix", "s", "--seeds", "2").code == 2
    assert broken(*FIX, "--quiet").code == 0
    assert broken("fix", "other").err == missing.err, "the study of the replicates is nobody's to name"


def test_a_watched_loop_is_told_what_to_do_in_lines(
    run: Run, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    """One short sentence, then a line a step."""
    study = optuna.create_study(study_name="mine", storage=sqlite_url, direction="maximize")
    study.optimize(lambda _trial: 0.5, n_trials=1)
    monkeypatch.setattr(choosing, "diagnose_record", lambda _record, _trial: [FAULT])
    ran = run("fix", "mine", "--trial", "0", "--storage", sqlite_url)
    assert ran.code == 2
    first, *steps = ran.err.splitlines()
    assert first == "error: Only a study that symptune planned can be trained again here, but got 'mine'."
    assert [line[:8] for line in steps] == ["  train ", "  give b", "  studie"]
