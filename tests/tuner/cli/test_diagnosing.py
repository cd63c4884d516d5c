"""`tuner diagnose` for a person: the best trial first, the reasons, and the command that comes next."""

import dataclasses
import io
import sys

import pytest

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import Cause, CauseName, Evidence, Finding, Remedy, Severity
from studies.diagnosis.thresholds import OWN
from studies.storage import open_storage
from tests.made_trials import good_trial, study_of
from tests.studies.plans import study
from tests.tuner.cli.conftest import Run
from tuner.cli import diagnosing, output

LONG = "the train loss falls and the validation loss rises, epoch after epoch, further than its own noise explains"
FINDING = Finding(
    trial=3,
    symptom="overfitting",
    severity=Severity.WARNING,
    sentence=f"{LONG}.",
    causes=(
        Cause(name=CauseName.OVERFITTING, confidence=0.85),
        Cause(name=CauseName.LABEL_NOISE, confidence=0.3),
    ),
    evidence=(
        Evidence(
            quantity="accuracy_gap",
            first_step=8,
            last_step=10,
            value=0.12,
            threshold=0.07,
            source="AutoTrainer",
        ),
    ),
    alternatives="It is overfitting if dropout narrows the gap.",
    consequences=("overconfidence",),
    remedies=(
        Remedy(
            sentence="Raise dropout to 0.2.", edits=(Edit(kind=EditKind.FIX, lever="dropout", value=0.2),)
        ),
        Remedy(sentence="Get more data.", action="Get more data."),
    ),
)


def test_a_finding_is_told_with_all_that_it_knows(capsys: pytest.CaptureFixture[str]) -> None:
    """Causes with confidences, evidence against its threshold, what tells them apart, consequences, every remedy."""
    output.show_findings([FINDING])
    out = capsys.readouterr().out
    for line in (
        "warning overfitting in trial 3",
        "  cause  overfitting (0.85), label_noise (0.3)",
        "  seen   accuracy_gap = 0.12 in epochs 8 to 10 (threshold 0.07; AutoTrainer)",
        "  apart  It is overfitting if dropout narrows the gap.",
        "  so     overconfidence: what follows from it",
        "  try    Raise dropout to 0.2.",
        "  try    Get more data.",
    ):
        assert line in out.splitlines()


def test_a_source_is_told_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    """That a threshold of our own is not calibrated stands in the docs, and not in every line."""
    evidence = dataclasses.replace(FINDING.evidence[0], source=f"{OWN}; a few percent")
    output.show_findings([dataclasses.replace(FINDING, evidence=(evidence,))])
    assert "(threshold 0.07; own design; a few percent)" in capsys.readouterr().out


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_hanging_lines_and_a_pipe_whole_ones(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """No line is wider than the terminal, and no word is lost; a pipe keeps one line a sentence, for grep."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = {}
    for kind in (Terminal, io.StringIO):
        monkeypatch.setattr(sys, "stdout", kind())
        output.show_findings([FINDING])
        shown[kind] = sys.stdout.getvalue()
    assert max(map(len, shown[Terminal].splitlines())) <= columns
    assert shown[Terminal].split() == shown[io.StringIO].split()
    assert f"  {LONG}." in shown[io.StringIO].splitlines()


def test_the_best_trial_and_the_pruner_are_told_first(searched: Run) -> None:
    """Before any finding: a reader wants to know whether the best training is sound."""
    lines = searched("diagnose", "s").out.splitlines()
    assert lines[0] == "Study    s, 4 trials"
    assert lines[1].startswith("Best     Trial ")
    assert ", the best (" in lines[1]
    shown = searched("diagnose", "s", "--trial", "2").out.splitlines()
    assert shown[1].startswith("Trial    2, ")


def test_json_always_has_the_pruners_check(searched: Run) -> None:
    """Counts, and a rate with bounds that are null where nothing was spared."""
    for more in ((), ("--trial", "0")):
        pruning = searched("diagnose", "s", "--json", *more).json["pruning"]
        assert set(pruning) == {"n_pruned", "n_spared", "n_false", "rate", "low", "high"}
        assert (pruning["n_spared"], pruning["rate"], pruning["low"]) == (0, None, None)


def test_an_empty_study_has_no_best_line(run: Run, sqlite_url: str) -> None:
    """Only that it has no trials, and how to get some."""
    open_storage(sqlite_url, writable=True)
    study(sqlite_url, "empty")
    out = run("diagnose", "empty", "--storage", sqlite_url).out
    assert "Best" not in out
    assert "no trials yet" in out


def test_the_next_command_proves_the_worst_fault_that_a_lever_mends() -> None:
    """Not a note, not what only an action mends, and not in a study that cannot be trained again."""
    record = study_of(good_trial(3))
    acted = dataclasses.replace(FINDING, trial=1, remedies=FINDING.remedies[1:])
    noted = dataclasses.replace(FINDING, severity=Severity.NOTE)
    assert diagnosing._proving(record, [acted, FINDING]) == ["tuner fix case --trial 3"]
    assert diagnosing._proving(record, [acted, noted]) == []
    assert diagnosing._proving(dataclasses.replace(record, plan=None), [FINDING]) == []


def test_where_a_trial_stands() -> None:
    """Its outcome and its place by value; without a value only how it ended."""
    ahead = dataclasses.replace(good_trial(1), value=0.98)
    record = study_of(
        good_trial(0), ahead, dataclasses.replace(good_trial(2), state="running", outcome=None, value=None)
    )
    assert diagnosing._trial_line(record, 0).endswith("number 2 of 2 complete trials")
    assert diagnosing._trial_line(record, 2) == "2, running"
