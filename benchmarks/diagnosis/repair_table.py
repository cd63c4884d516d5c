"""The repairs as text: lines for a terminal, and the tables of docs/diagnosis.md; no torch."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from scipy import stats

from benchmarks.diagnosis.repaired import ByHand, Repair
from benchmarks.diagnosis.table import table

T = TypeVar("T", Repair, ByHand)

BEGIN = "<!-- begin: python -m benchmarks.diagnosis --stage repair -->"
END = "<!-- end: python -m benchmarks.diagnosis --stage repair -->"


def wilson(n_hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided interval of a share (Wilson 1927); of an expected number of hits, too."""
    if n == 0:
        return 0.0, 1.0
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share = n_hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def methods(repairs: Sequence[Repair]) -> list[tuple[str, float]]:
    """By method, in how many cases one of its trials repaired."""
    return [
        ("our remedies", sum(each.is_repaired for each in repairs)),
        ("- proven by `tuner fix` itself, on validation alone", sum(each.is_proven for each in repairs)),
        ("random single lever", sum(each.random_chance for each in repairs)),
        ("rate / 10, then x 10", sum(each.rate_repairs for each in repairs)),
        ("TPE", sum(each.tpe_repairs for each in repairs)),
    ]


def markdown(title: str, repairs: Sequence[Repair], by_hand: Sequence[ByHand]) -> str:
    """All tables of a part."""
    parts = [f"### Repairs: {title}"]
    if repairs:
        parts += [_about(repairs), _methods_table(repairs), _causes_table(repairs), _order_table(repairs)]
    if by_hand:
        parts += [_by_hand_sentence(by_hand), _by_hand_table(by_hand)]
    return "\n\n".join(parts)


def _about(repairs: Sequence[Repair]) -> str:
    ours, chance = (dict(methods(repairs))[name] for name in ("our remedies", "random single lever"))
    wrongly = sum(each.is_proven_wrongly for each in repairs)
    ratio = f"{ours / chance:.1f} times" if chance else "and none of"
    n_trials = sum(each.n_trials for each in repairs) / len(repairs)
    return (
        f"{len(repairs)} admitted cases that a lever can mend. Ours repair {ratio} as many as random levers with as "
        f"many trials, {n_trials:.1f} on average. What `tuner fix` calls proven recovered less than half of the gap on "
        f"the test part in {wrongly} cases."
    )


def _methods_table(repairs: Sequence[Repair]) -> str:
    n = len(repairs)
    rows = []
    for name, hits in methods(repairs):
        low, high = wilson(hits, n)
        rows.append([name, f"{hits:.4g}/{n}", f"{hits / n:.0%}", f"{low:.0%} to {high:.0%}"])
    return table(["method, equal trials", "repaired", "share", "95% interval (Wilson)"], rows)


def _causes_table(repairs: Sequence[Repair]) -> str:
    rows = []
    for cause, each in _by_cause(repairs).items():
        by_what = dict.fromkeys(r.repaired_by.change for r in each if r.repaired_by is not None)
        rows.append(
            [
                f"`{cause}`",
                str(len(each)),
                str(sum(r.is_repaired for r in each)),
                str(sum(r.is_proven for r in each)),
                f"{sum(r.random_chance for r in each):.1f}",
                ", ".join(f"`{change}`" for change in by_what) or "-",
            ]
        )
    head = ["planted", "cases", "repaired", "proven", "random levers", "by"]
    return table(head, rows)


def _order_table(repairs: Sequence[Repair]) -> str:
    """How often each lever of ours repaired where it was tried: what the order of the remedies goes by."""
    counts: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for repair in repairs:
        for attempt in repair.ours:
            counts[repair.named, " + ".join(attempt.levers)].append(attempt.repairs)
    rows = [
        [f"`{cause}`", f"`{lever}`", f"{sum(tried)}/{len(tried)}"] for (cause, lever), tried in counts.items()
    ]
    return table(["named cause", "lever", "repaired/tried"], sorted(rows, key=lambda row: row[0]))


def _by_hand_sentence(by_hand: Sequence[ByHand]) -> str:
    n = len(by_hand)
    n_first, n_named, n_right = (
        sum(flags) for flags in zip(*((e.place == 0, e.is_named, e.is_right) for e in by_hand), strict=True)
    )
    low, high = wilson(n_right, n)
    return (
        f"{n} admitted cases that no lever mends. The top finding names the right action in {n_named}, first of all in "
        f"{n_first}; it is named, and the fault undone recovers, in {n_right} ({low:.0%} to {high:.0%})."
    )


def _by_hand_table(by_hand: Sequence[ByHand]) -> str:
    rows = [
        [
            f"`{cause}`",
            str(len(each)),
            str(sum(r.place == 0 for r in each)),
            str(sum(r.is_named for r in each)),
            str(sum(r.recovers for r in each)),
            str(sum(r.is_right for r in each)),
        ]
        for cause, each in _by_cause(by_hand).items()
    ]
    return table(["planted", "cases", "action first", "action named", "undone recovers", "both"], rows)


def _by_cause(results: Sequence[T]) -> dict[str, list[T]]:
    grouped: dict[str, list[T]] = defaultdict(list)
    for each in results:
        grouped[each.cause].append(each)
    return dict(sorted(grouped.items()))
