"""Which fault of a study is to be mended, and which of its trials is a healthy one to measure by."""

import math
from collections.abc import Sequence

import numpy as np

from search_spaces.errors import ConfigurationError
from studies.diagnosis import Finding, Severity, diagnose_record
from studies.diagnosis.reference import chance_accuracy, has_learned, trained, validation_error
from studies.plan import StudyPlan
from studies.records import Outcome, StudyRecord, TrialRecord
from tuner.searching.objective import OF_THE_SPLIT

SINGLE_TRAININGS = "none"
"""The sampler of a study of single trainings: each has a seed, a split and epochs of its own."""
NOISE_FLOORS = 2.0
"""Standard errors of a validation accuracy by which a reference must be ahead, as in the healthy gate."""


def faults_of(record: StudyRecord, trial: int | None = None) -> list[Finding]:
    """The findings that are faults, of one trial or of the whole study; the worst first."""
    found = diagnose_record(record, trial)
    return [finding for finding in found if finding.severity.rank > Severity.NOTE.rank]


def top_fault(faults: Sequence[Finding], *, is_of_one_trial: bool) -> Finding | None:
    """The fault to mend: of one trial the worst, of a study the worst that has remedies by a lever in a trial."""
    by_lever = [each for each in faults if each.trial is not None and has_edits(each)]
    candidates = faults if is_of_one_trial else by_lever or faults
    return candidates[0] if candidates else None


def cases_of(record: StudyRecord) -> list[Finding]:
    """Each trial's first fault with remedies by a lever: by severity, then by how badly the trial did, the worst first.

    A diverged trial did worst; a tie goes to the earliest trial.
    """
    judged = [trial for trial in record.trials if trial.outcome is Outcome.DIVERGED or trial.is_complete]
    cases = [
        (-fault.severity.rank, _standing(trial, record), fault)
        for trial in judged
        if (fault := next(filter(has_edits, faults_of(record, trial.number)), None)) is not None
    ]
    return [fault for *_badness, fault in sorted(cases, key=lambda case: case[:-1])]


def _standing(trial: TrialRecord, record: StudyRecord) -> float:
    """The least is the worst."""
    if trial.outcome is Outcome.DIVERGED or trial.value is None:
        return -math.inf
    return trial.value if record.is_maximized else -trial.value


def has_edits(finding: Finding) -> bool:
    """Whether some remedy of it edits levers."""
    return any(remedy.edits for remedy in finding.remedies)


def trial_of(record: StudyRecord, number: int) -> TrialRecord:
    """The trial of that number."""
    found = next((trial for trial in record.trials if trial.number == number), None)
    if found is None:
        raise ConfigurationError(f"Study {record.name!r} has no trial {number}.")
    return found


def healthy_reference(record: StudyRecord, faulty: TrialRecord) -> TrialRecord | None:
    """The study's best trial, if it has learned, shows no fault, and beats the faulty one beyond noise on its split."""
    best = record.best
    if best is None or best.number == faulty.number or best.telemetry is None:
        return None
    if not _shares_split(best, faulty, record.plan) or faults_of(record, best.number):
        return None
    return best if _is_ahead(best, faulty, record) else None


def seed_of_split(plan: StudyPlan, trial: TrialRecord) -> int:
    """By which the trial's data was split."""
    return int(trial.config["seed"]) if plan.sampler == SINGLE_TRAININGS else plan.seed


def _shares_split(best: TrialRecord, faulty: TrialRecord, plan: StudyPlan | None) -> bool:
    keys = OF_THE_SPLIT if plan is None or plan.sampler != SINGLE_TRAININGS else (*OF_THE_SPLIT, "seed")
    return all(best.config.get(key) == faulty.config.get(key) for key in keys)


def _is_ahead(best: TrialRecord, faulty: TrialRecord, record: StudyRecord) -> bool:
    """Beyond the noise of accuracies where there are some; of other metrics no noise is known, so the contest tells."""
    if faulty.value is None or best.value is None or best.telemetry is None:
        return best.value is not None
    accuracy, other = _best_accuracy(best), _best_accuracy(faulty)
    if not record.metric.endswith("accuracy") or np.isnan(accuracy) or np.isnan(other):
        return bool(best.value > faulty.value) == record.is_maximized
    has_it = has_learned(accuracy, chance_accuracy(best.telemetry))
    return has_it and accuracy - other > NOISE_FLOORS * validation_error(best.telemetry, accuracy)


def _best_accuracy(trial: TrialRecord) -> float:
    readings = trained(trial, "validation_accuracy")
    readings = readings[np.isfinite(readings)]
    return float(readings.max()) if len(readings) else float("nan")
