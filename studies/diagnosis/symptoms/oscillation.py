"""Oscillation: the training jumps about its minimum instead of settling, at the price of the fit."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, crossed_late, falls_short, fits_well
from studies.diagnosis.curves import Curve, epoch_noise, reversals
from studies.diagnosis.finding import CauseName, Evidence, Finding, Severity
from studies.diagnosis.instability import are_enlarged, has_high_momentum, has_tiny_batch, instability
from studies.diagnosis.lever_rules import clip_gradients, decay_rate, lower_rate, warm_up
from studies.diagnosis.reference import has_diverged, trained, trained_rows, validation_error
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs, signs_of
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
Way = tuple[Threshold, Evidence | None]
"""How far weights may swell, and what shows beside them that they should not have; None where nothing does."""
SETTLING = (lower_rate, decay_rate, warm_up, clip_gradients)


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Weights that swell while steps are seen to be too large, or a late jitter of validation.

    The train loss alone is no sign: single epochs rise in many good trainings near the edge of stability. The jitter
    alone is a note in a training that is otherwise calm.
    """
    signs = signs_of(trial)
    if not signs.rows or has_diverged(trial):
        return None
    held = restraint(signs)
    restless = () if held else _restless(signs)
    shown = restless or _jitter(trial)
    if not shown:
        return None
    suspicions = (*held, *instability(signs))
    causes = causes_of(suspicions)
    is_rate = causes[0].name is CauseName.LEARNING_RATE_TOO_HIGH
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if restless or not _is_calm(signs) else Severity.NOTE,
        sentence=_sentence(signs, shown),
        causes=causes,
        evidence=(*shown, *evidence_of(suspicions)),
        remedies=remedies_for(causes, signs.situation, first=SETTLING if is_rate else ()),
    )


def _sentence(signs: Signs, shown: tuple[Evidence, ...]) -> str:
    first, last = shown[0], shown[-1]
    if first.quantity != "weight_growth":
        return (
            f"In epochs {first.first_step} to {first.last_step} {first.quantity.replace('_', ' ')} is "
            f"{first.value:.4f}, where up to {first.threshold:.4f} is sampling noise."
        )
    grown = f"{signs.weight_growth:.1f} times as large as before training"
    said = {
        "validation_loss_fall": "and the validation loss falls no more",
        "validation_loss_noise": f"and the validation loss goes up and down by {last.value:.0%} an epoch",
        "momentum": f"with a momentum of {last.value:g}, and the accuracy falls short",
        "batch_size": f"with updates of {last.value:.0f} samples, and the accuracy falls short",
    }
    if last.quantity in said:
        return f"The weights are {grown}, {said[last.quantity]}."
    lost = "saturated" if signs.saturated_rise == signs.lost_rise else "died"
    share = f" and {signs.lost_rise:.0%} of a layer's units {lost}" if signs.lost_rise > 0.0 else ""
    if not signs.n_clear_rises:
        return f"The weights are {grown},{share}."
    return (
        f"The train loss rises in {signs.n_clear_rises} of {signs.n_epochs} epochs, with weights "
        f"{grown}{share}."
    )


def _restless(signs: Signs) -> tuple[Evidence, ...]:
    """Swollen weights of a training that has not settled, beside what shows that its steps are too large.

    That is units that died or saturated, or a train loss that rises again and again. At an accuracy that falls short
    weights that swelled less will do: see `_falling_short`.
    """
    if signs.fit_ratio < limits.SETTLED.value:
        return ()
    ways = (_deaths(signs), _rises(signs), *(_falling_short(signs) if falls_short(signs.trial) else ()))
    for limit, shown in ways:
        if shown is not None and signs.weight_growth > limit.value:
            return (crossed("weight_growth", signs.weight_growth, limit, first_step=signs.last_epoch), shown)
    return ()


def _is_on_its_way(signs: Signs) -> bool:
    """Whether the validation loss still falls by more than it goes up and down, however large the weights are."""
    return signs.late_fall > limits.FALL_OVER_NOISE.value * signs.late_noise


def _deaths(signs: Signs) -> Way:
    """Units that were lost; who is on its way at an accuracy that may be good enough lost none that it needed."""
    short = signs.late_error - (1.0 - limits.GOOD_ENOUGH.value)
    is_short = short > limits.NOISE_FLOORS.value * signs.accuracy_noise
    quantity = "saturated_rise" if signs.saturated_rise == signs.lost_rise else "dead_rise"
    shown = crossed(quantity, signs.lost_rise, limits.DEAD_RISE, first_step=signs.last_epoch)
    are_many = signs.lost_rise > limits.DEAD_RISE.value
    return limits.WEIGHT_GROWTH_DEAD, shown if are_many and (is_short or not _is_on_its_way(signs)) else None


def _rises(signs: Signs) -> Way:
    share = signs.n_clear_rises / signs.n_epochs
    shown = crossed(
        "train_loss_rise_share",
        share,
        limits.RISE_SHARE,
        first_step=signs.rows[0].epoch,
        last_step=signs.last_epoch,
    )
    often = signs.n_clear_rises >= limits.RISES.value and share > limits.RISE_SHARE.value
    return limits.WEIGHT_GROWTH, shown if often and not _is_on_its_way(signs) else None


def _falling_short(signs: Signs) -> tuple[Way, ...]:
    """What swollen weights need beside them where the accuracy falls short.

    A tiny batch, in a network that does not fit its training data far better than validation, or a high momentum; a
    small batch and a validation loss that falls no more; or one that goes up and down late, in a training whose train
    loss has risen too.
    """
    last = signs.last_epoch
    is_fitted = signs.fit_ratio < limits.FIT_RATIO_TINY_BATCH.value
    tiny = crossed("batch_size", signs.batch_size, limits.SMALL_BATCH)
    high = crossed("momentum", signs.situation.number("momentum"), limits.MOMENTUM_HIGH)
    stalls = crossed_late("validation_loss_fall", signs.late_fall, NO_FALL, signs)
    noisy = crossed("validation_loss_noise", signs.late_noise, limits.LATE_NOISE, last_step=last)
    # A train loss is noisy for other reasons: dropout, and the updates within the epoch.
    is_read = bool(np.all(np.isfinite(trained(signs.trial, "validation_loss"))))
    is_large = signs.update_ratio > limits.RESTLESS_UPDATES.value
    is_noisy = is_read and is_large and signs.n_train_rises > 0 and signs.late_noise > limits.LATE_NOISE.value
    jumps = is_noisy and not _is_on_its_way(signs)
    return (
        (limits.SWOLLEN_BY_FACTOR, tiny if has_tiny_batch(signs) and not is_fitted else None),
        (limits.SWOLLEN_BY_FACTOR, high if has_high_momentum(signs) else None),
        (limits.SWOLLEN_BY_FACTOR, stalls if are_enlarged(signs) and signs.late_fall < 0.0 else None),
        (limits.SWOLLEN_RESTLESS, noisy if jumps else None),
    )


def _is_calm(signs: Signs) -> bool:
    """Whether the steps are not seen to be too large: no train loss that rose, or weights of the size they had.

    Or whether there is nothing left to gain: the training has settled, or its answers are nearly all right.
    """
    has_kept = signs.n_train_rises == 0 or signs.weight_growth <= limits.SWOLLEN_RESTLESS.value
    return has_kept or signs.fit_ratio < limits.SETTLED.value or fits_well(signs.trial)


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
