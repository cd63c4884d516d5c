"""Do the remedies repair, and oftener than chance? On new seeds, by samples that nobody trained on.

For each admitted case that a lever can mend: our remedies in their order, against as many random single levers, against
the rate divided by ten and then multiplied by ten, and against as many trials of TPE. A change has repaired when it
recovers 80% of the gap to the healthy twin and a new seed favors it with 75% (Laplace's rule). Each result is kept in a
file, so a run that was killed goes on; what repairs a case besides makes its neutral levers: relaxed scores go by them.
"""

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna

from benchmarks.diagnosis.admission import admitted
from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.changes import RATE_DOWN, RATE_UP, changes_of
from benchmarks.diagnosis.networks import builder
from benchmarks.diagnosis.parts import N_SEEDS, Listed
from benchmarks.diagnosis.runs import file_name, load
from benchmarks.diagnosis.scoring import answer, upper_bound
from benchmarks.diagnosis.telemetry import quality_of, splits_of
from search_spaces import preset
from search_spaces.edits import EditKind
from studies.diagnosis import Finding
from tuner.proving import prove_in_memory
from tuner.training.config import TrainingConfig

N_REPAIR_SEEDS = 3
RECOVERED = 0.8
P_BETTER = 0.75
MIN_CHANGES = 1
N_REMEDIES = 3
"""Of a finding, in their order: what a person would try before asking again."""


@dataclass(kw_only=True)
class Repair:
    """What was tried on one case, and what of it repaired."""

    case: str
    gap: float
    remedies: dict[str, bool] = field(default_factory=dict)
    """Ours, by what they change, in their order: whether each repaired by the test part."""
    verdicts: dict[str, str] = field(default_factory=dict)
    """What `tuner fix` says of them, which sees the validation part alone."""
    action: str = ""
    """What was to be done by hand, where no lever was named."""
    singles: dict[str, bool] = field(default_factory=dict)
    """Every single change of the catalogue, by name."""
    neutral: list[str] = field(default_factory=list)
    """Levers of which some change repairs."""
    ten_times: bool = False
    tpe: bool = False

    @property
    def n_trials(self) -> int:
        """That every method may use: as many as our remedies took until one repaired."""
        tried = list(self.remedies.values())
        return max((tried.index(True) + 1) if True in tried else len(tried), MIN_CHANGES)

    @property
    def is_repaired(self) -> bool:
        return any(self.remedies.values())

    def random_chance(self) -> float:
        """That one of `n_trials` different random changes repairs: exact, since all of them were tried."""
        n_left, n_bad = len(self.singles), sum(not each for each in self.singles.values())
        chance_of_none = 1.0
        for _ in range(min(self.n_trials, n_left)):
            chance_of_none *= n_bad / n_left if n_left else 0.0
            n_left, n_bad = n_left - 1, max(n_bad - 1, 0)
        return 1 - chance_of_none


def repair_part(listed: Listed, folder: Path, *, task: str, n_cases: int) -> list[Repair]:
    """Try remedies and baselines on up to ``n_cases`` admitted cases of the part, spread over the causes."""
    repairs = []
    cases = _mendable(listed, folder)[:n_cases]
    started = time.monotonic()
    for number, case in enumerate(cases, 1):
        path = folder / "repairs" / f"{case.name.replace('/', '-')}.json"
        if not path.exists():
            repair = _Bench(case=case, folder=folder, listed=listed, task=task).repaired()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(repair), indent=1) + "\n", encoding="utf-8")
        repair = Repair(**json.loads(path.read_text(encoding="utf-8")))
        repairs.append(repair)
        left = (time.monotonic() - started) / number * (len(cases) - number)
        said = "repaired" if repair.is_repaired else "not repaired"
        print(
            f"[{number}/{len(cases)}] {case.name}: {said} · ETA {left / 60:.0f} min",
            file=sys.stderr,
            flush=True,
        )
    print("\n".join(summary(repairs)))
    return repairs


def summary(repairs: Sequence[Repair]) -> list[str]:
    """How often each method repaired, and its ratio to a random lever at equal trials."""
    n = len(repairs)
    n_proven = sum("proven" in each.verdicts.values() for each in repairs)
    if not n:
        return ["No case to repair: run --stage telemetry first."]
    ours = sum(each.is_repaired for each in repairs)
    chance = sum(each.random_chance() for each in repairs)
    lowest = 1 - upper_bound(n - ours, n)
    ratio = ours / chance if chance else math.inf
    return [
        f"Repair, {n} cases on {N_REPAIR_SEEDS} new seeds each",
        f"  our remedies                        {ours}/{n} (at least {lowest:.0%} at 95%)",
        f"  - with tuner fix's own verdict proven {n_proven}/{n}",
        f"  random single lever, equal trials   {chance:.1f}/{n}; ours is {ratio:.1f} times as good",
        f"  rate / 10, then rate x 10           {sum(each.ten_times for each in repairs)}/{n}",
        f"  TPE, equal trials                   {sum(each.tpe for each in repairs)}/{n}",
    ]


