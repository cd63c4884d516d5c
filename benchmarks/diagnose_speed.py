"""Claim: `tuner diagnose` answers on 1,000 trials of 10 epochs, with all telemetry, in under 5 s and without torch.

The study is made up: smooth and jumping curves, some that overfit, some that diverge or are pruned; networks of three
to five layers, a minibatch's readings for each of 40 steps an epoch. It is written by the storage of a search, so that
the database is what a search leaves. Each repeat is a process of its own, from start to end, as a person waits for it:

    python benchmarks/diagnose_speed.py
    python benchmarks/diagnose_speed.py --trials 100 --repeats 1 --profile
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna
from machine import described, load_average
from optuna.trial import TrialState

from search_spaces import preset
from studies.batch import Batch, Told
from studies.plan import StudyPlan
from studies.readings import (
    DataProbe,
    EpochReadings,
    LayerProbe,
    LayerReadings,
    StepReadings,
    StepZeroProbe,
)
from studies.recorded import RecordedStudy, create_study

LIMIT_SECONDS = 5.0
BATCH = 50
N_STEPS = 40
CLASSES = 10
ANSWERED = """
import sys
from tuner.cli import main
try:
    main()
finally:
    print('torch' in sys.modules, file=sys.stderr)
"""
"""Runs the command line, then says on stderr whether torch was loaded."""
DATA = DataProbe(
    n_train=48_000,
    n_validation=12_000,
    n_test=10_000,
    input_min=0.0,
    input_max=1.0,
    input_mean=0.13,
    input_std=0.31,
    train_class_counts=(4_800,) * CLASSES,
    validation_class_counts=(1_200,) * CLASSES,
)


def build_study(url: str, *, n_trials: int, n_epochs: int, seed: int = 0) -> RecordedStudy:
    """A study named ``big`` with that many trials, written in batches."""
    recorded = create_study("big", _plan(n_epochs), url)
    batch, rng = Batch(recorded), np.random.default_rng(seed)
    batch.study.sampler = optuna.samplers.RandomSampler(seed=seed)
    for start in range(0, n_trials, BATCH):
        trials = batch.ask(min(BATCH, n_trials - start))
        for trial in trials:
            trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
            trial.suggest_float("dropout", 0.0, 0.5)
        batch.flush()
        batch.tell([_trained(batch, trial, n_epochs, rng) for trial in trials])
    return recorded


def _plan(n_epochs: int) -> StudyPlan:
    return StudyPlan(
        task="mnist", model="mlp", space=preset("quick").to_json(), sampler="random", pruner="median",
        epochs=n_epochs, seed=0, metric="validation_accuracy", direction="maximize", defaults={"seed": 0}, data_hash="",
    )  # fmt: skip


def _trained(batch: Batch, trial: optuna.Trial, n_epochs: int, rng: np.random.Generator) -> Told:
    """Reports and telemetry of one made-up training, and how it ended."""
    trial_id = int(trial._trial_id)  # noqa: SLF001 - telemetry is keyed by it
    kind = ("good", "good", "good", "overfits", "jumps", "slow", "diverges", "pruned")[trial.number % 8]
    layers = [f"{2 * index}" for index in range(3 + trial.number % 3)]
    batch.save_probes(trial_id, _step_zero(layers, rng), DATA)
    batch.save_epoch(trial_id, _readings(0, math.log(CLASSES), 0.1, 0.1, layers, rng), None)
    n_done = {"diverges": 3, "pruned": max(2, n_epochs // 3)}.get(kind, n_epochs)
    best, last = 0.0, math.nan
    for epoch in range(1, n_done + 1):
        train_loss, train, validation = _course(kind, epoch, rng)
        is_end = kind == "diverges" and epoch == n_done
        loss = math.nan if is_end else train_loss
        batch.save_epoch(
            trial_id, _readings(epoch, loss, train, validation, layers, rng), _steps(epoch, loss, rng)
        )
        trial.report(validation, epoch)
        best, last = max(best, validation), validation
    has_value = kind not in {"diverges", "pruned"}
    outcome = "completed" if has_value else ("diverged" if kind == "diverges" else "pruned")
    return Told(
        trial=trial,
        state=TrialState.COMPLETE if has_value else TrialState.PRUNED,
        value=best if has_value else None,
        attributes={"outcome": outcome, "best_epoch": n_done, "resolved_learning_rate": 0.1, "last": last},
    )


def _course(kind: str, epoch: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Train loss, train accuracy and validation accuracy after an epoch."""
    reach = {"slow": 0.5, "pruned": 0.8}.get(kind, 0.97)
    share = 1.0 - math.exp(-epoch / (8.0 if kind == "slow" else 1.5))
    noise = float(rng.normal(scale=0.03 if kind == "jumps" else 0.001))
    validation = min(0.1 + (reach - 0.1) * share + noise, 1.0)
    train = min(validation + (0.01 * epoch if kind == "overfits" else 0.005), 1.0)
    return math.log(CLASSES) * (1.0 - 0.98 * share), train, validation


