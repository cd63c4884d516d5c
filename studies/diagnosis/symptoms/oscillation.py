"""Oscillation: the training jumps about its minimum instead of settling, at the price of the fit."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, falls_short
from studies.diagnosis.curves import Curve, epoch_noise, reversals
from studies.diagnosis.finding import CauseName, Evidence, Finding, Severity
from studies.diagnosis.instability import are_enlarged, instability
from studies.diagnosis.lever_rules import clip_gradients, decay_rate, lower_rate, warm_up
from studies.diagnosis.reference import has_diverged, trained, trained_rows, validation_error
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.thresholds import Threshold
from studies.diagnosis.weighing import causes_of, evidence_of
from studies.readings import Telemetry
from studies.records import StudyRecord, TrialRecord

NAME = "oscillation"
NO_FALL = Threshold(
    value=0, unit="late relative fall of the validation loss", source="a training that settles gets better"
)
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
    if shown[-1].quantity == "validation_loss_fall":
        return (
            f"The weights are {signs.weight_growth:.1f} times as large as before training, and the validation loss "
            "falls no more."
        )
    if first.quantity == "weight_growth":
        lost = "saturated" if signs.saturated_rise == signs.lost_rise else "died"
        return (
            f"The train loss rises in {signs.n_clear_rises} of {signs.n_epochs} epochs, with weights "
            f"{signs.weight_growth:.1f} times as large as before training and {max(signs.lost_rise, 0.0):.0%} of a "
            f"layer's units {lost}."
        )
    return (
        f"In epochs {first.first_step} to {first.last_step} {first.quantity.replace('_', ' ')} is "
        f"{first.value:.4f}, where up to {first.threshold:.4f} is sampling noise."
    )


def _restless(signs: Signs) -> tuple[Evidence, ...]:
    """Swollen weights beside a train loss that rises again and again, or beside many units that died or saturated.

    Only where the training has not settled all the same. Under a high momentum or a small batch weights swell for a
    known reason: there a validation loss that falls no more, at an accuracy that falls short, is sign enough.
    """
    share = signs.n_clear_rises / signs.n_epochs
    rises = signs.n_clear_rises >= limits.RISES.value and share > limits.RISE_SHARE.value
    dies = signs.lost_rise > limits.DEAD_RISE.value
    stalls = signs.late_fall < 0.0 and falls_short(signs.trial)
    is_forced = are_enlarged(signs) and stalls
    limit = limits.WEIGHT_GROWTH_DEAD if dies else limits.WEIGHT_GROWTH
    if is_forced:
        limit = limits.SWOLLEN_BY_FACTOR
    has_settled = signs.fit_ratio < limits.SETTLED.value
    if has_settled or not (signs.weight_growth > limit.value and (rises or dies or is_forced)):
        return ()
    first, last = signs.rows[0].epoch, signs.last_epoch
    shown = [crossed("weight_growth", signs.weight_growth, limit, first_step=last)]
    if dies:
        quantity = "saturated_rise" if signs.saturated_rise == signs.lost_rise else "dead_rise"
        shown.append(crossed(quantity, signs.lost_rise, limits.DEAD_RISE, first_step=last))
    if rises:
        shown.append(
            crossed("train_loss_rise_share", share, limits.RISE_SHARE, first_step=first, last_step=last)
        )
    if not (rises or dies):
        shown.append(
            crossed(
                "validation_loss_fall",
                signs.late_fall,
                NO_FALL,
                first_step=signs.late_epoch,
                last_step=last,
            )
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
