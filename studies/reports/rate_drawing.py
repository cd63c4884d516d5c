"""Draws a learning-rate range test, and writes it as one HTML page that needs nothing else."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from search_spaces.files import write_text
from studies.reports import wording
from studies.reports.drawing import BEST, FAINT, OTHER, styled
from studies.reports.rate_figures import Mark, RateFigure, rate_figure

UNSTABLE = "#d6336c"
TEMPLATES = Path(__file__).parent / "templates"
MARK_COLORS = {"suggested": BEST, "highest stable": UNSTABLE}
TOP = 1.0
LABEL_STEP = 0.055
"""Of the figure's height: labels of neighboring marks stand on lines of their own."""


def draw_rate(data: RateFigure) -> go.Figure:
    """Ramps as lines, held rates as dots at the loss they ended with, marks as vertical lines."""
    figure = go.Figure()
    for index, curve in enumerate(data.curves):
        figure.add_scatter(
            x=curve.frame["learning_rate"],
            y=curve.frame["loss"],
            mode="markers",
            marker={"color": FAINT, "size": 3, "opacity": 0.3},
            hoverinfo="skip",
            showlegend=index == 0,
            name="a minibatch of the ramp",
        )
    for index, curve in enumerate(data.curves):
        figure.add_scatter(
            x=curve.frame["learning_rate"],
            y=curve.frame["smoothed"],
            mode="lines",
            line={"color": OTHER, "width": 2},
            opacity=0.8,
            showlegend=index == 0,
            name="ramp, smoothed (one line a sweep)",
            hovertemplate=f"rate %{{x:.3g}}: %{{y:.3g}}<extra>ramp of seed {curve.seed}</extra>",
        )
    _add_held(figure, data)
    for index, mark in enumerate(data.marks):
        _add_mark(figure, mark, n_lines_up=index % 2)
    low, high = data.loss_range
    figure.update_yaxes(
        title_text="train loss",
        type="log" if data.is_log else "linear",
        range=[math.log10(low), math.log10(high)] if data.is_log else [low, high],
    )
    if data.is_log:
        figure.update_yaxes(dtick="D2" if high / low < 100 else 1, tickformat=".2~g")
    figure.update_xaxes(
        title_text="learning rate", type="log", dtick=1, exponentformat="power", showgrid=False
    )
    styled(figure, height=460, legend=True)
    figure.update_layout(margin={"t": 56}, legend={"y": -0.16, "yanchor": "top"})
    return figure


def _add_held(figure: go.Figure, data: RateFigure) -> None:
    for stable, name, symbol, color in (
        (True, "held, stable", "circle", BEST),
        (False, "held, not stable", "x", UNSTABLE),
    ):
        rows = data.held[data.held["stable"] == stable].dropna(subset=["loss"])
        if len(rows):
            figure.add_scatter(
                x=rows["learning_rate"],
                y=rows["loss"],
                customdata=rows["seed"],
                mode="markers",
                marker={"color": color, "symbol": symbol, "size": 7, "opacity": 0.85},
                name=name,
                hovertemplate=f"rate %{{x:.3g}} ended at %{{y:.3g}}<extra>{name}, seed %{{customdata}}</extra>",
            )


def _add_mark(figure: go.Figure, mark: Mark, *, n_lines_up: int) -> None:
    color = MARK_COLORS.get(mark.name, FAINT)
    is_main = mark.name == "suggested"
    if is_main and mark.high > mark.low:
        figure.add_vrect(x0=mark.low, x1=mark.high, fillcolor=color, opacity=0.15, line_width=0)
    figure.add_vline(
        x=mark.rate,
        line={"color": color, "width": 2 if is_main else 1, "dash": "solid" if is_main else "dot"},
    )
    figure.add_annotation(
        x=math.log10(mark.rate),
        y=TOP + LABEL_STEP * n_lines_up,
        yref="paper",
        yanchor="bottom",
        text=f"{mark.name} {mark.rate:.3g}",
        showarrow=False,
        font={"size": 12},
    )


def write_rate_page(
    found: Mapping[str, Any], path: Path, *, title: str, next_commands: Sequence[str] = ()
) -> Path:
    """Write the range test ``found`` (as `tuner lr-range --json` prints it) to ``path``; the page works offline."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = wording.number
    data = rate_figure(found)
    page = environment.get_template("rate.html.j2").render(
        title=title,
        found=found,
        marks=data.marks,
        # Plotly writes <, > and / as escapes: no text of a user can end the script that holds the figure.
        figure=Markup(plotly.io.to_json(draw_rate(data))),  # noqa: S704
        next_commands=next_commands,
        plotly_js=Markup(get_plotlyjs()),  # noqa: S704 - the library's own bundle, not a user's text
    )
    write_text(page, path)
    return path
