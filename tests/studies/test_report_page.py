"""What a report says: its words, and the page that needs nothing from anywhere."""

import dataclasses
import datetime as dt
import re
from pathlib import Path

import pytest

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import Evidence, Finding, Remedy, Severity, diagnose_record
from studies.importance import importances_of
from studies.readings import NAN
from studies.reports import report as reports
from studies.reports import wording, write_report
from tests import cases, healthy_cases, made_trials
from tests.studies.reported import NO_IMPORTANCES, mixed_study, page_of, searched_study


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(NAN, wording.ABSENT), (3.21, "3.2 s"), (42.4, "42 s"), (600.0, "10 min"), (7200.0, "2.0 h")],
)
def test_durations_are_told_in_their_unit(seconds: float, text: str) -> None:
    """Seconds, minutes, hours, or a dash."""
    assert wording.duration(seconds) == text


def test_verdicts_of_all_stages_of_a_study() -> None:
    """Empty, nothing complete, and a best one with the counts."""
    assert wording.verdict(made_trials.study_of()) == "This study has no trials yet."
    assert wording.verdict(cases.CASES["divergence"]()) == "No trial has completed (1 trial: 1 diverged)."
    assert "is 99.00 %, reached by trial 1 (7 trials: 2 complete, 1 pruned" in wording.verdict(mixed_study())


def test_places_of_evidence() -> None:
    """Epochs and optimizer steps are never mixed up; a count has no place."""
    row = Evidence(quantity="train_loss", first_step=2, last_step=5, value=1.0, threshold=2.0, source="s")
    assert row.place == "epochs 2 to 5"
    assert dataclasses.replace(row, last_step=2).place == "epoch 2"
    assert dataclasses.replace(row, quantity="step_train_loss", last_step=2).place == "step 2"
    assert dataclasses.replace(row, first_step=None, last_step=None).place == ""


def test_edits_are_told_as_flags_where_they_are_one() -> None:
    """A fix is a --set flag that a shell takes as it is; another edit is a sentence."""
    assert (
        wording.setting(Edit(kind=EditKind.FIX, lever="learning_rate", value=0.3))
        == "--set learning_rate=0.3"
    )
    assert wording.setting(Edit(kind=EditKind.FIX, lever="nesterov", value=True)) == "--set nesterov=true"
    assert wording.setting(Edit(kind=EditKind.FIX, lever="model", value="a b")) == "--set 'model=a b'"
    assert wording.setting(Edit(kind=EditKind.WIDEN, lever="width", high=9)).endswith(".")


@pytest.mark.parametrize("case", [*cases.CASES, *healthy_cases.HEALTHY])
def test_every_kind_of_study_gets_a_page(case: str, tmp_path: Path) -> None:
    """All cases and controls, the empty study and the foreign one included, make a page with a verdict."""
    record = (cases.CASES | healthy_cases.HEALTHY)[case]()
    page = page_of(record, tmp_path)
    assert "<h1>case</h1>" in page
    assert wording.verdict(record) in page
    findings = diagnose_record(record)
    assert page.count('<article class="card') == len(findings)
    assert ("no symptom crossed its threshold" in page) == (not findings)


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    """No script, style, image, font or link is fetched: one file, plotly.js in it once."""
    record = searched_study()
    path = write_report(record, [], importances_of(record, n_bootstrap=20), tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert text.count("plotly.js v") <= 2, "its license comment, once or twice"
    own = re.sub(r"<script>/\*\*.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert len(own) < 0.2 * len(text), "plotly.js has been cut out of what is looked at"
    assert not re.search(r"""(src|href)\s*=|@import|url\(|https?://""", own)


def test_the_page_tells_the_whole_story(tmp_path: Path) -> None:
    """Findings with flags, best config as YAML and command, data hash, storage and next commands."""
    record = dataclasses.replace(
        made_trials.study_of(*searched_study().trials, cases.CASES["divergence"]().trials[0]),
        storage="sqlite:///x.db",
    )
    assert record.plan is not None
    record = dataclasses.replace(record, plan=dataclasses.replace(record.plan, data_hash="abc123"))
    page = page_of(record, tmp_path, next_commands=["tuner resume case"])
    for text in (
        "--set learning_rate=0.3",
        "tuner train --task mnist",
        "activation: ",
        "abc123",
        "tuner resume case",
        "sqlite:///x.db",
        "a loss must be finite",
    ):
        assert text in page
    assert page.count('class="plot"') == 2 + 1 + 2 + 1 + 4, "importances, history, curves, places, slices"


def test_texts_of_users_are_escaped(tmp_path: Path) -> None:
    """A study's name, a lever's name or an error's text cannot inject anything into the page."""
    evil = "</script><script>alert(1)</script>"
    trials = [made_trials.searched(0.1 * n, n, {evil: 0.05 * n + 0.01}) for n in range(12)]
    failed = [made_trials.failed_trial(n, evil) for n in range(12, 30)]
    record = dataclasses.replace(made_trials.study_of(*trials, *failed), name=evil)
    page = page_of(record, tmp_path, next_commands=[evil])
    assert evil not in page
    assert page.count("<script>alert") == 0


def test_a_foreign_study_is_told_what_is_missing(tmp_path: Path) -> None:
    """Without telemetry the page shows what can be shown and names what cannot, and how to get it."""
    page = page_of(healthy_cases.HEALTHY["no_telemetry"](), tmp_path)
    assert "What could not be judged" in page
    assert "tuner.Objective" in page
    assert "As a command" not in page, "nobody knows the task of a foreign study"


def test_long_studies_have_short_tables(tmp_path: Path) -> None:
    """Two hundred rows, and a line on the rest."""
    record = made_trials.study_of(
        *(made_trials.searched(n / 300, n, {"learning_rate": 0.1}) for n in range(230)), plan=False
    )
    path = write_report(record, [], NO_IMPORTANCES, tmp_path / "r.html")
    page = path.read_text(encoding="utf-8")
    assert "The first 200; 30 more are in the study." in page
    assert page.count("data-sort") == 200 * 3


def test_a_report_replaces_the_former_one_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure while writing leaves the former report and no other file."""
    path = tmp_path / "sub" / "report.html"
    write_report(made_trials.study_of(), [], NO_IMPORTANCES, path)
    before = path.read_bytes()

    def refuse(_self: Path, _target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_report(made_trials.study_of(made_trials.good_trial()), [], NO_IMPORTANCES, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_names_in_backticks_are_code(tmp_path: Path) -> None:
    """In what is seen and in the remedies alike; nothing is left raw."""
    remedy = Remedy(sentence="Call `model.eval()`.", action="Call it.")
    finding = Finding(
        trial=0, symptom="evaluation_mode", severity=Severity.WARNING, sentence="`a` <b>.", remedies=(remedy,)
    )
    path = write_report(
        made_trials.study_of(made_trials.good_trial()), [finding], NO_IMPORTANCES, tmp_path / "r.html"
    )
    page = path.read_text(encoding="utf-8")
    assert "Call <code>model.eval()</code>." in page
    assert "<code>a</code> &lt;b&gt;." in page


def test_seconds_of_trials_are_in_the_table(tmp_path: Path) -> None:
    """A trial's wall time is shown in the table."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    trial = dataclasses.replace(
        made_trials.good_trial(), started=start, ended=start + dt.timedelta(seconds=42)
    )
    assert "42 s" in page_of(made_trials.study_of(trial), tmp_path)


def test_templates_are_where_the_report_looks() -> None:
    """The template and what it includes travel with the package."""
    assert {"report.html.j2", "report.css", "report.js"} <= {
        path.name for path in reports.TEMPLATES.iterdir()
    }
