"""Do the remedies repair, and oftener than chance? On new seeds, by samples that nobody trained on.

A case that a lever can mend: the remedies of the top finding, tried in their order until one repairs; against
as many random single levers, the rate divided by ten and then multiplied by ten, and as many trials of TPE,
all on the same seeds and by the same rule (`repaired`). Ours are all trained even so: that tells which order
would have been best. A case that no lever can mend: whether a remedy of the top finding undoes what was
planted (`deeds`), and whether, undone, the test part recovers on new seeds. Each case has a file, so a run
that was killed goes on.
"""

import random
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import optuna

from benchmarks.diagnosis.admission import value_of
from benchmarks.diagnosis.bench import Bench, change
from benchmarks.diagnosis.case import Architecture, Case
from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.changes import RATE_DOWN, RATE_UP, changes_of
from benchmarks.diagnosis.deeds import BY_HAND, undoes
from benchmarks.diagnosis.parts import N_SEEDS, Listed
from benchmarks.diagnosis.repaired import BY_HAND_FOLDER, FOLDER, ByHand, Repair, n_trials_of, p_better, write
from benchmarks.diagnosis.runs import Run, file_name, load
from benchmarks.diagnosis.scoring import answer, verdict_on
from benchmarks.diagnosis.telemetry import train
from search_spaces import preset
from studies.diagnosis import Cause, Finding, Severity
from studies.diagnosis.finding import Remedy

PRESETS: Mapping[Architecture, str] = {"mlp": "mlp", "cnn": "cnn", "gelu_mlp": "mlp", "normed_cnn": "cnn"}
N_NEW_SEEDS = 3
N_RANDOM = 4
"""Random changes of a case at least: more, if ours had more trials."""


@dataclass(frozen=True, kw_only=True)
class RepairJob:
    """One case to be repaired."""

    case: Case
    folder: Path
    """Of the part's runs, which are read."""
    results: Path
    """Of the part's repairs, which are written."""
    listed: Listed
    task: str

    @property
    def path(self) -> Path:
        kind = BY_HAND_FOLDER if self.case.cause in BY_HAND else FOLDER
        return self.results / kind / f"{self.case.name.replace('/', '-')}.json"

    @property
    def seeds(self) -> list[int]:
        """New ones: no run that was diagnosed has them."""
        first = self.listed.first_seed + N_SEEDS
        return list(range(first, first + N_NEW_SEEDS))

    def run(self) -> str:
        """Do it and write its file.

        Returns:
            What came of it, in a line.
        """
        if self.case.cause in BY_HAND:
            done = _done_by_hand(self)
            write(done, self.path)
            said = "named" if done.is_named else "not named"
            return f"{self.case.name}: action {said}, done it recovers {done.recovered:.0%}"
        repair = _repaired(self)
        write(repair, self.path)
        by = repair.repaired_by
        said = "not repaired" if by is None else f"repaired by {by.change}"
        return f"{self.case.name}: {said} · random {repair.random_chance:.0%}, {repair.seconds:.0f} s"


def repair_jobs(
    listed: Listed, folder: Path, results: Path, *, task: str, n_cases: int, containing: str
) -> list[RepairJob]:
    """Of up to ``n_cases`` admitted cases of a part, one of each cause first; those whose runs are all there."""
    cases = [case_named(name) for name in listed.faulty if containing in name]
    chosen = _one_of_each_cause_first([case for case in cases if _is_admitted(case, listed, folder)])
    return [
        RepairJob(case=case, folder=folder, results=results, listed=listed, task=task)
        for case in chosen[:n_cases]
    ]


def _is_admitted(case: Case, listed: Listed, folder: Path) -> bool:
    seeds = listed.seeds(N_SEEDS)
    paths = [[folder / file_name(each, seed) for seed in seeds] for each in (case, case.reference)]
    if not all(path.exists() for row in paths for path in row):
        return False
    return verdict_on(case, listed, folder, seeds).is_faulty


def _one_of_each_cause_first(cases: Sequence[Case]) -> list[Case]:
    seen: dict[str, int] = {}
    ranked = []
    for case in cases:
        seen[str(case.cause)] = seen.get(str(case.cause), 0) + 1
        ranked.append((seen[str(case.cause)], case))
    return [case for _, case in sorted(ranked, key=lambda pair: pair[0])]


