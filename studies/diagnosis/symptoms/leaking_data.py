"""Leaking data: validation samples stand in the train split, or the inputs give the answer away."""

import dataclasses
import math
from dataclasses import dataclass

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, data_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import DataProbe
from studies.records import StudyRecord, TrialRecord

NAME = "leaking_data"
ONE_SIDED = 1.645
"""Standard errors, of a 95% bound."""
PROVEN = 2.326
"""Of a 99% bound: moved copies of each other are among the rest, whose accuracy is noisier for it than it looks."""


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Samples that are in both splits, as they are or moved, or a few features that tell the class alone.

    So few copies that they cannot move an accuracy by a percent are a note; so is a leak of which this network was
    measured to make nothing, or next to nothing. Copies that were moved a little are other samples to a network: they
    are a fault only where they were measured to raise the validation accuracy.
    """
    data = data_of(trial)
    if data is None:
        return None
    found = _found(trial, data)
    if not found:
        return None
    causes = tuple(one.cause for one in found)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if any(one.may_hurt for one in found) else Severity.NOTE,
        sentence=found[0].sentence,
        causes=causes,
        evidence=tuple(one.evidence for one in found),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


@dataclass(frozen=True, kw_only=True)
class _Leak:
    """One way in which the data leak, and whether that may raise the validation accuracy of the trial."""

    sentence: str
    cause: Cause
    evidence: Evidence
    may_hurt: bool = True
    needs_proof: bool = False
    """Presumed harmless: it may hurt only where it surely adds something."""

    @property
    def doubt(self) -> str:
        """Said where nothing was measured that would decide it."""
        return " That this raises the validation accuracy was not seen." if self.needs_proof else ""


@dataclass(frozen=True, kw_only=True)
class _Inflation:
    """What a leak was measured to add to the validation accuracy, and its standard error; NaN where it was not."""

    value: float
    error: float
    is_upper_bound: bool = False
    """Features of other samples mislead a network that looks at them, so that it loses more than it gained."""

    @property
    def highest(self) -> float:
        """One-sided 95% bound."""
        return self.value + ONE_SIDED * self.error

    @property
    def is_sure(self) -> bool:
        """More than nothing, by a one-sided 95% bound."""
        return self.value - ONE_SIDED * self.error > 0.0

    @property
    def is_proven(self) -> bool:
        return self.value - PROVEN * self.error > 0.0

    @property
    def is_none(self) -> bool:
        """Not even seen, and no more than a little; or surely next to nothing."""
        is_unseen = self.is_upper_bound or self.value < self.error
        limit = limits.INFLATION_UNSEEN if is_unseen else limits.INFLATION_NEGLIGIBLE
        return self.highest < limit.value

    def sentence(self, *, needs_proof: bool) -> str:
        if math.isnan(self.value):
            return ""
        points, most = 100 * self.value, 100 * self.highest
        if self.is_none:
            return (
                f" This network gains next to nothing by it: at most {most:.1f} points of validation accuracy "
                f"(measured: {points:.1f})."
            )
        if self.value < self.error:
            return ""
        if self.is_upper_bound:
            return (
                f" Given another sample's values there, this network loses {points:.1f} points of accuracy."
            )
        makes = "makes" if (self.is_proven if needs_proof else self.is_sure) else "may make"
        return f" That {makes} the validation accuracy about {points:.1f} points too high."


def _found(trial: TrialRecord, data: DataProbe) -> tuple[_Leak, ...]:
    """What leaks, the harmful first."""
    found = []
    if data.overlap_fraction > limits.OVERLAP_FRACTION.value:
        found.append(_measured(_overlap(data), trial))
    elif data.moved_fraction > limits.OVERLAP_FRACTION.value:
        found.append(_measured(_moved(data), trial))
    if _tells_too_much(data):
        found.append(_measured(_telling(data), trial))
    if not found and data.overlap_fraction > limits.OVERLAP_NOTED.value:
        found.append(dataclasses.replace(_overlap(data), may_hurt=False))
    return tuple(sorted(found, key=lambda one: not one.may_hurt))


def _measured(leak: _Leak, trial: TrialRecord) -> _Leak:
    """With what it adds to the accuracy of the network at its best; one that was cut off might still gain by it."""
    rows = [row for row in trained_rows(trial) if math.isfinite(row.validation_accuracy)]
    if trial.state != "complete" or not rows:
        return dataclasses.replace(leak, sentence=leak.sentence + leak.doubt)
    best = max(rows, key=lambda row: row.validation_accuracy)
    inflation = (
        _Inflation(value=best.telling_inflation, error=best.telling_inflation_error, is_upper_bound=True)
        if leak.cause.name is CauseName.TARGET_LEAKAGE
        else _Inflation(value=best.copy_inflation, error=best.copy_inflation_error)
    )
    return dataclasses.replace(
        leak,
        sentence=leak.sentence + (inflation.sentence(needs_proof=leak.needs_proof) or leak.doubt),
        may_hurt=not inflation.is_none and (inflation.is_proven or not leak.needs_proof),
    )


def _overlap(data: DataProbe) -> _Leak:
    share = data.overlap_fraction
    rule = limits.OVERLAP_FRACTION if share > limits.OVERLAP_FRACTION.value else limits.OVERLAP_NOTED
    return _Leak(
        sentence=f"{100 * share:.3g}% of the validation samples are in the train split too, value for value.",
        cause=Cause(name=CauseName.TRAIN_VALIDATION_OVERLAP, confidence=0.95),
        evidence=crossed("overlap_fraction", share, rule),
    )


def _moved(data: DataProbe) -> _Leak:
    share = data.moved_fraction
    how = "moved a little or mirrored"
    return _Leak(
        sentence=f"{100 * share:.3g}% of the validation samples are in the train split too, {how}.",
        cause=Cause(name=CauseName.TRAIN_VALIDATION_OVERLAP, confidence=0.95),
        evidence=crossed("moved_fraction", share, limits.OVERLAP_FRACTION),
        may_hurt=False,
        needs_proof=True,
    )


def _tells_too_much(data: DataProbe) -> bool:
    return data.leak_accuracy >= _allowed(data).value


def _allowed(data: DataProbe) -> limits.Threshold:
    """How well a few features may tell the class: honest ones may tell two or three classes apart.

    Not so by values that a part of the samples share, or nearly share.
    """
    if not math.isnan(data.leak_share):
        return limits.LEAK_ACCURACY
    n_classes = sum(count > 0 for count in data.train_class_counts)
    few = n_classes <= limits.LEAK_FEW_CLASSES.value
    return limits.LEAK_ACCURACY_FEW_CLASSES if few else limits.LEAK_ACCURACY


def _telling(data: DataProbe) -> _Leak:
    n = data.n_leak_features
    features = "A single feature alone tells" if n == 1 else f"{n} features alone tell"
    part = "" if math.isnan(data.leak_share) else f"{data.leak_share:.0%} of the "
    return _Leak(
        sentence=f"{features} the class of {part}held-out samples with an accuracy of {data.leak_accuracy:.1%}.",
        cause=Cause(name=CauseName.TARGET_LEAKAGE, confidence=0.9),
        evidence=crossed("leak_accuracy", data.leak_accuracy, _allowed(data)),
    )


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.DATA)
