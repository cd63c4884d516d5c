"""Abnormal start: before any update the network is already far from one that guesses evenly."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import (
    MIN_LAYERS,
    crossed,
    falls_short,
    gradient_ratio,
    initial_excess,
    start_of,
)
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import untrained_loss
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.readings import LayerProbe, StepZeroProbe, Telemetry
from studies.records import StudyRecord, TrialRecord

NAME = "abnormal_start"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """An initial loss far from ln(classes), outputs that grow from layer to layer, weights out of scale, or twins.

    A fault only where harm shows: normalizing layers and patient optimizers make up for much. A loss that is far too
    large together with such weights, or with outputs that grow, harms unseen: such a network fits its training data
    with features that hardly change, and answers worse for it (lazy training, Chizat et al. 2019). There an accuracy
    that falls short is harm enough.
    """
    probe = start_of(trial)
    if probe is None:
        return None
    if Situation(trial=trial).number("dropout") > 0.0:
        # It lifts the loss in train mode; epoch 0 is read without.
        probe = dataclasses.replace(probe, train_loss=untrained_loss(trial.telemetry or Telemetry()))
    growth, excess = _growth(probe), initial_excess(probe)
    seen = [
        *growth,
        *([_initial_loss(excess)] if abs(excess) > limits.INITIAL_LOSS_EXCESS.value else []),
        *_gains(probe),
        *_twins(probe),
    ]
    if not seen:
        return None
    is_large = any(layer.weight_gain > limits.WEIGHT_GAIN_HIGH.value for layer in probe.layers)
    is_lazy = (is_large or bool(growth)) and excess > limits.INITIAL_LOSS_EXCESS.value
    causes = _causes(probe, is_growing=bool(growth))
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"Before any update {'; '.join(sentence for sentence, _ in seen)}.",
        causes=tuple(causes),
        evidence=tuple(evidence for _, evidence in seen),
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=is_lazy and falls_short(trial),
    )


def _causes(probe: StepZeroProbe, *, is_growing: bool) -> list[Cause]:
    """Where outputs grow both are possible: over many layers, or by one gain for all, growth is the likelier."""
    if is_growing:
        return [
            Cause(name=CauseName.EXPLODING_GRADIENTS, confidence=0.85),
            Cause(name=CauseName.BAD_INITIALIZATION, confidence=0.6),
        ]
    if not growth_per_layer(probe.layers, at_least=MIN_LAYERS) > limits.GROWTH_PER_LAYER.value:
        return [Cause(name=CauseName.BAD_INITIALIZATION, confidence=0.85)]
    by_gain = _grows_by_gain(probe)
    names = (CauseName.EXPLODING_GRADIENTS, CauseName.BAD_INITIALIZATION)
    first, second = names if by_gain else names[::-1]
    return [Cause(name=first, confidence=0.85), Cause(name=second, confidence=0.6)]


def _grows_by_gain(probe: StepZeroProbe) -> bool:
    """Whether each hidden layer multiplies its inputs by about the same: one gain that is too large.

    Weights of one deviation whatever the fan-in, one layer out of scale and units that are copies are none.
    """
    gains = np.array([layer.weight_gain for layer in probe.layers[:-1]], dtype=np.float64)
    are_alike = bool(gains.min() > limits.ALIKE_GAINS.value * gains.max())
    return are_alike and not _twins(probe)


def _initial_loss(excess: float) -> tuple[str, Evidence]:
    said = (
        f"the loss is {1.0 + excess:.3g} times that of guessing"
        if math.isfinite(excess)
        else "it is not finite"
    )
    return said, crossed("initial_loss_excess", excess, limits.INITIAL_LOSS_EXCESS, first_step=0)


def _growth(probe: StepZeroProbe) -> list[tuple[str, Evidence]]:
    """Outputs or gradients that grow geometrically over many layers."""
    growth = growth_per_layer(probe.layers)
    if growth > limits.GROWTH_PER_LAYER.value:
        evidence = crossed("output_growth_per_layer", growth, limits.GROWTH_PER_LAYER, first_step=0)
        return [(f"outputs grow {growth:.2g} times at every layer", evidence)]
    ratio = gradient_ratio(probe.layers) if len(probe.layers) >= MIN_LAYERS else 0.0
    if math.isfinite(ratio) and ratio > limits.EXPLODING_RATIO.value:
        evidence = crossed("gradient_norm_ratio", ratio, limits.EXPLODING_RATIO, first_step=0)
        return [(f"the first layer's gradient is {ratio:.3g} times the last one's", evidence)]
    return []


def growth_per_layer(layers: Sequence[LayerProbe], at_least: int | None = None) -> float:
    """The geometric mean of the growth of the outputs' deviation over the hidden layers.

    NaN for fewer hidden layers than ``at_least``, by default GROWING_LAYERS.
    """
    fewest = limits.GROWING_LAYERS.value if at_least is None else at_least
    stds = np.array([layer.output_std for layer in layers[:-1]], dtype=np.float64)
    stds = stds[np.isfinite(stds) & (stds > 0.0)]
    if len(stds) < fewest:
        return math.nan
    return float(10.0 ** np.polyfit(np.arange(len(stds)), np.log10(stds), deg=1)[0])


def _gains(probe: StepZeroProbe) -> list[tuple[str, Evidence]]:
    """The layer whose weights are farthest out of scale; all-zero ones are twins, not small."""
    gains = [(layer.weight_gain, layer.name) for layer in probe.layers if layer.weight_gain > 0.0]
    if not gains:
        return []
    (low, lowest), (high, highest) = min(gains), max(gains)
    if high > limits.WEIGHT_GAIN_HIGH.value:
        evidence = crossed("weight_gain", high, limits.WEIGHT_GAIN_HIGH, first_step=0)
        return [(f"layer {highest}'s weights are {high:.3g} times as large as keeps the scale", evidence)]
    if low < limits.WEIGHT_GAIN_LOW.value:
        evidence = crossed("weight_gain", low, limits.WEIGHT_GAIN_LOW, first_step=0)
        return [(f"layer {lowest}'s weights are {low:.3g} times as large as keeps the scale", evidence)]
    return []


def _twins(probe: StepZeroProbe) -> list[tuple[str, Evidence]]:
    """Hidden units that are copies of each other; outputs of one initial value part with the first update."""
    hidden = [layer for layer in probe.layers[:-1] if math.isfinite(layer.twin_fraction)]
    worst = max(hidden, key=lambda layer: layer.twin_fraction, default=None)
    if worst is None or not worst.twin_fraction > limits.TWIN_FRACTION.value:
        return []
    evidence = crossed("twin_fraction", worst.twin_fraction, limits.TWIN_FRACTION, first_step=0)
    return [(f"{worst.twin_fraction:.0%} of layer {worst.name}'s units are copies of another", evidence)]


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.UNTRAINED,
    leads_to=(
        "vanishing_gradients",
        "dead_units",
        "divergence",
        "early_instability",
        "clipped_updates",
        "slow_training",
        "plateau",
        "oscillation",
        "underfitting",
    ),
)
