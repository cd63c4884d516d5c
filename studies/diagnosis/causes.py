"""Why a training does not fit: each rule looks at one thing and names at most one cause with its confidence.

The confidences are our own priors (not calibrated yet): 0.9 follows from what was read, 0.3 is what is left
to try.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Cause, CauseName
from studies.diagnosis.reference import NAN, learned_nothing, peer_of, still_falls, trained, trained_rows
from studies.diagnosis.situation import Situation
from studies.readings import LayerProbe, LayerReadings
from studies.records import StudyRecord, TrialRecord

MIN_LAYERS = 3
"""Below, a small ratio says that the two layers differ in size, not that gradients fade on the way."""

Rule = Callable[[Situation, StudyRecord], Cause | None]


def causes_before_training(trial: TrialRecord) -> list[Cause]:
    """What is abnormal before any update, and so no fault of the optimizer: the data and step-0 probes."""
    causes = []
    telemetry = trial.telemetry
    data = telemetry.data if telemetry is not None else None
    probe = telemetry.step_zero if telemetry is not None else None
    if data is not None and data.n_non_finite:
        causes.append(Cause(name=CauseName.NON_FINITE_DATA, confidence=0.95))
    if data is not None and _is_unnormalized(data.input_min, data.input_max, data.input_mean, data.input_std):
        causes.append(Cause(name=CauseName.UNNORMALIZED_INPUT, confidence=0.85))
    elif probe is not None and math.isfinite(probe.expected_loss):
        excess = abs(probe.train_loss - probe.expected_loss) / probe.expected_loss
        if not excess <= limits.INITIAL_LOSS_EXCESS.value:  # a NaN loss at step 0 is abnormal too
            causes.append(Cause(name=CauseName.BAD_INITIALIZATION, confidence=0.7))
    return causes


def _is_unnormalized(low: float, high: float, mean: float, std: float) -> bool:
    too_large = max(abs(low), abs(high)) > limits.INPUT_MAGNITUDE.value
    return too_large or (std > 0.0 and abs(mean) / std > limits.INPUT_OFFSET.value)


def causes_of_poor_fit(trial: TrialRecord, study: StudyRecord) -> tuple[Cause, ...]:
    """The causes of a loss that is too high on both splits, the most likely first; never empty."""
    situation = Situation(trial=trial)
    found = causes_before_training(trial)
    found += [cause for rule in _POOR_FIT_RULES if (cause := rule(situation, study)) is not None]
    small_updates = median_update_ratio(trial) < limits.UPDATE_RATIO_LOW.value
    if small_updates or gradients_fade(trial):
        found = [cause for cause in found if cause.name is not CauseName.LEARNING_RATE_TOO_HIGH]
    if not found:
        slow = small_updates or still_falls(trial)
        name = CauseName.LEARNING_RATE_TOO_LOW if slow else CauseName.LEARNING_RATE_TOO_HIGH
        found = [Cause(name=name, confidence=0.3)]
    return ranked(found)


def ranked(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Each cause once, with its highest confidence, the most likely first."""
    best: dict[CauseName, Cause] = {}
    for cause in causes:
        if cause.name not in best or cause.confidence > best[cause.name].confidence:
            best[cause.name] = cause
    return tuple(sorted(best.values(), key=lambda cause: -cause.confidence))


def median_update_ratio(trial: TrialRecord) -> float:
    """Over layers and epochs, in log10 terms; NaN where none was read."""
    readings = [layer.update_ratio for row in trained_rows(trial) for layer in row.layers]
    ratios = np.array([r for r in readings if math.isfinite(r) and r > 0.0])
    return float(10.0 ** np.median(np.log10(ratios))) if len(ratios) else NAN


def fading_slope(layers: Sequence[LayerReadings] | Sequence[LayerProbe]) -> float:
    """The slope of log10 of the gradient norm per layer from the output back; negative where it fades.

    NaN below ``MIN_LAYERS``, and where a norm is 0 (a frozen or dead layer, another fault) or not finite.
    """
    norms = np.array([layer.gradient_norm for layer in layers], dtype=np.float64)[::-1]
    if len(norms) < MIN_LAYERS or not np.all(np.isfinite(norms) & (norms > 0.0)):
        return NAN
    return float(np.polyfit(np.arange(len(norms)), np.log10(norms), deg=1)[0])


