"""What the diagnosis says of each stored run, and how often it is right."""

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scipy import stats

from benchmarks.diagnosis.admission import P_VALUE_OF_ALL, Admission, admitted, is_undecided
from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.causes import case_named
from benchmarks.diagnosis.company import in_studies
from benchmarks.diagnosis.parts import Listed
from benchmarks.diagnosis.repaired import read_repairs
from benchmarks.diagnosis.runs import Run, file_name, load
from studies.diagnosis import CauseName, Finding, Severity, diagnose_record
from studies.diagnosis.counterfactuals import Change, changes_for_findings
from studies.readings import Telemetry
from studies.records import StudyRecord

N_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said of one run."""

    case: str
    seed: int
    cause: CauseName | None
    """What was planted, if it hurts; None is healthy."""
    planted: CauseName | None
    """What was planted, even if it does no harm."""
    named: tuple[CauseName, ...]
    """The causes of the findings, the most likely first; empty where nothing is wrong, or nothing is known of it."""
    findings: tuple[Finding, ...]
    """Warnings and blockers: notes are no faults."""
    levers: tuple[str, ...] = ()
    """What the first remedies of the first finding would change, in their order."""
    detected_at: float = float("nan")
    """The share of the training after which the right cause was named first; NaN where it never was."""

    @property
    def is_alarm(self) -> bool:
        return bool(self.findings)

    @property
    def is_right(self) -> bool:
        return self.named[:1] == (self.cause,)

    @property
    def is_among_three(self) -> bool:
        return self.cause in self.named[:N_NAMED]


def answer(run: Run, cause: CauseName | None, planted: CauseName | None, *, probed: bool) -> Answer:
    """Diagnose a run, the first trial of its study; ``probed``: with the counterfactual probes it then asks for."""
    findings = _faults(_with_counterfactuals(run.record, ()))
    if probed:
        findings = _faults(_with_counterfactuals(run.record, asked(run.record)))
    remedies = findings[0].remedies if findings else ()
    return Answer(
        case=run.case,
        seed=run.seed,
        cause=cause,
        planted=planted,
        named=named_causes(findings),
        findings=findings,
        levers=tuple(edit.to_json()["lever"] for remedy in remedies for edit in remedy.edits[:1]),
    )


def asked(record: StudyRecord) -> tuple[Change, ...]:
    """The counterfactual changes that the diagnosis of one run asks for, before any was tried; mostly none."""
    return changes_for_findings(_faults(_with_counterfactuals(record, ())))


def named_causes(findings: Sequence[Finding]) -> tuple[CauseName, ...]:
    """First the top cause of each finding, then the second ones, and so on; each once."""
    depth = max((len(finding.causes) for finding in findings), default=0)
    named = [
        finding.causes[rank].name
        for rank in range(depth)
        for finding in findings
        if rank < len(finding.causes)
    ]
    return tuple(dict.fromkeys(named))


def _faults(record: StudyRecord) -> tuple[Finding, ...]:
    found = diagnose_record(record, trial=record.trials[0].number)
    return tuple(finding for finding in found if finding.severity is not Severity.NOTE)


def _with_counterfactuals(record: StudyRecord, changes: Sequence[str]) -> StudyRecord:
    """With the stored probes of ``changes`` alone."""
    trial = record.trials[0]
    if trial.telemetry is None:
        return record
    kept = tuple(each for each in trial.telemetry.counterfactuals if each.change in changes)
    telemetry = dataclasses.replace(trial.telemetry, counterfactuals=kept)
    probed = dataclasses.replace(trial, telemetry=telemetry)
    return dataclasses.replace(record, trials=(probed, *record.trials[1:]))


def with_detection(given: Answer, run: Run) -> Answer:
    """``given`` with the epoch at which a training that was stopped there would have had the same cause named."""
    trial = run.record.trials[0]
    telemetry = trial.telemetry
    if telemetry is None or given.cause is None or not given.is_right:
        return given
    n_epochs = len(telemetry.epochs) - 1
    for epoch in range(n_epochs):
        cut = _cut(telemetry, epoch)
        so_far = dataclasses.replace(trial, telemetry=cut, state="running", outcome=None)
        found = named_causes(_faults(dataclasses.replace(run.record, trials=(so_far,))))
        if found[:1] == (given.cause,):
            return dataclasses.replace(given, detected_at=epoch / max(n_epochs, 1))
    return dataclasses.replace(given, detected_at=1.0)


def _cut(telemetry: Telemetry, epoch: int) -> Telemetry:
    return dataclasses.replace(
        telemetry,
        epochs=tuple(row for row in telemetry.epochs if row.epoch <= epoch),
        steps=tuple(block for block in telemetry.steps if block.epoch <= epoch),
    )


# -- a part --


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The answers to all runs of a part that are there."""

    part: str
    answers: tuple[Answer, ...]
    admissions: Mapping[str, Admission]
    n_missing: int
    """Runs of the list that have no file yet."""
    seconds: float
    """Of the diagnosis alone."""
    n_probed: int = 0
    """Runs that went on with counterfactual changes."""
    in_study: bool = False
    """Whether each run was diagnosed beside sound ones; else by itself."""

    @property
    def faulty(self) -> tuple[Answer, ...]:
        """Of admitted faults."""
        return tuple(each for each in self.answers if each.cause is not None)

    @property
    def healthy(self) -> tuple[Answer, ...]:
        """Of the healthy list, and of what was planted and does no harm."""
        return tuple(each for each in self.answers if each.cause is None)

    @property
    def listed_healthy(self) -> tuple[Answer, ...]:
        """Of the healthy list alone: only these are sound by construction."""
        return tuple(each for each in self.healthy if each.planted is None)


