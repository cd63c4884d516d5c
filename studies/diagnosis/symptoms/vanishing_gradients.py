"""Vanishing gradients: the first layers get almost none of the gradient that the last layer gets."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import (
    MIN_LAYERS,
    crossed,
    fading_slope,
    falls_short,
    gradient_ratio,
    gradients_fade,
    n_units,
    start_of,
)
from studies.diagnosis.finding import CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import Suspicion, causes_of
from studies.readings import LayerProbe, LayerReadings
from studies.records import StudyRecord, TrialRecord

NAME = "vanishing_gradients"
NARROW = 0.6
"""The confidence in vanishing gradients of a network of so few units that these are the likelier cause."""
BOTTLENECK = 0.8
"""The confidence in too few units where one layer of a few takes most of the gradient away."""


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A first-to-last ratio that is tiny at step 0 and remains so, or is tiny for ``PERSISTENCE`` epochs.

    Or gradients that shrink from layer to layer: in every epoch where nothing is learned, or before any
    update and beyond the first epoch over many layers, or steeply over three of a training that learned little, which
    is a fault only where harm shows.
    """
    rows = trained_rows(trial)
    abnormal = [row for row in rows if _is_vanishing(row.layers)]
    at_start = _is_vanishing(_untrained(trial))
    if not at_start and signs_of(trial).weight_growth < limits.WITHERED.value:
        return None  # weights that were decayed to nothing pass no gradient either
    stays = (
        bool(rows) and len(abnormal) == len(rows) if at_start else len(abnormal) >= limits.PERSISTENCE.value
    )
    if abnormal and stays and (at_start or not _have_collapsed(trial)):
        first, last = abnormal[0], abnormal[-1]
        return _tiny(trial, last.layers, first=first.epoch, last=last.epoch, at_start=at_start)
    if gradients_fade(trial):
        at_start = fading_slope(_untrained(trial)) < limits.FADING_SLOPE.value
        return _fading(trial, rows[-1].layers, first=rows[0].epoch, last=rows[-1].epoch, at_start=at_start)
    layers = _untrained(trial)
    is_deep = len(layers) >= limits.FADING_LAYERS.value
    is_fading = fading_slope(layers) < (limits.FADING_SLOPE if is_deep else limits.FADING_STEEP).value
    if is_fading and _lasts(trial) and (is_deep or _most_is_left(trial)):
        harms = _fits_poorly(trial)
        return _fading(trial, layers, first=0, last=0, at_start=True, learned=True, hurts_by_itself=harms)
    return None


def _fits_poorly(trial: TrialRecord) -> bool:
    """Whether the accuracy falls short, on the training data as well, and no dead layer is to blame."""
    is_dead = any(layer.dead_fraction > limits.DEAD_FRACTION.value for layer in _untrained(trial))
    is_poor = falls_short(trial) and signs_of(trial).fit_ratio > limits.FIT_RATIO_NARROW.value
    return is_poor and not is_dead


def _lasts(trial: TrialRecord) -> bool:
    """Whether the first updates leave the gradients fading, as they do where each layer quarters them.

    Many sound networks start with gradients that fade a little: they grow with the first weights that learn.
    """
    first = fading_slope(trained_rows(trial)[0].layers) if trained_rows(trial) else math.nan
    is_steep = fading_slope(_untrained(trial)) < limits.FADING_STEEP.value
    return is_steep or first < limits.FADING_LASTING.value


def _most_is_left(trial: TrialRecord) -> bool:
    """Whether most of the untrained loss is still there at the end."""
    return signs_of(trial).explained < 1.0 - limits.MOST_IS_LEFT.value


def _tiny(
    trial: TrialRecord, layers: Sequence[LayerReadings], *, first: int, last: int, at_start: bool
) -> Finding:
    ratio = gradient_ratio(layers)
    return _found(
        trial,
        f"The first layer's gradient is {ratio:.1e} times the last one's: it hardly learns.",
        crossed(
            "gradient_norm_ratio",
            ratio,
            limits.VANISHING_RATIO,
            first_step=0 if at_start else first,
            last_step=last,
        ),
        crossed(
            "first_layer_gradient_norm",
            layers[0].gradient_norm,
            limits.VANISHING_NORM,
            first_step=first,
            last_step=last,
        ),
        layers=layers,
        at_start=at_start,
    )


