"""From a cause to the changes that may mend it: one lever each, computed from the trial's own config.

A rule returns None when its change is already there or cannot be computed; so a remedy always changes
something. The order follows the Deep Learning Tuning Playbook where it has one, else the fault table in the
docs (own order).
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from search_spaces.edits import Edit, EditKind
from studies.diagnosis.finding import Cause, CauseName, Remedy
from studies.diagnosis.reference import still_falls, trained
from studies.diagnosis.situation import Situation

Rule = Callable[[Situation], Remedy | None]

MAX_REMEDIES = 4
"""More choices than this are no advice."""
MAX_BATCH = 512
MAX_CLIP_NORM = 10.0
"""Gradients beyond it are exploding already: their percentile is no limit (own design)."""
LARGEST_SAFE_ADAM_RATE = 3e-3
"""Above it, Adam with the rate of SGD is a new fault rather than a remedy (own design)."""


def remedies_for(
    causes: Iterable[Cause], situation: Situation, *, first: tuple[Rule, ...] = ()
) -> tuple[Remedy, ...]:
    """The rules ``first``, then those of ``causes``, the likeliest cause's first; at most ``MAX_REMEDIES``.

    No lever is changed by two of them.
    """
    found: list[Remedy] = []
    changed: set[str] = set()
    rules = [*first, *(rule for cause in causes for rule in REMEDIES[cause.name])]
    for rule in dict.fromkeys(rules):
        remedy = rule(situation)
        if remedy is None or any(edit.lever in changed for edit in remedy.edits):
            continue
        changed.update(edit.lever for edit in remedy.edits)
        found.append(remedy)
    return tuple(found[:MAX_REMEDIES])


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
    return _scaled_rate(situation, 10.0, "its updates are too small to get anywhere in the given epochs")


def warm_up(situation: Situation) -> Remedy | None:
    if situation.number("warmup_fraction") == 0.0 and not situation.number("warmup_steps") > 0.0:
        return _set("warmup_fraction", 0.05, "the first updates, on random weights, are the dangerous ones")
    return None


def shorten_warmup(situation: Situation) -> Remedy | None:
    fraction = situation.number("warmup_fraction")
    if fraction > 0.05:
        return _set(
            "warmup_fraction", 0.05, "a longer warmup only loses time at small rates", before=fraction
        )
    return None


def clip_gradients(situation: Situation) -> Remedy | None:
    """At the 90th percentile of the epochs' gradient norms (Tuning Playbook), or 1 where these have exploded."""
    is_off = situation.config.get("clipping") is False  # a lever of its own, which turns clip_norm off
    if situation.number("clip_norm") != 0.0 and not is_off:
        return None
    norms = trained(situation.trial, "gradient_norm")
    norms = norms[np.isfinite(norms)]
    usual = _rounded(float(np.quantile(norms, 0.9))) if len(norms) else 0.0
    limit = usual if 0.0 < usual <= MAX_CLIP_NORM else 1.0
    remedy = _set("clip_norm", limit, "single large gradients no longer throw the weights off")
    switch = Edit(kind=EditKind.FIX, lever="clipping", value=True)
    return dataclasses.replace(remedy, edits=(switch, *remedy.edits)) if is_off else remedy


def loosen_clipping(situation: Situation) -> Remedy | None:
    norm = situation.number("clip_norm")
    norms = trained(situation.trial, "gradient_norm")
    norms = norms[np.isfinite(norms)]
    if not norm > 0.0 or not len(norms):
        return None
    limit = _rounded(float(np.quantile(norms, 0.9)))
    return (
        _set("clip_norm", limit, "most gradients are cut down today", before=norm) if limit > norm else None
    )


def decay_rate(situation: Situation) -> Remedy | None:
    if situation.choice("schedule") == "constant":
        return _set(
            "schedule", "cosine", "a falling rate ends the jumping of the last epochs", before="constant"
        )
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
        larger = min(int(size) * 4, MAX_BATCH)
        return _set("batch_size", larger, "larger minibatches give less noisy gradients", before=int(size))
    return None


