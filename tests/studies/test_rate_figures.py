import math
from pathlib import Path
from typing import Any

import pytest

from studies.reports.rate_drawing import draw_rate, write_rate_page
from studies.reports.rate_figures import HEADROOM, rate_figure


def found(**changed: Any) -> dict[str, Any]:
    """A range test of two sweeps, as ``LearningRateRange.to_json`` gives it."""
    sweep = {
        "seed": 0,
        "learning_rate": [1e-3, 1e-2, 1e-1, 1.0],
        "loss": [2.4, 2.0, 1.1, 900.0],
        "smoothed": [2.4, 2.1, 1.2, 2.2],
        "held": [
            {"learning_rate": 0.1, "loss": 0.4, "stable": True},
            {"learning_rate": 0.2, "loss": 0.3, "stable": True},
            {"learning_rate": 0.4, "loss": math.inf, "stable": False},
        ],
    }
    other = sweep | {"seed": 1, "held": [{"learning_rate": 0.3, "loss": 0.2, "stable": True}]}
    return {
        "suggested": 0.2,
        "steepest": 0.01,
        "valley": 0.02,
        "highest_stable": 0.24,
        "low": 0.17,
        "high": 0.255,
        "reliable": True,
        "reason": "85% of 0.24.",
        "intervals": {"steepest": (0.01, 0.01), "valley": (0.02, 0.03), "highest_stable": (0.2, 0.3)},
        "sweeps": [sweep, other],
    } | changed


def refusal() -> dict[str, Any]:
    """Nothing was found, and the loss was never a number."""
    names = ("suggested", "steepest", "valley", "highest_stable", "low", "high")
    empty = {"seed": 0, "learning_rate": [], "loss": [], "smoothed": [], "held": []}
    intervals = dict.fromkeys(("steepest", "valley", "highest_stable"))
    nothing = dict.fromkeys(names) | {"intervals": intervals, "sweeps": [empty]}
    return found(**nothing, reliable=False, reason="Not finite: <b>NaN</b>.")


class TestFigureData:
    def test_marks_rise_and_carry_their_intervals(self) -> None:
        """Each mark has the interval over the sweeps; the suggestion's is low and high."""
        marks = rate_figure(found()).marks
        assert [mark.name for mark in marks] == ["steepest", "valley", "suggested", "highest stable"]
        assert [mark.rate for mark in marks] == [0.01, 0.02, 0.2, 0.24]
        assert [(mark.low, mark.high) for mark in marks][1:3] == [(0.02, 0.03), (0.17, 0.255)]

    def test_held_rates_of_all_sweeps(self) -> None:
        """A rate that diverged stays in the data, without a loss."""
        held = rate_figure(found()).held
        assert list(held["seed"]) == [0, 0, 0, 1]
        assert held["loss"].isna().tolist() == [False, False, True, False]

    def test_divergence_does_not_press_the_descent_into_a_line(self) -> None:
        """The axis goes from the lowest held loss to somewhat above the untrained one."""
        data = rate_figure(found())
        assert data.is_log
        assert data.loss_range == (pytest.approx(0.2 / 1.1), pytest.approx(HEADROOM * 2.4))

    def test_a_loss_that_is_negative_has_a_linear_axis(self) -> None:
        """A logarithmic one has no place for it."""
        sweeps = [sweep | {"smoothed": [1.0, 0.0, -1.0, -2.0]} for sweep in found()["sweeps"]]
        data = rate_figure(found(sweeps=sweeps))
        assert not data.is_log
        assert data.loss_range[0] < -2 < 1 < data.loss_range[1]

    def test_a_refusal_without_anything_to_show(self) -> None:
        """No curve, no mark, and no failure."""
        data = rate_figure(refusal())
        assert (data.curves, data.marks, len(data.held)) == ((), (), 0)


class TestPage:
    def test_it_holds_the_answer_and_needs_no_server(self, tmp_path: Path) -> None:
        """Suggestion, reason, marks and next commands; plotly.js is inside."""
        path = write_rate_page(found(), tmp_path / "new" / "x.html", title="t", next_commands=["tuner train"])
        page = path.read_text(encoding="utf-8")
        assert "Take a learning rate of 0.2" in page
        assert "85% of 0.24." in page
        assert "tuner train" in page
        assert "highest stable" in page
        assert "<script src" not in page

    def test_a_refusal_has_a_page_and_texts_are_escaped(self, tmp_path: Path) -> None:
        """It says that nothing is suggested, and why."""
        path = write_rate_page(refusal(), tmp_path / "x.html", title="<script>t</script>")
        page = path.read_text(encoding="utf-8")
        assert "No learning rate is suggested." in page
        assert "&lt;b&gt;NaN&lt;/b&gt;" in page
        assert "&lt;script&gt;t" in page

    def test_what_is_drawn(self) -> None:
        """Two ramps, stable and unstable held rates with a loss, and a line and a label for each mark."""
        data = rate_figure(found())
        figure = draw_rate(data)
        names = [trace.name for trace in figure.data]
        assert names.count("ramp, smoothed (one line a sweep)") == 2
        assert "held, stable" in names
        assert "held, not stable" not in names  # its only one diverged
        assert len(figure.layout.annotations) == len(data.marks)
        assert figure.layout.yaxis.type == "log"
