"""Claim: the thresholds hold on networks, data and a training loop that the calibration never saw.

    python -m benchmarks.diagnosis.transfer
    python -m benchmarks.diagnosis.transfer --verbose --document docs/counterfactuals.md

The lists below are fixed; no rule is tuned on their outcome. Every training is a file in --folder, so a run that was
killed goes on, and rules that have changed are scored in seconds with --stage score.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from benchmarks.diagnosis.admission import Admission
from benchmarks.diagnosis.runs import FILE_SUFFIX, Run, load, store
from benchmarks.diagnosis.score import tell_wrong
from benchmarks.diagnosis.scoring import Scored, answer, scores
from benchmarks.diagnosis.table import lines_of, markdown, write_between_markers
from benchmarks.diagnosis.transfer_training import Recipe, train
from studies.diagnosis import CauseName
from studies.readings import NAN

DEFAULT_FOLDER = Path("runs/diagnosis/transfer")
FAULTY_SEEDS = (100, 101)
HEALTHY_SEEDS = (100, 101, 102)
HARM = 0.02
"""What a fault must cost to count as one: test accuracy (the mean over the classes), or how far what the training
reports is from the test accuracy, beyond its healthy twin; a mean over the seeds."""
CONTESTED = 0.03
"""Test accuracy that a sound recipe may lack against the best one of its task: beyond, it is left out."""
BEGIN = "<!-- begin: python -m benchmarks.diagnosis.transfer -->"
END = "<!-- end: python -m benchmarks.diagnosis.transfer -->"

DIGITS = Recipe(task="digits", optimizer="sgd", learning_rate=0.05, weight_decay=5e-4, epochs=12)
TABLE = Recipe(task="table", learning_rate=6e-3, width=32, dropout=0.1)
SPIRALS = Recipe(task="spirals", learning_rate=3e-3)
BASES: Mapping[str, Recipe] = {"digits": DIGITS, "table": TABLE, "spirals": SPIRALS}
"""The healthy twins of the faults, by task."""

HEALTHY: Mapping[str, Recipe] = {
    "digits": DIGITS,
    "digits, adamw": replace(DIGITS, optimizer="adamw", learning_rate=2e-3),
    "digits, constant rate": replace(DIGITS, schedule="constant", learning_rate=0.02),
    "digits, one cycle": replace(DIGITS, schedule="one_cycle", learning_rate=0.1),
    "digits, batch 16": replace(DIGITS, batch_size=16, learning_rate=0.02),
    "digits, batch 256": replace(DIGITS, batch_size=256, learning_rate=0.1, epochs=20),
    "digits, dropout": replace(DIGITS, dropout=0.3, epochs=16),
    "digits, label smoothing": replace(DIGITS, label_smoothing=0.1),
    "digits, narrow": replace(DIGITS, width=32),
    "digits, 30 epochs": replace(DIGITS, epochs=30),
    "digits, 5 epochs": replace(DIGITS, epochs=5),
    "digits, clipped": replace(DIGITS, clip_norm=5.0),
    "table": TABLE,
    "table, constant rate": replace(TABLE, schedule="constant", learning_rate=3e-3),
    "table, one cycle": replace(TABLE, schedule="one_cycle", learning_rate=1e-2),
    "table, sgd": replace(TABLE, optimizer="sgd", learning_rate=0.1, weight_decay=5e-4),
    "table, batch 16": replace(TABLE, batch_size=16, learning_rate=3e-3),
    "table, dropout": replace(TABLE, dropout=0.2),
    "table, label smoothing": replace(TABLE, label_smoothing=0.05),
    "table, one block": replace(TABLE, n_blocks=1),
    "spirals": SPIRALS,
    "spirals, constant rate": replace(SPIRALS, schedule="constant", learning_rate=1e-3),
    "spirals, sgd": replace(SPIRALS, optimizer="sgd", learning_rate=0.05, weight_decay=1e-4),
    "spirals, one cycle": replace(SPIRALS, schedule="one_cycle", learning_rate=5e-3),
    "spirals, three blocks": replace(SPIRALS, n_blocks=3),
    "spirals, batch 128": replace(SPIRALS, batch_size=128),
}
"""Sound trainings, each with every seed of `HEALTHY_SEEDS`."""

FAULTY: Mapping[CauseName, tuple[Recipe, ...]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (
        replace(DIGITS, learning_rate=3.0, schedule="constant"),
        replace(TABLE, learning_rate=0.3, schedule="constant"),
    ),
    CauseName.LEARNING_RATE_TOO_LOW: (
        replace(DIGITS, learning_rate=1e-4),
        replace(TABLE, learning_rate=1e-5),
    ),
    CauseName.BATCH_TOO_SMALL: (
        replace(TABLE, optimizer="sgd", learning_rate=0.05, batch_size=1, epochs=8, schedule="constant"),
    ),
    CauseName.TOO_FEW_EPOCHS: (
        replace(SPIRALS, epochs=2, schedule="constant"),
        replace(TABLE, epochs=2, schedule="constant"),
    ),
    CauseName.MOMENTUM_TOO_HIGH: (
        replace(DIGITS, momentum=0.998, schedule="constant"),
        replace(SPIRALS, optimizer="sgd", learning_rate=0.05, momentum=0.998, schedule="constant"),
    ),
    CauseName.OVERFITTING: (
        replace(TABLE, n_train=120, epochs=80, width=128, dropout=0.0, weight_decay=0.0),
    ),
    CauseName.OVER_REGULARIZED: (
        replace(DIGITS, weight_decay=0.3),
        replace(TABLE, dropout=0.97),
    ),
    CauseName.UNDERCAPACITY: (
        replace(SPIRALS, width=2, n_blocks=1),
        replace(DIGITS, width=4),
    ),
    CauseName.LABEL_NOISE: (
        replace(DIGITS, fault="noisy_labels"),
        replace(TABLE, fault="noisy_labels"),
    ),
    CauseName.PREMATURE_DECAY: (
        replace(TABLE, schedule="tenth_every_epoch"),
        replace(SPIRALS, schedule="tenth_every_epoch"),
    ),
    CauseName.CLIPPING_TOO_TIGHT: (replace(DIGITS, clip_norm=1e-3),),
    CauseName.DOUBLE_SOFTMAX: (
        replace(DIGITS, fault="softmax"),
        replace(SPIRALS, fault="softmax"),
    ),
    CauseName.STALE_GRADIENTS: (
        replace(DIGITS, fault="no_zero_grad"),
        replace(TABLE, fault="no_zero_grad"),
    ),
    CauseName.FROZEN_LAYERS: (
        replace(DIGITS, fault="frozen"),
        replace(SPIRALS, fault="frozen"),
    ),
    CauseName.EVALUATION_MODE_BUG: (replace(TABLE, dropout=0.6, fault="train_mode_evaluation"),),
    CauseName.UNSHUFFLED_DATA: (
        replace(DIGITS, fault="sorted"),
        replace(TABLE, fault="sorted"),
    ),
    CauseName.NON_FINITE_DATA: (
        replace(DIGITS, fault="non_finite"),
        replace(TABLE, fault="non_finite"),
    ),
    CauseName.UNNORMALIZED_INPUT: (
        replace(SPIRALS, fault="unscaled"),
        replace(TABLE, fault="unscaled"),
    ),
    CauseName.BAD_INITIALIZATION: (
        replace(TABLE, fault="large_weights"),
        replace(SPIRALS, fault="equal_weights"),
    ),
    CauseName.TARGET_LEAKAGE: (replace(DIGITS, fault="leaking"),),
    CauseName.TRAIN_VALIDATION_OVERLAP: (replace(TABLE, fault="overlapping", n_train=300),),
    CauseName.CLASS_IMBALANCE: (
        replace(DIGITS, fault="imbalanced"),
        replace(TABLE, fault="imbalanced"),
    ),
    CauseName.UNSTRATIFIED_SPLIT: (replace(DIGITS, fault="missing_classes"),),
    CauseName.AUGMENTATION_DRIFT: (replace(DIGITS, fault="inverted"),),
}
"""What is planted, each with every seed of `FAULTY_SEEDS`."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--stage", choices=("telemetry", "score"), help="by default both")
    parser.add_argument("--verbose", action="store_true", help="each wrong run with what was said of it")
    parser.add_argument("--document", type=Path, help="also write the tables between this file's markers")
    arguments = parser.parse_args()
    if arguments.stage != "score":
        _train_all(arguments.folder)
    columns = []
    for title, probed in (("without probes", False), ("with probes", True)):
        scored = scored_in(arguments.folder, probed=probed)
        if arguments.verbose:
            print(f"\n{title}:")
            tell_wrong(scored)
        print("\n".join(lines_of(scored, scores(scored))))
        columns.append((title, scored, scores(scored)))
    if arguments.document is not None:
        write_between_markers(arguments.document, markdown(columns, _about()), begin=BEGIN, end=END)