def smaller_batch(situation: Situation) -> Remedy | None:
    size = situation.number("batch_size")
    if size >= 64:
        return _set("batch_size", int(size) // 4, "more updates in the same epochs", before=int(size))
    return None


def switch_to_adam(situation: Situation) -> Remedy | None:
    if situation.choice("optimizer") == "sgd" and situation.learning_rate <= LARGEST_SAFE_ADAM_RATE:
        return _set("optimizer", "adam", "it scales each weight's updates by itself", before="sgd")
    return None


def train_longer(situation: Situation) -> Remedy | None:
    epochs = situation.number("epochs")
    if epochs > 0 and still_falls(situation.trial):
        return _set(
            "epochs", int(epochs) * 4, "the train loss was still falling at the end", before=int(epochs)
        )
    return None


def more_dropout(situation: Situation) -> Remedy | None:
    dropout = situation.number("dropout")
    if dropout < 0.5:
        return _set(
            "dropout",
            _rounded(min(dropout + 0.2, 0.5)),
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


def more_weight_decay(situation: Situation) -> Remedy | None:
    decay = situation.number("weight_decay")
    if decay < 0.01:
        more = _rounded(max(decay * 10.0, 1e-4))
        return _set("weight_decay", more, "smaller weights generalize better", before=decay)
    return None


def less_weight_decay(situation: Situation) -> Remedy | None:
    decay = situation.number("weight_decay")
    if decay > 0.0:
        less = _rounded(decay / 10.0) if decay > 1e-5 else 0.0
        return _set(
            "weight_decay", less, "it pulls the weights down faster than the data pushes", before=decay
        )
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
    if 0 < width < 512:
        return _set("width", min(int(width) * 4, 512), "more units can fit more", before=int(width))
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
    if situation.choice("normalization") == "none":
        return _set("normalization", "batch", "it keeps every layer's inputs at one scale", before="none")
    return None


def standardize_input(situation: Situation) -> Remedy | None:
    scaling = situation.choice("input_scaling")
    if scaling and scaling != "standardize":
        return _set(
            "input_scaling", "standardize", "inputs of mean 0 and deviation 1 suit every rule", before=scaling
        )
    return None


def clean_data(situation: Situation) -> Remedy | None:
    data = situation.trial.telemetry.data if situation.trial.telemetry is not None else None
    if data is None or not data.n_non_finite:
        return None
    action = "Drop or impute the rows that hold NaN or infinite inputs."
    return Remedy(
        sentence=f"{action} {data.n_non_finite} values are not finite; no lever mends that.", action=action
    )


def more_data(situation: Situation) -> Remedy | None:  # noqa: ARG001 - a rule's shape
    action = "Train on more data, or on augmented data."
    return Remedy(sentence=f"{action} It is the surest cure for memorizing.", action=action)


REMEDIES: Mapping[CauseName, tuple[Rule, ...]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (lower_rate_tenfold, warm_up, clip_gradients, decay_rate, larger_batch),
    CauseName.LEARNING_RATE_TOO_LOW: (raise_rate, switch_to_adam, train_longer),
    CauseName.MISSING_WARMUP: (warm_up, clip_gradients, lower_rate),
    CauseName.EXPLODING_GRADIENTS: (clip_gradients, normalize_layers, lower_rate_tenfold),
    CauseName.MOMENTUM_TOO_HIGH: (lower_momentum, lower_rate_tenfold),
    CauseName.SCHEDULE_SPIKES: (decay_rate, lower_rate),
    CauseName.BATCH_TOO_SMALL: (larger_batch, lower_rate),
    CauseName.BATCH_TOO_LARGE: (smaller_batch, raise_rate),
    CauseName.VANISHING_GRADIENTS: (use_relu, initialize_for_activation, normalize_layers, fewer_layers),
    CauseName.BAD_INITIALIZATION: (initialize_for_activation, normalize_layers),
    CauseName.DYING_RELU: (use_leaky_relu, lower_rate_tenfold),
    CauseName.UNNORMALIZED_INPUT: (standardize_input,),
    CauseName.NON_FINITE_DATA: (clean_data,),
    CauseName.OVERFITTING: (more_dropout, more_weight_decay, stop_early, more_data),
    CauseName.OVERCONFIDENCE: (smooth_labels, stop_early),
    CauseName.OVER_REGULARIZED: (less_weight_decay, less_dropout, wider),
    CauseName.UNDERCAPACITY: (wider,),
    CauseName.TOO_FEW_EPOCHS: (train_longer, raise_rate, shorten_warmup),
    CauseName.WARMUP_TOO_LONG: (shorten_warmup,),
    CauseName.CLIPPING_TOO_TIGHT: (loosen_clipping, raise_rate),
}
"""The causes that a symptom of today can name. A new symptom that names another one adds its line here."""