def gradients_fade(trial: TrialRecord) -> bool:
    """Whether gradients shrink geometrically from layer to layer in every epoch, and nothing is learned."""
    rows = trained_rows(trial)
    return learned_nothing(trial) and all(
        fading_slope(row.layers) < limits.FADING_SLOPE.value for row in rows
    )


def _vanishing_gradients(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001
    if gradients_fade(situation.trial):
        return Cause(name=CauseName.VANISHING_GRADIENTS, confidence=0.9)
    return None


def _rate_by_update_ratio(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001 - a rule's shape
    ratio = median_update_ratio(situation.trial)
    if ratio < limits.UPDATE_RATIO_LOW.value:
        return Cause(name=CauseName.LEARNING_RATE_TOO_LOW, confidence=0.8)
    if ratio > limits.UPDATE_RATIO_HIGH.value:
        return Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.8)
    return None


def _rate_by_peer(situation: Situation, study: StudyRecord) -> Cause | None:
    """Against the best trial, if it has the same optimizer: rates of different ones do not compare."""
    peer = peer_of(situation.trial, study)
    if peer is None:
        return None
    other = Situation(trial=peer)
    if situation.config.get("optimizer") != other.config.get("optimizer"):
        return None
    ratio = situation.effective_rate / other.effective_rate if other.effective_rate > 0.0 else NAN
    if ratio <= 1.0 / limits.RATE_RATIO.value:
        return Cause(name=CauseName.LEARNING_RATE_TOO_LOW, confidence=0.7)
    if ratio >= limits.RATE_RATIO.value:
        return Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.7)
    return None


def _rate_by_first_epoch(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001
    """A first epoch that is far worse than knowing nothing is the mark of updates that are too large."""
    probe = situation.trial.telemetry.step_zero if situation.trial.telemetry is not None else None
    losses = trained(situation.trial, "train_loss")
    if probe is None or not len(losses):
        return None
    if losses[0] > (1.0 + limits.INITIAL_LOSS_EXCESS.value) * probe.expected_loss:
        return Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.75)
    return None


def _over_regularized(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001
    strong_decay = situation.number("weight_decay") >= limits.STRONG_WEIGHT_DECAY.value
    strong_dropout = situation.number("dropout") >= limits.STRONG_DROPOUT.value
    if not (strong_decay or strong_dropout):
        return None
    return Cause(name=CauseName.OVER_REGULARIZED, confidence=0.75 if strong_decay and strong_dropout else 0.6)


def _undercapacity(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001
    if situation.number("width") <= limits.SMALL_WIDTH.value:
        return Cause(name=CauseName.UNDERCAPACITY, confidence=0.65)
    return None


def _too_few_epochs(situation: Situation, study: StudyRecord) -> Cause | None:
    """Only a training that was allowed to end, and that no other of its length outdoes."""
    ended = situation.trial.state == "complete"
    if ended and peer_of(situation.trial, study) is None and still_falls(situation.trial):
        return Cause(name=CauseName.TOO_FEW_EPOCHS, confidence=0.5)
    return None


def _warmup_too_long(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001
    if situation.number("warmup_fraction") > limits.LONG_WARMUP.value:
        return Cause(name=CauseName.WARMUP_TOO_LONG, confidence=0.5)
    return None


def _clipping_too_tight(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001
    fractions = trained(situation.trial, "clip_fraction")
    clipped = float(np.nanmedian(fractions)) if np.any(np.isfinite(fractions)) else 0.0
    tiny_updates = not median_update_ratio(situation.trial) >= limits.UPDATE_RATIO_LOW.value
    if clipped > limits.CLIP_FRACTION.value and tiny_updates:
        return Cause(name=CauseName.CLIPPING_TOO_TIGHT, confidence=0.85)
    return None


def _momentum_too_high(situation: Situation, study: StudyRecord) -> Cause | None:  # noqa: ARG001
    if (
        situation.choice("optimizer") in {"sgd", "rmsprop"}
        and situation.number("momentum") >= limits.MOMENTUM_HIGH.value
    ):
        return Cause(name=CauseName.MOMENTUM_TOO_HIGH, confidence=0.4)
    return None


_POOR_FIT_RULES: tuple[Rule, ...] = (
    _vanishing_gradients,
    _clipping_too_tight,
    _rate_by_update_ratio,
    _rate_by_peer,
    _rate_by_first_epoch,
    _over_regularized,
    _undercapacity,
    _too_few_epochs,
    _warmup_too_long,
    _momentum_too_high,
)
