"""From a record to its findings: who is looked at, which symptom explains which, and what is worst."""

import dataclasses
from collections.abc import Sequence

from search_spaces.errors import ConfigurationError
from studies.diagnosis import thresholds as limits
from studies.diagnosis.alternatives import discrimination
from studies.diagnosis.counterfactuals import probed
from studies.diagnosis.finding import Evidence, Finding, Severity
from studies.diagnosis.reference import is_healthy
from studies.diagnosis.staging import Shown, at_most, root_causes
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.symptoms import STUDY_SYMPTOMS, SYMPTOMS, TRIAL_SYMPTOMS
from studies.records import Outcome, StudyRecord, TrialRecord


def diagnose_record(record: StudyRecord, trial: int | None = None) -> list[Finding]:
    """What is wrong with a study, or with one of its trials; the worst first, ``[]`` when nothing is.

    For a whole study: its own symptoms, those of its best trial, and for each symptom that other trials show
    the clearest case, with the share of the trials that show it. A search is meant to meet bad configs: what fewer
    than a quarter of the trials show is a note, and nothing in them blocks a study that has a best trial.

    Raises:
        ConfigurationError: there is no trial of that number.
    """
    if trial is not None:
        return _worst_first(trial_findings(_trial_of(record, trial), record))
    findings = [finding for symptom in STUDY_SYMPTOMS for finding in symptom.find(record)]
    best = record.best
    if best is not None:
        findings += trial_findings(best, record)
    others = [t for t in record.trials if t is not best and _is_judged(t)]
    return _worst_first(findings + _clearest_cases(others, record))


def trial_findings(trial: TrialRecord, record: StudyRecord) -> list[Finding]:
    """The symptoms of one trial that no earlier one explains; notes only when it passes the healthy gate."""
    shown = []
    for symptom in TRIAL_SYMPTOMS:
        finding = symptom.find(trial, record)
        if finding is not None:
            shown.append(Shown(symptom=symptom, finding=_completed(probed(finding, trial), symptom)))
    return root_causes(shown, is_healthy=is_healthy(trial, record)) if shown else []


def _completed(finding: Finding, symptom: TrialSymptom) -> Finding:
    """With its stage, and with what tells its causes apart where the symptom has not said it better."""
    return dataclasses.replace(
        finding,
        stage=min(finding.stage, symptom.stage),
        alternatives=finding.alternatives or discrimination(finding.causes),
    )


def _clearest_cases(trials: Sequence[TrialRecord], record: StudyRecord) -> list[Finding]:
    by_symptom: dict[str, list[Finding]] = {}
    for trial in trials:
        for finding in trial_findings(trial, record):
            by_symptom.setdefault(finding.symptom, []).append(finding)
    n_judged = sum(_is_judged(trial) for trial in record.trials)
    n_common = limits.COMMON_MIN_TRIALS.value if record.best is not None else 1
    clearest = [_clearest(findings, n_judged, n_common) for findings in by_symptom.values()]
    return (
        [at_most(Severity.WARNING, finding) for finding in clearest] if record.best is not None else clearest
    )


def _clearest(findings: Sequence[Finding], n_judged: int, n_common: float) -> Finding:
    """The worst, surest, earliest of one symptom's findings, with the share of the trials that show it.

    A note where it is rare, or where fewer than ``n_common`` trials show it.
    """
    clearest = min(findings, key=lambda f: (-f.severity.rank, -_confidence(f), f.trial or 0))
    share = len(findings) / n_judged
    count = Evidence(
        quantity="share_of_trials",
        first_step=None,
        last_step=None,
        value=share,
        threshold=limits.COMMON_SHARE.value,
        source=limits.COMMON_SHARE.source,
    )
    counted = dataclasses.replace(clearest, evidence=(*clearest.evidence, count))
    is_common = share >= limits.COMMON_SHARE.value and len(findings) >= n_common
    return counted if is_common else at_most(Severity.NOTE, counted)


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
