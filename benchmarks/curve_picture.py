"""Draws what time_to_accuracy.py found: the best validation accuracy at equal time, ours and the expert's.

A picture (.png, .svg) needs plotly's kaleido and a Chrome; an .html file needs nothing:

    python benchmarks/curve_picture.py time_to_accuracy.json docs/images/best_over_time.png
"""

import argparse
import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

COLORS = {"ours": "#1f77b4", "expert": "#d62728"}
NAMES = {"ours": "tuner search", "expert": "Optuna TPE + MedianPruner, expert's objective, 2 processes"}
LOWEST = 0.9
"""Of the picture: what comes before says only who starts first."""


def figure_of(found: dict[str, Any]) -> go.Figure:
    """Steps, one line a seed."""
    figure = go.Figure()
    for name, seeds in found["curves"].items():
        for number, points in enumerate(seeds):
            figure.add_scatter(
                x=[seconds for seconds, _ in points],
                y=[best for _, best in points],
                mode="lines",
                line={"shape": "hv", "color": COLORS[name]},
                name=NAMES[name],
                legendgroup=name,
                showlegend=number == 0,
            )
    figure.add_hline(y=found["target"], line={"dash": "dot", "color": "gray"})
    highest = max(best for seeds in found["curves"].values() for points in seeds for _, best in points)
    figure.update_xaxes(title="seconds since the command was typed", rangemode="tozero")
    figure.update_yaxes(
        title="best validation accuracy", tickformat=".1%", range=[LOWEST, max(highest, LOWEST) + 0.005]
    )
    figure.update_layout(
        template="plotly_white",
        title=f"Best value at equal time: {found['workload']}, {found['task']}",
        legend={"x": 0.98, "xanchor": "right", "y": 0.05},
    )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("found", type=Path, help="what time_to_accuracy.py printed")
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    figure = figure_of(json.loads(arguments.found.read_text(encoding="utf-8")))
    if arguments.picture.suffix == ".html":
        figure.write_html(arguments.picture)
    else:
        figure.write_image(arguments.picture, width=900, height=500)


if __name__ == "__main__":
    main()