def faulty_cases() -> dict[str, tuple[CauseName, Recipe]]:
    """By name."""
    return {
        f"{cause}, {recipe.task}": (cause, recipe) for cause, recipes in FAULTY.items() for recipe in recipes
    }


def scored_in(folder: Path, *, probed: bool) -> Scored:
    """The answers to all runs that are in ``folder``."""
    answers, n_missing, started = [], 0, time.perf_counter()
    admissions = _sound(folder)
    for name in HEALTHY:
        runs = _stored(folder, name, HEALTHY_SEEDS)
        n_missing += len(HEALTHY_SEEDS) - len(runs)
        if runs and not admissions[name].is_contested:
            answers += [answer(run, None, None, probed=probed) for run in runs]
    for name, (cause, recipe) in faulty_cases().items():
        runs, twins = _stored(folder, name, FAULTY_SEEDS), _stored(folder, recipe.task, FAULTY_SEEDS)
        n_missing += len(FAULTY_SEEDS) - len(runs)
        if runs and len(runs) == len(twins):
            admissions[name] = _verdict(name, gap=harm(runs, twins), is_planted=True)
            shown = cause if admissions[name].is_faulty else None
            answers += [answer(run, shown, cause, probed=probed) for run in runs]
    return Scored(
        part="transfer",
        answers=tuple(answers),
        admissions=admissions,
        n_missing=n_missing,
        seconds=time.perf_counter() - started,
    )


