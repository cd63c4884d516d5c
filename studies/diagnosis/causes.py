"""Why a training does not fit: what is too large, too small, too few, or held down - the most likely first.

The confidences rank causes: 0.9 follows from what was read, 0.3 is what is left to try.
"""

from collections.abc import Callable, Sequence

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import gradients_fade
from studies.diagnosis.finding import Cause, CauseName
from studies.diagnosis.instability import has_passed, instability, what_enlarges_steps
from studies.diagnosis.reference import peer_of, still_falls
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.slowness import clipping_too_tight, slowness
from studies.diagnosis.weighing import Suspicion, causes_of, ranked
from studies.records import StudyRecord, TrialRecord

Rule = Callable[[Signs, StudyRecord], Suspicion | None]

LAST_RESORT = 0.3
"""The confidence of a cause that no reading speaks for."""


def causes_of_poor_fit(trial: TrialRecord, study: StudyRecord) -> tuple[Cause, ...]:
    """The causes of a loss that is too high on both splits, the most likely first; never empty."""
    signs = signs_of(trial)
    found = [suspicion for rule in _RULES if (suspicion := rule(signs, study)) is not None]
    held = restraint(signs)
    found += [*slowness(signs), *held, *_unstable(signs, is_held=bool(held))]
    is_slow = signs.update_ratio < limits.UPDATE_RATIO_LOW.value
    if is_slow or gradients_fade(trial):
        found = [suspicion for suspicion in found if suspicion.name is not CauseName.LEARNING_RATE_TOO_HIGH]
    return causes_of(found) or _what_is_left(signs, is_slow=is_slow)


def is_explained(causes: Sequence[Cause]) -> bool:
    """Whether a reading speaks for the first cause."""
    return bool(causes) and causes[0].confidence > LAST_RESORT


def _what_is_left(signs: Signs, *, is_slow: bool) -> tuple[Cause, ...]:
    slow = is_slow or still_falls(signs.trial)
    name = CauseName.LEARNING_RATE_TOO_LOW if slow else CauseName.LEARNING_RATE_TOO_HIGH
    return ranked([Cause(name=name, confidence=LAST_RESORT)])


def _unstable(signs: Signs, *, is_held: bool) -> tuple[Suspicion, ...]:
    """Only after a burst of the loss that left a trace, of weights or of dead units: a poor fit alone is no sign.

    The weights of a network that is held down by its size grow by themselves. Momentum and single samples make steps
    larger than they look, and are suspected wherever the fit is poor; a small batch not where the weights have kept
    their size.
    """
    is_swollen = (
        signs.weight_growth > limits.WEIGHT_GROWTH.value or signs.dead_rise > limits.DEAD_FRACTION.value
    )
    has_burst = signs.burst > limits.BURST.value and not has_passed(signs)
    is_shown = has_burst or (is_swollen and not is_held)
    if is_shown:
        return instability(signs)
    has_kept = signs.weight_growth <= limits.SWOLLEN.value
    return tuple(
        each
        for each in what_enlarges_steps(signs)
        if not (has_kept and each.name is CauseName.BATCH_TOO_SMALL)
    )


def _vanishing_gradients(signs: Signs, study: StudyRecord) -> Suspicion | None:  # noqa: ARG001 - a rule's shape
    if gradients_fade(signs.trial):
        return Suspicion(name=CauseName.VANISHING_GRADIENTS, confidence=0.9)
    return None


def _clipping(signs: Signs, study: StudyRecord) -> Suspicion | None:  # noqa: ARG001
    return clipping_too_tight(signs)


def _rate_by_update_ratio(signs: Signs, study: StudyRecord) -> Suspicion | None:  # noqa: ARG001
    if signs.update_ratio < limits.UPDATE_RATIO_LOW.value:
        return Suspicion(name=CauseName.LEARNING_RATE_TOO_LOW, confidence=0.8)
    if signs.update_ratio > limits.UPDATE_RATIO_HIGH.value:
        return Suspicion(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.8)
    return None


def _rate_by_peer(signs: Signs, study: StudyRecord) -> Suspicion | None:
    """Against the best trial, if it has the same optimizer: rates of different ones do not compare."""
    peer = peer_of(signs.trial, study)
    if peer is None:
        return None
    own, other = signs.situation, Situation(trial=peer)
    if own.config.get("optimizer") != other.config.get("optimizer") or not other.effective_rate > 0.0:
        return None
    ratio = own.effective_rate / other.effective_rate
    if ratio <= 1.0 / limits.RATE_RATIO.value:
        return Suspicion(name=CauseName.LEARNING_RATE_TOO_LOW, confidence=0.7)
    if ratio >= limits.RATE_RATIO.value:
        return Suspicion(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.7)
    return None


_RULES: tuple[Rule, ...] = (_vanishing_gradients, _clipping, _rate_by_update_ratio, _rate_by_peer)
