"""Leaking data: validation samples stand in the train split, or the inputs give the answer away."""

import math

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, data_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import DataProbe
from studies.records import StudyRecord, TrialRecord

NAME = "leaking_data"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Samples that are in both splits, as they are or moved, or a few features that tell the class alone.

    So few copies that they cannot move an accuracy by a percent are a note.
    """
    data = data_of(trial)
    if data is None:
        return None
    found: list[tuple[str, Cause, Evidence]] = []
    if data.overlap_fraction > limits.OVERLAP_FRACTION.value:
        found.append(_overlap(data))
    elif data.moved_fraction > limits.OVERLAP_FRACTION.value:
        found.append(_moved(data))
    if _tells_too_much(data):
        found.append(_leak(data))
    severity = Severity.WARNING
    if not found:
        if not data.overlap_fraction > limits.OVERLAP_NOTED.value:
            return None
        found, severity = [_overlap(data)], Severity.NOTE
    causes = tuple(cause for _, cause, _ in found)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=severity,
        sentence=found[0][0],
        causes=causes,
        evidence=tuple(evidence for _, _, evidence in found),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def _overlap(data: DataProbe) -> tuple[str, Cause, Evidence]:
    share = data.overlap_fraction
    rule = limits.OVERLAP_FRACTION if share > limits.OVERLAP_FRACTION.value else limits.OVERLAP_NOTED
    return (
        f"{100 * share:.3g}% of the validation samples are in the train split too, value for value.",
        Cause(name=CauseName.TRAIN_VALIDATION_OVERLAP, confidence=0.95),
        crossed("overlap_fraction", share, rule),
    )


def _moved(data: DataProbe) -> tuple[str, Cause, Evidence]:
    share = data.moved_fraction
    return (
        f"{100 * share:.3g}% of the validation samples are in the train split too, moved a little or mirrored.",
        Cause(name=CauseName.TRAIN_VALIDATION_OVERLAP, confidence=0.95),
        crossed("moved_fraction", share, limits.OVERLAP_FRACTION),
    )


def _tells_too_much(data: DataProbe) -> bool:
    return data.leak_accuracy >= _allowed(data).value


def _allowed(data: DataProbe) -> limits.Threshold:
    """How well a few features may tell the class: honest ones may tell two or three classes apart."""
    n_classes = sum(count > 0 for count in data.train_class_counts)
    few = n_classes <= limits.LEAK_FEW_CLASSES.value
    return limits.LEAK_ACCURACY_FEW_CLASSES if few else limits.LEAK_ACCURACY


def _leak(data: DataProbe) -> tuple[str, Cause, Evidence]:
    n = data.n_leak_features
    features = "A single feature alone tells" if n == 1 else f"{n} features alone tell"
    part = "" if math.isnan(data.leak_share) else f"{data.leak_share:.0%} of the "
    return (
        f"{features} the class of {part}held-out samples with an accuracy of {data.leak_accuracy:.1%}.",
        Cause(name=CauseName.TARGET_LEAKAGE, confidence=0.9),
        crossed("leak_accuracy", data.leak_accuracy, _allowed(data)),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.DATA)
