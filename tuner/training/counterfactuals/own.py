"""Continuations of a training of ours: the same kernels, data order and random draws, on a copy of the network."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studies.diagnosis.counterfactuals import (
    HIGHER_RATE_FACTOR,
    LARGER_BATCH_FACTOR,
    LOWER_MOMENTUM,
    LOWER_RATE_FACTOR,
    Change,
)
from studies.readings import Counterfactual
from tuner.training.config import TrainingConfig
from tuner.training.counterfactuals.comparing import compared, n_steps_of
from tuner.training.counterfactuals.networks import hooks_left_out, without_dropout
from tuner.training.course import Course
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import evaluate
from tuner.training.losses import training_loss
from tuner.training.one_epoch import EpochPlan, EpochTrainer
from tuner.training.optimizers import Optimizer, build_optimizer
from tuner.training.precision import forward, product_precision
from tuner.training.probes import probe_batch
from tuner.training.rate.learner import copy_of
from tuner.training.reproducibility import RandomStream, data_order


def of_course(run: Course, changes: Sequence[Change]) -> tuple[Counterfactual, ...]:
    """What each of ``changes`` that applies would do to ``run``, a training between two epochs or at its end.

    It goes on with the weights that the network has now: call it before ``restore_best``. (A training that stopped
    early has gone back to its best ones itself.) ``run`` and the caller's random state stay as they are, and the same
    training has the same answers.

    Returns:
        One row a change, in the order of ``changes``; ``()`` where the training diverged or has no trained epoch.

    Raises:
        ConfigurationError: for a model that cannot be copied.
        RuntimeError: when the training was stopped within an epoch.
    """
    rates = _rates(run)
    if not changes or not rates.size or not np.isfinite(rates).all():
        return ()
    start = _Start(
        model=run.model,
        optimizer_state=run.state_dict()["optimizer"],
        config=dataclasses.replace(run.config, stop_on_divergence=True),
        splits=run.splits,
        scaling=run.scaling,
        learning_rate=_last_rate(run),
        peak_learning_rate=float(rates.max()),
        n_epochs=run.n_epochs_done,
    )
    n_steps_an_epoch = len(EpochPlan.of(run.config, len(run.splits.train_x)).step_sizes)
    return compared(start.continuation, changes, n_steps=n_steps_of(n_steps_an_epoch))


def _rates(run: Course) -> Any:
    return run.telemetry().step_series("learning_rate")


def _last_rate(run: Course) -> float:
    """The mean over the last epoch: a schedule may end at 0, with which nothing would go on."""
    return float(run.telemetry().steps[-1].learning_rate.mean())


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Start:
    """Where the continuations of one training begin."""

    model: nn.Module
    optimizer_state: dict[str, list[Tensor]]
    config: TrainingConfig
    splits: Splits
    scaling: InputScaling
    learning_rate: float
    peak_learning_rate: float
    n_epochs: int

    def continuation(self, change: Change | None) -> "_Continuation | None":
        """The training about to go on with ``change``; None where that is how it is already."""
        rate = self.learning_rate * self._rate_factor(change)
        config = self.config if change is None else self._changed(change)
        model = copy_of(self.model, memo=hooks_left_out(self.model))
        has_changed = change is None or rate != self.learning_rate or config != self.config
        if change is Change.NO_DROPOUT:
            has_changed = without_dropout(model)
        if not has_changed:
            return None
        optimizer = build_optimizer(config, model.parameters())
        optimizer.load_state_dict(self.optimizer_state)
        return _Continuation(self, config=config, model=model, optimizer=optimizer, learning_rate=rate)

    def _rate_factor(self, change: Change | None) -> float:
        match change:
            case Change.LOWER_RATE:
                return LOWER_RATE_FACTOR
            case Change.HIGHER_RATE:
                return HIGHER_RATE_FACTOR
            case Change.PEAK_RATE if self.peak_learning_rate >= HIGHER_RATE_FACTOR * self.learning_rate > 0:
                return self.peak_learning_rate / self.learning_rate
        return 1.0

    def _changed(self, change: Change) -> TrainingConfig:
        """The config under ``change``; the same where it is none of the config's."""
        config = self.config
        match change:
            case Change.LARGER_BATCH if isinstance(config.batch_size, int):
                size = config.batch_size * LARGER_BATCH_FACTOR
                if size * config.accumulation_steps <= len(self.splits.train_x):
                    return dataclasses.replace(config, batch_size=size)
            case Change.LOWER_MOMENTUM if config.optimizer in {"sgd", "rmsprop"}:
                return dataclasses.replace(config, momentum=min(config.momentum, LOWER_MOMENTUM))
            case Change.LOWER_MOMENTUM:
                return dataclasses.replace(config, beta1=min(config.beta1, LOWER_MOMENTUM))
            case Change.NO_WEIGHT_DECAY:
                return dataclasses.replace(config, weight_decay=0.0)
            case Change.NO_AUGMENTATION:
                return dataclasses.replace(config, augmentation=0.0)
        return config


class _Continuation:
    """One continuation: see `Continuation`."""

    def __init__(
        self,
        start: _Start,
        *,
        config: TrainingConfig,
        model: nn.Module,
        optimizer: Optimizer,
        learning_rate: float,
    ) -> None:
        self._start = start
        self._config = config
        self._model = model
        self._learning_rate = learning_rate
        self._random = RandomStream(config.seed, start.splits.device)
        self._trainer = EpochTrainer(
            config=config,
            splits=start.splits,
            model=model,
            optimizer=optimizer,
            loss=training_loss(config, start.splits),
            scaling=start.scaling,
            should_stop=lambda: None,
            reads_gradients=False,
        )
        sizes = self._trainer.step_sizes
        self._step_size = sizes[0]
        self._n_whole_steps = sizes.count(sizes[0])
        """Of an epoch: an odd last minibatch is left out, so that an epoch can be taken in parts."""
        self._epoch = start.n_epochs
        self._order = torch.empty(0, dtype=torch.int64)
        self._n_left = 0

    def train(self, n_steps: int) -> None:
        with self._random.active(), product_precision(self._config, self._start.splits.device):
            while n_steps:
                if not self._n_left:
                    self._begin_epoch()
                n = min(n_steps, self._n_left)
                self._trainer.run(self._order, [self._learning_rate] * n, None)
                self._order = self._order[n * self._step_size :]
                self._n_left -= n
                n_steps -= n

    def loss(self) -> float:
        splits = self._start.splits
        x, y = probe_batch(splits)
        with product_precision(self._config, splits.device):
            return evaluate(
                self._model,
                self._start.scaling,
                x,
                y,
                kind=splits.kind,
                in_detail=False,
                forward=lambda model, inputs: forward(model, inputs, self._config),
            ).loss

    def _begin_epoch(self) -> None:
        self._epoch += 1
        config, splits = self._config, self._start.splits
        seed = config.seed if config.order_seed is None else config.order_seed
        self._order = data_order(len(splits.train_x), seed=seed, epoch=self._epoch).to(splits.device)
        self._n_left = self._n_whole_steps
