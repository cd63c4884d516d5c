"""Remedies beside the faulty config and the healthy reference, one point a seed: figure data, and its drawing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from studies.intervals import interval
from studies.proofs import ProofRecord
from studies.reports.axes import ACCURACIES
from studies.reports.drawing import BEST, FAINT, OTHER, styled

BASELINE, REFERENCE = "as it is", "healthy reference"
COLORS = {
    "baseline": FAINT,
    "proven": BEST,
    "not_proven": OTHER,
    "made_worse": "#d6336c",
    "reference": "#2f9e5b",
}
NAMES = {
    "baseline": "as it is",
    "proven": "proven",
    "not_proven": "not proven",
    "made_worse": "made worse",
    "reference": "healthy reference",
}


@dataclass(frozen=True, kw_only=True)
class Contested:
    """What the figure of one proof shows."""

    metric: str
    levels: pd.DataFrame
    """Columns label, kind (a key of `NAMES`), mean, low, high (95%, NaN where there are no bounds), n_diverged: a row a
    config, from the top down."""
    points: pd.DataFrame
    """Columns label, kind, value, seed (counted from 1): the replicates that did not diverge."""


def contested(proof: ProofRecord) -> Contested:
    """The faulty config, its remedies in their order, and the reference."""
    rows = [(BASELINE, "baseline", proof.baseline)]
    rows += [(each.label, each.verdict, each.values) for each in proof.remedies]  # noqa: PD011 - no frame
    rows += [(REFERENCE, "reference", proof.reference)] if proof.reference else []
    levels, points = [], []
    for label, kind, values in rows:
        found = interval(values)
        levels.append((label, kind, found.mean, found.low, found.high, sum(each is None for each in values)))
        points += [
            (label, kind, value, seed) for seed, value in enumerate(values, start=1) if value is not None
        ]
    frame = pd.DataFrame(levels, columns=["label", "kind", "mean", "low", "high", "n_diverged"])
    return Contested(
        metric=proof.metric,
        levels=frame.replace([np.inf, -np.inf], np.nan),
        points=pd.DataFrame(points, columns=["label", "kind", "value", "seed"]),
    )


def draw_contested(data: Contested) -> go.Figure:
    """A line a config: each seed a small dot, their mean a diamond with its 95% interval."""
    figure = go.Figure()
    shown = dict(zip(data.levels["label"], _said(data.levels), strict=True))
    for kind, name in NAMES.items():
        points = data.points[data.points["kind"] == kind]
        means = data.levels[(data.levels["kind"] == kind) & data.levels["mean"].notna()]
        if points.empty:
            continue
        figure.add_scatter(
            x=points["value"],
            y=[shown[label] for label in points["label"]],
            customdata=points["seed"],
            mode="markers",
            marker={"color": COLORS[kind], "size": 7, "opacity": 0.45},
            showlegend=False,
            hovertemplate=f"%{{y}}, seed %{{customdata}}: {_number(data.metric)}<extra>{name}</extra>",
        )
        figure.add_scatter(
            x=means["mean"],
            y=[shown[label] for label in means["label"]],
            mode="markers",
            name=name,
            marker={"color": COLORS[kind], "size": 11, "symbol": "diamond"},
            error_x=_error(means, COLORS[kind]),
            hovertemplate=f"%{{y}}: mean {_number(data.metric)}<extra>{name}</extra>",
        )
    _mark(figure, data, list(shown.values()))
    figure.update_xaxes(
        title_text=data.metric.replace("_", " "), tickformat=".0%" if data.metric in ACCURACIES else ".3~g"
    )
    figure.update_yaxes(categoryorder="array", categoryarray=list(shown.values())[::-1], showgrid=False)
    return styled(figure, height=130 + 40 * len(data.levels), legend=True)


def _said(levels: pd.DataFrame) -> list[str]:
    """Labels with what the dots cannot show: how many replicates diverged."""
    rows = zip(levels["label"].tolist(), levels["n_diverged"].tolist(), strict=True)
    return [f"{label}<br>({n} diverged)" if n else label for label, n in rows]


def _error(rows: pd.DataFrame, color: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": (rows["high"] - rows["mean"]).fillna(0.0),
        "arrayminus": (rows["mean"] - rows["low"]).fillna(0.0),
        "color": color,
        "thickness": 2,
        "width": 5,
    }


def _mark(figure: go.Figure, data: Contested, labels: list[str]) -> None:
    """Dotted lines through the means of the faulty config and of the reference: the gap that is to be closed."""
    for kind in ("baseline", "reference"):
        for mean in data.levels.loc[data.levels["kind"] == kind, "mean"].dropna():
            figure.add_scatter(
                x=[mean, mean],
                y=[labels[0], labels[-1]],
                mode="lines",
                line={"color": COLORS[kind], "width": 1, "dash": "dot"},
                showlegend=False,
                hoverinfo="skip",
            )


def _number(metric: str) -> str:
    return "%{x:.2%}" if metric in ACCURACIES else "%{x:.4g}"
