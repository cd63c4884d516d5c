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
from studies.diagnosis.signs import signs_of
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
    with features that hardly change, and answers worse for it (lazy training, Chizat et al. 2019). So do weights that
    drive one layer after the other into the bounds of their activation, and a layer whose units are all copies. An
    accuracy that falls short is harm enough.
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
        *(_gains(probe) or _magnification(probe)),
        *_twins(probe),
    ]
    if not seen:
        return None
    # A mildly saturated network that has learned its training data all the same has come out of it.
    is_far_out = _magnified_gain(probe) > limits.WEIGHT_GAIN_HIGH.value
    has_settled = not (is_far_out or signs_of(trial).fit_ratio > limits.SETTLED.value)
    is_held_down = _is_saturated(probe) and not has_settled
    is_harmful = is_held_down or _is_lazy(probe, excess, is_growing=bool(growth)) or _is_all_copies(probe)
    causes = _causes(probe, is_growing=bool(growth))
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"Before any update {'; '.join(sentence for sentence, _ in seen)}.",
        causes=tuple(causes),
        evidence=tuple(evidence for _, evidence in seen),
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=is_harmful and falls_short(trial),
    )


def _is_lazy(probe: StepZeroProbe, excess: float, *, is_growing: bool) -> bool:
    """Whether features will hardly change: weights far out of scale, and a loss that shows it.

    Weights that are far too small pass no signal on; a small output layer alone is sound.
    """
    if _magnified_gain(probe) > 0.0 and excess > limits.MAGNIFIED_LOSS_EXCESS.value:
        return True
    if _mean_hidden_gain(probe) < limits.WEIGHT_GAIN_LOW.value:
        return True
    is_large = any(layer.weight_gain > limits.WEIGHT_GAIN_HIGH.value for layer in probe.layers)
    return (is_large or is_growing) and excess > limits.INITIAL_LOSS_EXCESS.value


def _causes(probe: StepZeroProbe, *, is_growing: bool) -> list[Cause]:
    """Where layer upon layer magnifies both are possible: it explodes by one gain for all hidden layers or by depth.

    A network whose output layer is as far out of scale was drawn from a wrong distribution as a whole.
    """
    is_magnified = _magnified_gain(probe) > 0.0
    is_drawn_wrong = is_magnified and probe.layers[-1].weight_gain > limits.WEIGHT_GAIN_HIGH.value
    grows = is_growing or growth_per_layer(probe.layers, at_least=MIN_LAYERS) > limits.GROWTH_PER_LAYER.value
    if not (grows or is_magnified):
        return [Cause(name=CauseName.BAD_INITIALIZATION, confidence=0.85)]
    explodes = (is_growing and not is_drawn_wrong) or _grows_by_gain(probe)
    names = (CauseName.EXPLODING_GRADIENTS, CauseName.BAD_INITIALIZATION)
    first, second = names if explodes else names[::-1]
    return [Cause(name=first, confidence=0.85), Cause(name=second, confidence=0.6)]


def _mean_hidden_gain(probe: StepZeroProbe) -> float:
    """The geometric mean of the hidden layers' weight gains; NaN where there is none, or one was not read or is 0."""
    gains = [layer.weight_gain for layer in probe.layers[:-1]]
    if not gains or not all(gain > 0.0 for gain in gains):
        return math.nan
    return math.exp(sum(map(math.log, gains)) / len(gains))


def _magnified_gain(probe: StepZeroProbe) -> float:
    """The least weight gain of the hidden layers where each of them magnifies, over ``MIN_LAYERS`` and more; else 0."""
    gains = [layer.weight_gain for layer in probe.layers[:-1]]
    if len(gains) < MIN_LAYERS or not all(gain > limits.MAGNIFYING_GAIN.value for gain in gains):
        return 0.0
    return min(gains)


def _is_saturated(probe: StepZeroProbe) -> bool:
    """Whether the last hidden layer's inputs are no larger than 1 although its weights and all before magnify.

    Then the activations have bounds, and the network has run into them: outputs of a deviation beyond 1 are where tanh
    is all but flat.
    """
    if not _magnified_gain(probe) > 0.0:
        return False
    last = probe.layers[-2]
    return 1.0 < last.output_std <= last.weight_gain


def _grows_by_gain(probe: StepZeroProbe) -> bool:
    """Whether each hidden layer multiplies its inputs by about the same, and the output layer does not.

    Weights of one deviation whatever the fan-in, one layer out of scale and units that are copies are no such gain.
    """
    least = _magnified_gain(probe)
    are_alike = least > limits.ALIKE_GAINS.value * max(layer.weight_gain for layer in probe.layers[:-1])
    is_usual_at_the_end = probe.layers[-1].weight_gain < limits.MAGNIFYING_GAIN.value
    return least > 0.0 and are_alike and is_usual_at_the_end and not _twins(probe)


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


def _magnification(probe: StepZeroProbe) -> list[tuple[str, Evidence]]:
    """Weights that are out of scale in every hidden layer, each of them mildly."""
    gain = _magnified_gain(probe)
    if not gain > 0.0:
        return []
    evidence = crossed("least_weight_gain", gain, limits.MAGNIFYING_GAIN, first_step=0)
    return [
        (f"every hidden layer's weights are at least {gain:.3g} times as large as keeps the scale", evidence)
    ]


def _twins(probe: StepZeroProbe) -> list[tuple[str, Evidence]]:
    """Hidden units that are copies of each other; outputs of one initial value part with the first update."""
    hidden = [layer for layer in probe.layers[:-1] if math.isfinite(layer.twin_fraction)]
    worst = max(hidden, key=lambda layer: layer.twin_fraction, default=None)
    if worst is None or not worst.twin_fraction > limits.TWIN_FRACTION.value:
        return []
    evidence = crossed("twin_fraction", worst.twin_fraction, limits.TWIN_FRACTION, first_step=0)
    return [(f"{worst.twin_fraction:.0%} of layer {worst.name}'s units are copies of another", evidence)]


def _is_all_copies(probe: StepZeroProbe) -> bool:
    """Whether all units of a hidden layer are copies: they part by noise alone, if at all. Zeros are a usual start."""
    return any(
        layer.twin_fraction >= limits.ALL_TWINS.value and layer.weight_gain > 0.0
        for layer in probe.layers[:-1]
    )


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
