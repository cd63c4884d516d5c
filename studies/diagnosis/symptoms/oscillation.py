"""Oscillation: the training jumps about its minimum instead of settling, at the price of the fit."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.curves import Curve, epoch_noise, reversals
from studies.diagnosis.finding import CauseName, Evidence, Finding, Severity
from studies.diagnosis.instability import instability
from studies.diagnosis.lever_rules import clip_gradients, decay_rate, lower_rate, warm_up
from studies.diagnosis.reference import has_diverged, trained, trained_rows, validation_error
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import causes_of, evidence_of
from studies.readings import Telemetry
from studies.records import StudyRecord, TrialRecord

NAME = "oscillation"
SETTLING = (lower_rate, decay_rate, warm_up, clip_gradients)


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Weights that swell while the train loss rises again and again or units die, or a late jitter of validation.

    The train loss alone is no sign: single epochs rise in many good trainings near the edge of stability.
    """
    signs = Signs(trial=trial)
    if not signs.rows or has_diverged(trial):
        return None
    shown = (() if restraint(signs) else _restless(signs)) or _jitter(trial)
    if not shown:
        return None
    suspicions = instability(signs)
    causes = causes_of(suspicions)
    is_rate = causes[0].name is CauseName.LEARNING_RATE_TOO_HIGH
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=_sentence(signs, shown),
        causes=causes,
        evidence=(*shown, *evidence_of(suspicions)),
        remedies=remedies_for(causes, signs.situation, first=SETTLING if is_rate else ()),
    )


def _sentence(signs: Signs, shown: tuple[Evidence, ...]) -> str:
    first = shown[0]
    if first.quantity == "weight_growth":
        return (
            f"The train loss rises in {signs.n_clear_rises} of {signs.n_epochs} epochs, with weights "
            f"{signs.weight_growth:.1f} times as large as before training and {max(signs.dead_rise, 0.0):.0%} of a "
            "layer's units died."
        )
    return (
        f"In epochs {first.first_step} to {first.last_step} {first.quantity.replace('_', ' ')} is "
        f"{first.value:.4f}, where up to {first.threshold:.4f} is sampling noise."
    )


def _restless(signs: Signs) -> tuple[Evidence, ...]:
    """Swollen weights beside a train loss that rises again and again, or beside many dead units.

    Only where the training has not settled all the same.
    """
    share = signs.n_clear_rises / signs.n_epochs
    rises = signs.n_clear_rises >= limits.RISES.value and share > limits.RISE_SHARE.value
    dies = signs.dead_rise > limits.DEAD_RISE.value
    limit = limits.WEIGHT_GROWTH_DEAD if dies else limits.WEIGHT_GROWTH
    has_settled = signs.fit_ratio < limits.SETTLED.value
    if has_settled or not (signs.weight_growth > limit.value and (rises or dies)):
        return ()
    first, last = signs.rows[0].epoch, signs.last_epoch
    shown = [crossed("weight_growth", signs.weight_growth, limit, first_step=last)]
    if dies:
        shown.append(crossed("dead_rise", signs.dead_rise, limits.DEAD_RISE, first_step=last))
    if rises:
        shown.append(
            crossed("train_loss_rise_share", share, limits.RISE_SHARE, first_step=first, last_step=last)
        )
    return tuple(shown)


def _jitter(trial: TrialRecord) -> tuple[Evidence, ...]:
    """Late readings that turn at least twice, by more than sampling explains."""
    rows = trained_rows(trial)
    n = max(int(limits.OSCILLATION_EPOCHS.value), round(limits.OSCILLATION_WINDOW.value * len(rows)))
    if len(rows) <= n:  # the first epoch, in which everything moves, never counts
        return ()
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
        return ()
    if noise <= threshold or not _turns(curve):
        return ()
    evidence = Evidence(
        quantity=quantity,
        first_step=rows[-n].epoch,
        last_step=rows[-1].epoch,
        value=noise,
        threshold=threshold,
        source=limit.source,
    )
    return (evidence,)


def _turns(curve: Curve) -> bool:
    return reversals(curve) >= limits.OSCILLATION_REVERSALS.value


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CURVES, leads_to=("overfitting", "overconfidence"))
