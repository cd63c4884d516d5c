import dataclasses
import datetime as dt
import re
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import Evidence, Finding, Remedy, Severity, diagnose_record
from studies.importance import importances_of
from studies.readings import NAN
from studies.records import Outcome, StudyRecord, TrialRecord
from studies.reports import axes, drawing, figures, wording, write_report
from studies.reports import report as reports
from tests import cases

NO_IMPORTANCES = importances_of(cases.study_of())


def mixed_study() -> StudyRecord:
    """Two complete trials, one pruned, one diverged, one failed, one lost, one that waits."""
    return cases.study_of(
        cases.good_trial(0),
        dataclasses.replace(cases.good_trial(1), value=0.99),
        cases.trial_of((2.0, 1.9), (0.2, 0.3), (2.0, 1.9), (0.2, 0.3), number=2, outcome=Outcome.PRUNED),
        cases.trial_of((0.9, NAN), number=3, outcome=Outcome.DIVERGED),
        cases.failed_trial(4),
        TrialRecord(number=5, state="fail", outcome=Outcome.LOST, value=None),
        TrialRecord(number=6, state="waiting", outcome=None, value=None),
    )


def searched_study() -> StudyRecord:
    """Twenty complete trials over levers of all kinds, one of which has a single choice."""
    distributions = {
        "learning_rate": FloatDistribution(1e-4, 1.0, log=True),
        "dropout": FloatDistribution(0.0, 0.5),
        "depth": IntDistribution(1, 3),
        "activation": CategoricalDistribution(["relu", "tanh", "gelu"]),
        "only": CategoricalDistribution(["one"]),
    }
    rng = np.random.default_rng(0)
    trials = []
    for n in range(20):
        params = {
            "learning_rate": float(10.0 ** rng.uniform(-4, 0)),
            "dropout": float(rng.uniform(0, 0.5)),
            "depth": int(rng.integers(1, 4)),
            "activation": str(rng.choice(["relu", "tanh", "gelu"])),
            "only": "one",
        }
        trial = cases.good_trial(n, config=params)
        trials.append(
            dataclasses.replace(trial, params=params, distributions=distributions, value=0.9 + n / 1000)
        )
    return cases.study_of(*trials)


def page_of(record: StudyRecord, tmp_path: Path, **kwargs: list[str]) -> str:
    """The report without plotly's own source."""
    path = write_report(
        record,
        diagnose_record(record),
        importances_of(record, n_bootstrap=20),
        tmp_path / "report.html",
        **kwargs,
    )
    text = path.read_text(encoding="utf-8")
    return re.sub(r"<script>/\*\*.*?</script>", "<script></script>", text, count=1, flags=re.DOTALL)


# --- Figures: the data


def test_every_trial_is_counted_under_one_kind() -> None:
    """The counts of the figures agree with the record's own, and leave nobody out."""
    record = mixed_study()
    counts = figures.outcome_counts(record)
    assert counts == {"complete": 2, "pruned": 1, "diverged": 1, "failed": 1, "lost": 1, "waiting": 1}
    own = record.counts
    assert all(getattr(own, kind, counts[kind]) == counts[kind] for kind in counts)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_best_so_far_is_the_running_best_of_complete_trials(direction: str) -> None:
    """The slow twin: for each complete trial the best value up to it; pruned trials never count as best."""
    values = [0.5, 0.9, 0.7, 0.2, 0.95]
    trials = [cases.searched(v, n, {"learning_rate": 0.1}) for n, v in enumerate(values)]
    pruned = dataclasses.replace(trials[0], number=5, state="pruned", outcome=Outcome.PRUNED, value=5.0)
    low = dataclasses.replace(pruned, number=6, value=-5.0)
    record = dataclasses.replace(cases.study_of(*trials, pruned, low), direction=direction)
    data = figures.history(record)
    best = max if direction == "maximize" else min
    assert list(data.best_so_far["value"]) == [best(values[: n + 1]) for n in range(5)]
    assert list(data.trials["kind"]) == ["complete"] * 5 + ["pruned"] * 2


def test_history_of_an_empty_study_is_empty() -> None:
    """No trials, no rows, no error."""
    assert figures.history(cases.study_of()).trials.empty


