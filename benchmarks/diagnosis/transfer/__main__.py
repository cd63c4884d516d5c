"""Claim: the thresholds hold on networks, data and training loops that the calibration never saw.

    python -m benchmarks.diagnosis.transfer --set first
    python -m benchmarks.diagnosis.transfer --set third --verbose --document docs/counterfactuals.md

Every training is a file in --folder, so a run that was killed goes on, and rules that have changed are scored in
seconds with --stage score. The first four sets were looked at when rules were mended; no rule is tuned on the fifth.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.diagnosis.runs import store
from benchmarks.diagnosis.score import tell_admissions, tell_wrong
from benchmarks.diagnosis.scoring import scores
from benchmarks.diagnosis.table import lines_of, markdown, write_between_markers
from benchmarks.diagnosis.transfer.judging import CONTESTED, HARM, path_of, scored_in
from benchmarks.diagnosis.transfer.sets import SETS
from benchmarks.diagnosis.transfer.transfer_set import TransferSet

DEFAULT_FOLDER = Path("runs/diagnosis")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", choices=sorted(SETS), default="first")
    parser.add_argument("--folder", type=Path, help=f"default {DEFAULT_FOLDER}/transfer_SET")
    parser.add_argument("--stage", choices=("telemetry", "score"), help="by default both")
    parser.add_argument("--admissions", action="store_true", help="also how much each planted fault hurts")
    parser.add_argument("--verbose", action="store_true", help="each wrong run with what was said of it")
    parser.add_argument("--document", type=Path, help="also write the tables between this file's markers")
    arguments = parser.parse_args()
    chosen = SETS[arguments.set]
    folder = arguments.folder or DEFAULT_FOLDER / f"transfer_{chosen.name}"
    if arguments.stage != "score":
        _train_all(chosen, folder)
    if arguments.stage == "telemetry":
        return
    columns = []
    for title, probed in (("without probes", False), ("with probes", True)):
        scored = scored_in(folder, chosen, probed=probed)
        if arguments.verbose:
            print(f"\n{title}:")
            tell_wrong(scored)
        print("\n".join(lines_of(scored, scores(scored))))
        columns.append((title, scored, scores(scored)))
    if arguments.admissions:
        tell_admissions(scored)
    if arguments.document is not None:
        command = f"python -m benchmarks.diagnosis.transfer --set {chosen.name}"
        begin, end = (f"<!-- {edge}: {command} -->" for edge in ("begin", "end"))
        write_between_markers(arguments.document, markdown(columns, _about(chosen)), begin=begin, end=end)


def _train_all(chosen: TransferSet, folder: Path) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    jobs = [(name, recipe, seed) for name, recipe in chosen.healthy.items() for seed in chosen.healthy_seeds]
    jobs += [
        (name, recipe, seed) for name, (_, recipe) in chosen.faulty.items() for seed in chosen.faulty_seeds
    ]
    left = [job for job in jobs if not path_of(folder, job[0], job[2]).exists()]
    started = time.perf_counter()
    for n_done, (name, recipe, seed) in enumerate(left):
        seconds = (time.perf_counter() - started) / max(n_done, 1) * (len(left) - n_done)
        eta = f", {seconds:.0f} s left" if n_done else ""
        print(f"\r{n_done}/{len(left)} trainings{eta}: {name}, seed {seed}\033[K", end="", file=sys.stderr)
        store(chosen.train(recipe, name, seed), path_of(folder, name, seed))
    print(f"\r{len(jobs)} trainings are in {folder}\033[K", file=sys.stderr)


def _about(chosen: TransferSet) -> str:
    causes = {cause for cause, _ in chosen.faulty.values()}
    return (
        f"The {chosen.name} set: {chosen.about}. {len(chosen.healthy)} sound recipes with {len(chosen.healthy_seeds)} "
        f"seeds each, {len(chosen.faulty)} planted faults of {len(causes)} kinds with {len(chosen.faulty_seeds)} seeds "
        f"each; a fault counts if it costs {HARM:.0%} of test accuracy or makes the training report {HARM:.0%} more or "
        f"less than the test part shows, and a recipe is sound if its test accuracy is within {CONTESTED:.0%} of the "
        "best one with its data and network."
    )


if __name__ == "__main__":
    main()
