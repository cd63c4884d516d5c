"""The ladder from baseline to best as a waterfall: figure data, and its drawing.

Lying bars, from the top down: a change's text is long, and a bar that floats needs no zero in sight.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from studies.comparison import Comparison, Interval, Verdict
from studies.reports.drawing import BEST, FAINT, OTHER, styled

COLORS = {Verdict.BETTER: BEST, Verdict.NO_DIFFERENCE: FAINT, Verdict.WORSE: "#d6336c"}
NAMES = {
    Verdict.BETTER: "gains",
    Verdict.NO_DIFFERENCE: "not told from noise",
    Verdict.WORSE: "makes it worse",
}
BASELINE, RESULT = "baseline", "best"
MAX_LABEL = 44
"""Letters of a line of a change's text; longer ones are broken after a comma."""


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """What each change did to the metric, in the order of the ladder."""

    metric: str
    levels: pd.DataFrame
    """Columns label, mean, low, high: the baseline and the best, in the metric's unit; NaN where not known."""
    steps: pd.DataFrame
    """Columns label, start, end, low, high (of the end, by the gain's interval), gain, gain_low, gain_high, verdict.

    A step whose gain has no mean (diverged in all seeds) ends where the next level says, or has no end.
    """


def waterfall(
    baseline: Interval,
    steps: Sequence[tuple[str, Interval, Comparison]],
    *,
    metric: str,
    direction: str = "maximize",
) -> Waterfall:
    """The figure's data.

    Args:
        baseline: the metric without any change.
        steps: of each change its text, the metric with it, and it against the rung before.
        metric: its name, for the axis.
        direction: ``maximize`` or ``minimize``; of the latter a gain leads to a lower value.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    rows, start = [], baseline.mean
    for label, level, comparison in steps:
        gain = comparison.difference
        bounds = sorted((start + sign * gain.low, start + sign * gain.high))
        rows.append(
            {
                "label": label,
                "start": start,
                "end": level.mean,
                "low": bounds[0],
                "high": bounds[1],
                "gain": gain.mean,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "verdict": comparison.verdict,
            }
        )
        start = level.mean
    best = steps[-1][1] if steps else baseline
    ends = [(name, each.mean, each.low, each.high) for name, each in ((BASELINE, baseline), (RESULT, best))]
    levels = pd.DataFrame(ends, columns=["label", "mean", "low", "high"])
    frame = pd.DataFrame(rows).replace([np.inf, -np.inf], np.nan)
    return Waterfall(metric=metric, levels=levels.replace([np.inf, -np.inf], np.nan), steps=frame)


def draw_waterfall(data: Waterfall) -> go.Figure:
    """A floating bar for each change, with the interval of its gain; the baseline above and the best below."""
    figure = go.Figure()
    labels = [BASELINE, *map(_broken, data.steps["label"]), RESULT]
    for verdict, color in COLORS.items():
        rows = data.steps[data.steps["verdict"] == verdict]
        figure.add_bar(
            y=[_broken(label) for label in rows["label"]],
            x=rows["end"] - rows["start"],
            base=rows["start"],
            orientation="h",
            width=0.55,
            name=NAMES[verdict],
            marker={"color": color, "opacity": 0.85, "line": {"width": 0}},
            customdata=rows[["gain", "gain_low", "gain_high"]],
            hovertemplate="%{y}: gain %{customdata[0]:.4g} (%{customdata[1]:.4g} to %{customdata[2]:.4g})"
            f"<extra>{NAMES[verdict]}</extra>",
        )
    _whiskers(figure, [_broken(label) for label in data.steps["label"]], data.steps["end"], data.steps)
    _connect(figure, labels, [float(data.levels["mean"].iloc[0]), *map(float, data.steps["end"])])
    figure.add_scatter(
        y=data.levels["label"],
        x=data.levels["mean"],
        mode="markers",
        marker={"color": OTHER, "size": 11, "symbol": "diamond"},
        showlegend=False,
        error_x=_error(data.levels["mean"], data.levels),
        hovertemplate=f"%{{y}}: %{{x:.4g}}<extra>{data.metric}</extra>",
    )
    figure.update_xaxes(title_text=data.metric.replace("_", " "))
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], showgrid=False)
    return styled(figure, height=130 + 46 * len(labels), legend=True)


def _whiskers(figure: go.Figure, labels: Sequence[str], ends: "pd.Series[float]", rows: pd.DataFrame) -> None:
    """The interval of each gain, around the end of its bar."""
    figure.add_scatter(
        y=list(labels),
        x=ends,
        mode="markers",
        marker={"color": "rgba(0,0,0,0)", "size": 1},
        showlegend=False,
        hoverinfo="skip",
        error_x=_error(ends, rows),
    )


def _error(at: "pd.Series[float]", rows: pd.DataFrame) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": (rows["high"] - at).clip(lower=0.0),
        "arrayminus": (at - rows["low"]).clip(lower=0.0),
        "color": FAINT,
        "thickness": 2,
        "width": 5,
    }


def _connect(figure: go.Figure, labels: Sequence[str], levels: Sequence[float]) -> None:
    """A thin line down from where each rung ends to where the next begins."""
    for above, below, level in zip(labels, labels[1:], levels, strict=False):
        if not np.isnan(level):
            figure.add_scatter(
                y=[above, below],
                x=[level, level],
                mode="lines",
                line={"color": FAINT, "width": 1, "dash": "dot"},
                showlegend=False,
                hoverinfo="skip",
            )


def _broken(text: str) -> str:
    """``text`` in lines of at most about ``MAX_LABEL`` letters, broken between the keys of a change."""
    lines: list[str] = []
    for part in text.split(", "):
        if lines and len(lines[-1]) + len(part) < MAX_LABEL:
            lines[-1] += f", {part}"
        else:
            lines.append(part)
    return ",<br>".join(lines)
