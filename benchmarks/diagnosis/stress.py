"""Random sound trainings that no threshold was set on: every warning about one of them is a false alarm.

    python -m benchmarks.diagnosis.stress --n 200 --seed 1 --folder runs/stress

Digits, the benchmark's calibration images and tables drawn anew; any optimizer, schedule, activation, size and length,
with a rate that is within three times a good one, by the toolkit's own loop and by a plain one under `tuner.watch`.
Which of them are sound is known afterwards: those whose test accuracy is within 3 points of the best on the same data
with about as many epochs, or fewer. An accuracy says nothing of probabilities, and little of a gap to the training
data: overconfidence and overfitting may be right about a run that counts as sound here.

Every training is a file in --folder, so a run that was killed goes on.
"""

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.diagnosis.case import Case, Loop, Setup
from benchmarks.diagnosis.data import Arrays, arrays_of
from benchmarks.diagnosis.runs import FILE_SUFFIX, Run, load_runs, store
from studies.diagnosis import Finding, Severity, diagnose_record

SOUND = 0.03
"""Of test accuracy below the best that was seen: how far a sound training may be."""
N_TABLES = 3
LENGTHS = ((4, 9), (10, 19), (20, 40))
"""Epochs: what is reached with a few of them is not held against what many reach."""
GOOD_RATES = {"sgd": 0.05, "plain_sgd": 0.3, "adam": 2e-3, "adamw": 2e-3, "rmsprop": 1e-3}
"""At a batch of 64 and two hidden layers."""
FITTING = {
    "relu": "he", "leaky_relu": "he", "elu": "he", "gelu": "he",
    "tanh": "glorot", "sigmoid": "glorot", "selu": "lecun",
}  # fmt: skip
"""The initialization that is meant for each activation."""
SCHEDULES = ("constant", "cosine", "linear", "one_cycle", "exponential", "step", "multistep", "restarts")


def main() -> None:
    arguments = _arguments()
    if arguments.n:
        train_all(arguments.n, arguments.seed, arguments.folder)
    tell(list(load_runs(arguments.folder)), every_alarm=arguments.verbose)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=200, help="trainings; 0 only judges those that are there")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/stress"))
    parser.add_argument("--verbose", action="store_true", help="each false alarm with what was said")
    return parser.parse_args()


# -- what is trained --


def sound_case(seed: int, number: int) -> Case:
    """The training ``number`` of a seed: its name says the data and the length, the rest is drawn."""
    random = np.random.default_rng([seed, number])
    data = str(random.choice(["digits", "mnist", f"table{random.integers(N_TABLES)}"]))
    low, high = LENGTHS[random.integers(len(LENGTHS))]
    config = _config(random, int(random.integers(low, high + 1)))
    return Case(
        name=f"{data}/{low}-{high}/{number}",
        cause=None,
        architecture="cnn" if not data.startswith("table") and random.random() < 0.25 else "mlp",
        setup=Setup(config=config, loop=Loop() if random.random() < 0.5 else None),
    )


def _config(random: np.random.Generator, epochs: int) -> dict[str, Any]:
    kind = str(random.choice(list(GOOD_RATES)))
    batch_size = int(random.choice([16, 32, 64, 128, 256]))
    depth = int(random.integers(1, 5))
    activation = str(random.choice(list(FITTING)))
    schedule = str(random.choice(SCHEDULES))
    by_batch = min(batch_size / 64, 1.0) if "sgd" in kind else min(math.sqrt(batch_size / 64), 1.0)
    factor = by_batch * min(2 / depth, 1.0) * 3 ** random.uniform(-1, 1)
    return {
        "optimizer": "sgd" if kind == "plain_sgd" else kind,
        "momentum": 0.9 if kind == "sgd" else 0.0,
        "learning_rate": GOOD_RATES[kind] * factor,
        "weight_decay": float(random.choice([0.0, 1e-5, 1e-4])) * (100 if kind == "adamw" else 1),
        "batch_size": batch_size,
        "epochs": epochs,
        "schedule": schedule,
        "warmup_fraction": 0.0 if schedule == "one_cycle" else float(random.choice([0.0, 0.02, 0.05])),
        "depth": depth,
        "width": int(random.choice([32, 64, 128, 256])),
        "activation": activation,
        "initialization": FITTING[activation],
        "normalization": str(random.choice(["none", "none", "batch", "layer"])),
        "dropout": float(random.choice([0.0, 0.0, 0.1, 0.2, 0.4])),
        "label_smoothing": float(random.choice([0.0, 0.0, 0.05, 0.1, 0.2])),
        **_drops(schedule, epochs),
    }