def harm(runs: Sequence[Run], twins: Sequence[Run]) -> float:
    """What was planted costs, against the healthy ``twins`` of the same seeds; see `HARM`."""
    lost = fmean(
        twin.balanced_accuracy - run.balanced_accuracy for run, twin in zip(runs, twins, strict=True)
    )
    wrong = fmean(_misreport(run) - _misreport(twin) for run, twin in zip(runs, twins, strict=True))
    return max(lost, wrong)


def _sound(folder: Path) -> dict[str, Admission]:
    """The verdicts on the sound recipes: each against the best of its task, on the test part."""
    accuracies = {
        name: fmean(run.test_accuracy for run in runs)
        for name in HEALTHY
        if (runs := _stored(folder, name, HEALTHY_SEEDS))
    }
    best: dict[str, float] = {}
    for name, accuracy in accuracies.items():
        task = HEALTHY[name].task
        best[task] = max(best.get(task, 0.0), accuracy)
    return {
        name: _verdict(name, gap=best[HEALTHY[name].task] - accuracy, is_planted=False)
        for name, accuracy in accuracies.items()
    }


def _verdict(name: str, *, gap: float, is_planted: bool) -> Admission:
    """By the size of the effect alone: two or three seeds are too few for a test."""
    return Admission(
        case=name,
        is_faulty=is_planted and gap >= HARM,
        is_contested=not is_planted and gap > CONTESTED,
        gap=gap,
        p_value=NAN,
        effect=NAN,
        n_seeds=len(FAULTY_SEEDS if is_planted else HEALTHY_SEEDS),
    )


def _misreport(run: Run) -> float:
    return abs(run.reported_accuracy - run.test_accuracy)


def _stored(folder: Path, name: str, seeds: Sequence[int]) -> list[Run]:
    paths = [_path(folder, name, seed) for seed in seeds]
    return [load(path) for path in paths if path.exists()]


def _path(folder: Path, name: str, seed: int) -> Path:
    return folder / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}{FILE_SUFFIX}"


def _train_all(folder: Path) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    jobs = [(name, recipe, seed) for name, recipe in HEALTHY.items() for seed in HEALTHY_SEEDS]
    jobs += [(name, recipe, seed) for name, (_, recipe) in faulty_cases().items() for seed in FAULTY_SEEDS]
    left = [job for job in jobs if not _path(folder, job[0], job[2]).exists()]
    started = time.perf_counter()
    for n_done, (name, recipe, seed) in enumerate(left):
        seconds = (time.perf_counter() - started) / max(n_done, 1) * (len(left) - n_done)
        eta = f", {seconds:.0f} s left" if n_done else ""
        print(f"\r{n_done}/{len(left)} trainings{eta}: {name}, seed {seed}\033[K", end="", file=sys.stderr)
        store(train(recipe, name, seed=seed), _path(folder, name, seed))
    print(f"\r{len(jobs)} trainings are in {folder}\033[K", file=sys.stderr)


def _about() -> str:
    return (
        f"{len(HEALTHY)} sound recipes with {len(HEALTHY_SEEDS)} seeds each, {len(faulty_cases())} planted faults of "
        f"{len(FAULTY)} kinds with {len(FAULTY_SEEDS)} seeds each; a fault counts if it costs {HARM:.0%} of test "
        f"accuracy or makes the training report {HARM:.0%} more or less than the test part shows, and a recipe is "
        f"sound if its test accuracy is within {CONTESTED:.0%} of the best one of its task."
    )


if __name__ == "__main__":
    main()
