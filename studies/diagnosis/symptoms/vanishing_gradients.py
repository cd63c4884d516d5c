"""Vanishing gradients: the first layers get almost none of the gradient that the last layer gets."""

import math
from collections.abc import Sequence

from studies.diagnosis import thresholds as limits
from studies.diagnosis.causes import MIN_LAYERS, fading_slope, gradients_fade
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import LayerProbe, LayerReadings
from studies.records import StudyRecord, TrialRecord

NAME = "vanishing_gradients"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """A first-to-last ratio that is tiny at step 0 and remains so, or is tiny for ``PERSISTENCE`` epochs.

    Or gradients that shrink from layer to layer in every epoch, where nothing is learned.
    """
    rows = trained_rows(trial)
    abnormal = [row for row in rows if _is_vanishing(row.layers)]
    probe = trial.telemetry.step_zero if trial.telemetry is not None else None
    at_start = probe is not None and _is_vanishing(probe.layers)
    stays = (
        bool(rows) and len(abnormal) == len(rows) if at_start else len(abnormal) >= limits.PERSISTENCE.value
    )
    if not abnormal or not stays:
        return _fading(trial) if gradients_fade(trial) else None
    first, last = abnormal[0], abnormal[-1]
    ratio = _ratio(last.layers)
    causes = (Cause(name=CauseName.VANISHING_GRADIENTS, confidence=0.9 if at_start else 0.6),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"The first layer's gradient is {ratio:.1e} times the last one's: it hardly learns.",
        causes=causes,
        evidence=(
            Evidence(
                quantity="gradient_norm_ratio",
                first_step=0 if at_start else first.epoch,
                last_step=last.epoch,
                value=ratio,
                threshold=limits.VANISHING_RATIO.value,
                source=limits.VANISHING_RATIO.source,
            ),
            Evidence(
                quantity="first_layer_gradient_norm",
                first_step=first.epoch,
                last_step=last.epoch,
                value=last.layers[0].gradient_norm,
                threshold=limits.VANISHING_NORM.value,
                source=limits.VANISHING_NORM.source,
            ),
        ),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def _fading(trial: TrialRecord) -> Finding:
    """The finding of a training whose gradients shrink geometrically on their way back."""
    rows = trained_rows(trial)
    slope = fading_slope(rows[-1].layers)
    causes = (Cause(name=CauseName.VANISHING_GRADIENTS, confidence=0.9),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=(
            f"Gradients shrink {10.0**-slope:.2g} times at every layer on their way back, "
            f"to {_ratio(rows[-1].layers):.1e} of the last layer's at the first: nothing was learned."
        ),
        causes=causes,
        evidence=(
            Evidence(
                quantity="gradient_norm_slope",
                first_step=rows[0].epoch,
                last_step=rows[-1].epoch,
                value=slope,
                threshold=limits.FADING_SLOPE.value,
                source=limits.FADING_SLOPE.source,
            ),
        ),
        remedies=remedies_for(causes, Situation(trial=trial)),
    )


def _is_vanishing(layers: Sequence[LayerReadings] | Sequence[LayerProbe]) -> bool:
    if len(layers) < MIN_LAYERS:
        return False
    first = layers[0].gradient_norm
    # Exact zeros are a frozen or dead layer, another fault.
    return 0.0 < first < limits.VANISHING_NORM.value and _ratio(layers) < limits.VANISHING_RATIO.value


def _ratio(layers: Sequence[LayerReadings] | Sequence[LayerProbe]) -> float:
    first, last = layers[0].gradient_norm, layers[-1].gradient_norm
    return first / last if last > 0.0 else math.inf


SYMPTOM = TrialSymptom(name=NAME, find=find, leads_to=("plateau", "underfitting"))
