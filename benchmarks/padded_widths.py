"""Claim: padding lanes of several widths into one cohort pays on a CPU only where the widths are near one another.

Eight lanes of four widths, two of each: either four cohorts, or one in which all have the largest width. Masks, which
would have to hide the units that are not there, are left out, so the padded cohort is timed too fast. Processor time of
a step of all eight, medians of rounds in which both take turns, one thread:

    python benchmarks/padded_widths.py
"""

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Iterator

import torch
from lane_step import Work, lanes, round_seconds
from machine import described, load_average

from tuner.training.lanes.products import Products

N_LANES = 8
WIDTHS = {"near": (96, 112, 120, 128), "doubling": (16, 32, 64, 128), "large": (128, 256, 384, 512)}
"""Units of the hidden layers; two lanes have each."""
NETWORKS = {"1 layer, sgd": (1, "sgd"), "3 layers, adam": (3, "adam")}


def apart(widths: tuple[int, ...], depth: int, optimizer: str, batch_size: int) -> list[Iterator[None]]:
    """The steps of a cohort for each width."""
    n_lanes = N_LANES // len(widths)
    return [
        lanes(
            Work(depth=depth, width=width, optimizer=optimizer, n_lanes=n_lanes, batch_size=batch_size),
            Products(),
        )
        for width in widths
    ]


def row(
    widths: tuple[int, ...], depth: int, optimizer: str, batch_size: int, n_rounds: int
) -> dict[str, float]:
    ways = {
        "apart": apart(widths, depth, optimizer, batch_size),
        "padded": apart((max(widths),), depth, optimizer, batch_size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(n_rounds + 1):  # the first only warms up
        for name, cohorts in ways.items():
            taken = sum(round_seconds(steps) for steps in cohorts)
            if number:
                seconds[name].append(taken)
    medians = {name: 1e6 * statistics.median(values) for name, values in seconds.items()}
    return {**medians, "padded_over_apart": medians["padded"] / medians["apart"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for (spread, widths), (network, (depth, optimizer)), n in itertools.product(
        WIDTHS.items(), NETWORKS.items(), arguments.batch_sizes
    ):
        found = row(widths, depth, optimizer, n, arguments.rounds)
        rows.append({"widths": widths, "network": network, "batch_size": n, **found})
        print(
            f"{spread:9} {widths!s:21} {network:15} batch {n:4}: apart {found['apart']:6.0f} µs, "
            f"padded {found['padded']:6.0f} µs, {found['padded_over_apart']:.2f}x",
            file=sys.stderr,
        )
    claim = __doc__.splitlines()[0].removeprefix("Claim: ")
    print(
        json.dumps({"claim": claim, "results": rows, "load": load_average(), **described("torch")}, indent=2)
    )


if __name__ == "__main__":
    main()
