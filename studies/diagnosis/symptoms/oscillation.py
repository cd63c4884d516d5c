"""Oscillation: late in training the validation readings jump about more than their own sampling noise."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.causes import median_update_ratio, ranked
from studies.diagnosis.curves import Curve, epoch_noise, reversals
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained, trained_rows, validation_error
from studies.diagnosis.remedies import clip_gradients, decay_rate, lower_rate, remedies_for, warm_up
from studies.diagnosis.situation import Situation
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import Telemetry
from studies.records import StudyRecord, TrialRecord

NAME = "oscillation"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Accuracy (or else loss) that jitters around its trend in the last epochs, turning at least twice."""
    jitter = _jitter(trial)
    if jitter is None:
        return None
    situation = Situation(trial=trial)
    causes = _causes(situation)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"In epochs {jitter.first_step} to {jitter.last_step} {jitter.quantity.replace('_', ' ')} is "
            f"{jitter.value:.4f}, where up to {jitter.threshold:.4f} is sampling noise."
        ),
        causes=causes,
        evidence=(jitter,),
        remedies=remedies_for(causes, situation, first=(decay_rate, lower_rate, warm_up, clip_gradients)),
    )


def _jitter(trial: TrialRecord) -> Evidence | None:
    rows = trained_rows(trial)
    n = max(int(limits.OSCILLATION_EPOCHS.value), round(limits.OSCILLATION_WINDOW.value * len(rows)))
    if len(rows) <= n:  # the first epoch, in which everything moves, never counts
        return None
    accuracy = trained(trial, "validation_accuracy")[-n:]
    loss = trained(trial, "validation_loss")[-n:]
    if np.all(np.isfinite(accuracy)):
        limit = limits.OSCILLATION_NOISE_FLOORS
        quantity, curve = "validation_accuracy_jitter", accuracy
        noise = epoch_noise(accuracy)
        threshold = limit.value * validation_error(trial.telemetry or Telemetry(), float(np.mean(accuracy)))
    elif np.all(np.isfinite(loss)) and float(np.mean(loss)) > 0.0:
        limit = limits.OSCILLATION_RELATIVE
        quantity, curve = "validation_loss_jitter", loss
        noise, threshold = epoch_noise(loss) / float(np.mean(loss)), limit.value
    else:
        return None
    if noise <= threshold or not _turns(curve):
        return None
    return Evidence(
        quantity=quantity,
        first_step=rows[-n].epoch,
        last_step=rows[-1].epoch,
        value=noise,
        threshold=threshold,
        source=limit.source,
    )


def _turns(curve: Curve) -> bool:
    return reversals(curve) >= limits.OSCILLATION_REVERSALS.value


def _causes(situation: Situation) -> tuple[Cause, ...]:
    rate_is_seen = median_update_ratio(situation.trial) > limits.UPDATE_RATIO_HIGH.value
    causes = [Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.8 if rate_is_seen else 0.6)]
    if situation.number("batch_size") <= limits.SMALL_BATCH.value:
        causes.append(Cause(name=CauseName.BATCH_TOO_SMALL, confidence=0.7))
    if situation.number("momentum") >= limits.MOMENTUM_HIGH.value:
        causes.append(Cause(name=CauseName.MOMENTUM_TOO_HIGH, confidence=0.7))
    return ranked(causes)


SYMPTOM = TrialSymptom(name=NAME, find=find)
