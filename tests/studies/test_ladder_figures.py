import numpy as np
import pytest

from studies.comparison import Comparison, Interval, Verdict, compare, interval
from studies.reports.ladder_figures import Waterfall, draw_waterfall, waterfall

Values = list[float | None]

BASE: Values = [0.90, 0.91, 0.92, 0.90, 0.91, 0.92, 0.90, 0.91]
NOISE = [0.001, -0.001, 0.002, 0.0, -0.002, 0.001, 0.0, -0.001]


def moved(values: Values, by: float, noise: float = 1.0) -> Values:
    return [(value or 0.0) + by + noise * each for value, each in zip(values, NOISE, strict=True)]


def steps(*rungs: tuple[str, Values], direction: str = "maximize") -> list[tuple[str, Interval, Comparison]]:
    found, before = [], BASE
    for label, values in rungs:
        found.append((label, interval(values), compare(values, before, direction=direction)))
        before = values
    return found


@pytest.fixture
def three() -> Waterfall:
    """A gain, noise, and a loss."""
    up = moved(BASE, 0.03)
    idle = moved(up, 0.0)
    rows = steps(("dropout 0 → 0.2", up), ("width 64 → 128", idle), ("depth 1 → 9", moved(idle, -0.02)))
    return waterfall(interval(BASE), rows, metric="validation_accuracy")


def test_each_step_starts_where_the_one_before_ends(three: Waterfall) -> None:
    """From the baseline's mean to the best's; what a step is long is its gain."""
    rows = three.steps
    assert rows["start"].iloc[0] == pytest.approx(np.mean(BASE))  # type: ignore[arg-type]  # no None among them
    assert list(rows["start"])[1:] == list(rows["end"])[:-1]
    assert rows["end"].iloc[-1] == three.levels["mean"].iloc[-1]
    assert (rows["end"] - rows["start"]).tolist() == pytest.approx(rows["gain"].tolist())
    assert list(rows["verdict"]) == [Verdict.BETTER, Verdict.NO_DIFFERENCE, Verdict.WORSE]


def test_the_whiskers_are_the_gains_interval(three: Waterfall) -> None:
    """Around the end of the bar, they hold its start exactly where the gain cannot be told from noise."""
    rows = three.steps
    assert (rows["low"] - rows["start"]).tolist() == pytest.approx(rows["gain_low"].tolist())
    assert (rows["high"] - rows["start"]).tolist() == pytest.approx(rows["gain_high"].tolist())
    holds_start = (rows["low"] <= rows["start"]) & (rows["start"] <= rows["high"])
    assert list(holds_start) == [False, True, False]


def test_a_gain_of_a_loss_leads_down() -> None:
    """Where less is better the bar goes to a lower value, and its whiskers with it."""
    data = waterfall(
        interval(BASE),
        steps(("dropout 0 → 0.2", moved(BASE, -0.03)), direction="minimize"),
        metric="validation_loss",
        direction="minimize",
    )
    row = data.steps.iloc[0]
    assert row["verdict"] is Verdict.BETTER
    assert row["gain"] > 0 > row["end"] - row["start"]
    assert row["low"] < row["end"] < row["high"] < row["start"]


def test_a_step_that_diverged_has_no_bar_and_is_drawn_without_complaint() -> None:
    """Its end and the next one's start are not known; no infinity reaches the drawing."""
    lost: Values = [None] * 8
    data = waterfall(interval(BASE), steps(("rate", lost), ("clip", moved(BASE, 0.01))), metric="m")
    assert data.steps["end"].isna().tolist() == [True, False]
    assert data.steps["start"].isna().tolist() == [False, True]
    assert not np.isinf(data.steps[["low", "high", "gain_low", "gain_high"]].to_numpy(dtype=float)).any()
    assert "Infinity" not in draw_waterfall(data).to_json()


def test_the_drawing_shows_every_step_once_and_in_order(three: Waterfall) -> None:
    """Baseline above, best below, one bar a change in the color of its verdict."""
    figure = draw_waterfall(three)
    bars = {trace.name: list(trace.y) for trace in figure.data if trace.type == "bar"}
    assert bars == {
        "gains": ["dropout 0 → 0.2"],
        "not told from noise": ["width 64 → 128"],
        "makes it worse": ["depth 1 → 9"],
    }
    order = ["baseline", "dropout 0 → 0.2", "width 64 → 128", "depth 1 → 9", "best"]
    assert list(figure.layout.yaxis.categoryarray) == order[::-1]
    assert len({trace.marker.color for trace in figure.data if trace.type == "bar"}) == 3


def test_a_long_change_is_broken_between_its_keys() -> None:
    """A bundle's text takes several lines, none of them cut within a key."""
    text = "optimizer sgd → adamw, learning_rate 0.1 → 0.001, momentum 0.9 → 0"
    data = waterfall(interval(BASE), steps((text, moved(BASE, 0.01))), metric="m")
    label = next(trace.y[0] for trace in draw_waterfall(data).data if trace.type == "bar" and len(trace.y))
    assert label.split(",<br>") == ["optimizer sgd → adamw", "learning_rate 0.1 → 0.001, momentum 0.9 → 0"]
