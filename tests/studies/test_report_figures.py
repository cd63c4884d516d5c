"""What a report draws: the data of its figures, their axes, and that they are drawn."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from studies.importance import importances_of
from studies.readings import NAN
from studies.records import Outcome, TrialRecord
from studies.reports import axes, drawing, figures
from tests import made_trials
from tests.studies.reported import mixed_study, page_of, searched_study


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
    trials = [made_trials.searched(v, n, {"learning_rate": 0.1}) for n, v in enumerate(values)]
    pruned = dataclasses.replace(trials[0], number=5, state="pruned", outcome=Outcome.PRUNED, value=5.0)
    low = dataclasses.replace(pruned, number=6, value=-5.0)
    record = dataclasses.replace(made_trials.study_of(*trials, pruned, low), direction=direction)
    data = figures.history(record)
    best = max if direction == "maximize" else min
    assert list(data.best_so_far["value"]) == [best(values[: n + 1]) for n in range(5)]
    assert list(data.trials["kind"]) == ["complete"] * 5 + ["pruned"] * 2


def test_history_of_an_empty_study_is_empty() -> None:
    """No trials, no rows, no error."""
    assert figures.history(made_trials.study_of()).trials.empty


def test_curves_put_the_best_last_and_the_pruned_first() -> None:
    """The order is that of drawing; roles say which is which."""
    curves = figures.learning_curves(mixed_study())
    assert [(c.number, c.role) for c in curves] == [(2, "pruned"), (3, "pruned"), (0, "other"), (1, "best")]


def test_curves_without_telemetry_are_the_intermediate_values() -> None:
    """A foreign study's reports are drawn under the metric's name, in the order of their steps."""
    trial = dataclasses.replace(made_trials.searched(0.9, 0, {}), intermediate_values={2: 0.8, 1: 0.5})
    (curve,) = figures.learning_curves(made_trials.study_of(trial, plan=False))
    assert list(curve.frame["epoch"]) == [1, 2]
    assert list(curve.frame["validation_accuracy"]) == [0.5, 0.8]


def test_infinite_losses_are_not_drawn() -> None:
    """Infinity has no place on an axis."""
    trial = made_trials.trial_of((0.5, np.inf, NAN), number=0, outcome=Outcome.DIVERGED)
    frame = figures.curve_frame(trial, made_trials.study_of(trial))
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
    trials = [made_trials.searched(value, n, {"learning_rate": 0.1}) for n, value in enumerate((lowest, 0.9))]
    figure = drawing.draw_history(figures.history(made_trials.study_of(*trials)), "validation_loss")
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.yaxis.dtick == dtick


def blown_up(number: int) -> TrialRecord:
    losses = (2.3, 1e6, 1e30)
    return made_trials.trial_of(losses, validation_loss=losses, number=number, outcome=Outcome.DIVERGED)


def test_one_diverged_trial_does_not_stretch_the_axis(tmp_path: Path) -> None:
    """It leaves at the top, which the caption says; without one the axis is plotly's own."""
    record = made_trials.study_of(*(made_trials.good_trial(n) for n in range(3)), blown_up(3))
    quantities = ["train_loss", "validation_loss"]
    curves = figures.learning_curves(record)
    assert figures.beyond(curves, quantities) == [3]
    low, high = drawing.draw_curves(curves, quantities).layout.yaxis.range
    assert low < high < 2.0, "powers of ten"
    page = page_of(record, tmp_path)
    assert "Beyond the top of the axis, since far above the others: trial 3." in page
    assert "Diverged without a value, so not drawn: trial 3." in page
    usual = figures.learning_curves(made_trials.study_of(made_trials.good_trial()))
    assert drawing.draw_curves(usual, quantities).layout.yaxis.range is None
    assert figures.beyond(curves, ["train_accuracy"]) == []


def test_one_trial_has_an_axis_of_its_own_size() -> None:
    """No trial -1, and no more errors than all; few trials have a tick each."""
    figure = drawing.draw_history(
        figures.history(made_trials.study_of(made_trials.good_trial())), "validation_accuracy"
    )
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
            made_trials.good_trial(i),
            params={"learning_rate": 0.01 + i / 100},
            distributions=rate,
            value=0.5 + i / 100,
        )
        for i in range(n)
    ]
    assert drawing.draw_places(figures.places(made_trials.study_of(*trials))).data[1].name == name


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
