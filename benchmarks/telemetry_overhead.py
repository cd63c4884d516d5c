"""Claim: telemetry costs at most 5% of an epoch at batch 128 and more, at most 10% at batch 32.

Telemetry on and off take turns on the same data in one process. The figure is the median over pairs of neighboring
epochs of on / off, so that a machine that gets slower or faster meanwhile touches both; with the quartiles beside it.
Give it quiet cores:

    python benchmarks/telemetry_overhead.py --task mnist --epochs 15
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time

import torch

from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.data_probe import read_data
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.loop import TrainingRun

LIMITS = {32: 0.10, 128: 0.05, 512: 0.05}
"""Batch size to the share of an epoch that telemetry may cost."""


def epoch_seconds(batch_size: int, n_epochs: int, splits: Splits) -> dict[bool, list[float]]:
    """Seconds of each epoch with telemetry (True) and without; each one's first epoch only warms up."""
    config = TrainingConfig(batch_size=batch_size, epochs=n_epochs + 1)
    runs = {is_on: TrainingRun(config, splits, telemetry=is_on).epochs() for is_on in (True, False)}
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for epoch in range(n_epochs + 2):
        for is_on in (True, False) if epoch % 2 else (False, True):
            readings = next(runs[is_on])
            if epoch > 1:
                seconds[is_on].append(readings.seconds)
    return seconds


def data_probe_seconds(splits: Splits, n_repeats: int = 5) -> float:
    """The fastest probe of the data: once for all trials on the same splits."""
    config = TrainingConfig()
    scaling = input_scaling(config, splits.train_x, splits.train_statistics)
    seconds = []
    for _ in range(n_repeats):
        splits.known.clear()
        started = time.perf_counter()
        read_data(splits, scaling, config, is_complete=True)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="auto")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    splits = split_dataset(load_dataset(arguments.task, announce=lambda line: print(line, file=sys.stderr)))
    probe_seconds = data_probe_seconds(splits)
    print(f"probe of the data  {probe_seconds:.3f} s", file=sys.stderr)
    rows = []
    for batch_size, limit in LIMITS.items():
        seconds = epoch_seconds(batch_size, arguments.epochs, splits)
        on, off = (statistics.median(seconds[is_on]) for is_on in (True, False))
        ratios = [a / b - 1 for a, b in zip(seconds[True], seconds[False], strict=True)]
        low, overhead, high = statistics.quantiles(ratios, n=4)
        row = {"batch_size": batch_size, "on": on, "off": off, "overhead": overhead, "quartiles": [low, high]}
        rows.append(row | {"limit": limit})
        print(
            f"batch {batch_size:4}  on {on:.3f} s  off {off:.3f} s  "
            f"overhead {overhead:+.1%} (quartiles {low:+.1%} to {high:+.1%}; at most {limit:.0%})",
            file=sys.stderr,
        )
    result = {
        "claim": "seconds of an epoch with telemetry, over seconds without, minus 1",
        "task": splits.name,
        "model": "784-128-10 relu, sgd" if splits.name == "mnist" else "one hidden layer of 128 relu, sgd",
        "n_epochs": arguments.epochs,
        "n_threads": arguments.threads,
        "device": str(splits.device),
        "processor": platform.processor() or platform.machine(),
        "n_cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "data_probe_seconds": probe_seconds,
        "results": rows,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
