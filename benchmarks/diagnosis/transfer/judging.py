"""What the diagnosis says of the stored runs of a transfer set, and which of its planted faults do harm."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from benchmarks.diagnosis.admission import Admission
from benchmarks.diagnosis.runs import FILE_SUFFIX, Run, load
from benchmarks.diagnosis.scoring import Scored, answer
from benchmarks.diagnosis.transfer.transfer_set import TransferSet
from studies.readings import NAN

HARM = 0.02
"""What a fault must cost to count as one: test accuracy (the mean over the classes), or how far what the training
reports is from the test accuracy, beyond its healthy twin; a mean over the seeds."""
CONTESTED = 0.03
"""Test accuracy that a sound recipe may lack against the best one of its family: beyond, it is left out."""


def scored_in(folder: Path, transfer_set: TransferSet, *, probed: bool) -> Scored:
    """The answers to all runs that are in ``folder``."""
    answers, n_missing, started = [], 0, time.perf_counter()
    admissions = _sound(folder, transfer_set)
    for name in transfer_set.healthy:
        runs = _stored(folder, name, transfer_set.healthy_seeds)
        n_missing += len(transfer_set.healthy_seeds) - len(runs)
        if runs and not admissions[name].is_contested:
            answers += [answer(run, None, None, probed=probed) for run in runs]
    seeds = transfer_set.faulty_seeds
    for name, (cause, recipe) in transfer_set.faulty.items():
        runs, twins = _stored(folder, name, seeds), _stored(folder, recipe.family, seeds)
        n_missing += len(seeds) - len(runs)
        if runs and len(runs) == len(twins):
            admissions[name] = _verdict(name, gap=harm(runs, twins), is_planted=True, n_seeds=len(runs))
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


def path_of(folder: Path, name: str, seed: int) -> Path:
    """Where a training is stored."""
    return folder / f"{name.replace(', ', '-').replace(' ', '_')}-{seed}{FILE_SUFFIX}"


def _sound(folder: Path, transfer_set: TransferSet) -> dict[str, Admission]:
    """The verdicts on the sound recipes: each against the best of its family, on the test part."""
    stored = {
        name: runs
        for name in transfer_set.healthy
        if (runs := _stored(folder, name, transfer_set.healthy_seeds))
    }
    accuracies = {name: fmean(run.test_accuracy for run in runs) for name, runs in stored.items()}
    best: dict[str, float] = {}
    for name, accuracy in accuracies.items():
        family = transfer_set.healthy[name].family
        best[family] = max(best.get(family, 0.0), accuracy)
    return {
        name: _verdict(
            name,
            gap=best[transfer_set.healthy[name].family] - accuracy,
            is_planted=False,
            n_seeds=len(stored[name]),
        )
        for name, accuracy in accuracies.items()
    }


def _verdict(name: str, *, gap: float, is_planted: bool, n_seeds: int) -> Admission:
    """By the size of the effect alone: two or three seeds are too few for a test."""
    return Admission(
        case=name,
        is_faulty=is_planted and gap >= HARM,
        is_contested=not is_planted and gap > CONTESTED,
        gap=gap,
        p_value=NAN,
        effect=NAN,
        n_seeds=n_seeds,
    )


def _misreport(run: Run) -> float:
    return abs(run.reported_accuracy - run.test_accuracy)


def _stored(folder: Path, name: str, seeds: Sequence[int]) -> list[Run]:
    paths = [path_of(folder, name, seed) for seed in seeds]
    return [load(path) for path in paths if path.exists()]
