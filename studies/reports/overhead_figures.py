"""Where the time of a study's workers went, as a stacked bar each: figure data, and its drawing."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from studies.overhead import advice, ordered, shares_text, total
from studies.records import StudyRecord
from studies.reports.drawing import OTHER, styled

TOTAL = "all workers"
MAX_BARS = 12
"""Bars beyond this many are too thin to read: those of the longest work are shown."""
SMALLEST_LABELED = 0.06
"""Of a bar: shorter pieces have no room for their number."""
COLORS = {
    "training": OTHER,
    "data": "#2b9a8f",
    "evaluation": "#7c6fc4",
    "telemetry": "#b565a7",
    "sampler": "#c9962b",
    "storage": "#e8590c",
    "idle": "#8d99a6",
    "startup": "#a58a6f",
    "other": "#5f6b78",
}
"""What waits is gray; what is paid for the study's memory is warm."""
UNKNOWN = "#d6336c"
"""For an activity that a newer symptune counts."""


@dataclass(frozen=True, kw_only=True)
class WhereTimeWent:
    """The bars of the figure, and what is said of them."""

    frame: pd.DataFrame
    """Columns worker, activity, seconds, share; the workers in the order of their starts, then `TOTAL` if there are
    several."""
    sentence: str
    n_left_out: int
    """Workers that have no bar of their own."""


def where_time_went(record: StudyRecord) -> WhereTimeWent | None:
    """The figure's data; None where no worker has left a note."""
    everything = total(record.overhead)
    if everything is None or everything.wall_seconds <= 0:
        return None
    longest = sorted(record.overhead, key=lambda worker: -worker.wall_seconds)[:MAX_BARS]
    bars = [(worker.worker, worker) for worker in record.overhead if worker in longest]
    bars += [(TOTAL, everything)] if len(record.overhead) > 1 else []
    rows = []
    for place, (name, worker) in enumerate(bars, 1):
        label = name if name == TOTAL else f"{place}. {name}"  # one process may have worked several times
        shares = worker.shares()
        seconds = {**worker.seconds, "other": worker.other_seconds}
        rows += [(label, activity, seconds[activity], shares[activity]) for activity in ordered(shares)]
    frame = pd.DataFrame(rows, columns=["worker", "activity", "seconds", "share"])
    sentence = f"Of {everything.wall_seconds:,.0f} worker seconds: {shares_text(everything)}."
    # Of work that was broken off the time says nothing of the settings.
    hint = "" if record.n_handed_back else advice(everything, n_workers=len(record.overhead))
    return WhereTimeWent(
        frame=frame,
        sentence=f"{sentence} {hint}" if hint else sentence,
        n_left_out=len(record.overhead) - min(len(record.overhead), MAX_BARS),
    )


def draw_where_time_went(data: WhereTimeWent) -> go.Figure:
    """Lying stacked bars, the first worker on top and all workers together at the bottom."""
    figure = go.Figure()
    for activity in ordered(data.frame["activity"].unique()):
        rows = data.frame[data.frame["activity"] == activity]
        figure.add_bar(
            y=rows["worker"],
            x=rows["share"],
            name=activity,
            orientation="h",
            marker={"color": COLORS.get(activity, UNKNOWN)},
            text=[f"{share:.0%}" if share >= SMALLEST_LABELED else "" for share in rows["share"]],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            customdata=rows["seconds"],
            hovertemplate=f"{activity}: %{{x:.1%}}, %{{customdata:.1f}} s<extra>%{{y}}</extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.35)
    figure.update_xaxes(title_text="share of wall time", tickformat=".0%", range=[0, 1], showgrid=False)
    figure.update_yaxes(autorange="reversed")
    n_bars = data.frame["worker"].nunique()
    styled(figure, height=110 + 36 * n_bars, legend=True)
    # Lying bars turn plotly's legend round; and the last tick's 100 % needs room.
    return figure.update_layout(legend_traceorder="normal", margin_r=32)
