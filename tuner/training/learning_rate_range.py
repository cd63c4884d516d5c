"""The learning-rate range test: how high may the rate be, and which one to take.

Two stages, in several seeded sweeps that train as lanes, together: an exponential ramp, then holding candidate rates
and bisecting between stable and not. `LearningRateRange` has the marked rates, or the reason why none should be
trusted. docs/learning_rate_range.md tells what it rests on.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from tuner.training.batching.memory import unless_out_of_memory
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_by_config
from tuner.training.models import ModelBuilder
from tuner.training.rate.asking import N_AT_ONCE, together
from tuner.training.rate.config_lanes import ConfigLanes
from tuner.training.rate.learner import Learner, Learners, OneLearner
from tuner.training.rate.own_loop import (
    Batches,
    LossFunction,
    OwnLearner,
    originals,
    untouched_gradients,
    untouched_randomness,
)
from tuner.training.rate.plan import (
    HOLD_STEPS,
    N_STEPS,
    N_SWEEPS,
    SweepPlan,
    plan_sweeps,
    plan_sweeps_for,
)
from tuner.training.rate.progress import OnRangeProgress, RangeProgress, SweepProgress
from tuner.training.rate.ramp import FALL_SHARE
from tuner.training.rate.sweep import Sweep, sweeping

__all__ = [
    "HOLD_STEPS",
    "N_STEPS",
    "N_SWEEPS",
    "LearningRateRange",
    "RangeProgress",
    "Sweep",
    "SweepPlan",
    "learning_rate_range",
    "learning_rate_range_of",
    "range_test",
]

BACK_OFF = 0.85
"""Of the highest stable rate: full speed lies at the edge of stability, 10-20% below it is safe (Cohen et al. 2021,
arXiv:2103.00065, on why training lives at that edge)."""
LARGEST_SPREAD = 10.0
"""Between the sweeps' highest stable rates: sweeps that differ by a decade say nothing."""


