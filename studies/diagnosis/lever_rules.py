"""What may be changed of a config, one lever each, with a value computed from the trial's own readings.

A rule returns None when its change is already there or cannot be computed; so a remedy always changes something.
"""

import dataclasses
import math

import numpy as np

from search_spaces.edits import Edit, EditKind
from studies.diagnosis.finding import Remedy
from studies.diagnosis.reference import still_falls, trained
from studies.diagnosis.signs import Signs
from studies.diagnosis.situation import Situation
from studies.diagnosis.slowness import is_unfinished
from studies.diagnosis.thresholds import TRAIN_MODE_COST
from studies.readings import Telemetry

MAX_BATCH = 256
"""Of a larger batch: the updates lost beyond it cost more than the noise (calibration: 256 to 512 did harm)."""
GOOD_BATCH = 64
"""Samples that a full or a single-sample batch is set to: noise enough, and steps enough (own design)."""
GOOD_WIDTH = 64
ENOUGH_EPOCHS = 10
"""A longer training has at least so many: four times one epoch is still short."""
GOOD_UPDATE_RATIO = 1.2e-2
"""‖Δw‖ / ‖w‖ that raised rates aim at: the ratio rises less than the rate (own measurements)."""
RATE_FACTORS = (3.0, 500.0)
"""A raised rate is at least and at most so many times the old one."""
GOOD_DECAY_SHARE = 0.05
"""Of an update: weight decay that helps and does not hinder (own design)."""
SMALLEST_NORMALIZED_BATCH = 8
"""Samples; the statistics of fewer are noise (own design, after the Tuning Playbook's ghost batches)."""
MAX_CLIP_NORM = 10.0
"""Gradients beyond it are exploding already: their percentile is no limit (own design)."""
LARGEST_SAFE_ADAM_RATE = 3e-3
"""Above it, Adam with the rate of SGD is a new fault rather than a remedy (own design)."""


def _set(lever: str, value: bool | float | str, reason: str, *, before: object = None) -> Remedy:
    shown = f" from {_shown(before)}" if before is not None else ""
    sentence = f"{_verb(value, before)} {lever}{shown} to {_shown(value)}: {reason}."
    return Remedy(sentence=sentence, edits=(Edit(kind=EditKind.FIX, lever=lever, value=value),))


def _verb(value: object, before: object) -> str:
    if isinstance(value, int | float) and isinstance(before, int | float):
        return "Raise" if value > before else "Lower"
    return "Set"


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _rounded(value: float) -> float:
    """To three digits: 3.0 * 0.1 is 0.3 for a person."""
    return float(f"{value:.3g}")


def _scaled_rate(situation: Situation, factor: float, reason: str) -> Remedy | None:
    rate = situation.learning_rate
    if not (math.isfinite(rate) and rate > 0.0):
        return None
    return _set("learning_rate", _rounded(rate * factor), reason, before=_rounded(rate))


def lower_rate_tenfold(situation: Situation) -> Remedy | None:
    return _scaled_rate(situation, 0.1, "its updates are larger than the loss surface allows")


def lower_rate(situation: Situation) -> Remedy | None:
    return _scaled_rate(situation, 0.3, "smaller updates settle instead of jumping over the minimum")


def raise_rate(situation: Situation) -> Remedy | None:
    """By what brings the updates to a usual size; tenfold where they were not read."""
    ratio = Signs(trial=situation.trial).update_ratio
    low, high = RATE_FACTORS
    factor = min(max(GOOD_UPDATE_RATIO / ratio, low), high) if ratio > 0.0 else 10.0
    factor = round(factor) if factor < 10.0 else float(f"{factor:.1g}")
    return _scaled_rate(situation, factor, "its updates are too small to get anywhere in the given epochs")


def warm_up(situation: Situation) -> Remedy | None:
    if situation.number("warmup_fraction") == 0.0 and not situation.number("warmup_steps") > 0.0:
        return _set("warmup_fraction", 0.05, "the first updates, on random weights, are the dangerous ones")
    return None


def shorten_warmup(situation: Situation) -> Remedy | None:
    reason = "a longer warmup only loses time at small rates"
    fraction, steps = situation.number("warmup_fraction"), situation.number("warmup_steps")
    if fraction > 0.05:
        return _set("warmup_fraction", 0.05, reason, before=fraction)
    n_steps = Signs(trial=situation.trial).n_steps
    shorter = round(0.05 * n_steps) if math.isfinite(n_steps) else 0
    return _set("warmup_steps", shorter, reason, before=int(steps)) if 0 < shorter < steps else None


