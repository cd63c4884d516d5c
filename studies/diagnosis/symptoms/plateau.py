"""Plateau: the train loss stops falling early, at a level that is known not to be the end."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.causes import causes_of_poor_fit, is_explained
from studies.diagnosis.curves import flat_since
from studies.diagnosis.finding import Evidence, Finding, Severity
from studies.diagnosis.lever_rules import larger_batch
from studies.diagnosis.reference import (
    PoorFit,
    chance_accuracy,
    has_learned,
    indifferent_loss,
    poor_fit,
    trained,
    trained_rows,
    untrained_loss,
)
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import Telemetry
from studies.records import StudyRecord, TrialRecord

NAME = "plateau"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """Flat for half of the training and ``PERSISTENCE`` epochs, and far worse than is possible."""
    poor, flat = poor_fit(trial, study), _flatness(trial)
    if poor is None or flat is None or flat.first_step is None:
        return None
    causes = causes_of_poor_fit(trial, study)
    nothing = _learned_nothing(trial, poor)
    after = f"after epoch {flat.first_step}" if flat.first_step else "from the first epoch on"
    level = f"The train loss stays at {trained(trial, 'train_loss')[-1]:.3g} {after}"
    fit = Evidence(
        quantity=poor.quantity,
        first_step=trained_rows(trial)[0].epoch,
        last_step=flat.last_step,
        value=poor.value,
        threshold=poor.threshold,
        source=poor.source,
    )
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.BLOCKER if nothing else Severity.WARNING,
        sentence=f"{level}: nothing was learned."
        if nothing
        else f"{level}, with {poor.quantity} {poor.value:.3f}.",
        causes=causes,
        evidence=(flat, fit),
        remedies=remedies_for(causes, Situation(trial=trial), last=(larger_batch,)),
        hurts_by_itself=nothing or poor.is_certain or is_explained(causes),
    )


def _flatness(trial: TrialRecord) -> Evidence | None:
    """The flat end of the train loss, if it is long enough."""
    losses = trained(trial, "train_loss")
    if trial.telemetry is None or len(losses) < limits.PERSISTENCE.value or not np.all(np.isfinite(losses)):
        return None
    epochs = [0, *(row.epoch for row in trained_rows(trial))]
    curve = np.concatenate([[untrained_loss(trial.telemetry)], losses])
    if not np.isfinite(curve[0]):
        curve, epochs = losses, epochs[1:]
    start = flat_since(curve, limits.FLAT_PER_EPOCH.value)
    n_flat = len(curve) - 1 - start
    before = float(curve[: start + 1].min())
    if n_flat < limits.PERSISTENCE.value or n_flat < len(losses) / 2 or not before > 0.0:
        return None  # a loss of 0 cannot fall
    return Evidence(
        quantity="train_loss_fall_per_epoch",
        first_step=epochs[start],
        last_step=epochs[-1],
        value=float(1.0 - curve[start + 1 :].min() / before) / n_flat,
        threshold=limits.FLAT_PER_EPOCH.value,
        source=limits.FLAT_PER_EPOCH.source,
    )


def _learned_nothing(trial: TrialRecord, poor: PoorFit) -> bool:
    """A loss and a fit of chance: the loss alone may be held up by label smoothing or dropout."""
    telemetry = trial.telemetry or Telemetry()
    indifferent = limits.LOST_LEARNING.value * indifferent_loss(telemetry)
    at_chance = float(trained(trial, "train_loss").min()) >= indifferent
    return at_chance and not has_learned(poor.value, chance_accuracy(telemetry))


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.CURVES,
    leads_to=("underfitting", "oscillation"),
    shows_harm=True,
)
