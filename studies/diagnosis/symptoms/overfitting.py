"""Overfitting: the training set is still fitted better while validation gets worse, or stays far behind."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.curves import Curve, robust_epoch_noise, trailing_run
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained, trained_rows, validation_error
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import Telemetry
from studies.records import StudyRecord, TrialRecord

NAME = "overfitting"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A persistent accuracy gap, or a persistent rise of the validation loss while train still falls.

    A rise with an unchanged accuracy is overconfidence (answers as good, probabilities worse): a note.
    """
    telemetry = trial.telemetry or Telemetry()
    gap, rise = _gap(trial), _rise(trial)
    if gap is None and rise is None:
        return None
    harms = gap is not None or not np.any(np.isfinite(trained(trial, "validation_accuracy")))
    harms = harms or _accuracy_fell(trial, telemetry)
    causes = (
        (Cause(name=CauseName.OVERFITTING, confidence=0.85),)
        if harms
        else (
            Cause(name=CauseName.OVERCONFIDENCE, confidence=0.7),
            Cause(name=CauseName.OVERFITTING, confidence=0.3),
        )
    )
    said = []
    if rise is not None:
        said.append(
            f"the validation loss has risen {rise.value:.0%} since epoch {rise.first_step} as train fell"
        )
    if gap is not None:
        said.append(f"train accuracy is {gap.value:.3f} above validation")
    if not harms:
        said.append("the accuracy has not suffered yet")
    text = "; ".join(said)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if harms else Severity.NOTE,
        sentence=f"{text[0].upper()}{text[1:]}.",
        causes=causes,
        evidence=tuple(evidence for evidence in (rise, gap) if evidence is not None),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def _gap(trial: TrialRecord) -> Evidence | None:
    train, validation = trained(trial, "train_accuracy"), trained(trial, "validation_accuracy")
    rule_of = np.where(train <= limits.GAP_SWITCH.value, limits.GAP.value, limits.GAP_ABOVE.value)
    n_bad = trailing_run(train - validation >= rule_of)
    if n_bad < limits.PERSISTENCE.value:
        return None
    rows = trained_rows(trial)
    rule = limits.GAP if train[-1] <= limits.GAP_SWITCH.value else limits.GAP_ABOVE
    return Evidence(
        quantity="accuracy_gap",
        first_step=rows[-n_bad].epoch,
        last_step=rows[-1].epoch,
        value=float(train[-1] - validation[-1]),
        threshold=rule.value,
        source=rule.source,
    )


def _rise(trial: TrialRecord) -> Evidence | None:
    train, validation = trained(trial, "train_loss"), trained(trial, "validation_loss")
    if not len(validation) or not np.all(np.isfinite(validation)) or not float(validation.min()) > 0.0:
        return None
    best = int(np.argmin(validation))
    with np.errstate(over="ignore"):  # a minimum next to 0: the rise is infinite, and that is what it is
        relative = validation / validation[best] - 1.0
    n_bad = trailing_run(relative > limits.GENERALIZATION_LOSS.value)
    is_noise = not _exceeds_noise(validation, best)
    if n_bad < limits.PERSISTENCE.value or is_noise or not train[-1] < train[best]:
        return None
    rows = trained_rows(trial)
    return Evidence(
        quantity="validation_loss_rise",
        first_step=rows[best].epoch,
        last_step=rows[-1].epoch,
        value=float(relative[-1]),
        threshold=limits.GENERALIZATION_LOSS.value,
        source=limits.GENERALIZATION_LOSS.source,
    )


def _exceeds_noise(validation: Curve, best: int) -> bool:
    """The smallest of the last readings is out of reach of the curve's own jitter."""
    rise = float(validation[-int(limits.PERSISTENCE.value) :].min() - validation[best])
    return rise > limits.RISE_OVER_NOISE.value * robust_epoch_noise(validation)


def _accuracy_fell(trial: TrialRecord, telemetry: Telemetry) -> bool:
    accuracy = trained(trial, "validation_accuracy")
    best = float(np.nanmax(accuracy))
    late = accuracy[-int(limits.PERSISTENCE.value) :]
    return bool(np.all(late < best - limits.NOISE_FLOORS.value * validation_error(telemetry, best)))


SYMPTOM = TrialSymptom(name=NAME, find=find)
