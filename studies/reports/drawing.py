"""Draws the figures of a report with plotly, on transparent ground: the page's style sheet sets the inks.

Colors are of medium lightness: they read on white and on near-black alike. Text and grid lines are left to
CSS.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from studies.importance import LeverImportance
from studies.reports.axes import ACCURACIES, Axis, axis_of
from studies.reports.figures import (
    TOP_FRACTION,
    History,
    LearningCurve,
    Place,
    Slice,
    beyond,
    is_drawn,
    top_of,
)

BEST, OTHER, FAINT, GOOD = "#e8590c", "#4c8dcb", "#8d99a6", "#e8590c"
KIND_COLORS = {"complete": OTHER, "pruned": FAINT, "diverged": "#d6336c"}
MAX_LEVERS = 12
"""Bars and lines beyond this many are too thin to read."""


MARGIN = 0.05
"""Of the axis beyond its outermost values."""
LEAST_DECADES = 0.6
"""Of the errors' axis: around one value from half of it to double."""
ALL_WRONG = 0.02
"""log10 of a share of errors of 1, and a little for the dots there."""
MAX_TICKS = 10
"""Of an integer lever: each of its few settings gets a tick, and none lies between."""


DECADES_OF_FEW_TICKS = 2.5
DECADES_OF_LINEAR_TICKS = 0.7
"""A logarithmic axis shorter than this holds too few of 1, 2, 5: plotly's own ticks are better there."""


def styled(figure: go.Figure, *, height: int, legend: bool = False) -> go.Figure:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": 12, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0.0},
        hoverlabel={"bgcolor": "#263241", "font": {"color": "#ffffff"}, "bordercolor": "rgba(0,0,0,0)"},
    )
    figure.update_xaxes(zeroline=False, ticks="outside", ticklen=4, automargin=True)
    figure.update_yaxes(zeroline=False, ticks="", automargin=True)
    return figure


def _scaled(figure: go.Figure, axis: Axis) -> None:
    """Give the values their axis; shares of errors read as percentages."""
    figure.update_yaxes(title_text=axis.title, type="log" if axis.is_log else "linear")
    if axis.is_log:
        figure.update_yaxes(tickformat=".2~%" if axis.is_error else ".2~g")
    if axis.decades > DECADES_OF_FEW_TICKS:
        figure.update_yaxes(dtick=1)  # 1, 10, 100
    elif axis.decades > DECADES_OF_LINEAR_TICKS:
        figure.update_yaxes(dtick="D2")  # 1, 2, 5, 10


def _read(metric: str) -> str:
    """A value as the pointer shows it: what was measured, not where it is drawn."""
    return "%{customdata:.2%}" if metric in ACCURACIES else "%{customdata:.4g}"


