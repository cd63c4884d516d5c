"""Trains the benchmark's cases, scores the diagnosis on them, and proves remedies; each stage goes on where it was.

    python -m benchmarks.diagnosis --task mnist --only calibration
    python -m benchmarks.diagnosis --task mnist --stage score

Every training is a file in --folder, so a run that was killed goes on. Scores are told for the part that is there.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from benchmarks.diagnosis.parts import N_HEALTHY_SEEDS, N_SEEDS, PARTS, Listed, read_list
from benchmarks.diagnosis.score import DEFAULT_FOLDER, tell_wrong
from benchmarks.diagnosis.scoring import neutral_levers, score_part, scores
from benchmarks.diagnosis.table import lines_of, markdown, write_between_markers

STAGES = ("telemetry", "score", "repair")


def main() -> None:
    arguments = _arguments()
    folder = arguments.folder / arguments.task
    parts = [arguments.only] if arguments.only else list(PARTS)
    stages = [arguments.stage] if arguments.stage else ["telemetry", "score"]
    if "telemetry" in stages:
        for part in parts:
            _train_part(read_list(part), folder / part, arguments)
    if "score" in stages:
        _score(parts, folder, arguments)
    if "repair" in stages:
        from benchmarks.diagnosis.repair import repair_part

        for part in parts:
            repair_part(read_list(part), folder / part, task=arguments.task, n_cases=arguments.repair_cases)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="mnist", choices=("mnist", "fashion-mnist", "kmnist", "digits"))
    parser.add_argument("--only", choices=PARTS)
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
        help="let each training go on with every counterfactual change (three times the time)",
    )
    parser.add_argument("--repair-cases", type=int, default=20)
    parser.add_argument("--verbose", action="store_true", help="each wrong run with what was said of it")
    parser.add_argument("--document", type=Path, help="also write the tables between this file's markers")
    return parser.parse_args()


# -- telemetry --


def _train_part(listed: Listed, folder: Path, arguments: argparse.Namespace) -> None:
    from benchmarks.diagnosis.telemetry import Job, jobs_of

    jobs: dict[str, Job] = {}
    n_healthy = min(arguments.seeds, N_HEALTHY_SEEDS)
    for names, n in ((listed.healthy, n_healthy), (listed.faulty, arguments.seeds)):
        chosen = [name for name in names if arguments.cause in name]
        jobs |= {job.file_name: job for job in jobs_of(chosen, listed.seeds(n))}
    left = [job for job in jobs.values() if not (folder / job.file_name).exists()]
    _say(f"{listed.part}: {len(jobs)} trainings, {len(jobs) - len(left)} already there, in {folder}")
    progress = _Progress(len(left))
    if arguments.workers == 1:
        for job in left:
            progress.tell(_train_one(job, folder, arguments.task, listed.part, arguments.probes))
        return
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        futures = [
            pool.submit(_train_one, job, folder, arguments.task, listed.part, arguments.probes)
            for job in left
        ]
        for future in as_completed(futures):
            progress.tell(future.result())


def _train_one(job: object, folder: Path, task: str, part: str, probes: bool) -> str:
    import torch

    from benchmarks.diagnosis.runs import store
    from benchmarks.diagnosis.telemetry import Job, train

    if not isinstance(job, Job):
        raise TypeError(f"A worker trains jobs, but got {type(job).__name__}.")
    torch.set_num_threads(1)
    run = train(job.case, job.seed, task=task, part=part, probes=probes)
    store(run, folder / job.file_name)
    return f"{run.case} seed {run.seed}: test {run.test_accuracy:.3f}, {run.seconds:.1f} s"


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
    columns = []
    for part in parts:
        for title, probed in ((part, False), (f"{part}, with counterfactual probes", True)):
            scored = score_part(
                folder / part,
                read_list(part),
                n_seeds=arguments.seeds,
                n_healthy_seeds=min(arguments.seeds, N_HEALTHY_SEEDS),
                probed=probed,
                detection=not probed,
            )
            columns.append((title, scored, scores(scored, neutral_levers(folder / part))))
    for _title, scored, figures in columns:
        if arguments.verbose:
            tell_wrong(scored, arguments.cause)
        print("\n".join(lines_of(scored, figures)))
    if arguments.document is not None:
        about = f"Task {arguments.task}, {arguments.seeds} seeds of every fault; {' and '.join(parts)}."
        write_between_markers(arguments.document, markdown(columns, about))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