def _readings(
    epoch: int, loss: float, train: float, validation: float, layers: list[str], rng: np.random.Generator
) -> EpochReadings:
    read = [
        LayerReadings(
            name=name,
            gradient_norm=float(0.1 * rng.lognormal()),
            update_ratio=float(1e-3 * rng.lognormal()),
            dead_fraction=float(0.2 * rng.random()),
            weight_norm=10.0,
        )
        for name in layers
    ]
    return EpochReadings(
        epoch=epoch,
        train_loss=loss,
        train_accuracy=train,
        validation_loss=1.05 * loss,
        validation_accuracy=validation,
        calibration_error=0.01,
        confidence=validation + 0.01,
        confident_error_rate=0.1 * (1.0 - validation),
        class_accuracy=tuple(np.clip(rng.normal(validation, 0.01, CLASSES), 0.0, 1.0).tolist()),
        probe_loss=loss,
        probe_accuracy=train,
        learning_rate=0.1,
        gradient_norm=0.5,
        dead_fraction=max(layer.dead_fraction for layer in read),
        seconds=1.0,
        samples_per_second=48_000.0,
        layers=tuple(read),
    )


def _steps(epoch: int, loss: float, rng: np.random.Generator) -> StepReadings:
    losses = (loss * rng.lognormal(sigma=0.1, size=N_STEPS)).astype(np.float32)
    flat = np.full(N_STEPS, 0.1, dtype=np.float32)
    return StepReadings(
        epoch=epoch,
        train_loss=losses,
        learning_rate=flat,
        gradient_norm=flat,
        clipped=np.zeros(N_STEPS, dtype=bool),
    )


def _step_zero(layers: list[str], rng: np.random.Generator) -> StepZeroProbe:
    probes = tuple(
        LayerProbe(
            name=name,
            gradient_norm=float(0.1 * rng.lognormal()),
            weight_norm=10.0,
            weight_gain=1.0,
            output_std=1.0,
            dead_fraction=0.1,
            twin_fraction=0.0,
        )
        for name in layers
    )
    return StepZeroProbe(train_loss=2.33, expected_loss=math.log(CLASSES), gradient_norm=0.3, layers=probes)


def seconds_to_answer(url: str) -> float:
    """Wall time of one `tuner diagnose`, a process of its own.

    Raises:
        SystemExit: when it failed, or loaded torch.
    """
    command = [sys.executable, "-c", ANSWERED, "diagnose", "big", "--json"]
    started = time.perf_counter()
    ran = subprocess.run(
        command, env=os.environ | {"TUNER_STORAGE": url}, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if ran.returncode or ran.stderr.strip().splitlines()[-1] != "False":
        raise SystemExit(
            f"tuner diagnose must answer without torch, but got {ran.returncode}: {ran.stderr[-500:]}"
        )
    return seconds


def profile(url: str) -> None:
    """Where the time goes, by function, on stderr."""
    import cProfile
    import pstats

    from studies.diagnosis import diagnose_record
    from studies.recorded import open_study

    profiler = cProfile.Profile()
    with profiler:
        diagnose_record(open_study("big", url).record())
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'big.db'}"
        build_study(url, n_trials=arguments.trials, n_epochs=arguments.epochs)
        load = load_average()
        seconds = [seconds_to_answer(url) for _ in range(arguments.repeats)]
        if arguments.profile:
            profile(url)
    found = {
        "claim": __doc__.splitlines()[0],
        "n_trials": arguments.trials,
        "n_epochs": arguments.epochs,
        "median_seconds": round(statistics.median(seconds), 2),
        "seconds": [round(each, 2) for each in seconds],
        "load_average": load,
        **described("optuna", "symptune"),
    }
    print(json.dumps(found, indent=2))
    if statistics.median(seconds) > LIMIT_SECONDS:
        raise SystemExit(4)


if __name__ == "__main__":
    main()