@dataclass(frozen=True, kw_only=True)
class LearningRateRange:
    """What a range test found; rates are in the unit of the config's ``learning_rate``.

    Marks are geometric medians over the sweeps, None where a sweep has none. Where ``reliable`` is False there is no
    suggestion, and ``reason`` says why.
    """

    suggested: float | None
    """85% of ``highest_stable``."""
    steepest: float | None
    valley: float | None
    highest_stable: float | None
    low: float | None
    """The lowest suggestion of a single sweep."""
    high: float | None
    """The highest suggestion of a single sweep."""
    reliable: bool
    reason: str
    sweeps: tuple[Sweep, ...]
    tested_low: float
    """The range of rates that was tested."""
    tested_high: float

    def interval(self, mark: str) -> tuple[float, float] | None:
        """The lowest and the highest ``mark`` (steepest, valley, highest_stable) of a single sweep."""
        values = [value for sweep in self.sweeps if (value := getattr(sweep, mark)) is not None]
        return (min(values), max(values)) if values else None

    def to_json(self) -> dict[str, Any]:
        """As `tuner lr-range --json` prints it (DESIGN §3)."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        intervals = {mark: self.interval(mark) for mark in ("steepest", "valley", "highest_stable")}
        return own | {"sweeps": [sweep.to_json() for sweep in self.sweeps], "intervals": intervals}


def learning_rate_range(  # noqa: PLR0913 - one keyword per concern
    config: TrainingConfig,
    data: Dataset | Splits,
    *,
    device: str | torch.device = "auto",
    model: ModelBuilder | None = None,
    n_sweeps: int = N_SWEEPS,
    seed: int | None = None,
    low: float | None = None,
    high: float | None = None,
    n_steps: int = N_STEPS,
    hold_steps: int = HOLD_STEPS,
    on_progress: OnRangeProgress = lambda _progress: None,
) -> LearningRateRange:
    """Test ``config``'s learning rate; its own ``learning_rate``, schedule and warmup play no part.

    Args:
        config: what is trained.
        data: a data set, which is then split as the config says, or splits.
        device: where to train; splits stay where they are.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        n_sweeps: with the seeds ``seed``, ``seed + 1``, ...: each with weights and a data order of its own.
        seed: None is the config's.
        low: the lowest rate of the ramp; None is 1e-4 for sgd and 1e-6 for the others.
        high: the highest rate at all; None is 10 for sgd and 1 for the others.
        n_steps: of the ramp.
        hold_steps: for which each candidate rate is held.
        on_progress: told every few dozen steps.

    Raises:
        ConfigurationError: for a range, a number of steps or a model that cannot be.
    """
    plan = plan_sweeps_for(
        config.optimizer, low=low, high=high, n_steps=n_steps, hold_steps=hold_steps, n_sweeps=n_sweeps
    )
    seed = config.seed if seed is None else seed
    splits = data if isinstance(data, Splits) else split_by_config(data, config, device=device)
    seeds = range(seed, seed + n_sweeps)

    def swept(n_at_once: int) -> LearningRateRange:
        lanes = ConfigLanes(config, splits, model=model)
        return _swept(lanes, plan, seeds=seeds, n_at_once=n_at_once, on_progress=on_progress)

    return _within_memory(swept, min(n_sweeps, N_AT_ONCE))


def learning_rate_range_of(  # noqa: PLR0913 - one keyword per concern
    model: nn.Module,
    optimizer: Optimizer,
    batches: Batches,
    loss: LossFunction,
    *,
    n_sweeps: int = N_SWEEPS,
    seed: int = 0,
    low: float = 1e-6,
    high: float = 10.0,
    n_steps: int = N_STEPS,
    hold_steps: int = HOLD_STEPS,
    on_progress: OnRangeProgress = lambda _progress: None,
) -> LearningRateRange:
    """Test the learning rate of a loop of your own: ``loss(model(x), y)`` for each ``(x, y)`` of ``batches``.

    All work is done on copies; model, optimizer, gradients, random states and a DataLoader's generator are as before.
    Every sweep starts from the weights as they are and differs in data order and dropout.

    Args:
        model: on the device where it trains; minibatches are moved there. What is frozen by ``eval()`` inside a model
            in train mode stays so; a model in eval mode is trained in train mode.
        optimizer: any of torch's kind whose ``step`` needs no closure. Parameter groups keep the ratios of their
            rates, and rates here are those of the group with the highest one.
        batches: what can be gone through again and again: a DataLoader, a list, an object around one. The torch
            generators that it holds in attributes, or theirs, are given back as they were; others, in a list, in a
            closure or numpy's own, move on.
        loss: ``(outputs, targets)`` to the mean loss. Copied with the model: it may be a module or a
            `functools.partial` that holds the model, but no function that closes over it.
        n_sweeps: with the seeds ``seed``, ``seed + 1``, ...
        seed: of the first sweep.
        low: the lowest rate of the ramp.
        high: the highest rate at all.
        n_steps: of the ramp.
        hold_steps: for which each candidate rate is held.
        on_progress: told every few dozen steps.

    Raises:
        ConfigurationError: for a range or a number of steps that cannot be, batches that are used up after once or
            empty, a model that cannot be copied, an optimizer whose rates are all 0 or that needs a closure, a loss
            that reaches the original parameters.
    """
    plan = plan_sweeps(low=low, high=high, n_steps=n_steps, hold_steps=hold_steps, n_sweeps=n_sweeps)
    with untouched_randomness(batches), untouched_gradients(originals(model, optimizer, loss)):
        learner = OwnLearner(model, optimizer, batches, loss)
        return range_test(learner, plan, seeds=range(seed, seed + n_sweeps), on_progress=on_progress)


def range_test(
    learner: Learner,
    plan: SweepPlan,
    *,
    seeds: Sequence[int],
    on_progress: OnRangeProgress = lambda _progress: None,
) -> LearningRateRange:
    """The range test on anything that can start again and be stepped: one sweep for each of ``seeds``."""
    return _swept(OneLearner(learner), plan, seeds=seeds, n_at_once=1, on_progress=on_progress)


def _swept(
    learners: Learners,
    plan: SweepPlan,
    *,
    seeds: Sequence[int],
    n_at_once: int,
    on_progress: OnRangeProgress,
) -> LearningRateRange:
    progress = SweepProgress(plan, n_sweeps=len(seeds), tell=on_progress)
    askings = [sweeping(plan, seed=seed) for seed in seeds]
    return _concluded(tuple(together(learners, askings, progress, n_at_once=n_at_once)), plan)


def _within_memory(swept: Callable[[int], LearningRateRange], n_at_once: int) -> LearningRateRange:
    """``swept`` with ``n_at_once`` sweeps going on together, or as many as memory holds."""
    while n_at_once > 1:
        found = unless_out_of_memory(partial(swept, n_at_once))
        if found is not None:
            return found
        n_at_once //= 2
    return swept(1)


def _concluded(sweeps: tuple[Sweep, ...], plan: SweepPlan) -> LearningRateRange:
    marks = {
        mark: _geometric_median([getattr(sweep, mark) for sweep in sweeps])
        for mark in ("steepest", "valley", "highest_stable")
    }
    refused = LearningRateRange(
        **marks,
        suggested=None,
        low=None,
        high=None,
        reliable=False,
        reason=_refusal(sweeps, plan) or "",
        sweeps=sweeps,
        tested_low=plan.low,
        tested_high=plan.high,
    )
    limits, highest = _limits(sweeps), marks["highest_stable"]
    if refused.reason or highest is None:
        return refused
    reason = (
        f"{BACK_OFF:.0%} of {highest:.3g}, the highest rate that is stable when held for {plan.hold_steps} steps; "
        f"{_agreement(limits)}."
    )
    return dataclasses.replace(
        refused,
        suggested=BACK_OFF * highest,
        low=BACK_OFF * min(limits),
        high=BACK_OFF * max(limits),
        reliable=True,
        reason=reason,
    )


def _limits(sweeps: Sequence[Sweep]) -> list[float]:
    return [sweep.highest_stable for sweep in sweeps if sweep.highest_stable is not None]


def _agreement(limits: Sequence[float]) -> str:
    if len(limits) == 1:
        return "one sweep, so its spread is not known"
    return f"{len(limits)} sweeps agree within a factor of {max(limits) / min(limits):.2f}"


def _refusal(sweeps: Sequence[Sweep], plan: SweepPlan) -> str | None:
    """Why no rate should be suggested; None when one may be."""
    n = len(sweeps)
    n_broken = sum(sweep.ramp.is_broken for sweep in sweeps)
    if n_broken:
        return (
            f"Not finite: in {n_broken} of {n} sweeps the loss was not a finite number from the first steps on, at a "
            f"rate of {plan.low:g}; look at the data and the model, or lower the lower end of the range."
        )
    n_flat = sum(not sweep.ramp.falls for sweep in sweeps)
    if n_flat:
        return (
            f"Too flat: in {n_flat} of {n} sweeps the loss did not fall beyond its noise, and by {FALL_SHARE:.0%}, "
            f"between {plan.low:g} and {plan.high:g}; look at the data and the model, or widen the range."
        )
    n_endless = sum(sweep.lowest_unstable is None for sweep in sweeps)
    if n_endless:
        return (
            f"Never unstable: in {n_endless} of {n} sweeps {plan.high:g}, the highest rate tried, was still stable; "
            f"raise the upper end of the range."
        )
    n_hopeless = sum(sweep.highest_stable is None for sweep in sweeps)
    if n_hopeless:
        return (
            f"Never stable: in {n_hopeless} of {n} sweeps even {plan.low:g}, the lowest rate tried, was not stable; "
            f"lower the lower end of the range."
        )
    limits = _limits(sweeps)
    if max(limits) >= LARGEST_SPREAD * min(limits):
        return (
            f"Spread over a decade: the sweeps' highest stable rates go from {min(limits):.3g} to {max(limits):.3g}; "
            f"hold the rates for more steps, or take more samples a step."
        )
    return None


def _geometric_median(values: Sequence[float | None]) -> float | None:
    """None when a sweep has no value: a median over the lucky ones would hide the others."""
    known = [value for value in values if value is not None]
    return math.exp(float(np.median(np.log(known)))) if known and len(known) == len(values) else None
