"""Which remedy repaired how often, and which should therefore come first.

    python -m benchmarks.diagnosis.remedy_order --repair-folder runs/diagnosis

Reads the stored repairs (``--stage repair``), trains nothing. Writes the table that the diagnosis shows to
studies/diagnosis/benchmarked.json, and tells the order it proves. Of two changes of one cause's own levers the order is
proven where the one repairs oftener with more than 95%, by the cases in which both were trained (a beta posterior of
each share, without prior knowledge: three cases against none do, two do not). The others stay as they are: most of
their order is the Tuning Playbook's.
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.diagnosis.parts import PARTS
from benchmarks.diagnosis.repaired import Attempt, ByHand, Repair, read_by_hand, read_repairs
from benchmarks.diagnosis.score import DEFAULT_FOLDER
from benchmarks.diagnosis.table import table
from studies.diagnosis.actions import Rule
from studies.diagnosis.benchmarked import TABLE
from studies.diagnosis.finding import CauseName
from studies.diagnosis.remedies import REMEDIES
from studies.diagnosis.situation import Situation
from studies.proportions import wilson_bounds
from studies.readings import EpochReadings, Telemetry
from studies.records import TrialRecord

SURE = 0.95
"""Of an order, before it goes before the playbook's."""
ROUNDING = 1e-9
"""Two cases against none are 19 in 20 exactly."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """One change against one cause."""

    cases: Mapping[str, bool]
    """Those in which it was trained, and whether it repaired them."""
    recovered: float
    """The median share of the gap to the healthy twin, over the cases."""

    @property
    def n_repaired(self) -> int:
        return sum(self.cases.values())

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the share of repaired cases (Wilson)."""
        return wilson_bounds(self.n_repaired, len(self.cases))

    def to_json(self) -> dict[str, Any]:
        low, high = self.bounds
        shares = {"low": low, "high": high, "recovered": self.recovered}
        counts = {"repaired": self.n_repaired, "tried": len(self.cases)}
        return {
            **counts,
            **{name: round(share, 3) for name, share in shares.items()},
            "cases": dict(self.cases),
        }


Counts = Mapping[str, Mapping[str, Count]]
"""By the likeliest cause of the finding, then by lever."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repair-folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--task", default="mnist")
    parser.add_argument("--only", choices=PARTS, default="blind", help="the part whose repairs are read")
    options = parser.parse_args(arguments)
    folder = options.repair_folder / options.task / options.only
    repairs, by_hand = read_repairs(folder), read_by_hand(folder)
    if not repairs:
        parser.exit(
            2,
            f"{folder} holds no repairs yet; they come from `python -m benchmarks.diagnosis --stage repair`.\n",
        )
    about = {"task": options.task, "part": options.only, "n_cases": len(repairs)}
    counts = counts_of(repairs)
    write_table({"about": about, "causes": _as_json(counts), "by_hand": hands_of(by_hand)}, TABLE)
    print(markdown(counts))
    for line in proven_orders(counts):
        print(line)


# -- the evidence --


def counts_of(repairs: Sequence[Repair]) -> Counts:
    """Of each cause, what became of its own levers; a lever that only a rival cause offers is left out."""
    tried: dict[str, dict[str, dict[str, Attempt]]] = defaultdict(lambda: defaultdict(dict))
    for repair in repairs:
        own = own_levers(CauseName(repair.named)) if repair.named else ()
        for attempt in repair.ours:
            if attempt.levers[-1] in own:
                tried[repair.named][attempt.levers[-1]][repair.case] = attempt
    return {
        cause: {
            lever: Count(
                cases={case: attempt.repairs for case, attempt in rows.items()},
                recovered=median(attempt.recovered for attempt in rows.values()),
            )
            for lever, rows in levers.items()
        }
        for cause, levers in sorted(tried.items())
    }


def hands_of(by_hand: Sequence[ByHand]) -> dict[str, dict[str, int]]:
    """Of each cause that no lever mends: cases, those whose right action is named or the first, and what recovered."""
    grouped: dict[str, list[ByHand]] = defaultdict(list)
    for each in by_hand:
        grouped[each.cause].append(each)
    return {
        cause: {
            "cases": len(rows),
            "named": sum(row.is_named for row in rows),
            "first": sum(row.place == 0 for row in rows),
            "recovers": sum(row.recovers for row in rows),
        }
        for cause, rows in sorted(grouped.items())
    }


# -- the order --


def p_oftener(one: Count, other: Count) -> float:
    """The chance that the first repairs a larger share of the cases that both were trained in.

    Any two shares are as likely before. Exact: the sum that integrating one beta posterior over the other leaves.
    """
    both = one.cases.keys() & other.cases.keys()
    n_one, n_other = (sum(each.cases[case] for case in both) for each in (one, other))
    a, b, c, d = n_one + 1, len(both) - n_one + 1, n_other + 1, len(both) - n_other + 1
    return math.fsum(
        math.exp(_log_beta(c + i, b + d) - _log_beta(1 + i, b) - _log_beta(c, d)) / (b + i) for i in range(a)
    )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def must_precede(levers: Mapping[str, Count]) -> list[tuple[str, str]]:
    """The pairs of levers of one cause whose order is proven, the better one first."""
    return [
        (one, other)
        for one in levers
        for other in levers
        if one != other and p_oftener(levers[one], levers[other]) > SURE + ROUNDING
    ]


def proposed(present: Sequence[str], levers: Mapping[str, Count]) -> list[str]:
    """``present`` with as few changes as the proven pairs ask for."""
    pairs, left, ordered = must_precede(levers), list(present), []
    while left:
        free = [lever for lever in left if not any(b == lever and a in left for a, b in pairs)]
        ordered.append(free[0])
        left.remove(free[0])
    return ordered


def own_levers(cause: CauseName) -> list[str]:
    """What a cause's remedies change, in their order."""
    return list(dict.fromkeys(lever for rule in REMEDIES[cause] for lever in levers_of(rule)))