def clip_gradients(situation: Situation) -> Remedy | None:
    """At the 90th percentile of the gradient norms (Tuning Playbook), or 1 where these have exploded."""
    is_off = situation.config.get("clipping") is False  # a lever of its own, which turns clip_norm off
    if situation.number("clip_norm") != 0.0 and not is_off:
        return None
    usual = _usual_gradient_norm(situation)
    limit = usual if 0.0 < usual <= MAX_CLIP_NORM else 1.0
    remedy = _set("clip_norm", limit, "single large gradients no longer throw the weights off")
    switch = Edit(kind=EditKind.FIX, lever="clipping", value=True)
    return dataclasses.replace(remedy, edits=(switch, *remedy.edits)) if is_off else remedy


def loosen_clipping(situation: Situation) -> Remedy | None:
    norm, limit = situation.number("clip_norm"), _usual_gradient_norm(situation)
    if not norm > 0.0:
        return None
    return (
        _set("clip_norm", limit, "most gradients are cut down today", before=norm) if limit > norm else None
    )


def _usual_gradient_norm(situation: Situation) -> float:
    """The 90th percentile over the steps, else over the epochs; 0 where no norm was read."""
    steps = (situation.trial.telemetry or Telemetry()).step_series("gradient_norm")
    norms = steps if len(steps) else trained(situation.trial, "gradient_norm")
    norms = norms[np.isfinite(norms)]
    return _rounded(float(np.quantile(norms, 0.9))) if len(norms) else 0.0


def smooth_schedule(situation: Situation) -> Remedy | None:
    """Cosine for a schedule that jumps, or that is over long before the training."""
    schedule = situation.choice("schedule")
    if schedule in {"step", "multistep", "exponential", "restarts", "plateau"}:
        reason = "it falls slowly and never rises, and leaves rate for the second half"
        return _set("schedule", "cosine", reason, before=schedule)
    return None


def decay_rate(situation: Situation) -> Remedy | None:
    if situation.choice("schedule") == "constant":
        return _set(
            "schedule", "cosine", "a falling rate ends the jumping of the last epochs", before="constant"
        )
    return None


def wait_longer(situation: Situation) -> Remedy | None:
    patience = situation.number("plateau_patience")
    if situation.choice("schedule") == "plateau" and patience > 0:
        reason = "the rate drops less often, and the loss has time to settle"
        return _set("plateau_patience", int(patience) * 2, reason, before=int(patience))
    return None


def lower_momentum(situation: Situation) -> Remedy | None:
    momentum = situation.number("momentum")
    if momentum > 0.9:
        return _set(
            "momentum",
            0.9,
            "it multiplies the effective learning rate by 1 / (1 - momentum)",
            before=momentum,
        )
    return None