def draw_history(data: History, metric: str) -> go.Figure:
    """Every trial's value, and a step line of the best so far."""
    figure = go.Figure()
    axis = axis_of([metric], data.trials["value"])
    for kind, color in KIND_COLORS.items():
        rows = data.trials[data.trials["kind"] == kind]
        if len(rows):
            marker = {"color": color, "size": 7, "opacity": 0.45 if kind == "pruned" else 0.85}
            figure.add_scatter(
                x=rows["number"],
                y=axis.positions(rows["value"]),
                customdata=rows["value"],
                mode="markers",
                name=kind,
                marker=marker,
                hovertemplate=f"trial %{{x}}: {_read(metric)}<extra>{kind}</extra>",
            )
    figure.add_scatter(
        x=data.best_so_far["number"],
        y=axis.positions(data.best_so_far["value"]),
        mode="lines",
        name="best so far",
        line={"color": BEST, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    n = int(data.trials["number"].max()) + 1
    figure.update_xaxes(title_text="trial", showgrid=False, range=[-0.5, n - 0.5])
    if n <= MAX_TICKS:
        figure.update_xaxes(dtick=1)
    _scaled(figure, axis)
    if axis.is_error:
        figure.update_yaxes(range=_range_of_errors(axis.positions(data.trials["value"])))
    return styled(figure, height=320, legend=True)


def _range_of_errors(shown: npt.NDArray[np.float64]) -> list[float]:
    """In powers of ten: all values with some room, also around a single one, and hardly more than all wrong."""
    low, high = float(np.log10(shown.min())), float(np.log10(shown.max()))
    room = max(MARGIN * (high - low), (LEAST_DECADES - (high - low)) / 2)
    return [low - room, min(high + room, ALL_WRONG)]


def draw_importances(rows: Sequence[LeverImportance]) -> go.Figure:
    """Bars with their 95 % intervals; what cannot be told from noise is pale."""
    shown = list(reversed(rows[:MAX_LEVERS]))
    figure = go.Figure(
        go.Bar(
            x=[row.importance for row in shown],
            y=[row.lever for row in shown],
            orientation="h",
            marker={"color": [OTHER if row.significant else "rgba(141,153,166,0.45)" for row in shown]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row.high - row.importance for row in shown],
                "arrayminus": [row.importance - row.low for row in shown],
                "color": FAINT,
                "thickness": 1.5,
                "width": 3,
            },
            customdata=[
                ["beyond noise" if r.significant else "not told from noise", r.low, r.high] for r in shown
            ],
            hovertemplate="%{y}: %{x:.2f} (%{customdata[1]:.2f} to %{customdata[2]:.2f}), "
            "%{customdata[0]}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="share of importance", rangemode="tozero")
    n_rows = max(len(shown), 3)
    figure.update_yaxes(showgrid=False, range=[len(shown) - n_rows - 0.5, len(shown) - 0.5])
    return styled(figure, height=90 + 26 * n_rows)


def draw_curves(curves: Sequence[LearningCurve], quantities: Sequence[str]) -> go.Figure:
    """Learning curves of ``quantities``: solid for validation, dotted for train (not for pruned trials)."""
    figure = go.Figure()
    top = top_of(curves, quantities)
    read = [
        value
        for curve in curves
        for name in quantities
        for value in (curve.frame.get(name, ()) if is_drawn(curve, name) else ())
        if value <= top
    ]
    axis = axis_of(quantities, read)
    for curve in curves:
        for quantity in quantities:
            is_train = quantity.startswith("train")
            if quantity not in curve.frame or not is_drawn(curve, quantity):
                continue
            figure.add_scatter(
                x=curve.frame["epoch"],
                y=axis.positions(curve.frame[quantity]),
                customdata=curve.frame[quantity],
                mode="lines",
                name=f"trial {curve.number} ({curve.role})",
                line={
                    "color": {"best": BEST, "other": OTHER, "pruned": FAINT}[curve.role],
                    "width": {"best": 2.5, "other": 1.5, "pruned": 1.0}[curve.role],
                    "dash": "dot" if is_train else "solid",
                },
                opacity={"best": 1.0, "other": 0.75, "pruned": 0.35}[curve.role],
                hovertemplate=f"trial {curve.number}, epoch %{{x}}: {_read(quantity)}<extra>{quantity}</extra>",
            )
    figure.update_xaxes(title_text="epoch", showgrid=False)
    _scaled(figure, axis)
    if beyond(curves, quantities):
        lowest, highest = min(read), max(read)
        ends = np.log10([lowest, highest]) if axis.is_log else np.array([lowest, highest])
        margin = MARGIN * float(ends[1] - ends[0])
        figure.update_yaxes(range=[ends[0] - margin, ends[1] + margin])
    return styled(figure, height=320)


def draw_slice(data: Slice, metric: str) -> go.Figure:
    """Value against one lever; the best tenth stands out."""
    figure = go.Figure()
    axis = axis_of([metric], data.trials["value"])
    value = _read(metric).replace("customdata", "customdata[1]")
    for is_top, color, opacity in ((False, OTHER, 0.55), (True, BEST, 0.95)):
        rows = data.trials[data.trials["is_top"] == is_top]
        figure.add_scatter(
            x=rows["setting"].astype(str) if data.scale == "category" else rows["setting"],
            y=axis.positions(rows["value"]),
            mode="markers",
            marker={"color": color, "size": 7, "opacity": opacity},
            customdata=rows[["number", "value"]],
            hovertemplate=f"trial %{{customdata[0]}}: %{{x}}, {value}<extra></extra>",
        )
    figure.update_xaxes(title_text=data.lever, showgrid=False, type=data.scale)
    if data.scale == "category":
        categories = list(data.trials["setting"].cat.categories)
        figure.update_xaxes(categoryorder="array", categoryarray=categories)
    elif data.trials["setting"].dtype.kind == "i" and data.trials["setting"].max() <= MAX_TICKS:
        figure.update_xaxes(dtick=1)
    if data.scale == "log":
        figure.update_xaxes(dtick=1, exponentformat="power")
    figure.update_yaxes(nticks=5)
    _scaled(figure, axis)
    return styled(figure, height=240)


def _name_of_top(data: Sequence[Place]) -> str:
    """The best tenth; of few trials, how many they are."""
    trials = {number for place in data for number in place.trials["number"]}
    n_top = len({number for place in data for number in place.trials.loc[place.trials["is_top"], "number"]})
    return "best tenth" if n_top <= round(TOP_FRACTION * len(trials)) else f"best {n_top} of {len(trials)}"


def draw_places(data: Sequence[Place]) -> go.Figure:
    """One line a lever, from its low to its high bound: all complete trials, and the best tenth in color."""
    shown = list(reversed(data[:MAX_LEVERS]))
    figure = go.Figure()
    for is_top, color, opacity, size in ((False, FAINT, 0.5, 7), (True, GOOD, 0.95, 10)):
        rows = [
            (row.position, place.lever, row.setting, row.number)
            for place in shown
            for row in place.trials[place.trials["is_top"] == is_top].itertuples()
        ]
        figure.add_scatter(
            x=[row[0] for row in rows],
            y=[row[1] for row in rows],
            customdata=[[row[3], row[2]] for row in rows],
            mode="markers",
            name=_name_of_top(data) if is_top else "all complete trials",
            marker={"color": color, "opacity": opacity, "size": size, "line": {"width": 0}},
            hovertemplate="trial %{customdata[0]}: %{y} = %{customdata[1]}<extra></extra>",
        )
    for place in shown:
        for x, text, anchor in ((-0.02, place.low, "right"), (1.02, place.high, "left")):
            figure.add_annotation(
                x=x, y=place.lever, text=text, xanchor=anchor, showarrow=False, font={"size": 11}
            )
    figure.update_xaxes(range=[-0.14, 1.14], showticklabels=False, ticks="", showgrid=False)
    figure.update_yaxes(categoryorder="array", categoryarray=[place.lever for place in shown])
    styled(figure, height=90 + 32 * max(len(shown), 2), legend=True)
    figure.update_xaxes(ticks="")
    return figure