def levers_of(rule: Rule) -> tuple[str, ...]:
    """The lever that a rule changes; none for an action, and for one that another rule of the same cause stands for."""
    remedies = [remedy for situation in _SITUATIONS if (remedy := rule(situation)) is not None]
    return (remedies[0].edits[-1].lever,) if remedies and remedies[0].edits else ()


def _situation(**config: Any) -> Situation:
    """A training whose loss still falls, with a config of the kind that the rules look at."""
    rows = tuple(
        EpochReadings(epoch=epoch, train_loss=2.0 - 0.3 * epoch, gradient_norm=1.0) for epoch in range(6)
    )
    common = {
        "optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.99, "epochs": 5, "depth": 4, "dropout": 0.2,
        "clip_norm": 0.0, "label_smoothing": 0.0, "patience": 0, "warmup_fraction": 0.0, "warmup_steps": 0,
        "weight_decay": 1e-3,
        "augmentation": 0.1, "activation": "tanh", "initialization": "he", "normalization": "none", "model": "cnn",
        "input_scaling": "unit", "split": "last", "class_weights": "none",
    }  # fmt: skip
    telemetry = Telemetry(epochs=rows)
    return Situation(
        trial=TrialRecord(
            number=0, state="complete", outcome=None, value=0.5, config=common | config, telemetry=telemetry
        )
    )


_SITUATIONS = (
    _situation(schedule="constant", batch_size=32, width=16),
    _situation(schedule="step", batch_size=512, width=16, clip_norm=0.01, activation="relu"),
    _situation(schedule="plateau", plateau_patience=3, warmup_fraction=0.5, model="mlp", depth=0),
)
"""In one of them each rule that changes a lever has something to change."""


# -- telling --


def write_table(found: Mapping[str, Any], path: Path) -> None:
    """Under a temporary name first."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_table(path: Path = TABLE) -> Counts:
    """The counts that were written."""
    read = json.loads(path.read_text(encoding="utf-8"))
    return {
        cause: {lever: Count(cases=row["cases"], recovered=row["recovered"]) for lever, row in rows.items()}
        for cause, rows in read["causes"].items()
    }


def _as_json(counts: Counts) -> dict[str, dict[str, dict[str, Any]]]:
    return {
        cause: {lever: count.to_json() for lever, count in rows.items()} for cause, rows in counts.items()
    }


def markdown(counts: Counts) -> str:
    """A row a change."""
    rows = []
    for cause, levers in counts.items():
        for lever, count in levers.items():
            low, high = count.bounds
            hits = f"{count.n_repaired}/{len(count.cases)}"
            share = f"{low:.0%} to {high:.0%}"
            rows.append([f"`{cause}`", f"`{lever}`", hits, share, f"{count.recovered:.0%}"])
    return table(["likeliest cause", "lever", "repaired", "95% interval (Wilson)", "gap, median"], rows)


def proven_orders(counts: Counts) -> list[str]:
    """A line for each cause with a proven pair: the pairs, and the order they ask for."""
    lines = []
    for cause, levers in counts.items():
        pairs = must_precede(levers)
        if not pairs:
            continue
        present = own_levers(CauseName(cause))
        wanted = proposed(present, levers)
        said = ", ".join(f"{a} before {b} ({p_oftener(levers[a], levers[b]):.1%})" for a, b in pairs)
        verdict = "the order agrees" if wanted == present else f"should be {', '.join(wanted)}"
        lines.append(f"{cause}: {said}; {verdict}")
    return lines


if __name__ == "__main__":
    main()