def score_part(
    folder: Path,
    listed: Listed,
    *,
    n_seeds: int,
    n_healthy_seeds: int,
    probed: bool = False,
    in_study: bool = False,
    detection: bool = False,
) -> Scored:
    """Admit and diagnose every case of ``listed`` whose runs and healthy twins are in ``folder``.

    With ``in_study`` each run has its healthy twin at other seeds beside it (`company`).
    """
    answers: list[Answer] = []
    admissions: dict[str, Admission] = {}
    n_missing, n_probed, seconds = 0, 0, 0.0
    for names, n in ((listed.faulty, n_seeds), (listed.healthy, n_healthy_seeds)):
        for name in names:
            case = case_named(name)
            seeds = listed.seeds(n)
            missing = [
                each for seed in seeds for each in _names_of(case, seed) if not (folder / each).exists()
            ]
            if missing:
                n_missing += len(missing)
                continue
            runs, twins = _runs_of(case, folder, seeds)
            n_probed += sum(bool(run.asked) for run in runs)
            verdict = verdict_on(case, listed, folder, seeds)
            admissions[name] = verdict
            if verdict.is_contested:
                continue
            if in_study:
                runs = in_studies(runs, twins)
            started = time.perf_counter()
            cause = case.cause if verdict.is_faulty else None
            given = [answer(run, cause, case.cause, probed=probed) for run in runs]
            seconds += time.perf_counter() - started
            if detection:
                given = [with_detection(each, run) for each, run in zip(given, runs, strict=True)]
            answers += given
    return Scored(
        part=listed.part,
        answers=tuple(answers),
        admissions=admissions,
        n_missing=n_missing,
        seconds=seconds,
        n_probed=n_probed,
        in_study=in_study,
    )


def together(parts: Sequence[Scored]) -> Scored:
    """Of several parts, all diagnosed in the same way, as of one."""
    return dataclasses.replace(
        parts[0],
        part=" + ".join(each.part for each in parts),
        answers=tuple(answer for each in parts for answer in each.answers),
        admissions={name: verdict for each in parts for name, verdict in each.admissions.items()},
        n_missing=sum(each.n_missing for each in parts),
        seconds=sum(each.seconds for each in parts),
        n_probed=sum(each.n_probed for each in parts),
    )


def verdict_on(case: Case, listed: Listed, folder: Path, seeds: Sequence[int]) -> Admission:
    """By ``seeds``, whose runs are there; where they leave it open by more, as soon as all of these are there."""
    verdict = admitted(case, *_runs_of(case, folder, seeds))
    if case.cause is None or not is_undecided(verdict):
        return verdict
    more = listed.more_seeds()
    if not all((folder / name).exists() for seed in more for name in _names_of(case, seed)):
        return verdict
    return admitted(case, *_runs_of(case, folder, [*seeds, *more]), p_value=P_VALUE_OF_ALL)


def undecided(folder: Path, listed: Listed, *, n_seeds: int) -> list[str]:
    """The faults of which ``n_seeds`` seeds cannot tell that they hurt, though it looks so."""
    seeds = listed.seeds(n_seeds)
    cases = [case_named(name) for name in listed.faulty]
    there = [
        case
        for case in cases
        if all((folder / name).exists() for seed in seeds for name in _names_of(case, seed))
    ]
    return [case.name for case in there if is_undecided(admitted(case, *_runs_of(case, folder, seeds)))]


