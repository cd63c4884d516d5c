"""Trains the benchmark's cases, scores the diagnosis on them, and proves remedies; each stage goes on where it was.

    python -m benchmarks.diagnosis --task mnist --only calibration
    python -m benchmarks.diagnosis --task mnist --stage score

Every training is a file in --folder, so a run that was killed goes on. Scores are told for the part that is there.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmarks.diagnosis import repair_table
from benchmarks.diagnosis.drawn.names import PREFIX, draw_of
from benchmarks.diagnosis.parts import (
    N_HEALTHY_SEEDS,
    N_SEEDS,
    PARTS,
    Listed,
    add_part_arguments,
    part_asked_for,
    read_list,
)
from benchmarks.diagnosis.repaired import read_by_hand, read_repairs
from benchmarks.diagnosis.runs import load
from benchmarks.diagnosis.score import DEFAULT_FOLDER, tell_wrong
from benchmarks.diagnosis.scoring import asked, neutral_levers, score_part, scores, undecided
from benchmarks.diagnosis.table import lines_of, markdown, write_between_markers

if TYPE_CHECKING:
    from benchmarks.diagnosis.repair import RepairJob
    from benchmarks.diagnosis.telemetry import Job

T = TypeVar("T")
STAGES = ("telemetry", "score", "repair")


def main() -> None:
    arguments = _arguments()
    folder = arguments.folder / arguments.task
    stages = [arguments.stage] if arguments.stage else ["telemetry", "score"]
    parts = parts_of(part_asked_for(arguments.only, arguments.draw), folder, trains="telemetry" in stages)
    if "telemetry" in stages:
        for part in parts:
            _train_part(read_list(part), folder / part, arguments)
    if "score" in stages:
        _score(parts, folder, arguments)
    if "repair" in stages:
        for part in parts:
            _repair_part(read_list(part), folder / part, arguments)
        _tell_repairs(parts, arguments)


def parts_of(only: str | None, folder: Path, *, trains: bool) -> list[str]:
    """The parts that a command is about: all but the drawn ones, or where nothing is trained, all that have runs."""
    if only is not None:
        return [only]
    if trains:
        return list(PARTS)
    drawn = sorted((path.name for path in folder.glob(f"{PREFIX}-*") if draw_of(path.name)), key=draw_of)
    return [*(part for part in PARTS if (folder / part).exists()), *drawn]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="mnist", choices=("mnist", "fashion-mnist", "kmnist", "digits"))
    add_part_arguments(parser, default=None)
    parser.add_argument("--stage", choices=STAGES, help="by default telemetry and score")
    parser.add_argument(
        "--seeds", type=int, default=N_SEEDS, help="of every fault; healthy ones have up to 3"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--cause", default="", help="only cases whose name contains this")
    parser.add_argument(
        "--probes",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let a training with ambiguous causes go on with the counterfactual changes that would tell them apart; "
        "stored runs without them are trained anew (about one in fifteen)",
    )
    parser.add_argument(
        "--repair-cases", type=int, default=1000, help="at most; one of each cause comes first"
    )
    parser.add_argument("--repair-folder", type=Path, help="where repairs are kept, if not beside the runs")
    parser.add_argument("--verbose", action="store_true", help="each wrong run with what was said of it")
    parser.add_argument("--document", type=Path, help="also write the tables between this file's markers")
    return parser.parse_args()


# -- telemetry --


def _train_part(listed: Listed, folder: Path, arguments: argparse.Namespace) -> None:
    from benchmarks.diagnosis.telemetry import jobs_of

    jobs: dict[str, Job] = {}
    n_healthy = min(arguments.seeds, N_HEALTHY_SEEDS)
    for names, n in ((listed.healthy, n_healthy), (listed.faulty, arguments.seeds)):
        chosen = [name for name in names if arguments.cause in name]
        jobs |= {job.file_name: job for job in jobs_of(chosen, listed.seeds(n))}
    left = [job for job in jobs.values() if not is_done(folder / job.file_name, probes=arguments.probes)]
    _say(f"{listed.part}: {len(jobs)} trainings, {len(jobs) - len(left)} already there, in {folder}")
    train = partial(_train_one, folder=folder, task=arguments.task, part=listed.part, probes=arguments.probes)
    _do_all(train, left, arguments.workers)
    if arguments.seeds == N_SEEDS:
        _train_more(listed, folder, arguments)


def _train_more(listed: Listed, folder: Path, arguments: argparse.Namespace) -> None:
    """More seeds of the faults that the first leave undecided, for the admission alone."""
    from benchmarks.diagnosis.telemetry import jobs_of

    names = [name for name in undecided(folder, listed, n_seeds=N_SEEDS) if arguments.cause in name]
    jobs = jobs_of(names, listed.more_seeds())
    left = [job for job in jobs if not is_done(folder / job.file_name, probes=False)]
    _say(f"{listed.part}: {len(names)} faults are undecided: {len(left)} trainings more")
    train = partial(_train_one, folder=folder, task=arguments.task, part=listed.part, probes=False)
    _do_all(train, left, arguments.workers)


def is_done(path: Path, *, probes: bool) -> bool:
    """Whether the run is there, and with ``probes`` has all counterfactual changes that its diagnosis asks for."""
    if not path.exists() or not probes:
        return path.exists()
    run = load(path)
    return set(asked(run.record)) <= set(run.asked)


def _train_one(job: "Job", *, folder: Path, task: str, part: str, probes: bool) -> str:
    import torch

    from benchmarks.diagnosis.runs import store
    from benchmarks.diagnosis.telemetry import train

    torch.set_num_threads(1)
    run = train(job.case, job.seed, task=task, part=part, probes=probes)
    store(run, folder / job.file_name)
    return f"{run.case} seed {run.seed}: test {run.test_accuracy:.3f}, {run.seconds:.1f} s"


# -- repairs --


def _repair_part(listed: Listed, folder: Path, arguments: argparse.Namespace) -> None:
    from benchmarks.diagnosis.repair import repair_jobs

    jobs = repair_jobs(
        listed,
        folder,
        _results(listed.part, arguments),
        task=arguments.task,
        n_cases=arguments.repair_cases,
        containing=arguments.cause,
    )
    left = [job for job in jobs if not job.path.exists()]
    _say(f"{listed.part}: {len(jobs)} cases to repair, {len(jobs) - len(left)} already done")
    _do_all(_repair_one, left, arguments.workers)


def _repair_one(job: "RepairJob") -> str:
    import torch

    torch.set_num_threads(1)
    return job.run()


def _tell_repairs(parts: Sequence[str], arguments: argparse.Namespace) -> None:
    told = []
    for part in parts:
        results = _results(part, arguments)
        repairs, by_hand = read_repairs(results), read_by_hand(results)
        if not repairs and not by_hand:
            _say(f"{part}: no case was repaired yet; its runs come from --stage telemetry.")
            continue
        told.append(repair_table.markdown(part, repairs, by_hand))
    text = "\n\n".join(told)
    print(text)
    if arguments.document is not None and text:
        write_between_markers(arguments.document, text, begin=repair_table.BEGIN, end=repair_table.END)


def _results(part: str, arguments: argparse.Namespace) -> Path:
    folder: Path = (arguments.repair_folder or arguments.folder) / arguments.task / part
    return folder


# -- one after another, or several at once --


def _do_all(do: Callable[[T], str], jobs: Sequence[T], workers: int) -> None:
    """With a line for each that is done."""
    progress = _Progress(len(jobs))
    if workers == 1:
        for job in jobs:
            progress.tell(do(job))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(do, job) for job in jobs]):
            progress.tell(future.result())


class _Progress:
    """One line a training, with the time that is left."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._n_done = 0
        self._started = time.monotonic()

    def tell(self, line: str) -> None:
        self._n_done += 1
        left = (time.monotonic() - self._started) / self._n_done * (self._n - self._n_done)
        _say(f"[{self._n_done}/{self._n}] {line} · ETA {int(left) // 60}:{int(left) % 60:02d}")


# -- scores --


def _score(parts: Sequence[str], folder: Path, arguments: argparse.Namespace) -> None:
    """A column for each part by itself, one where runs were probed, and one of its runs in studies."""
    columns = []
    for part in parts:
        for title, probed, in_study in (
            (part, False, False),
            (f"{part}, with counterfactual probes", True, False),
            (f"{part}, in a study", False, True),
        ):
            scored = score_part(
                folder / part,
                read_list(part),
                n_seeds=arguments.seeds,
                n_healthy_seeds=min(arguments.seeds, N_HEALTHY_SEEDS),
                probed=probed,
                in_study=in_study,
                detection=not (probed or in_study),
            )
            if probed and not scored.n_probed:
                continue
            columns.append((title, scored, scores(scored, neutral_levers(_results(part, arguments)))))
    for _title, scored, figures in columns:
        if arguments.verbose:
            tell_wrong(scored, arguments.cause)
        print("\n".join(lines_of(scored, figures)))
    if arguments.document is not None:
        about = f"Task {arguments.task}, {arguments.seeds} seeds of every fault; {_in_words(parts)}."
        write_between_markers(arguments.document, markdown(columns, about))


def _in_words(parts: Sequence[str]) -> str:
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