def test_curves_put_the_best_last_and_the_pruned_first() -> None:
    """The order is that of drawing; roles say which is which."""
    curves = figures.learning_curves(mixed_study())
    assert [(c.number, c.role) for c in curves] == [(2, "pruned"), (3, "pruned"), (0, "other"), (1, "best")]


def test_curves_without_telemetry_are_the_intermediate_values() -> None:
    """A foreign study's reports are drawn under the metric's name, in the order of their steps."""
    trial = dataclasses.replace(cases.searched(0.9, 0, {}), intermediate_values={2: 0.8, 1: 0.5})
    (curve,) = figures.learning_curves(cases.study_of(trial, plan=False))
    assert list(curve.frame["epoch"]) == [1, 2]
    assert list(curve.frame["validation_accuracy"]) == [0.5, 0.8]


def test_infinite_losses_are_not_drawn() -> None:
    """Infinity has no place on an axis."""
    trial = cases.trial_of((0.5, np.inf, NAN), number=0, outcome=Outcome.DIVERGED)
    frame = figures.curve_frame(trial, cases.study_of(trial))
    assert not np.isinf(frame["train_loss"]).any()


@pytest.mark.parametrize(
    ("setting", "distribution", "expected"),
    [
        (0.01, FloatDistribution(1e-4, 1.0, log=True), 0.5),
        (0.25, FloatDistribution(0.0, 1.0), 0.25),
        (3, IntDistribution(1, 5), 0.5),
        ("b", CategoricalDistribution(["a", "b", "c"]), 0.5),
    ],
)
def test_positions_are_shares_of_the_range(
    setting: object, distribution: FloatDistribution, expected: float
) -> None:
    """By logarithm in a log range, by rank among choices."""
    assert figures.position(setting, distribution) == pytest.approx(expected)


def test_places_and_slices_hold_every_complete_trial_once() -> None:
    """One entry a lever with several settings; positions in 0..1; the best tenth (three at least) marked."""
    record = searched_study()
    places, slices = figures.places(record, ["dropout"]), figures.slices(record, ["dropout"])
    assert [p.lever for p in places] == ["dropout", "activation", "depth", "learning_rate"]
    assert [s.lever for s in slices] == [p.lever for p in places]
    assert [s.scale for s in slices] == ["linear", "category", "linear", "log"]
    for place, one in zip(places, slices, strict=True):
        assert place.trials["position"].between(0.0, 1.0).all()
        assert sorted(place.trials["number"]) == sorted(one.trials["number"]) == list(range(20))
        assert sorted(place.trials[place.trials["is_top"]]["number"]) == [17, 18, 19]
    assert (places[1].low, places[1].high) == ("relu", "gelu")
    assert (places[3].low, places[3].high) == ("0.0001", "1")


def test_the_table_is_cut_and_ordered_by_number() -> None:
    """The first rows by number."""
    assert [row["number"] for row in figures.trials_table(mixed_study(), 3)] == [0, 1, 2]


# --- Words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(NAN, wording.ABSENT), (3.21, "3.2 s"), (42.4, "42 s"), (600.0, "10 min"), (7200.0, "2.0 h")],
)
def test_durations_are_told_in_their_unit(seconds: float, text: str) -> None:
    """Seconds, minutes, hours, or a dash."""
    assert wording.duration(seconds) == text


def test_verdicts_of_all_stages_of_a_study() -> None:
    """Empty, nothing complete, and a best one with the counts."""
    assert wording.verdict(cases.study_of()) == "This study has no trials yet."
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


# --- The page


@pytest.mark.parametrize("case", [*cases.CASES, *cases.HEALTHY])
def test_every_kind_of_study_gets_a_page(case: str, tmp_path: Path) -> None:
    """All cases and controls, the empty study and the foreign one included, make a page with a verdict."""
    record = (cases.CASES | cases.HEALTHY)[case]()
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
        cases.study_of(*searched_study().trials, cases.CASES["divergence"]().trials[0]),
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
    trials = [cases.searched(0.1 * n, n, {evil: 0.05 * n + 0.01}) for n in range(12)]
    failed = [cases.failed_trial(n, evil) for n in range(12, 30)]
    record = dataclasses.replace(cases.study_of(*trials, *failed), name=evil)
    page = page_of(record, tmp_path, next_commands=[evil])
    assert evil not in page
    assert page.count("<script>alert") == 0


