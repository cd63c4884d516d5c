"""Scores the stored runs again, without training or torch: seconds, so that rules can be tuned.

python -m benchmarks.diagnosis.score --only calibration --verbose
python -m benchmarks.diagnosis.score --only drawn --draw 9 --also 10 11 --in-study
"""

import argparse
from pathlib import Path

from benchmarks.diagnosis.drawn.names import part_of
from benchmarks.diagnosis.parts import N_HEALTHY_SEEDS, N_SEEDS, add_part_arguments, part_asked_for, read_list
from benchmarks.diagnosis.scoring import Answer, Scored, neutral_levers, score_part, scores, together
from benchmarks.diagnosis.table import lines_of

DEFAULT_FOLDER = Path("runs/diagnosis")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--task", default="mnist")
    add_part_arguments(parser, default="calibration")
    parser.add_argument(
        "--also", type=int, nargs="+", default=[], help="more draws, scored together with that of --draw"
    )
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument("--cause", default="", help="only cases whose name contains this")
    parser.add_argument(
        "--in-study", action="store_true", help="each run beside three sound ones of other seeds"
    )
    parser.add_argument("--detection", action="store_true", help="also when each cause could first be named")
    parser.add_argument("--admissions", action="store_true", help="also how much each case hurts")
    parser.add_argument("--verbose", action="store_true", help="each wrong run with what was said of it")
    arguments = parser.parse_args()
    part = part_asked_for(arguments.only, arguments.draw) or arguments.only
    parts = [part, *(part_of(draw) for draw in arguments.also)]
    folder = arguments.folder / arguments.task
    scored = together([_scored(each, folder / each, arguments) for each in parts])
    if arguments.verbose:
        tell_wrong(scored, arguments.cause)
    if arguments.admissions:
        tell_admissions(scored)
    print("\n".join(lines_of(scored, scores(scored, neutral_levers(folder / part)))))


def _scored(part: str, folder: Path, arguments: argparse.Namespace) -> Scored:
    return score_part(
        folder,
        read_list(part),
        n_seeds=arguments.seeds,
        n_healthy_seeds=min(arguments.seeds, N_HEALTHY_SEEDS),
        in_study=arguments.in_study,
        detection=arguments.detection,
    )


def tell_admissions(scored: Scored) -> None:
    """One line a case: what it loses against its healthy twin, and whether that counts."""
    for name, each in scored.admissions.items():
        verdict = "faulty" if each.is_faulty else "contested" if each.is_contested else "healthy"
        print(f"{name:50} {verdict:9} gap {each.gap:+.4f} p {each.p_value:.3f} effect {each.effect:.1f}")


def tell_wrong(scored: Scored, containing: str = "") -> None:
    """One line for each run whose first cause is not the planted one, and for each alarm over nothing."""
    for given in scored.answers:
        if containing in given.case and _is_wrong(given):
            said = "; ".join(
                f"{finding.severity} {finding.symptom}: {finding.sentence}" for finding in given.findings
            )
            named = ", ".join(given.named[:3]) or ("no cause" if given.is_alarm else "nothing wrong")
            harmless = " (does no harm)" if given.cause is None and given.planted is not None else ""
            print(f"{given.case}{harmless} seed {given.seed}: {named} | {said}")


def _is_wrong(given: Answer) -> bool:
    return not given.is_right if given.cause is not None else given.is_alarm


if __name__ == "__main__":
    main()
