"""Claim: the same search takes us a fraction of the time that it takes an expert's script and other tuners.

Random search over learning rate, weight decay and dropout of a small network; wall time of the whole command, imports,
process starts, SQLite and (ours) all telemetry included. Ours is the command as one types it. The rivals do the same
on the same images; who needs too long does fewer trials or epochs, and the time of its search (not of its start) is
scaled up. All take turns, so that a machine that gets slower or faster touches all; medians.

Rivals need packages that symptune does without (`pip install "symptune[benchmarks]"`), perhaps in a Python of their
own; what is missing is said and skipped. Give it quiet cores:

    python benchmarks/search_speed.py --task mnist --batch-size 128 --repeats 5 --python .rivals/bin/python
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gemm_rate import gemm_rates
from images import prepared_images
from machine import described, load_average
from rivals import RIVALS, Rival
from rivals.job import Job
from workload import Workload

HERE = Path(__file__).parent
OURS = "ours"
SCALED_WITHIN = 0.15
"""How near those with fewer trials or epochs must come to the best accuracy: only to show that they learn."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One search, from the start of the command to its end."""

    seconds: float
    """As if all trials and epochs had been done."""
    wall_seconds: float
    best: float
    share: float
    """Of the workload's trial-epochs that were done."""
    about: Mapping[str, str]


def run_ours(task: str, workload: Workload, scratch: Path, seed: int, extra: list[str]) -> Run:
    """`tuner search`, workers and lanes as it chooses them."""
    fixed = {"batch_size": workload.batch_size, "depth": workload.depth, "width": workload.width}
    settings = [part for key, value in fixed.items() for part in ("--set", f"{key}={value}")]
    command = [
        sys.executable, "-m", "tuner", "search", "--task", task, "--space", str(workload.space), *settings,
        "--sampler", "random", "--pruner", "none", "--trials", str(workload.n_trials),
        "--epochs", str(workload.n_epochs), "--seed", str(seed),
        "--storage", f"sqlite:///{scratch}/ours.db", "--study", "speed", "--json", *extra,
    ]  # fmt: skip
    printed, seconds = timed(command, {}, cwd=scratch)
    found = json.loads(printed)
    n_done = sum(found["n_trials"][state] for state in ("complete", "pruned", "diverged"))
    if n_done != workload.n_trials:
        raise SystemExit(f"Our search must end {workload.n_trials} trials, but ended {found['n_trials']}.")
    return Run(seconds=seconds, wall_seconds=seconds, best=found["best"]["value"], share=1.0, about={})


def run_rival(
    rival: Rival, workload: Workload, images: Path, scratch: Path, *, seed: int, python: str, backend: str
) -> Run:
    done = replace(
        workload,
        n_trials=min(rival.n_trials or workload.n_trials, workload.n_trials),
        n_epochs=min(rival.n_epochs or workload.n_epochs, workload.n_epochs),
    )
    Job(images=images, scratch=scratch, workload=done, seed=seed).write(scratch / "job.json")
    environment = {"PYTHONPATH": str(HERE), "KERAS_BACKEND": backend}
    command = [python, "-m", f"rivals.{rival.name}", str(scratch / "job.json")]
    printed, seconds = timed(command, environment, cwd=HERE)
    answer = json.loads(printed.splitlines()[-1])
    if answer["n_trials"] != done.n_trials:
        raise SystemExit(f"{rival.name} must end {done.n_trials} trials, but ended {answer['n_trials']}.")
    share = done.n_trial_epochs / workload.n_trial_epochs
    whole = seconds - answer["search_seconds"] + answer["search_seconds"] / share
    return Run(seconds=whole, wall_seconds=seconds, best=answer["best"], share=share, about=answer["about"])


def timed(command: list[str], environment: Mapping[str, str], *, cwd: Path) -> tuple[str, float]:
    """What the command prints, and its wall time.

    Raises:
        SystemExit: with the end of its error output when it fails.
    """
    started = time.perf_counter()
    ran = subprocess.run(
        command, env=os.environ | environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr[-3000:]}")
    return ran.stdout, seconds


def is_runnable(rival: Rival, python: str) -> bool:
    """Whether that Python has the rival's packages; says so where it has not."""
    code = f"import importlib.util as u; print(*[n for n in {rival.needs!r} if u.find_spec(n) is None])"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    missing = found.stdout.split()
    if missing:
        print(f"{rival.name} is skipped: {python} has no {', '.join(missing)}.", file=sys.stderr)
    return not missing


