"""Underfitting: even the training set is fitted much worse than it could be, and nothing moves any more."""

import dataclasses

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, crossed_late
from studies.diagnosis.causes import causes_of_poor_fit, is_explained
from studies.diagnosis.finding import CauseName, Evidence, Finding, Severity
from studies.diagnosis.instability import has_tiny_batch, high_momentum
from studies.diagnosis.reference import PoorFit, learned_nothing, poor_fit
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.slowness import fit_evidence, fit_in_words
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import Suspicion, causes_of, evidence_of
from studies.records import StudyRecord, TrialRecord

NAME = "underfitting"

_SAID = {
    CauseName.OVER_REGULARIZED: "regularization holds the fit down",
    CauseName.UNDERCAPACITY: "it has too few units to fit more",
    CauseName.MOMENTUM_TOO_HIGH: "its momentum carries the weights past every minimum",
    CauseName.BATCH_TOO_SMALL: "its updates see so few samples that they are mostly noise",
}
CLEARLY_LIKELIER = 0.02
"""How much more confidence than another cause has puts one before it (own design)."""


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """What holds the fit down is seen at work; or both splits are far below the study's best, or a floor.

    From epoch 1 on where nothing was learned. A floor alone is a note: the data may allow no more.
    """
    signs = signs_of(trial)
    if not signs.rows:
        return None
    poor = poor_fit(trial, study)
    held = _held(signs)
    if not held and poor is None:
        return None
    causes = causes_of_poor_fit(trial, study) if poor is not None else causes_of(held)
    nothing = learned_nothing(trial)
    if poor is not None:
        sentence = _sentence(poor, nothing=nothing)
    else:
        sentence = (
            f"The training data itself is fitted poorly ({fit_in_words(signs)}): {_SAID[causes[0].name]}."
        )
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.BLOCKER if nothing else Severity.WARNING,
        sentence=sentence,
        causes=causes,
        evidence=(*_fit(poor, signs), *evidence_of(held)),
        remedies=remedies_for(causes, signs.situation),
        hurts_by_itself=poor is None or poor.is_certain or is_explained(causes),
    )


def _held(signs: Signs) -> tuple[Suspicion, ...]:
    """What holds the fit down; with few units a high momentum may, which needs no other network to be mended.

    It is the likelier where the units are not as few as to be hopeless by themselves.
    """
    held = (*restraint(signs), *_noisy_updates(signs))
    few = [each for each in held if each.name is CauseName.UNDERCAPACITY]
    momentum = high_momentum(signs)
    if momentum is None or not few or not signs.weight_growth > limits.SWOLLEN_BY_FACTOR.value:
        return held
    is_hopeless = few[0].evidence[0].value <= limits.NARROW_LAYERS.value
    confidence = momentum.confidence if is_hopeless else few[0].confidence + CLEARLY_LIKELIER
    return (*held, dataclasses.replace(momentum, confidence=confidence))


def _noisy_updates(signs: Signs) -> tuple[Suspicion, ...]:
    """Updates of a handful of samples, at whose end the fit is poor and the errors are many."""
    is_poor = (
        signs.fit_ratio > limits.FIT_RATIO_NOISY.value and signs.late_error > limits.TINY_BATCH_ERROR.value
    )
    if not (has_tiny_batch(signs) and is_poor):
        return ()
    evidence = (
        crossed("batch_size", signs.batch_size, limits.SMALL_BATCH),
        crossed_late("late_error", signs.late_error, limits.TINY_BATCH_ERROR, signs),
        fit_evidence(signs, limits.FIT_RATIO_NOISY),
    )
    return (Suspicion(name=CauseName.BATCH_TOO_SMALL, confidence=0.84, evidence=evidence),)


def _sentence(poor: PoorFit, *, nothing: bool) -> str:
    epochs = "1 epoch" if poor.n_epochs == 1 else f"{poor.n_epochs} epochs"
    best = f"the better of train and validation {poor.quantity} is {poor.value:.3f}"
    if nothing:
        return f"After {epochs} nothing was learned: {best}, no better than guessing."
    return f"After {epochs} neither split is fitted: {best}, where at least {poor.threshold:.3f} is possible."


def _fit(poor: PoorFit | None, signs: Signs) -> tuple[Evidence, ...]:
    if poor is None:
        return ()
    evidence = Evidence(
        quantity=poor.quantity,
        first_step=signs.rows[0].epoch,
        last_step=signs.last_epoch,
        value=poor.value,
        threshold=poor.threshold,
        source=poor.source,
    )
    return (evidence,)


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CURVES, shows_harm=True)
