"""From a cause to the changes that may mend it: one lever each, computed from the trial's own config.

A rule returns None when its change is already there or cannot be computed; so a remedy always changes
something. What is proven to repair oftener comes first (benchmarks/diagnosis/remedy_order.py); where the cases cannot
tell, the order is the Deep Learning Tuning Playbook's, else that of the fault table in the docs, and for overfitting
and overconfidence that of a calibration case.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from studies.diagnosis.actions import ACTIONS, Rule, warm_up_by_hand
from studies.diagnosis.benchmarked import benchmarked
from studies.diagnosis.finding import Cause, CauseName, Remedy
from studies.diagnosis.lever_rules import (
    clip_gradients,
    decay_rate,
    deeper,
    fewer_layers,
    initialize_for_activation,
    larger_batch,
    less_augmentation,
    less_dropout,
    less_of_the_stronger,
    less_weight_decay,
    loosen_clipping,
    lower_momentum,
    lower_rate,
    lower_rate_tenfold,
    more_augmentation,
    more_data,
    more_dropout,
    more_weight_decay,
    normalize_layers,
    raise_rate,
    shorten_warmup,
    smaller_batch,
    smooth_labels,
    smooth_schedule,
    stop_early,
    switch_to_adam,
    train_longer,
    use_leaky_relu,
    use_relu,
    wait_longer,
    warm_up,
    wider,
)
from studies.diagnosis.situation import Situation

MAX_REMEDIES = 4
"""More choices than this are no advice."""


def remedies_for(
    causes: Iterable[Cause],
    situation: Situation,
    *,
    first: tuple[Rule, ...] = (),
    last: tuple[Rule, ...] = (),
) -> tuple[Remedy, ...]:
    """The rules ``first``, those of ``causes``, the likeliest cause's first, and ``last``; at most ``MAX_REMEDIES``.

    No lever is changed by two of them. Where there are too many, each cause keeps its first.
    """
    causes = tuple(causes)
    found: dict[Rule, Remedy] = {}
    leading: list[Rule] = []
    changed: set[str] = set()
    for rules in (first, *(REMEDIES[cause.name] for cause in causes), last):
        for rule in rules:
            remedy = None if rule in found else rule(situation)
            if remedy is None or any(edit.lever in changed for edit in remedy.edits):
                continue
            changed.update(edit.lever for edit in remedy.edits)
            found[rule] = remedy
        if rules is not last:
            leading += [rule for rule in rules if rule in found][:1]
    kept = list(dict.fromkeys([*leading, *found]))[:MAX_REMEDIES]
    likeliest = causes[0].name if causes else None
    return tuple(_with_evidence(remedy, rule, likeliest) for rule, remedy in found.items() if rule in kept)


def _with_evidence(remedy: Remedy, rule: Rule, likeliest: CauseName | None) -> Remedy:
    """With what became of it in the benchmark, where it is a remedy of the likeliest cause itself: that was counted."""
    if likeliest is None or rule not in REMEDIES[likeliest] or not remedy.edits:
        return remedy
    return dataclasses.replace(remedy, benchmarked=benchmarked(likeliest, remedy.edits[-1].lever))


_LEVERS: Mapping[CauseName, tuple[Rule, ...]] = {
    CauseName.LEARNING_RATE_TOO_HIGH: (lower_rate_tenfold, warm_up, clip_gradients, decay_rate, larger_batch),
    CauseName.LEARNING_RATE_TOO_LOW: (raise_rate, switch_to_adam, train_longer),
    CauseName.MISSING_WARMUP: (lower_rate, warm_up, warm_up_by_hand, clip_gradients),
    CauseName.EXPLODING_GRADIENTS: (clip_gradients, normalize_layers, lower_rate_tenfold),
    CauseName.MOMENTUM_TOO_HIGH: (lower_momentum, lower_rate_tenfold),
    CauseName.SCHEDULE_SPIKES: (smooth_schedule, lower_rate, wait_longer),
    CauseName.PREMATURE_DECAY: (smooth_schedule, train_longer),
    CauseName.BATCH_TOO_SMALL: (larger_batch, lower_rate),
    CauseName.BATCH_TOO_LARGE: (smaller_batch, raise_rate),
    CauseName.VANISHING_GRADIENTS: (use_relu, initialize_for_activation, normalize_layers, fewer_layers),
    CauseName.BAD_INITIALIZATION: (initialize_for_activation, normalize_layers),
    CauseName.DYING_RELU: (use_leaky_relu, lower_rate_tenfold),
    CauseName.OVERFITTING: (
        more_augmentation,
        more_dropout,
        more_weight_decay,
        decay_rate,
        stop_early,
        more_data,
    ),
    CauseName.OVERCONFIDENCE: (stop_early, smooth_labels, decay_rate),
    CauseName.OVER_REGULARIZED: (
        less_of_the_stronger,
        less_weight_decay,
        less_dropout,
        less_augmentation,
        wider,
    ),
    CauseName.UNDERCAPACITY: (wider, deeper),
    CauseName.TOO_FEW_EPOCHS: (train_longer, raise_rate, shorten_warmup),
    CauseName.WARMUP_TOO_LONG: (shorten_warmup,),
    CauseName.CLIPPING_TOO_TIGHT: (loosen_clipping, raise_rate),
}

REMEDIES: Mapping[CauseName, tuple[Rule, ...]] = {
    name: (*_LEVERS.get(name, ()), *ACTIONS.get(name, ())) for name in CauseName
}
"""The levers of a cause first, then what is to be done to data or code."""