def _names_of(case: Case, seed: int) -> tuple[str, str]:
    return file_name(case, seed), file_name(case.reference, seed)


def _runs_of(case: Case, folder: Path, seeds: Sequence[int]) -> tuple[list[Run], list[Run]]:
    """Of the case and of its healthy twin."""
    names = [_names_of(case, seed) for seed in seeds]
    return [load(folder / own) for own, _ in names], [load(folder / twin) for _, twin in names]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The figures of one part; shares are NaN where nothing was scored."""

    n_faulty: int
    n_healthy: int
    recall: float
    precision: float
    false_alarms: int
    false_alarm_rate: float
    false_alarm_bound: float
    """One-sided 95% upper bound (Clopper and Pearson); it takes runs as independent."""
    wide_precision: float
    """As ``precision``, with planted faults that do no harm counted as healthy."""
    wide_alarm_rate: float
    wide_alarm_bound: float
    top1: float
    """Of all admitted faulty runs, found or not."""
    top1_relaxed: float
    top3: float
    top1_of_found: float
    """Of the admitted faulty runs that were flagged: how right an answer is that was given."""
    top1_relaxed_of_found: float
    top3_of_found: float
    abstentions: int
    """Faulty runs that were flagged without a cause."""
    detected_at: float
    """Median share of the training after which the right cause was first named."""


def scores(scored: Scored, neutral: Mapping[str, frozenset[str]] | None = None) -> Scores:
    """``neutral`` has, by case, the levers that were proven to mend it: naming one of them first is right enough."""
    faulty, healthy = scored.faulty, scored.listed_healthy
    alarms = [each for each in healthy if each.is_alarm]
    found = [each for each in faulty if each.is_alarm]
    wide = [each for each in scored.healthy if each.is_alarm]
    at = [each.detected_at for each in faulty if each.detected_at == each.detected_at]
    return Scores(
        n_faulty=len(faulty),
        n_healthy=len(healthy),
        recall=_share(len(found), len(faulty)),
        precision=_share(len(found), len(found) + len(alarms)),
        false_alarms=len(alarms),
        false_alarm_rate=_share(len(alarms), len(healthy)),
        false_alarm_bound=upper_bound(len(alarms), len(healthy)),
        wide_precision=_share(len(found), len(found) + len(wide)),
        wide_alarm_rate=_share(len(wide), len(scored.healthy)),
        wide_alarm_bound=upper_bound(len(wide), len(scored.healthy)),
        top1=_share(sum(each.is_right for each in faulty), len(faulty)),
        top1_relaxed=_share(sum(is_right_enough(each, neutral or {}) for each in faulty), len(faulty)),
        top3=_share(sum(each.is_among_three for each in faulty), len(faulty)),
        top1_of_found=_share(sum(each.is_right for each in found), len(found)),
        top1_relaxed_of_found=_share(sum(is_right_enough(each, neutral or {}) for each in found), len(found)),
        top3_of_found=_share(sum(each.is_among_three for each in found), len(found)),
        abstentions=sum(each.is_alarm and not each.named for each in faulty),
        detected_at=median(at) if at else float("nan"),
    )


def neutral_levers(folder: Path) -> dict[str, frozenset[str]]:
    """By case, the levers of which some single change repairs it: of the cases that `repair` has tried in a part."""
    return {each.case: each.neutral for each in read_repairs(folder)}


def is_right_enough(given: Answer, neutral: Mapping[str, frozenset[str]]) -> bool:
    """Strictly right, or the first remedy changes a lever that is known to mend the case."""
    return given.is_right or bool(given.levers and given.levers[0] in neutral.get(given.case, frozenset()))


def upper_bound(n_hits: int, n: int, confidence: float = 0.95) -> float:
    """The largest rate under which ``n_hits`` or fewer of ``n`` still have a chance of 1 - ``confidence``."""
    if n_hits >= n:
        return 1.0
    return float(stats.beta.ppf(confidence, n_hits + 1, n - n_hits))


def confusions(scored: Scored) -> Counter[tuple[str, str]]:
    """How often each planted cause was answered by each; ``-`` is no alarm, ``?`` an alarm without a cause."""
    return Counter((str(each.cause or "healthy"), _said(each)) for each in scored.answers)


def _said(given: Answer) -> str:
    if not given.is_alarm:
        return "-"
    return str(given.named[0]) if given.named else "?"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
