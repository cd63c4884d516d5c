"""Which rounds a guide will take, what each may change, and where it starts: decided before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces import Space
from tuner.guide.budget import N_BASELINE, Wish
from tuner.guide.levers import Levers
from tuner.training.config import TrainingConfig

IMAGE_DIMENSIONS = 3
"""Channels, height, width."""
STEPS = ("baseline", "rate", "batch", "regularization", "schedule", "seeds")
"""In their order; a study of a step is named ``<name>-<place>-<step>``."""
TOUCHED = frozenset(
    {
        "learning_rate", "batch_size", "weight_decay", "weight_decay_kind", "dropout", "label_smoothing",
        "augmentation", "schedule", "warmup_fraction", "warmup_steps", "optimizer", "momentum", "nesterov",
    }
)  # fmt: skip
"""Config keys that some step may change."""
SENSIBLE_BATCH_SIZE = 64
SENSIBLE_OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    # Adam's own default rate (Kingma & Ba 2015, arXiv:1412.6980); torch's for AdamW is the same.
    "adam": {"learning_rate": 1e-3},
    "adamw": {"learning_rate": 1e-3},
    "sgd": {"learning_rate": 0.1, "momentum": 0.9},  # He et al. 2016, arXiv:1512.03385, section 3.4
    "rmsprop": {"learning_rate": 1e-3},
}
"""What a practitioner tries first: the first of them that the space holds, with what belongs to it."""
SENSIBLE_MLP: Mapping[str, Any] = {"depth": 2, "width": 128}


@dataclass(frozen=True, kw_only=True)
class PlannedRound:
    """A round before the seeds."""

    step: str
    name: str
    """``<step>.<part>``, as the ledger calls it."""
    wish: Wish
    purpose: str
    skipped: str = ""
    """Why it is left out, known from the start; empty where it is not."""


def planned_rounds(levers: Levers, *, is_image: bool, is_regression: bool) -> tuple[PlannedRound, ...]:
    """The rounds before the seeds, in order, those to be skipped among them."""
    smoothing, augmentation = levers.why_not("label_smoothing"), levers.why_not("augmentation")
    if is_regression:
        smoothing = "labels are smoothed in classification only"
    if not is_image:
        augmentation = "only images are augmented"
    return (
        PlannedRound(
            step="baseline",
            name="baseline.floor",
            wish=Wish(n=N_BASELINE, least=2),
            purpose="the same config on 3 seeds: the noise floor",
        ),
        PlannedRound(
            step="rate",
            name="rate.around",
            wish=Wish(n=6, least=3),
            purpose="learning rates around what a range test suggests",
            skipped=levers.why_not("learning_rate"),
        ),
        PlannedRound(
            step="batch",
            name="batch.sizes",
            wish=Wish(n=4, least=2),
            purpose="batch sizes around the fastest to a target loss, the rate scaled with them",
            skipped=levers.why_not("batch_size"),
        ),
        *_regularization_rounds(levers, smoothing, augmentation),
        *_schedule_rounds(levers),
    )


def _regularization_rounds(levers: Levers, smoothing: str, augmentation: str) -> tuple[PlannedRound, ...]:
    """``smoothing`` and ``augmentation``: why they may not change; empty where they may."""
    return (
        PlannedRound(
            step="regularization",
            name="regularization.weights",
            wish=Wish(n=10, least=3),
            purpose="weight decay x dropout",
            skipped=_both(levers.why_not("weight_decay"), levers.why_not("dropout")),
        ),
        PlannedRound(
            step="regularization",
            name="regularization.data",
            wish=Wish(n=6, least=2),
            purpose="label smoothing x augmentation",
            skipped=_both(smoothing, augmentation),
        ),
    )


def _schedule_rounds(levers: Levers) -> tuple[PlannedRound, ...]:
    return (
        PlannedRound(
            step="schedule",
            name="schedule.shapes",
            wish=Wish(n=7, least=3),
            purpose="schedules and warmup",
            skipped=_both(levers.why_not("schedule"), levers.why_not("warmup_fraction")),
        ),
        PlannedRound(
            step="schedule",
            name="schedule.warmup",
            wish=Wish(n=4, least=2),
            purpose="how long the best schedule warms up",
            skipped=levers.why_not("warmup_fraction"),
        ),
        PlannedRound(
            step="schedule",
            name="schedule.optimizers",
            wish=Wish(n=5, least=2),
            purpose="SGD with momentum against AdamW, each at rates of its own",
            skipped=_either(levers.why_not("optimizer"), levers.why_not("learning_rate")),
        ),
    )


def wishes_from(rounds: Sequence[PlannedRound], name: str) -> tuple[Wish, tuple[Wish, ...]]:
    """A round's wish, and those of the rounds behind it that are not skipped."""
    place = next(place for place, each in enumerate(rounds) if each.name == name)
    return rounds[place].wish, tuple(each.wish for each in rounds[place + 1 :] if not each.skipped)


def step_of(name: str) -> str:
    """The step of a round, or of whatever else the ledger keeps, by its name."""
    return name.partition(".")[0]


def wishes_of(rounds: Sequence[PlannedRound]) -> list[Wish]:
    """Of all rounds that are not skipped."""
    return [each.wish for each in rounds if not each.skipped]


def max_changes(rounds: Sequence[PlannedRound]) -> int:
    """How many changes could be adopted: the ladder's rungs at most."""
    return max(1, sum(not each.skipped for each in rounds) - 1)


def baseline_config(levers: Levers, present: Mapping[str, Any] | None) -> dict[str, Any]:
    """Where the guide starts: someone's present config, or the sensible one, within the space and what is fixed.

    Raises:
        ConfigurationError: for a key or value that no config has.
    """
    fixed = {**({} if levers.space is None else levers.space.fixed), **levers.fixed}
    named = dict(present or {}) | fixed
    start = named if present is not None else _sensible(levers, named)
    for lever in levers.space or ():
        if lever.key not in fixed:
            start[lever.key] = levers.nearest(lever.key, _value_of(start, lever.key))
    whole = TrainingConfig.from_mapping(start).to_mapping()
    return {key: whole[key] for key in start}


def _sensible(levers: Levers, named: Mapping[str, Any]) -> dict[str, Any]:
    """The sensible config around what is fixed: the optimizer first, since a rate is sensible for an optimizer."""
    allowed = (name for name in SENSIBLE_OPTIMIZERS if levers.nearest("optimizer", name) == name)
    optimizer = named["optimizer"] if "optimizer" in named else next(allowed, TrainingConfig().optimizer)
    shape = SENSIBLE_MLP if named.get("model", "mlp") == "mlp" else {}
    own = SENSIBLE_OPTIMIZERS.get(optimizer, {})
    return {**shape, "optimizer": optimizer, **own, "batch_size": SENSIBLE_BATCH_SIZE, **named}


def untouched_levers(space: Space | None) -> list[str]:
    """Levers of a space that no step of the guide changes: they stay at the baseline's values."""
    return [lever.name for lever in space or () if lever.key not in TOUCHED]


def _value_of(start: Mapping[str, Any], key: str) -> Any:
    return start[key] if key in start else TrainingConfig().to_mapping()[key]


def _both(one: str, other: str) -> str:
    """Why, where neither lever may change; empty where one may."""
    return f"{one}, and {other}" if one and other else ""


def _either(one: str, other: str) -> str:
    return one or other
