"""What holds a fit down although the training had its time: regularization, or too few units."""

import math
from collections.abc import Callable

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, crossed_late, falls_short, n_units
from studies.diagnosis.finding import CauseName, Evidence
from studies.diagnosis.progress import stopped_short
from studies.diagnosis.signs import Signs
from studies.diagnosis.slowness import fit_evidence
from studies.diagnosis.weighing import Suspicion

Rule = Callable[[Signs], Suspicion | None]

HOPELESS_DROPOUT = 0.65
"""Of the units: two layers pass on an eighth of the paths (own design; beyond the usual 0.1 to 0.5)."""
ONE_UNIT = 1.9
"""Units, as estimated from untrained weights: to about a tenth, and of a few inputs up to twice as many."""


def restraint(signs: Signs) -> tuple[Suspicion, ...]:
    """All that holds the fit down; empty where nothing does."""
    return tuple(suspicion for rule in _RULES if (suspicion := rule(signs)) is not None)


def _weight_decay(signs: Signs) -> Suspicion | None:
    """Weight decay makes up a good part of each update, and the training data is fitted no better than validation.

    Where the accuracy falls short weights that have shrunk tell as much, at a better fit too: adaptive optimizers
    multiply a decay that goes through the gradient. Weights that have not shrunk were held by something else: where
    nothing else moves them, the little that decay does is all of it.
    """
    has_shrunk = not signs.weight_growth > limits.SHRUNK.value
    is_large = signs.decay_share > limits.DECAY_SHARE.value
    is_off = signs.situation.number("weight_decay") == 0.0
    is_seen = signs.weight_growth < limits.SHRUNK.value and falls_short(signs.trial) and not is_off
    limit = limits.FIT_RATIO_SHRUNK if is_seen else limits.FIT_RATIO_DECAY
    if not (has_shrunk and (is_large or is_seen) and signs.fit_ratio > limit.value):
        return None
    span = {"first_step": signs.rows[0].epoch, "last_step": signs.last_epoch}
    evidence = (
        crossed("decay_share", signs.decay_share, limits.DECAY_SHARE, **span)
        if is_large
        else crossed("weight_growth", signs.weight_growth, limits.SHRUNK, **span)
    )
    return Suspicion(
        name=CauseName.OVER_REGULARIZED,
        confidence=0.85,
        evidence=(evidence, fit_evidence(signs, limit)),
    )


def _dropout(signs: Signs) -> Suspicion | None:
    """Training with noise in the network (dropout, augmentation) is much worse than without, and costs the fit.

    In accuracy and in loss: the answers of a network that has hardly learned flip at any noise. Where the updates are
    next to nothing, or lead nowhere, it is they that keep the loss up. Of a dropout beyond all use half the cost tells.
    """
    dropout = signs.situation.number("dropout")
    is_off = dropout == 0.0 and signs.situation.number("augmentation") == 0.0
    is_strong = dropout >= HOPELESS_DROPOUT and signs.loss_ratio > limits.FIT_RATIO_DROPOUT.value
    dear = limits.STRONG_DROPOUT_COST if is_strong else limits.TRAIN_MODE_COST
    is_dear = signs.train_mode_cost > dear.value
    is_poor = is_strong or signs.fit_ratio > limits.FIT_RATIO_DROPOUT.value
    is_felt = signs.train_mode_loss > limits.TRAIN_MODE_LOSS.value
    hardly_moves = signs.update_ratio < limits.UPDATE_RATIO_LOW.value or stopped_short(signs)
    costs = is_dear and is_felt and is_poor and not (is_off or hardly_moves)
    is_lost = signs.explained < 1.0 - limits.MOST_IS_LEFT.value
    silenced = is_lost and dropout >= HOPELESS_DROPOUT
    if not (costs or silenced):
        return None
    evidence = crossed_late("train_mode_cost", signs.train_mode_cost, dear, signs)
    return Suspicion(
        name=CauseName.OVER_REGULARIZED,
        confidence=0.89 if silenced else 0.85,
        evidence=(evidence, fit_evidence(signs, limits.FIT_RATIO_DROPOUT)),
    )


def _undercapacity(signs: Signs) -> Suspicion | None:
    """Few units or no hidden layer at all, and a fit that is as poor on train as on validation, or falls short."""
    evidence = few_units(signs)
    if evidence is None:
        return None
    is_tiny = evidence.value <= limits.NARROW_LAYERS.value
    limit = limits.FIT_RATIO_FEW_UNITS if is_tiny and falls_short(signs.trial) else limits.FIT_RATIO_NARROW
    if not signs.fit_ratio > limit.value:
        return None
    return Suspicion(
        name=CauseName.UNDERCAPACITY,
        confidence=0.86,
        evidence=(evidence, fit_evidence(signs, limit)),
    )


def few_units(signs: Signs) -> Evidence | None:
    """By the config, or by the untrained weights of a network whose config nobody told.

    Of those all hidden layers must be narrow, or the last one, with fewer units than there are classes: a gate or a
    pooling of one unit is no bottleneck. In a model of the user's own (``module:function``) nobody knows what a width
    is: of channels nine are a sound network.
    """
    width = signs.situation.number("width")
    if signs.situation.number("depth") == 0.0 and signs.situation.choice("model") != "cnn":
        return crossed("width", 0.0, limits.SMALL_WIDTH)
    if not math.isnan(width):
        if ":" in signs.situation.choice("model"):
            is_few = width <= limits.NARROW_LAYERS.value
            return crossed("width", width, limits.NARROW_LAYERS) if is_few else None
        is_few = width <= limits.SMALL_WIDTH.value or width < _n_classes(signs)
        return crossed("width", width, limits.SMALL_WIDTH) if is_few else None
    probe = signs.telemetry.step_zero
    units = [n_units(layer) for layer in probe.layers[:-1]] if probe is not None else []
    if not units:
        return None
    if all(each < limits.NARROW_LAYERS.value for each in units):
        return crossed("hidden_units", max(units), limits.NARROW_LAYERS)
    is_bottleneck = ONE_UNIT < units[-1] < min(limits.NARROW_LAYERS.value, _n_classes(signs))
    return crossed("hidden_units", units[-1], limits.NARROW_LAYERS) if is_bottleneck else None


def _n_classes(signs: Signs) -> int:
    """0 where there are none, or where nobody counted them. Fewer units than classes are a bottleneck by rank."""
    data = signs.telemetry.data
    return len(data.train_class_counts) if data is not None else 0


_RULES: tuple[Rule, ...] = (_weight_decay, _dropout, _undercapacity)