def test_a_foreign_study_is_told_what_is_missing(tmp_path: Path) -> None:
    """Without telemetry the page shows what can be shown and names what cannot, and how to get it."""
    page = page_of(cases.HEALTHY["no_telemetry"](), tmp_path)
    assert "What could not be judged" in page
    assert "tuner.Objective" in page
    assert "As a command" not in page, "nobody knows the task of a foreign study"


def test_long_studies_have_short_tables(tmp_path: Path) -> None:
    """Two hundred rows, and a line on the rest."""
    record = cases.study_of(
        *(cases.searched(n / 300, n, {"learning_rate": 0.1}) for n in range(230)), plan=False
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
    write_report(cases.study_of(), [], NO_IMPORTANCES, path)
    before = path.read_bytes()

    def refuse(_self: Path, _target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_report(cases.study_of(cases.good_trial()), [], NO_IMPORTANCES, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


# --- Axes


def test_an_accuracy_is_drawn_as_its_share_of_errors() -> None:
    """One failure among good trials leaves them most of the axis; perfect ones have a place on it."""
    values = [0.1, 0.97, 0.98, 0.985, 1.0]
    axis = axes.axis_of(["validation_accuracy"], values)
    assert axis.is_log
    positions = axis.positions([*values, NAN])
    np.testing.assert_allclose(positions[:4], [0.9, 0.03, 0.02, 0.015])
    assert 0.0 < positions[4] < positions[3]
    assert np.isnan(positions[5])
    heights = np.log10(positions[:5])
    assert (heights[1] - heights[3]) / (heights[0] - heights[3]) > 0.15  # 0.017 where accuracies are drawn
    assert axis.decades == pytest.approx(heights[0] - heights[4])
    assert axes.axis_of(["train_accuracy"], [1.0, 1.0]).positions([1.0])[0] > 0.0


@pytest.mark.parametrize(
    ("quantities", "values", "title", "is_log"),
    [
        (["validation_loss"], [0.1, 190.0], "validation loss", True),
        (["train_loss", "validation_loss"], [0.1, 2.3], "loss", True),
        (["train_accuracy", "validation_accuracy"], [0.1, 0.9], "1 - accuracy", True),
        (["validation_loss"], [0.0, 0.1], "validation loss", False),
        (["validation_accuracy"], [0.5, 97.0], "validation accuracy", False),
        (["value"], [0.1, 0.9], "value", False),
        (["validation_loss"], [], "validation loss", False),
    ],
)
def test_axes_of_quantities(quantities: list[str], values: list[float], title: str, is_log: bool) -> None:
    """Losses and shares of errors on a logarithm where that exists; what we do not know as it is."""
    axis = axes.axis_of(quantities, values)
    assert (axis.title, axis.is_log) == (title, is_log)
    if not axis.is_error:
        assert list(axis.positions(values)) == values


def test_history_and_curves_of_accuracies_say_what_is_drawn(tmp_path: Path) -> None:
    """The pointer shows the accuracy itself, and the captions say that lower is better."""
    record = mixed_study()
    dots = drawing.draw_history(figures.history(record), "validation_accuracy").data[0]
    assert list(dots.customdata) == [trial.value for trial in record.complete_trials]
    np.testing.assert_allclose(dots.y, [1.0 - value for value in dots.customdata])
    assert "customdata:.2%" in dots.hovertemplate
    assert page_of(record, tmp_path).count("lower is better") == 2


@pytest.mark.parametrize(("lowest", "dtick"), [(0.2, None), (0.02, "D2"), (0.001, 1)])
def test_ticks_are_few_enough_to_read(lowest: float, dtick: object) -> None:
    """A short axis has plotly's own ticks, a longer one 1, 2, 5, and a very long one powers of ten."""
    trials = [cases.searched(value, n, {"learning_rate": 0.1}) for n, value in enumerate((lowest, 0.9))]
    figure = drawing.draw_history(figures.history(cases.study_of(*trials)), "validation_loss")
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.yaxis.dtick == dtick


def blown_up(number: int) -> TrialRecord:
    losses = (2.3, 1e6, 1e30)
    return cases.trial_of(losses, validation_loss=losses, number=number, outcome=Outcome.DIVERGED)


def test_one_diverged_trial_does_not_stretch_the_axis(tmp_path: Path) -> None:
    """It leaves at the top, which the caption says; without one the axis is plotly's own."""
    record = cases.study_of(*(cases.good_trial(n) for n in range(3)), blown_up(3))
    quantities = ["train_loss", "validation_loss"]
    curves = figures.learning_curves(record)
    assert figures.beyond(curves, quantities) == [3]
    low, high = drawing.draw_curves(curves, quantities).layout.yaxis.range
    assert low < high < 2.0, "powers of ten"
    page = page_of(record, tmp_path)
    assert "Beyond the top of the axis, since far above the others: trial 3." in page
    assert "Diverged without a value, so not drawn: trial 3." in page
    usual = figures.learning_curves(cases.study_of(cases.good_trial()))
    assert drawing.draw_curves(usual, quantities).layout.yaxis.range is None
    assert figures.beyond(curves, ["train_accuracy"]) == []


def test_one_trial_has_an_axis_of_its_own_size() -> None:
    """No trial -1, and no more errors than all; few trials have a tick each."""
    figure = drawing.draw_history(figures.history(cases.study_of(cases.good_trial())), "validation_accuracy")
    assert list(figure.layout.xaxis.range) == [-0.5, 0.5]
    assert figure.layout.xaxis.dtick == 1
    low, high = figure.layout.yaxis.range
    assert low < np.log10(figure.data[0].y[0]) < high <= drawing.ALL_WRONG
    assert high - low == pytest.approx(drawing.LEAST_DECADES)


@pytest.mark.parametrize(("n", "name"), [(6, "best 3 of 6"), (40, "best tenth")])
def test_the_legend_says_how_many_are_the_best(n: int, name: str) -> None:
    """Of few trials three are more than a tenth."""
    rate = {"learning_rate": FloatDistribution(1e-4, 1.0, log=True)}
    trials = [
        dataclasses.replace(
            cases.good_trial(i),
            params={"learning_rate": 0.01 + i / 100},
            distributions=rate,
            value=0.5 + i / 100,
        )
        for i in range(n)
    ]
    assert drawing.draw_places(figures.places(cases.study_of(*trials))).data[1].name == name


def test_names_in_backticks_are_code(tmp_path: Path) -> None:
    """In what is seen and in the remedies alike; nothing is left raw."""
    remedy = Remedy(sentence="Call `model.eval()`.", action="Call it.")
    finding = Finding(
        trial=0, symptom="evaluation_mode", severity=Severity.WARNING, sentence="`a` <b>.", remedies=(remedy,)
    )
    path = write_report(cases.study_of(cases.good_trial()), [finding], NO_IMPORTANCES, tmp_path / "r.html")
    page = path.read_text(encoding="utf-8")
    assert "Call <code>model.eval()</code>." in page
    assert "<code>a</code> &lt;b&gt;." in page


# --- Drawing: that it draws


def test_drawings_hold_the_data_and_no_color_of_the_page() -> None:
    """Transparent grounds, no template; each trial once in a slice; bars with their intervals."""
    record = searched_study()
    importances = importances_of(record, n_bootstrap=20)
    bars = drawing.draw_importances(importances.evaluators["fanova"])
    assert list(bars.data[0].y)[-1] == importances.evaluators["fanova"][0].lever
    assert all(width >= 0.0 for width in bars.data[0].error_x.array)
    for data in figures.slices(record):
        figure = drawing.draw_slice(data, record.metric)
        assert sum(len(trace.x) for trace in figure.data) == 20
        assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
        assert not figure.layout.template.layout.to_plotly_json()


def test_pruned_curves_show_validation_only() -> None:
    """A pruned trial's train curve would only clutter."""
    figure = drawing.draw_curves(figures.learning_curves(mixed_study()), ["train_loss", "validation_loss"])
    pruned = [trace for trace in figure.data if "trial 2" in trace.name]
    assert [trace.line.dash for trace in pruned] == ["solid"]


def test_seconds_of_trials_are_in_the_table(tmp_path: Path) -> None:
    """A trial's wall time is shown in the table."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    trial = dataclasses.replace(cases.good_trial(), started=start, ended=start + dt.timedelta(seconds=42))
    assert "42 s" in page_of(cases.study_of(trial), tmp_path)


def test_templates_are_where_the_report_looks() -> None:
    """The template and what it includes travel with the package."""
    assert {"report.html.j2", "report.css", "report.js"} <= {
        path.name for path in reports.TEMPLATES.iterdir()
    }