def _mendable(listed: Listed, folder: Path) -> list[Case]:
    """Admitted faults of the toolkit's own loop whose healthy twin differs in levers; one of each cause first."""
    cases = []
    for name in listed.faulty:
        case = case_named(name)
        paths = [
            (folder / file_name(case, seed), folder / file_name(case.reference, seed))
            for seed in listed.seeds(N_SEEDS)
        ]
        if (
            case.is_watched
            or case.setup.data != case.healthy.data
            or not all(p.exists() and q.exists() for p, q in paths)
        ):
            continue
        verdict = admitted(case, [load(p) for p, _ in paths], [load(q) for _, q in paths])
        if verdict.is_faulty:
            cases.append(case)
    seen: dict[str, int] = {}
    ranks = []
    for case in cases:
        seen[str(case.cause)] = seen.get(str(case.cause), 0) + 1
        ranks.append(seen[str(case.cause)])
    return [case for _, case in sorted(zip(ranks, cases, strict=True), key=lambda pair: pair[0])]


@dataclass(kw_only=True)
class _Bench:
    """One case on the bench: every config is trained once for each seed."""

    case: Case
    folder: Path
    listed: Listed
    task: str
    _known: dict[str, list[float]] = field(default_factory=dict)

    def repaired(self) -> Repair:
        faulty = TrainingConfig.from_mapping(self.case.config(0)).to_mapping()
        worst, best = self._values(faulty), self._values(self._healthy())
        self._worst, self._best = worst, best
        repair = Repair(case=self.case.name, gap=_mean(best) - _mean(worst))
        finding = self._finding()
        if finding is not None:
            for label, config in _remedied(faulty, finding):
                repair.remedies[label] = self._repairs(config)
            repair.verdicts = self._verdicts(finding, faulty) if repair.remedies else {}
            actions = [remedy.action for remedy in finding.remedies if remedy.action]
            repair.action = actions[0] if actions and not repair.remedies else ""
        for change in changes_of(faulty):
            mends = self._repairs(change.applied(faulty))
            repair.singles[change.name] = mends
            if mends and change.lever not in repair.neutral:
                repair.neutral.append(change.lever)
        repair.ten_times = any(self._repairs(change.applied(faulty)) for change in (RATE_DOWN, RATE_UP))
        repair.tpe = self._by_tpe(faulty, repair.n_trials)
        return repair

    def _healthy(self) -> dict[str, Any]:
        twin = self.case.reference
        return TrainingConfig.from_mapping(twin.config(0)).to_mapping()

    def _finding(self) -> Finding | None:
        run = load(self.folder / file_name(self.case, self.listed.first_seed))
        found = answer(run, self.case.cause, self.case.cause, probed=True).findings
        return found[0] if found else None

    def _verdicts(self, finding: Finding, faulty: Mapping[str, Any]) -> dict[str, str]:
        """Of `tuner fix`'s own proof, on as many new seeds."""
        seeds = self._seeds()
        config = TrainingConfig.from_mapping({**faulty, "seed": seeds[0]})
        proof = prove_in_memory(
            finding,
            faulty,
            splits_of(self.case, config, task=self.task, part=self.listed.part),
            seeds=seeds,
            reference=self._healthy() if self.case.setup.network == self.case.healthy.network else None,
            model=builder(self.case.setup.network),
        )
        return {tried.label: tried.verdict.value for tried in proof.remedies}

    def _seeds(self) -> list[int]:
        """New ones: no run that was diagnosed has them."""
        first = self.listed.first_seed + N_SEEDS
        return list(range(first, first + N_REPAIR_SEEDS))

    def _repairs(self, config: Mapping[str, Any]) -> bool:
        values = self._values(config)
        wins = sum(new > old for new, old in zip(values, self._worst, strict=True))
        p_better = (wins + 1) / (len(values) + 2)
        gap = _mean(self._best) - _mean(self._worst)
        return gap > 0 and _mean(values) - _mean(self._worst) >= RECOVERED * gap and p_better >= P_BETTER

    def _values(self, config: Mapping[str, Any]) -> list[float]:
        """By the case's metric, of the last weights on the test part, one for each new seed; larger is better."""
        key = repr(sorted((name, value) for name, value in config.items() if name != "seed"))
        if key not in self._known:
            is_twin = config == self._healthy()
            network = (self.case.healthy if is_twin else self.case.setup).network
            self._known[key] = [
                quality_of(
                    self.case, {**config, "seed": seed}, network, task=self.task, part=self.listed.part
                )
                for seed in self._seeds()
            ]
        return self._known[key]

    def _by_tpe(self, faulty: Mapping[str, Any], n_trials: int) -> bool:
        """Whether the best of as many TPE trials, each judged by one seed, repairs on all."""
        space = preset("mlp")
        chosen: list[tuple[float, dict[str, Any]]] = []

        def objective(trial: optuna.Trial) -> float:
            config = {
                **faulty,
                **{key: value for key, value in space.suggest(trial).items() if key in faulty},
            }
            values = self._values(config)
            chosen.append((values[0], config))
            return values[0]

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
        study.optimize(objective, n_trials=n_trials)
        return self._repairs(max(chosen, key=lambda pair: pair[0])[1])


def _remedied(config: Mapping[str, Any], finding: Finding) -> list[tuple[str, dict[str, Any]]]:
    """The config after each of the finding's first remedies that fixes a lever at a value."""
    remedied = []
    for remedy in finding.remedies:
        edits = [edit for edit in remedy.edits if edit.kind is EditKind.FIX]
        if edits and len(edits) == len(remedy.edits):
            label = ", ".join(f"{edit.lever}={edit.value}" for edit in edits)
            remedied.append((label, {**config, **{edit.lever: edit.value for edit in edits}}))
    return remedied[:N_REMEDIES]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
