"""Divergence: the loss becomes infinite or NaN, or climbs back to where nothing is learned."""

import dataclasses
import math

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed
from studies.diagnosis.finding import Evidence, Finding, Severity
from studies.diagnosis.instability import ALTERNATIVE, has_passed, instability
from studies.diagnosis.reference import (
    NAN,
    has_bad_loss,
    has_diverged,
    indifferent_loss,
    learned_nothing,
    trained,
    trained_rows,
    untrained_loss,
)
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import causes_of
from studies.records import StudyRecord, TrialRecord

NAME = "divergence"
EXPLODED_EPOCHS = 2
"""A loss must stay exploded this long: one bad epoch recovers."""


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A non-finite loss, or one that had fallen and stays above twice its minimum and near ln(classes).

    Or one that burst far above the untrained network's, in a training that has not recovered from it.
    """
    signs = signs_of(trial)
    if has_diverged(trial):
        sentence, evidence = _non_finite(trial)
    elif exploded := _exploded(trial) or _worse_than_untrained(trial) or _burst(signs):
        sentence, evidence = exploded
    else:
        return None
    held = [dataclasses.replace(each, confidence=ALTERNATIVE) for each in restraint(signs)]
    causes = causes_of((*instability(signs), *held))
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.BLOCKER,
        sentence=sentence,
        causes=causes,
        evidence=(evidence,),
        remedies=remedies_for(causes, signs.situation),
    )


def _non_finite(trial: TrialRecord) -> tuple[str, Evidence]:
    rows = trained_rows(trial)
    bad = [row for row in rows if has_bad_loss(row)]
    step = _first_bad_step(trial)
    # The epoch that diverged may have been left without a row: then it is the one after the last.
    epoch = bad[0].epoch if bad else (rows[-1].epoch + 1 if rows else None)
    where = (
        "" if epoch is None else f" in epoch {epoch}" + ("" if step is None else f" (optimizer step {step})")
    )
    evidence = Evidence(
        quantity="train_loss" if step is None else "step_train_loss",
        first_step=epoch if step is None else step,
        last_step=epoch if step is None else step,
        value=NAN,
        threshold=math.inf,
        source="a loss must be finite",
    )
    return f"The training diverged: its loss or a parameter became infinite or NaN{where}.", evidence


def _first_bad_step(trial: TrialRecord) -> int | None:
    """The first optimizer step, from 0 over the whole training, whose loss is not finite."""
    losses = trial.telemetry.step_series("train_loss") if trial.telemetry is not None else np.empty(0)
    bad = np.flatnonzero(~np.isfinite(losses))
    return int(bad[0]) if len(bad) else None


def _exploded(trial: TrialRecord) -> tuple[str, Evidence] | None:
    losses = trained(trial, "train_loss")
    if trial.telemetry is None or len(losses) <= EXPLODED_EPOCHS:
        return None
    nothing_learned = limits.LOST_LEARNING.value * indifferent_loss(trial.telemetry)
    lowest = float(losses.min())
    late = losses[-EXPLODED_EPOCHS:]
    threshold = max(limits.EXPLOSION_RATIO.value * lowest, nothing_learned)
    # Written so that an unknown (NaN) reference never fires.
    if not (lowest < nothing_learned and bool(np.all(late > threshold))):
        return None
    epochs = [row.epoch for row in trained_rows(trial)]
    evidence = Evidence(
        quantity="train_loss",
        first_step=epochs[-EXPLODED_EPOCHS],
        last_step=epochs[-1],
        value=float(late.min()),
        threshold=threshold,
        source=limits.EXPLOSION_RATIO.source,
    )
    return f"The train loss had fallen to {lowest:.3g} and then climbed to {losses[-1]:.3g}.", evidence


def _worse_than_untrained(trial: TrialRecord) -> tuple[str, Evidence] | None:
    """An explosion in the first updates leaves no lower loss to climb from: the untrained one is the measure."""
    losses = trained(trial, "train_loss")
    if trial.telemetry is None or not learned_nothing(trial):
        return None
    untrained = untrained_loss(trial.telemetry)
    threshold = limits.EXPLOSION_RATIO.value * untrained
    worst = int(np.argmax(losses))
    if not losses[worst] > threshold:
        return None
    epoch = trained_rows(trial)[worst].epoch
    evidence = Evidence(
        quantity="train_loss",
        first_step=epoch,
        last_step=epoch,
        value=float(losses[worst]),
        threshold=threshold,
        source=limits.EXPLOSION_RATIO.source,
    )
    climbed = f"The train loss climbed from {untrained:.3g} before training to {losses[worst]:.3g}"
    return f"{climbed} in epoch {epoch}, and nothing was learned.", evidence


def _burst(signs: Signs) -> tuple[str, Evidence] | None:
    """Most of the untrained loss is still there at the end, after a burst within an epoch that its mean may hide.

    Where it has passed without a trace the loss is high for another reason: a hard task, wrong labels. Who fits the
    training data far better than validation has come back from it.
    """
    has_come_back = has_passed(signs) or signs.fit_ratio < limits.FIT_RATIO_AFTER_BURST.value
    if not signs.explained < 1.0 - limits.MOST_IS_LEFT.value or has_come_back:
        return None
    if not signs.burst > limits.BURST.value:
        return _swollen(signs)
    evidence = crossed(
        "burst", signs.burst, limits.BURST, first_step=signs.rows[0].epoch, last_step=signs.last_epoch
    )
    said = f"The train loss burst to {signs.burst:.3g} times what it was before training"
    return f"{said}, and it ends at {1.0 - signs.explained:.2g} times that.", evidence


def _swollen(signs: Signs) -> tuple[str, Evidence] | None:
    """Single samples hide the burst in their noise: what is left are swollen weights and dead units."""
    is_dead = signs.dead_rise > limits.DEAD_FRACTION.value
    if restraint(signs) or not (is_dead and signs.weight_growth > limits.SWOLLEN.value):
        return None
    evidence = crossed("weight_growth", signs.weight_growth, limits.SWOLLEN, first_step=signs.last_epoch)
    said = f"The weights grew to {signs.weight_growth:.3g} times their size"
    return (
        f"{said}, {signs.dead_rise:.0%} of a layer's units died of it, and hardly anything was learned.",
        evidence,
    )


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.EARLY,
    leads_to=(
        "early_instability",
        "clipped_updates",
        "dead_units",
        "slow_training",
        "plateau",
        "oscillation",
        "overfitting",
        "underfitting",
        "vanishing_gradients",
    ),
)
