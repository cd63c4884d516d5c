"""Claim: what the range test suggests, trained for 3 epochs, is within 0.3 points plus noise floor of a grid's best.

For SGD, SGD with momentum, Adam and AdamW on 784-128-10, batch 128, constant rate: a grid of 12 rates, and the rates
that range tests suggest, each trained on several seeds and judged by validation accuracy. The popular choice beside it
is the steepest point of the ramp. The noise floor is the standard deviation between seeds at the grid's best rate.

    python benchmarks/learning_rate_range.py --task mnist --epochs 3 --seeds 3
"""

import argparse
import json
import statistics
import sys
from typing import Any

import numpy as np
import torch
from machine import described

from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset
from tuner.training.learning_rate_range import learning_rate_range
from tuner.training.loop import TrainingRun

N_RATES = 12
TOLERANCE = 0.3
"""Points of accuracy."""
WAYS: dict[str, tuple[dict[str, Any], tuple[float, float]]] = {
    "SGD": ({"optimizer": "sgd"}, (0.01, 4.0)),
    "SGD, momentum 0.9": ({"optimizer": "sgd", "momentum": 0.9}, (0.001, 0.6)),
    "Adam": ({"optimizer": "adam"}, (1e-4, 0.1)),
    "AdamW": ({"optimizer": "adamw", "weight_decay": 0.01}, (1e-4, 0.1)),
}


def accuracy(splits: Splits, keys: dict[str, Any], epochs: int, seed: int) -> float:
    """Best validation accuracy of one training, in percent; 0 when it diverged before the first epoch ended."""
    run = TrainingRun(TrainingConfig(epochs=epochs, seed=seed, **keys), splits, telemetry=False)
    for _ in run.epochs():
        pass
    return 100 * (run.value("validation_accuracy") or 0.0)


def row(name: str, splits: Splits, epochs: int, seeds: range) -> dict[str, Any]:
    keys, bounds = WAYS[name]
    rates = [float(rate) for rate in np.geomspace(*bounds, N_RATES)]
    grid = [
        [accuracy(splits, keys | {"learning_rate": rate}, epochs, seed) for seed in seeds] for rate in rates
    ]
    best = max(range(N_RATES), key=lambda i: statistics.fmean(grid[i]))
    # Sweeps have seeds that no training uses: a suggestion has not seen the weights it is judged on.
    tested = [learning_rate_range(TrainingConfig(**keys), splits, seed=1000 + 100 * seed) for seed in seeds]
    suggested = [found.suggested for found in tested]
    if None in suggested:
        sys.exit(f"{name}: a range test refused: {[found.reason for found in tested]}")
    ours = [
        accuracy(splits, keys | {"learning_rate": rate}, epochs, seed)
        for rate, seed in zip(suggested, seeds, strict=True)
    ]
    steepest = [
        accuracy(splits, keys | {"learning_rate": found.steepest}, epochs, seed)
        for found, seed in zip(tested, seeds, strict=True)
    ]
    noise_floor = statistics.stdev(grid[best])
    behind = statistics.fmean(grid[best]) - statistics.fmean(ours)
    return {
        "optimizer": name,
        "grid": dict(zip((f"{rate:.3g}" for rate in rates), map(statistics.fmean, grid), strict=True)),
        "best_rate": rates[best],
        "best_accuracy": statistics.fmean(grid[best]),
        "suggested": suggested,
        "suggested_accuracy": statistics.fmean(ours),
        "steepest": [found.steepest for found in tested],
        "steepest_accuracy": statistics.fmean(steepest),
        "noise_floor": noise_floor,
        "behind": behind,
        "holds": behind <= TOLERANCE + noise_floor,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="auto")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset(arguments.task, announce=lambda line: print(line, file=sys.stderr))
    splits = split_dataset(dataset, device="cpu")
    rows = []
    for name in WAYS:
        rows.append(row(name, splits, arguments.epochs, range(arguments.seeds)))
        last = rows[-1]
        rates = ", ".join(f"{rate:.3g}" for rate in last["suggested"])
        print(
            f"{name:18} best {last['best_accuracy']:.2f}% at {last['best_rate']:.3g}, suggested "
            f"{last['suggested_accuracy']:.2f}% at {rates}: {last['behind']:+.2f} points behind (noise floor "
            f"{last['noise_floor']:.2f}); steepest {last['steepest_accuracy']:.2f}%",
            file=sys.stderr,
        )
    about = {"task": splits.name, "n_epochs": arguments.epochs, "n_seeds": arguments.seeds}
    claim = {"claim": __doc__.splitlines()[0], "holds": all(found["holds"] for found in rows)}
    print(json.dumps(claim | about | {"results": rows} | described("torch", "symptune"), indent=2))


if __name__ == "__main__":
    main()
