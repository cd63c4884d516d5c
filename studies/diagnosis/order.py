"""From a record to its findings: who is looked at, which symptom explains which, and what is worst."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from search_spaces.errors import ConfigurationError
from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Evidence, Finding, Severity
from studies.diagnosis.others import Others, compared
from studies.diagnosis.showing import shown_by
from studies.diagnosis.stages import Stage
from studies.diagnosis.staging import at_most, root_causes
from studies.diagnosis.standing import Standing, standing
from studies.diagnosis.symptoms import STUDY_SYMPTOMS, SYMPTOMS
from studies.records import Outcome, StudyRecord, TrialRecord


def diagnose_record(
    record: StudyRecord, trial: int | None = None, *, weighs_fit: bool = True
) -> list[Finding]:
    """What is wrong with a study, or with one of its trials; the worst first, ``[]`` when nothing is.

    For a whole study: its own symptoms, those of its best trial, and for each symptom that other trials show
    the clearest case, with the share of the trials that show it. A search is meant to meet bad configs: what fewer
    than a quarter of the trials show is a note, and nothing in them blocks a study that has a best trial.

    Args:
        record: the study.
        trial: number of the only trial that is asked for.
        weighs_fit: whether a trial must fit as well as the best for a place beside it to excuse it; not where its
            accuracy alone is what counts, of one trial.

    Raises:
        ConfigurationError: there is no trial of that number.
    """
    others = Others(record)
    if trial is not None:
        found = trial_findings(_trial_of(record, trial), record, others, weighs_fit=weighs_fit)
        return _worst_first(found)
    findings = [finding for symptom in STUDY_SYMPTOMS for finding in symptom.find(record)]
    best = record.best
    if best is not None:
        findings += trial_findings(best, record, others)
    rest = [t for t in record.trials if t is not best and _is_judged(t)]
    return _worst_first(findings + _clearest_cases(rest, record, others))


def trial_findings(
    trial: TrialRecord, record: StudyRecord, others: Others, *, weighs_fit: bool = True
) -> list[Finding]:
    """The symptoms of one trial that no earlier one explains; notes only when it passes the healthy gate."""
    shown = shown_by(trial, record)
    if not shown:
        return []
    stands = standing(trial, record)
    if stands is Standing.FITS_WORSE and not weighs_fit:
        stands = Standing.HEALTHY
    if stands is not Standing.UNKNOWN:
        shown = [compared(one, trial, record, others) for one in shown]
    return root_causes(shown, standing=stands)


def _clearest_cases(trials: Sequence[TrialRecord], record: StudyRecord, others: Others) -> list[Finding]:
    by_symptom: dict[str, list[Finding]] = {}
    for trial in trials:
        for finding in filter(_is_news, trial_findings(trial, record, others)):
            by_symptom.setdefault(finding.symptom, []).append(finding)
    n_judged = sum(_is_judged(trial) for trial in record.trials)
    n_common = limits.COMMON_MIN_TRIALS.value if record.best is not None else 1
    loss = {
        trial.number: (-1.0 if record.direction == "maximize" else 1.0) * trial.value
        for trial in trials
        if trial.value is not None
    }
    clearest = [
        _with_share(_clearest(findings, loss), len(findings), n_judged, n_common)
        for findings in by_symptom.values()
    ]
    if record.best is None:
        return clearest
    reason = "the study has a best trial that is another one"
    return [_lowered(finding, Severity.WARNING, reason) for finding in clearest]


def _is_news(finding: Finding) -> bool:
    """Whether a study has to be told of it: not that some trials are worse than its best, and nobody sees why."""
    return finding.stage is not Stage.STUDY or finding.severity is not Severity.NOTE


def _clearest(findings: Sequence[Finding], loss: Mapping[int, float]) -> Finding:
    """The worst of one symptom's findings: by severity, by how far its readings are beyond their thresholds, by value.

    Args:
        findings: one or more.
        loss: the value of each trial that has one, larger is worse; a trial without is worse than all.
    """

    def badness(finding: Finding) -> tuple[float, ...]:
        number = finding.trial or 0
        return (
            finding.severity.rank,
            _excess(finding.evidence),
            loss.get(number, math.inf),
            _confidence(finding),
            -number,
        )

    return max(findings, key=badness)


def _excess(evidence: Sequence[Evidence]) -> float:
    """The mean relative distance of readings from the thresholds they crossed; infinite where one is not finite."""
    distances = [
        abs(each.value - each.threshold) / (abs(each.threshold) or 1.0)
        if math.isfinite(each.value) and math.isfinite(each.threshold)
        else math.inf
        for each in evidence
    ]
    return sum(distances) / len(distances) if distances else 0.0


def _lowered(finding: Finding, limit: Severity, reason: str) -> Finding:
    """At most ``limit``; a sentence more where a blocker of the trial becomes less in its study."""
    lowered = at_most(limit, finding)
    if finding.severity is not Severity.BLOCKER or lowered is finding or lowered.severity is finding.severity:
        return lowered
    said = (
        f"{finding.sentence} A blocker of trial {finding.trial}, a {lowered.severity} of the study: {reason}."
    )
    return dataclasses.replace(lowered, sentence=said)


def _with_share(clearest: Finding, n_showing: int, n_judged: int, n_common: float) -> Finding:
    """With the share of the trials that show it: a note where it is rare, or fewer than ``n_common`` show it."""
    share = n_showing / n_judged
    count = Evidence(
        quantity="share_of_trials",
        first_step=None,
        last_step=None,
        value=share,
        threshold=limits.COMMON_SHARE.value,
        source=limits.COMMON_SHARE.source,
    )
    counted = dataclasses.replace(clearest, evidence=(*clearest.evidence, count))
    is_common = share >= limits.COMMON_SHARE.value and n_showing >= n_common
    return (
        counted
        if is_common
        else _lowered(counted, Severity.NOTE, f"only {n_showing} of {n_judged} trials show it")
    )


def _is_judged(trial: TrialRecord) -> bool:
    """Ended, and by its config rather than by a machine: a lost trial's curve is cut off anywhere."""
    return trial.state in {"complete", "pruned"} or trial.outcome is Outcome.DIVERGED


def _confidence(finding: Finding) -> float:
    return finding.causes[0].confidence if finding.causes else 0.0


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """By severity; among equals a study's own symptoms before trials', then in the order of a training."""
    return sorted(findings, key=lambda f: (-f.severity.rank, f.trial is not None, SYMPTOMS.index(f.symptom)))


def _trial_of(record: StudyRecord, number: int) -> TrialRecord:
    for trial in record.trials:
        if trial.number == number:
            return trial
    known = (
        f"0 to {max(t.number for t in record.trials)}" if record.trials else "none: the study has no trials"
    )
    raise ConfigurationError(f"A trial must be one of study {record.name!r} ({known}), but got {number}.")