def _drops(schedule: str, epochs: int) -> dict[str, Any]:
    """Late ones: early drops are a fault."""
    if schedule == "step":
        return {"step_size": max(1, epochs // 2), "step_gamma": 0.3}
    if schedule == "multistep":
        return {"milestones": tuple(sorted({max(1, epochs * 3 // 5), max(2, epochs * 4 // 5)}))}
    if schedule == "restarts":
        return {"restart_period": max(2, epochs // 3)}
    return {}


def data_of(name: str) -> Arrays:
    """The images of a task's calibration part, or one of the tables."""
    return (
        _table(int(name.removeprefix("table")))
        if name.startswith("table")
        else arrays_of(name, "calibration")
    )


def _table(number: int) -> Arrays:
    """10 to 20 features, of which some mean nothing; the class is that of the highest of a few bent scores."""
    random = np.random.default_rng([70, number])
    n, n_features, n_classes = (int(random.integers(*bounds)) for bounds in ((2500, 5000), (10, 21), (2, 7)))
    x = random.standard_normal((n, n_features))
    linear = x @ random.standard_normal((n_features, n_classes)) / math.sqrt(n_features)
    pairs = random.integers(0, n_features, (2, n_classes))
    scores = linear + x[:, pairs[0]] * np.tanh(x[:, pairs[1]])
    y = (scores + 0.15 * random.standard_normal(scores.shape)).argmax(1)
    half = n * 2 // 3
    kept = x.astype(np.float32)
    return Arrays(x=kept[:half], y=y[:half], x_test=kept[half:], y_test=y[half:])


def train_all(n: int, seed: int, folder: Path) -> None:
    """The first ``n`` trainings of a seed that ``folder`` has not."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    left = [i for i in range(n) if not _path(folder, seed, i).exists()]
    started = time.perf_counter()
    for n_done, number in enumerate(left):
        seconds = (time.perf_counter() - started) / max(n_done, 1) * (len(left) - n_done)
        eta = f", {seconds:.0f} s left" if n_done else ""
        print(f"\r{n_done}/{len(left)} trainings{eta}\033[K", end="", file=sys.stderr)
        store(_train(sound_case(seed, number), seed * 100_000 + number), _path(folder, seed, number))
    print(f"\r{n} trainings are in {folder}\033[K", file=sys.stderr)


def _train(case: Case, seed: int) -> Run:
    from benchmarks.diagnosis.telemetry import train_on
    from tuner.training.config import TrainingConfig
    from tuner.training.datasets.splits import split_dataset

    config = TrainingConfig.from_mapping(case.config(seed))
    data = case.name.partition("/")[0]
    splits = split_dataset(
        data_of(data).dataset(data),
        split=config.split,
        validation_fraction=config.validation_fraction,
        seed=seed,
        device="cpu",
    )
    return train_on(case, splits, config)


def _path(folder: Path, seed: int, number: int) -> Path:
    return folder / f"{seed}-{number:04d}{FILE_SUFFIX}"


# -- what is said of it --


def tell(runs: list[Run], *, every_alarm: bool) -> None:
    """How many sound trainings get a warning, and which."""
    sound = list(sound_of(runs))
    alarms = [(run, alarm) for run in sound if (alarm := first_alarm(run)) is not None]
    if every_alarm:
        for run, alarm in alarms:
            print(f"{run.case} {run.test_accuracy:.3f}: {_named(alarm)} | {alarm.sentence}")
    for name, n in Counter(_named(alarm) for _, alarm in alarms).most_common():
        print(f"  {name:50} {n}")
    share = len(alarms) / len(sound) if sound else math.nan
    print(
        f"{len(alarms)} of {len(sound)} sound trainings get a warning ({share:.1%}); {len(runs)} were trained"
    )


def sound_of(runs: list[Run]) -> Iterator[Run]:
    """Those within `SOUND` of the best on the same data with the same or fewer epochs."""
    return (run for run in runs if run.test_accuracy >= _best(runs, run) - SOUND)


def _best(runs: list[Run], run: Run) -> float:
    data, length, _ = run.case.split("/")
    return max(
        other.test_accuracy
        for other in runs
        if other.case.startswith(f"{data}/")
        and _least_epochs(other.case.split("/")[1]) <= _least_epochs(length)
    )


def _least_epochs(length: str) -> int:
    return int(length.partition("-")[0])


def first_alarm(run: Run) -> Finding | None:
    """The worst finding that is more than a note."""
    findings = diagnose_record(run.record, 0)
    return next((finding for finding in findings if finding.severity is not Severity.NOTE), None)


def _named(alarm: Finding) -> str:
    return f"{alarm.symptom}: {alarm.causes[0].name if alarm.causes else 'no cause'}"


if __name__ == "__main__":
    main()
