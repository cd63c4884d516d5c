"""Claim: the finder's pick reaches the target loss within 15% of the time of the best batch of an exhaustive sweep.

For each case the finder picks a batch size and a rate. Then every candidate and the pick train to the finder's target,
with seeds that the finder has not seen, taking turns: one training of each, then the next seed. What counts is a lane's
share of the wall time of the optimizer steps, medians over the seeds; a candidate is given up at three times the best
time of its turn.
Give it quiet cores (on busy ones --clock processor counts the one thread's own time instead):

    python benchmarks/batch_size.py --task mnist --threads 1
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import described

from tuner.training.batch_size import TIMED_LANES, BatchSizeChoice, find_batch_size
from tuner.training.batching.candidates import Candidate, Verdict, batch_candidates
from tuner.training.batching.race import Target, steps_to_target, target_samples
from tuner.training.batching.stepping import SteppedTraining, Stretch
from tuner.training.config import TrainingConfig
from tuner.training.data import load_dataset
from tuner.training.datasets.splits import Splits, split_dataset

WITHIN = 1.15
GIVEN_UP = 3.0
FRESH_SEED = 1000
CASES: dict[str, dict[str, Any]] = {
    "sgd with momentum": {"learning_rate": 0.05, "momentum": 0.9, "seed": 0},
    "adam": {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 64, "depth": 2, "seed": 1},
    "cnn": {"model": "cnn", "learning_rate": 0.05, "batch_size": 32, "seed": 2},
}


CLOCKS = {"wall": time.perf_counter, "processor": time.thread_time}


class TimedTraining(SteppedTraining):
    """Adds up the time of its steps: a lane's share, as the finder counts it."""

    clock: Callable[[], float] = CLOCKS["wall"]
    seconds = 0.0

    def train(self, n_steps: int) -> Stretch:
        started = TimedTraining.clock()
        stretch = super().train(n_steps)
        self.seconds += (TimedTraining.clock() - started) / self.n_lanes
        return stretch


def seconds_to_target(
    candidate: Candidate, config: TrainingConfig, splits: Splits, target: Target, limit: float
) -> float:
    """Wall time of the steps to the target; infinite when it took longer than ``limit`` or diverged."""
    n_lanes = TIMED_LANES if config.model == "mlp" else 1
    training = TimedTraining(candidate.config(config), splits, n_lanes=n_lanes)
    n_most = 64
    while training.seconds < limit:
        reach = steps_to_target(training, target, n_most=training.n_steps + n_most)
        if reach.verdict is Verdict.REACHED:
            return training.seconds * reach.n_steps / max(training.n_steps, 1)
        if reach.verdict is Verdict.DIVERGED:
            break
    return math.inf


def sweep(
    choice: BatchSizeChoice, config: TrainingConfig, splits: Splits, n_seeds: int
) -> dict[tuple[int, float], list[float]]:
    """Seconds of every candidate and of the pick, by batch size and rate, one for each seed."""
    sizes = [candidate.batch_size for candidate in choice.candidates]  # without those of seconds a step
    candidates = batch_candidates(config, len(splits.train_x), rule=choice.rule, sizes=sizes)
    runners = {(c.batch_size, c.learning_rate): c for c in (choice.picked, *candidates)}
    seconds: dict[tuple[int, float], list[float]] = {key: [] for key in runners}
    x, y = target_samples(splits, seed=config.seed)
    per_reading = max(len(splits.train_x) // 20, 1)
    target = Target(loss=choice.target_loss, x=x, y=y, samples_per_reading=per_reading, reference_steps=0)
    for i in range(n_seeds):
        seeded = TrainingConfig.from_mapping(config.to_mapping() | {"seed": FRESH_SEED + i})
        best = math.inf
        for key in sorted(runners, key=lambda key: abs(math.log(key[0] / choice.batch_size))):
            taken = seconds_to_target(runners[key], seeded, splits, target, GIVEN_UP * min(best, 60.0))
            seconds[key].append(taken)
            best = min(best, taken)
        print(f"  seed {i + 1} of {n_seeds} done", file=sys.stderr)
    return seconds


def measured(name: str, keys: dict[str, Any], task: str, n_seeds: int) -> dict[str, Any]:
    config = TrainingConfig(**keys)
    splits = split_dataset(load_dataset(task), seed=config.seed)
    choice = find_batch_size(config, splits)
    print(f"{name}: {choice.reason}", file=sys.stderr)
    medians = {key: statistics.median(each) for key, each in sweep(choice, config, splits, n_seeds).items()}
    pick = (choice.batch_size, choice.learning_rate)
    best = min(medians, key=medians.__getitem__)
    ratio = medians[pick] / medians[best]
    print(
        f"{name}: pick {pick[0]} {medians[pick]:.3g} s, best {best[0]} {medians[best]:.3g} s, ratio {ratio:.3f}",
        file=sys.stderr,
    )
    return {
        "case": name,
        "config": keys,
        "target_loss": choice.target_loss,
        "pick": {"batch_size": pick[0], "learning_rate": pick[1], "seconds": medians[pick]},
        "best": {"batch_size": best[0], "learning_rate": best[1], "seconds": medians[best]},
        "ratio": ratio,
        "holds": ratio <= WITHIN,
        "sweep": [
            {
                "batch_size": size,
                "learning_rate": rate,
                "seconds": seconds if math.isfinite(seconds) else None,
            }
            for (size, rate), seconds in sorted(medians.items())
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="mnist")
    parser.add_argument("--cases", nargs="*", choices=[*CASES], default=[*CASES])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--clock", choices=[*CLOCKS], default="wall", help="processor: with one thread, busy machine"
    )
    arguments = parser.parse_args()
    TimedTraining.clock = staticmethod(CLOCKS[arguments.clock])
    torch.set_num_threads(arguments.threads)
    results = [measured(name, CASES[name], arguments.task, arguments.seeds) for name in arguments.cases]
    figures = {
        "claim": f"seconds to the target of the pick, over those of the best candidate, are at most {WITHIN}",
        "task": arguments.task,
        "n_threads": arguments.threads,
        "n_seeds": arguments.seeds,
        "clock": arguments.clock,
        **described("torch"),
        "results": results,
    }
    print(json.dumps(figures, indent=2))
    if not all(result["holds"] for result in results):
        sys.exit(4)


if __name__ == "__main__":
    main()
