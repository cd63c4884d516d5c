"""What the rules on code, data and the untrained network share: the probes at hand, and evidence made of them."""

import math
from collections.abc import Sequence

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Evidence
from studies.diagnosis.reference import learned_nothing, trained, trained_rows
from studies.diagnosis.signs import Signs, signs_of
from studies.diagnosis.thresholds import Threshold
from studies.readings import NAN, CodeProbe, DataProbe, LayerProbe, LayerReadings, StepZeroProbe, Telemetry
from studies.records import TrialRecord

MIN_LAYERS = 3
"""Below, a small ratio says that the two layers differ in size, not that gradients fade on the way."""


def code_of(trial: TrialRecord) -> CodeProbe | None:
    """What was seen of the loop's code; None for the toolkit's own loop."""
    return (trial.telemetry or Telemetry()).code


def data_of(trial: TrialRecord) -> DataProbe | None:
    return (trial.telemetry or Telemetry()).data


def start_of(trial: TrialRecord) -> StepZeroProbe | None:
    """The untrained network."""
    return (trial.telemetry or Telemetry()).step_zero


def crossed(
    quantity: str,
    value: float,
    threshold: Threshold,
    *,
    first_step: int | None = None,
    last_step: int | None = None,
) -> Evidence:
    """A reading beside the threshold that it crossed; without steps a property of the data or the code."""
    return Evidence(
        quantity=quantity,
        first_step=first_step,
        last_step=first_step if last_step is None else last_step,
        value=value,
        threshold=threshold.value,
        source=threshold.source,
    )


def initial_excess(probe: StepZeroProbe | None) -> float:
    """How far the untrained loss lies above ln(classes), in units of it; infinite if not finite, NaN if unknown."""
    if probe is None or not math.isfinite(probe.expected_loss):
        return NAN
    if not math.isfinite(probe.train_loss):
        return math.inf
    return (probe.train_loss - probe.expected_loss) / probe.expected_loss


def gradient_ratio(layers: Sequence[LayerReadings] | Sequence[LayerProbe]) -> float:
    """The first layer's gradient norm over the last one's; infinite where the last one's is 0."""
    first, last = layers[0].gradient_norm, layers[-1].gradient_norm
    return first / last if last > 0.0 else math.inf


def fading_slope(layers: Sequence[LayerReadings] | Sequence[LayerProbe]) -> float:
    """The slope of log10 of the gradient norm per layer from the output back; negative where it fades.

    NaN below ``MIN_LAYERS``, and where a norm is 0 (a frozen or dead layer, another fault) or not finite.
    """
    norms = np.array([layer.gradient_norm for layer in layers], dtype=np.float64)[::-1]
    if len(norms) < MIN_LAYERS or not np.all(np.isfinite(norms) & (norms > 0.0)):
        return NAN
    return float(np.polyfit(np.arange(len(norms)), np.log10(norms), deg=1)[0])


def n_units(layer: LayerProbe) -> float:
    """How many units a layer has, to about a tenth: ‖w‖ is deviation x sqrt(fan-in x units); NaN where not read."""
    return (layer.weight_norm / layer.weight_gain) ** 2 if layer.weight_gain > 0.0 else NAN


def gradients_fade(trial: TrialRecord) -> bool:
    """Whether gradients shrink geometrically from layer to layer in every epoch, and nothing is learned."""
    rows = trained_rows(trial)
    return learned_nothing(trial) and all(
        fading_slope(row.layers) < limits.FADING_SLOPE.value for row in rows
    )


def crossed_late(quantity: str, value: float, threshold: Threshold, signs: Signs) -> Evidence:
    """A reading over the late epochs beside the threshold that it crossed."""
    return crossed(quantity, value, threshold, first_step=signs.late_epoch, last_step=signs.last_epoch)


def falls_short(trial: TrialRecord) -> bool:
    """Whether its late accuracy leaves something to be wished for: the harm that no curve has to show.

    False where there is no accuracy. Only beside what is seen to be wrong: a hard task falls short too.
    """
    return signs_of(trial).late_error > 1.0 - limits.GOOD_ENOUGH.value


def fits_well(trial: TrialRecord) -> bool:
    """Whether its late accuracy is known to leave nothing to be wished for."""
    return signs_of(trial).late_error <= 1.0 - limits.GOOD_ENOUGH.value


def best_reading(trial: TrialRecord, quantity: str) -> float:
    """The highest finite reading of an accuracy over the training; NaN where there is none."""
    readings = trained(trial, quantity)
    readings = readings[np.isfinite(readings)]
    return float(readings.max()) if len(readings) else NAN


def first_gap(trial: TrialRecord) -> Evidence | None:
    """The least gap between train and validation accuracy in the first epochs; None where it was not read."""
    n = int(limits.PERSISTENCE.value)
    gaps = (trained(trial, "train_accuracy") - trained(trial, "validation_accuracy"))[:n]
    if not len(gaps) or not np.all(np.isfinite(gaps)):
        return None
    epochs = [row.epoch for row in trained_rows(trial)][:n]
    return crossed(
        "accuracy_gap", float(gaps.min()), limits.SHIFT_GAP, first_step=epochs[0], last_step=epochs[-1]
    )