def _finding(job: RepairJob) -> Finding | None:
    """The top finding of the part's first run of the case."""
    run = load(job.folder / file_name(job.case, job.listed.first_seed))
    found = answer(run, job.case.cause, job.case.cause, probed=True).findings
    return found[0] if found else None


def _named(finding: Finding | None) -> str:
    return str(finding.causes[0].name) if finding is not None and finding.causes else ""


# -- by a lever --


def _repaired(job: RepairJob) -> Repair:
    started = time.monotonic()
    finding = _finding(job)
    bench = Bench(
        job.case, finding or _nothing_found(job.case), task=job.task, part=job.listed.part, seeds=job.seeds
    )
    ours = bench.attempts(finding.remedies, is_ours=True) if finding is not None else []
    n_trials = n_trials_of(ours)
    rates = [change(learning_rate=each.of(bench.faulty)) for each in (RATE_DOWN, RATE_UP)]
    return Repair(
        case=job.case.name,
        gap=bench.gap,
        named=_named(finding),
        ours=tuple(ours),
        random=tuple(bench.attempts(_random_changes(bench, max(N_RANDOM, n_trials), job.case.name))),
        rate=tuple(bench.attempts(rates[:n_trials])),
        tpe=tuple(bench.attempts(_by_tpe(bench, job.case, n_trials))),
        seconds=time.monotonic() - started,
    )


def _nothing_found(case: Case) -> Finding:
    """What the baselines are judged by where the diagnosis is silent: the planted cause."""
    causes = (Cause(name=case.cause, confidence=1.0),) if case.cause is not None else ()
    return Finding(trial=0, symptom="", severity=Severity.WARNING, sentence="Silence.", causes=causes)


def _random_changes(bench: Bench, n: int, seed: str) -> list[Remedy]:
    """``n`` different single levers that can be set on this config."""
    changes = changes_of(bench.faulty)
    remedies = [change(**{each.lever: each.of(bench.faulty)}) for each in changes]
    random.Random(seed).shuffle(remedies)  # noqa: S311 - no secret
    return [remedy for remedy in remedies if bench.takes(remedy)][:n]


def _by_tpe(bench: Bench, case: Case, n_trials: int) -> list[Remedy]:
    """Whole configs of the architecture's own preset; its first ten trials wait for no result (Optuna's default)."""
    space = preset(PRESETS[case.architecture])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=zlib.crc32(case.name.encode()))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    configs = [space.suggest(study.ask()) for _ in range(n_trials)]
    return [
        change(**{key: value for key, value in config.items() if key in bench.faulty}) for config in configs
    ]


# -- by hand --


def _done_by_hand(job: RepairJob) -> ByHand:
    """The twin is the case with its fault undone: does it come back, on new seeds, to where the diagnosed ones' are?"""
    started = time.monotonic()
    finding = _finding(job)
    sentences = tuple(remedy.sentence for remedy in finding.remedies) if finding is not None else ()
    places = [place for place, sentence in enumerate(sentences) if undoes(job.case, sentence)]
    faulty, twins = (_on_new_seeds(job, each) for each in (job.case, job.case.reference))
    worst = fmean(_stored(job, job.case))
    gap = fmean(_stored(job, job.case.reference)) - worst
    return ByHand(
        case=job.case.name,
        named=_named(finding),
        actions=sentences,
        place=places[0] if places else -1,
        recovered=(fmean(twins) - worst) / gap if gap > 0 else 0.0,
        p_better=p_better(twins, faulty),
        seconds=time.monotonic() - started,
    )


def _on_new_seeds(job: RepairJob, case: Case) -> list[float]:
    return [_value(job, train(case, seed, task=job.task, part=job.listed.part)) for seed in job.seeds]


def _stored(job: RepairJob, case: Case) -> list[float]:
    return [_value(job, load(job.folder / file_name(case, seed))) for seed in job.listed.seeds(N_SEEDS)]


def _value(job: RepairJob, run: Run) -> float:
    """By the case's metric, less what a training says wrongly of itself where that is the fault."""
    worth = value_of(job.case.metric, run)
    is_misreport = job.case.metric == "misreport"
    return worth - abs(run.reported_accuracy - run.validation_accuracy) if is_misreport else worth