def all_runs(arguments: argparse.Namespace, workload: Workload, folders: list[Path]) -> dict[str, list[Run]]:
    """The runs of each, in turns; the images of each turn's split are in its folder."""
    rivals = [
        rival for rival in RIVALS if rival.name in arguments.rivals and is_runnable(rival, arguments.python)
    ]
    runs: dict[str, list[Run]] = {OURS: [], **{rival.name: [] for rival in rivals}}
    for seed, images in enumerate(folders):
        for name in runs if seed % 2 == 0 else reversed([*runs]):
            with tempfile.TemporaryDirectory() as folder:
                scratch = Path(folder)
                if name == OURS:
                    run = run_ours(arguments.task, workload, scratch, seed, arguments.ours)
                else:
                    rival = next(rival for rival in rivals if rival.name == name)
                    run = run_rival(
                        rival,
                        workload,
                        images,
                        scratch,
                        seed=seed,
                        python=arguments.python,
                        backend=arguments.backend,
                    )
            runs[name].append(run)
            print(
                f"{workload.name}, turn {seed + 1} of {arguments.repeats}: {name:12} {run.seconds:7.1f} s"
                f"{'' if run.share == 1 else f' (scaled from {run.wall_seconds:.1f} s)'}, best {run.best:.2%}",
                file=sys.stderr,
            )
    return runs


def summary(
    workload: Workload, runs: Mapping[str, list[Run]], arithmetic: dict[str, Any], *, within: float
) -> dict[str, Any]:
    """Medians and ratios; as faults, who reached a best accuracy that is too far from the best of all."""
    medians = {name: statistics.median(run.seconds for run in each) for name, each in runs.items()}
    best = max(run.best for each in runs.values() for run in each)
    faults = [
        f"{name} reached only {run.best:.2%}, the best {best:.2%}"
        for name, each in runs.items()
        for run in each
        if run.best < best - (within if run.share == 1 else max(within, SCALED_WITHIN))
    ]
    roof = max(arithmetic["gflops_per_second"].values())
    flops = arithmetic["flops_of_a_trial_epoch"] * workload.n_trial_epochs
    return {
        "workload": workload.name,
        "n_trials": workload.n_trials,
        "n_epochs": workload.n_epochs,
        "results": {
            name: {
                "seconds": medians[name],
                "all_seconds": [run.seconds for run in each],
                "all_wall_seconds": [run.wall_seconds for run in each],
                "seconds_a_trial_epoch": medians[name] / workload.n_trial_epochs,
                "over_ours": medians[name] / medians[OURS],
                "share_of_gemm_rate": flops / medians[name] / (roof * 1e9),
                "share_of_each_rate": {
                    kernel: flops / medians[name] / (rate * 1e9)
                    for kernel, rate in arithmetic["gflops_per_second"].items()
                },
                "best": statistics.median(run.best for run in each),
                "share_done": each[0].share,
                "about": dict(each[0].about),
            }
            for name, each in runs.items()
        },
        "arithmetic": arithmetic,
        "faults": faults,
    }


def table(found: Mapping[str, Any]) -> str:
    """For a person, in Markdown."""
    lines = [
        f"{found['workload']}, {found['n_trials']} trials x {found['n_epochs']} epochs",
        "",
        "| | seconds | a trial-epoch | over ours | of the GEMM rate | best | done |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['seconds']:.1f} | {row['seconds_a_trial_epoch']:.3f} s | {row['over_ours']:.2f} | "
        f"{row['share_of_gemm_rate']:.0%} | {row['best']:.2%} | {row['share_done']:.0%} |"
        for name, row in found["results"].items()
    ]
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    names = [rival.name for rival in RIVALS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="auto")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128])
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rivals", nargs="*", choices=names, default=names)
    parser.add_argument("--python", default=sys.executable, help="that has the rivals' packages")
    parser.add_argument("--backend", choices=["jax", "tensorflow", "torch"], default="jax", help="of Keras")
    parser.add_argument(
        "--within",
        type=float,
        default=0.01,
        help="of the best accuracy of all everyone must come: a fast search that trains nothing is worth nothing",
    )
    parser.add_argument("--ours", nargs=argparse.REMAINDER, default=[], help="more options of `tuner search`")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    about = {"claim": __doc__.splitlines()[0], "task": arguments.task, "n_repeats": arguments.repeats}
    machine = {"load_average": load_average(), **described("torch", "optuna", "symptune")}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder) / str(seed) for seed in range(arguments.repeats)]
        splits, *_ = [prepared_images(arguments.task, each, seed=seed) for seed, each in enumerate(folders)]
        n_inputs = splits.train_x[0].numel()
        for batch_size in arguments.batch_size:
            workload = Workload(
                batch_size=batch_size,
                depth=arguments.depth,
                width=arguments.width,
                optimizer=arguments.optimizer,
                n_trials=arguments.trials,
                n_epochs=arguments.epochs,
            )
            arithmetic = {
                "gflops_per_second": gemm_rates(workload, n_inputs=n_inputs, n_outputs=splits.n_outputs),
                "flops_of_a_trial_epoch": workload.epoch_flops(
                    n_inputs=n_inputs,
                    n_outputs=splits.n_outputs,
                    n_train=len(splits.train_x),
                    n_validation=len(splits.validation_x),
                ),
            }
            runs = all_runs(arguments, workload, folders)
            results.append(summary(workload, runs, arithmetic, within=arguments.within))
            print(f"\n{table(results[-1])}\n", file=sys.stderr)
    print(json.dumps({**about, "results": results, **machine}, indent=2))
    faults = [fault for result in results for fault in result["faults"]]
    if faults:
        print("\n".join(faults), file=sys.stderr)
        sys.exit(4)


if __name__ == "__main__":
    main()