def _fading(
    trial: TrialRecord,
    layers: Sequence[LayerReadings] | Sequence[LayerProbe],
    *,
    first: int,
    last: int,
    at_start: bool,
    learned: bool = False,
    hurts_by_itself: bool = True,
) -> Finding:
    """The finding of a training whose gradients shrink geometrically on their way back."""
    slope = fading_slope(layers)
    said = (
        f"Gradients shrink {10.0**-slope:.2g} times at every layer on their way back, "
        f"to {gradient_ratio(layers):.1e} of the last layer's at the first"
    )
    return _found(
        trial,
        f"{said}, before any update." if learned else f"{said}: nothing was learned.",
        crossed("gradient_norm_slope", slope, limits.FADING_SLOPE, first_step=first, last_step=last),
        layers=layers,
        at_start=at_start,
        hurts_by_itself=hurts_by_itself,
    )


def _found(
    trial: TrialRecord,
    sentence: str,
    *evidence: Evidence,
    layers: Sequence[LayerReadings] | Sequence[LayerProbe],
    at_start: bool,
    hurts_by_itself: bool = True,
) -> Finding:
    own = Suspicion(name=CauseName.VANISHING_GRADIENTS, confidence=0.9 if at_start else 0.6)
    held = (*restraint(signs_of(trial)), *_bottleneck(trial, layers))
    if any(each.name is CauseName.UNDERCAPACITY for each in held):
        # Of a few units most pass nothing back by the luck of the draw: the gradients fade for want of units.
        own = dataclasses.replace(own, confidence=NARROW)
    causes = causes_of([own, *held])
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=sentence,
        causes=causes,
        evidence=evidence,
        remedies=remedies_for(causes, Situation(trial=trial)),
        stage=Stage.UNTRAINED if at_start else Stage.CURVES,
        hurts_by_itself=hurts_by_itself,
    )


def _bottleneck(
    trial: TrialRecord, layers: Sequence[LayerReadings] | Sequence[LayerProbe]
) -> tuple[Suspicion, ...]:
    """Too few units, where most of the gradient is lost at one layer of a few units; empty where it is not.

    A gate of one unit beside the others takes nothing from what flows around it.
    """
    found = np.array([layer.gradient_norm for layer in layers])
    if not np.all(np.isfinite(found) & (found > 0.0)):
        return ()
    norms = np.log10(found)
    losses = np.diff(norms)
    worst = int(np.argmax(losses))
    units = {layer.name: n_units(layer) for layer in _untrained(trial)}.get(layers[worst].name, math.nan)
    share = float(losses[worst] / (norms[-1] - norms[0]))
    if not (units < limits.NARROW_LAYERS.value and share > limits.BOTTLENECK_SHARE.value):
        return ()
    evidence = (
        crossed("hidden_units", units, limits.NARROW_LAYERS),
        crossed("gradient_lost_at_one_layer", share, limits.BOTTLENECK_SHARE),
    )
    return (Suspicion(name=CauseName.UNDERCAPACITY, confidence=BOTTLENECK, evidence=evidence),)


def _untrained(trial: TrialRecord) -> Sequence[LayerProbe]:
    probe = start_of(trial)
    return probe.layers if probe is not None else ()


def _have_collapsed(trial: TrialRecord) -> bool:
    """Whether a layer's weights have shrunk to almost nothing: gradients vanish behind them, as an effect."""
    before = {layer.name: layer.weight_norm for layer in _untrained(trial)}
    return any(
        layer.weight_norm < limits.COLLAPSED_WEIGHTS.value * before.get(layer.name, math.nan)
        for layer in trained_rows(trial)[-1].layers
    )


def _is_vanishing(layers: Sequence[LayerReadings] | Sequence[LayerProbe]) -> bool:
    if len(layers) < MIN_LAYERS:
        return False
    # Exact zeros are a frozen or dead layer, another fault.
    is_tiny = 0.0 < layers[0].gradient_norm < limits.VANISHING_NORM.value
    return is_tiny and gradient_ratio(layers) < limits.VANISHING_RATIO.value


SYMPTOM = TrialSymptom(
    name=NAME, find=find, stage=Stage.CURVES, leads_to=("slow_training", "plateau", "underfitting")
)
