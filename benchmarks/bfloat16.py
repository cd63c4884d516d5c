"""Claim: products in bfloat16 make lanes faster, and what they cost in accuracy is within the noise of a few seeds.

The same configs with the same seeds train in cohorts twice, `precision` float32 and bfloat16, in turns in one
process of one thread. Gain: the ratio of the medians of wall time. Cost: the paired difference of the best epoch's
validation accuracy over seeds, with its 95% interval. Give it quiet cores:

    python benchmarks/bfloat16.py --task mnist --seeds 8 --epochs 5
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from machine import described, load_average

from studies.comparison import compare
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset

Precision = Literal["float32", "bfloat16"]
CASES: dict[str, dict[str, Any]] = {
    "1 x 128, sgd": {"learning_rate": 0.1, "momentum": 0.9, "dropout": 0.2},
    "2 x 256, adam": {"optimizer": "adam", "learning_rate": 1e-3, "depth": 2, "width": 256, "dropout": 0.2},
}
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def trained(configs: Sequence[TrainingConfig], splits: Splits) -> tuple[list[float], float, str]:
    """The lanes' values (NaN where none was finite), the seconds of all together, and the engine's name."""
    started = time.perf_counter()
    cohort = Cohort(splits)
    lanes = [cohort.admit(config) for config in configs]
    while cohort.advance():
        pass
    values = [lane.value("validation_accuracy") for lane in lanes]
    return (
        [math.nan if value is None else value for value in values],
        time.perf_counter() - started,
        cohort.engine_name,
    )


def measured(
    name: str, config: TrainingConfig, splits: Splits, arguments: argparse.Namespace
) -> dict[str, Any]:
    # One data order for all seeds: the lanes then share minibatches, as those of a search do.
    replicates = [replace(config, seed=seed, order_seed=0) for seed in range(arguments.seeds)]
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    values: dict[str, list[float]] = {}
    engines: dict[str, str] = {}
    for turn in range(arguments.repeats):
        for precision in PRECISIONS if turn % 2 == 0 else reversed(PRECISIONS):
            lanes = [replace(replicate, precision=precision) for replicate in replicates]
            values[precision], taken, engines[precision] = trained(lanes, splits)
            seconds[precision].append(taken / (arguments.seeds * config.epochs))
    medians = {precision: statistics.median(each) for precision, each in seconds.items()}
    verdict = compare(values["bfloat16"], values["float32"], names=("bfloat16", "float32"))
    cost = verdict.difference
    print(
        f"{name}, batch {config.batch_size}: {medians['float32']:.3f} s a trial-epoch in float32, "
        f"{medians['bfloat16']:.3f} s in bfloat16 ({medians['float32'] / medians['bfloat16']:.2f} times as fast); "
        f"accuracy {cost.mean:+.3%} ({cost.low:+.3%} to {cost.high:+.3%})",
        file=sys.stderr,
    )
    return {
        "case": name,
        "batch_size": config.batch_size,
        "engines": engines,
        "seconds_a_trial_epoch": medians,
        "float32_over_bfloat16": medians["float32"] / medians["bfloat16"],
        "accuracy": {precision: statistics.mean(each) for precision, each in values.items()},
        "accuracy_gained": {"mean": cost.mean, "low": cost.low, "high": cost.high},
        "verdict": verdict.sentence,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="auto")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--cases", nargs="+", choices=[*CASES], default=[*CASES])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load = load_average()
    splits = split_dataset(load_dataset(arguments.task), seed=0, device="cpu")
    results = [
        measured(
            name,
            TrainingConfig(**CASES[name], batch_size=batch_size, epochs=arguments.epochs),
            splits,
            arguments,
        )
        for name in arguments.cases
        for batch_size in arguments.batch_size
    ]
    about = {"claim": __doc__.splitlines()[0], "task": splits.name, "n_seeds": arguments.seeds}
    machine = {"load_average": load, **described("torch", "symptune")}
    print(json.dumps({**about, "n_epochs": arguments.epochs, "results": results, **machine}, indent=2))


if __name__ == "__main__":
    main()