def larger_batch(situation: Situation) -> Remedy | None:
    size = situation.number("batch_size")
    if 0 < size < MAX_BATCH:
        larger = min(max(int(size) * 4, GOOD_BATCH // 2), MAX_BATCH)
        return _set("batch_size", larger, "larger minibatches give less noisy gradients", before=int(size))
    return None


def smaller_batch(situation: Situation) -> Remedy | None:
    size, reason = situation.number("batch_size"), "more updates in the same epochs"
    if situation.choice("batch_size") == "full":
        return _set("batch_size", GOOD_BATCH, reason, before="full")
    if size > GOOD_BATCH:
        return _set("batch_size", max(int(size) // 16, GOOD_BATCH), reason, before=int(size))
    return None


def switch_to_adam(situation: Situation) -> Remedy | None:
    if situation.choice("optimizer") == "sgd" and situation.learning_rate <= LARGEST_SAFE_ADAM_RATE:
        return _set("optimizer", "adam", "it scales each weight's updates by itself", before="sgd")
    return None


def train_longer(situation: Situation) -> Remedy | None:
    epochs = situation.number("epochs")
    if epochs > 0 and (still_falls(situation.trial) or is_unfinished(Signs(trial=situation.trial))):
        return _set(
            "epochs",
            max(int(epochs) * 4, ENOUGH_EPOCHS),
            "the train loss was still falling at the end",
            before=int(epochs),
        )
    return None


def more_dropout(situation: Situation) -> Remedy | None:
    dropout = situation.number("dropout")
    if dropout < 0.5:
        return _set(
            "dropout",
            _rounded(min(dropout + 0.4, 0.5)),
            "it keeps the network from memorizing",
            before=dropout,
        )
    return None


def less_dropout(situation: Situation) -> Remedy | None:
    dropout = situation.number("dropout")
    if dropout > 0.0:
        less = _rounded(dropout / 2.0) if dropout > 0.1 else 0.0
        return _set("dropout", less, "the network cannot fit even the training set", before=dropout)
    return None


def less_augmentation(situation: Situation) -> Remedy | None:
    strength = situation.number("augmentation")
    if strength > 0.0:
        less = _rounded(strength / 3.0) if strength > 0.1 else 0.0
        return _set(
            "augmentation", less, "the changed images are harder than those to be judged", before=strength
        )
    return None


def more_augmentation(situation: Situation) -> Remedy | None:
    """Of images, which only the built-in convolutional model is sure to have."""
    strength = situation.number("augmentation")
    if situation.choice("model") == "cnn" and strength < 0.3:
        return _set("augmentation", 0.3, "changed images cannot be learned by heart", before=strength)
    return None


def less_of_the_stronger(situation: Situation) -> Remedy | None:
    """Of dropout or augmentation where training with them is dear, else of weight decay."""
    if Signs(trial=situation.trial).train_mode_cost > TRAIN_MODE_COST.value:
        return less_dropout(situation) or less_augmentation(situation)
    return None


def more_weight_decay(situation: Situation) -> Remedy | None:
    decay = situation.number("weight_decay")
    if decay < 0.01:
        more = _rounded(max(decay * 10.0, 1e-4))
        return _set("weight_decay", more, "smaller weights generalize better", before=decay)
    return None


def less_weight_decay(situation: Situation) -> Remedy | None:
    """To a tenth, or to what leaves it a twentieth of the updates; None where it has no more of them already."""
    decay = situation.number("weight_decay")
    share = Signs(trial=situation.trial).decay_share
    if decay > 0.0 and not share <= GOOD_DECAY_SHARE:
        factor = min(GOOD_DECAY_SHARE / share, 0.1) if share > 0.0 else 0.1
        less = float(f"{decay * factor:.1g}") if decay > 1e-5 else 0.0
        reason = (
            f"it makes up {min(share, 1.0):.0%} of each update"
            if share > 0.0
            else "it pulls against what the data teaches"
        )
        return _set("weight_decay", less, reason, before=decay)
    return None


def smooth_labels(situation: Situation) -> Remedy | None:
    if situation.number("label_smoothing") == 0.0:
        return _set("label_smoothing", 0.1, "it takes away the gain from ever more confident answers")
    return None


def stop_early(situation: Situation) -> Remedy | None:
    if situation.number("patience") == 0.0:
        return _set(
            "patience", 3, "training ends when validation no longer improves, and the best weights are kept"
        )
    return None


def wider(situation: Situation) -> Remedy | None:
    width = situation.number("width")
    if situation.number("depth") != 0.0 and 0 < width < 512:
        more = min(max(int(width) * 4, GOOD_WIDTH), 512)
        return _set("width", more, "more units can fit more", before=int(width))
    return None


def deeper(situation: Situation) -> Remedy | None:
    if situation.number("depth") == 0.0 and situation.choice("model") != "cnn":
        return _set("depth", 1, "a hidden layer can fit what a linear model cannot", before=0)
    return None


def fewer_layers(situation: Situation) -> Remedy | None:
    depth = situation.number("depth")
    if depth >= 3:
        return _set("depth", int(depth) // 2, "gradients have fewer layers to fade in", before=int(depth))
    return None


def use_relu(situation: Situation) -> Remedy | None:
    activation = situation.choice("activation")
    if activation in {"sigmoid", "tanh"}:
        return _set("activation", "relu", f"{activation} shrinks gradients at every layer", before=activation)
    return None


def use_leaky_relu(situation: Situation) -> Remedy | None:
    if situation.choice("activation") == "relu":
        return _set(
            "activation", "leaky_relu", "its units keep a gradient when they are inactive", before="relu"
        )
    return None


def initialize_for_activation(situation: Situation) -> Remedy | None:
    """He for the ReLU family, Glorot for sigmoid and tanh: gradients keep their size over the layers."""
    activation, present = situation.choice("activation"), situation.choice("initialization")
    if not activation or not present:
        return None
    fitting = "glorot" if activation in {"sigmoid", "tanh"} else "he"
    if present == fitting:
        return None
    return _set("initialization", fitting, f"it fits {activation}", before=present)


def normalize_layers(situation: Situation) -> Remedy | None:
    """By batch, or by layer where minibatches are too small for statistics (Tuning Playbook: below 8 samples)."""
    if situation.choice("normalization") == "none":
        kind = "layer" if situation.batch_size < SMALLEST_NORMALIZED_BATCH else "batch"
        return _set("normalization", kind, "it keeps every layer's inputs at one scale", before="none")
    return None


def more_data(situation: Situation) -> Remedy | None:  # noqa: ARG001 - a rule's shape
    action = "Train on more data, or on augmented data."
    return Remedy(sentence=f"{action} It is the surest cure for memorizing.", action=action)
