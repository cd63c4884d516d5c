"""How the learning rate changes over a training: its peak, and factors of it as pure functions of the step.

Units: ``step`` and ``n_steps`` count optimizer steps, ``step`` from 0; ``step_size``, ``milestones`` and
``restart_period`` are epochs. Warmup rises linearly over the first steps; exponential, cosine and linear then
have the steps that remain, while step, multistep and restarts count epochs from the start of the training.
one_cycle has a rise of its own, so warmup only says how long that is. Importing this module loads no torch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tuner.training.config import TrainingConfig

ONE_CYCLE_RISE = 0.3
"""Share of the steps that one_cycle rises (Smith & Topin 2017, as torch's OneCycleLR has it)."""
ONE_CYCLE_START = 1 / 25
"""Where one_cycle begins (torch's ``div_factor``)."""
PLATEAU_THRESHOLD = 1e-4
"""Relative gain of the validation loss that counts as better (torch's default)."""


def peak_learning_rate(config: TrainingConfig, n_train: int) -> float:
    """The rate that schedules are factors of: ``learning_rate`` carried from the base batch to this config's own.

    linear keeps the way an epoch goes (Goyal et al. 2017, arXiv:1706.02677), sqrt the noise of an update, which suits
    adam, adamw and rmsprop (Malladi et al. 2022, arXiv:2205.10287). ``n_train`` samples are a full batch.
    """
    if config.batch_lr_rule == "none":
        return config.learning_rate
    ratio = effective_batch_size(config, n_train) / config.base_batch_size
    return config.learning_rate * (ratio if config.batch_lr_rule == "linear" else math.sqrt(ratio))


def effective_batch_size(config: TrainingConfig, n_train: int) -> int:
    """Samples of one optimizer step: ``batch_size * accumulation_steps``, at most all of them."""
    if config.batch_size == "full":
        return n_train
    return min(config.batch_size * config.accumulation_steps, n_train)


def learning_rate_factor(step: int, n_steps: int, config: TrainingConfig) -> float:
    """The factor of the peak learning rate at optimizer step ``step`` of ``n_steps``.

    plateau depends on what validation says: here it is constant after warmup, `PlateauState` has its factor.
    """
    if config.schedule == "one_cycle":
        return _one_cycle(step, n_steps, config)
    n_warmup = warmup_steps(n_steps, config)
    if step < n_warmup:
        return (step + 1) / n_warmup
    if config.schedule in _BY_EPOCH:
        steps_per_epoch = n_steps / max(config.epochs, 1)
        return _BY_EPOCH[config.schedule](step / steps_per_epoch, config)
    if config.schedule in _BY_PROGRESS:
        progress = (step - n_warmup) / max(n_steps - n_warmup, 1)
        return _BY_PROGRESS[config.schedule](progress, config)
    return 1.0


def warmup_steps(n_steps: int, config: TrainingConfig) -> int:
    """Optimizer steps of warmup, never more than the training has."""
    return min(config.warmup_steps or round(config.warmup_fraction * n_steps), n_steps)


def _step(epoch: float, config: TrainingConfig) -> float:
    return math.pow(config.step_gamma, int(epoch / _period(config.step_size, config)))


def _multistep(epoch: float, config: TrainingConfig) -> float:
    # Half and three quarters: He et al. 2016, §4.2.
    milestones = config.milestones or (config.epochs / 2, config.epochs * 3 / 4)
    return math.pow(config.step_gamma, sum(epoch >= milestone for milestone in milestones))


def _restarts(epoch: float, config: TrainingConfig) -> float:
    return _cosine(math.modf(epoch / _period(config.restart_period, config))[0], config)


def _exponential(progress: float, config: TrainingConfig) -> float:
    return math.pow(config.final_lr_fraction, progress)


def _cosine(progress: float, config: TrainingConfig) -> float:
    return _cosine_between(1.0, config.final_lr_fraction, progress)


def _linear(progress: float, config: TrainingConfig) -> float:
    return 1.0 + (config.final_lr_fraction - 1.0) * progress


def _one_cycle(step: int, n_steps: int, config: TrainingConfig) -> float:
    rise = (warmup_steps(n_steps, config) or ONE_CYCLE_RISE * n_steps) - 1
    if step <= rise:
        return _cosine_between(ONE_CYCLE_START, 1.0, step / rise if rise else 1.0)
    fall = n_steps - 1 - rise
    return _cosine_between(1.0, config.final_lr_fraction, (step - rise) / fall)


def _cosine_between(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _period(epochs: int | None, config: TrainingConfig) -> float:
    return epochs if epochs is not None else max(config.epochs / 3, 1)


_BY_EPOCH: dict[str, Callable[[float, TrainingConfig], float]] = {
    "step": _step,
    "multistep": _multistep,
    "restarts": _restarts,
}
_BY_PROGRESS: dict[str, Callable[[float, TrainingConfig], float]] = {
    "exponential": _exponential,
    "cosine": _cosine,
    "linear": _linear,
}


@dataclass(kw_only=True)
class PlateauState:
    """Lowers the factor when the validation loss has not become better for ``patience`` epochs."""

    patience: int
    gamma: float
    floor: float
    """The factor never goes below this."""
    factor: float = 1.0
    best: float = math.inf
    n_bad_epochs: int = 0

    def update(self, validation_loss: float) -> None:
        """Take in one epoch; a NaN is not better than anything."""
        if validation_loss < self.best * (1 - PLATEAU_THRESHOLD):
            self.best = validation_loss
            self.n_bad_epochs = 0
        else:
            self.n_bad_epochs += 1
        if self.n_bad_epochs > self.patience:
            self.factor = max(self.factor * self.gamma, min(self.floor, self.factor))
            self.n_bad_epochs = 0


def plateau_of(config: TrainingConfig) -> PlateauState | None:
    """The state that ``schedule=plateau`` keeps; None for every other schedule."""
    if config.schedule != "plateau":
        return None
    return PlateauState(
        patience=config.plateau_patience, gamma=config.step_gamma, floor=config.final_lr_fraction
    )
