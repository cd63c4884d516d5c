"""One training as it is followed from outside: its readings, its best epoch, and how it ends.

There are two ways to take it: alone (`loop.TrainingRun`), or as a lane of a cohort (`lanes.lane.Lane`).
"""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from search_spaces.errors import ConfigurationError
from studies.readings import DataProbe, EpochReadings, StepReadings, StepZeroProbe, Telemetry
from studies.records import Outcome
from tuner.training.best import BestEpoch, Weights
from tuner.training.config import TrainingConfig, direction_of
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import Evaluation, evaluate
from tuner.training.models import ModelBuilder, untrained_model
from tuner.training.optimizers import build_optimizer
from tuner.training.precision import check_precision, forward
from tuner.training.reproducibility import RandomStream, data_order
from tuner.training.schedules import learning_rate_factor, peak_learning_rate, plateau_of
from tuner.training.telemetry_state import telemetry_from_state, telemetry_to_state

_NEEDS_CLASSES = frozenset({"validation_accuracy", "train_accuracy", "calibration_error"})


class Course:
    """What is known of the training of one config, and what decides when it ends.

    Args:
        config: what to train.
        splits: the data.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        metric: what the best epoch and early stopping go by; None is validation accuracy, or validation loss
            for regression. ``seconds`` says nothing of an epoch's worth: the default decides then, too.
        direction: maximize or minimize; None is the metric's own.

    Raises:
        ConfigurationError: for a metric that the task does not have, a model that does not fit the data, or a
            precision that the device does not have.
    """

    def __init__(
        self,
        config: TrainingConfig,
        splits: Splits,
        *,
        model: ModelBuilder | None = None,
        metric: str | None = None,
        direction: str | None = None,
    ) -> None:
        check_precision(config, splits.device)
        self.config = config
        self.splits = splits
        self.step_zero: StepZeroProbe | None = None
        self.data_probe: DataProbe | None = None
        self.last_steps: StepReadings | None = None
        self._best = _best_of(metric, direction, splits)
        self.peak_learning_rate = peak_learning_rate(config, len(splits.train_x))
        """What ``learning_rate`` comes to for the batch, by ``batch_lr_rule``; schedules are factors of it."""
        self._random = RandomStream(config.seed, splits.device)
        self.scaling = input_scaling(config, splits.train_x, splits.train_statistics)
        self._model = untrained_model(config, splits, self.scaling, self._random, builder=model)
        self._optimizer = build_optimizer(config, self._model.parameters())
        self._plateau = plateau_of(config)
        self._rows: list[EpochReadings] = []
        self._steps: list[StepReadings] = []
        self._outcome: Outcome | None = None
        self._has_diverged = False
        self._is_between_epochs = True

    # -- what came of it --

    @property
    def model(self) -> torch.nn.Module:
        """The network as it is now."""
        return self._model

    @property
    def outcome(self) -> Outcome:
        """How the training ended.

        Raises:
            RuntimeError: while it has not.
        """
        if self._outcome is None:
            raise RuntimeError("The training has not ended: take it to its end, or call stop().")
        return self._outcome

    @property
    def has_ended(self) -> bool:
        return self._outcome is not None

    def stop(self, outcome: Outcome) -> None:
        """End the training before its next epoch, for instance because a pruner says so."""
        self._outcome = outcome

    @property
    def metric(self) -> str:
        """What the best epoch and early stopping go by."""
        return self._best.metric

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best finite value of the metric, epoch 0 aside; None before there is one."""
        return self._best.epoch

    @property
    def best_weights(self) -> Weights | None:
        """The state dict of the model at the end of `best_epoch`."""
        return self._best.weights

    def restore_best(self) -> None:
        """Give the model the weights of the best epoch, if there is one."""
        if self._best.weights is not None:
            self._model.load_state_dict(self._best.weights)

    @property
    def n_epochs_done(self) -> int:
        """Trained epochs so far, those of a loaded state included."""
        return max(0, len(self._rows) - 1)

    def value(self, metric: str) -> float | None:
        """``metric`` at the best epoch, or the seconds of all epochs; None before a finite value was read."""
        direction_of(metric)
        if self._best.epoch is None:
            return None
        if metric == "seconds":
            return sum(row.seconds for row in self._rows)
        return _finite(getattr(self._rows[self._best.epoch], metric))

    def value_at(self, metric: str, epoch: int) -> float | None:
        """``metric`` at an epoch that was read, or the seconds up to its end; None when it is not finite."""
        direction_of(metric)
        if metric == "seconds":
            return sum(row.seconds for row in self._rows[: epoch + 1])
        return _finite(getattr(self._rows[epoch], metric))

    def latest(self, metric: str) -> float | None:
        """``metric`` at the last epoch read, or the seconds so far; None when it is not finite."""
        direction_of(metric)
        return self.value_at(metric, len(self._rows) - 1) if self._rows else None

    @property
    def last_readings(self) -> EpochReadings:
        """Of the last epoch read, which there must be."""
        return self._rows[-1]

    def telemetry(self) -> Telemetry:
        """All readings so far."""
        return Telemetry(
            epochs=tuple(self._rows), steps=tuple(self._steps), step_zero=self.step_zero, data=self.data_probe
        )

    def evaluate(self, split: str = "validation") -> Evaluation:
        """The model as it is now on ``train``, ``validation`` or ``test``.

        Raises:
            ConfigurationError: for a split that the data does not have.
        """
        splits = self.splits
        parts: dict[str, tuple[Tensor, Tensor]] = {
            "train": (splits.train_x, splits.train_y),
            "validation": (splits.validation_x, splits.validation_y),
        }
        if splits.test_x is not None and splits.test_y is not None:
            parts["test"] = (splits.test_x, splits.test_y)
        if split not in parts:
            raise ConfigurationError(f"split must be one of {', '.join(parts)}, but got {split!r}.")
        x, y = parts[split]
        return evaluate(
            self.model,
            self.scaling,
            x,
            y,
            kind=splits.kind,
            forward=lambda model, inputs: forward(model, inputs, self.config),
        )

    # -- to stop here and go on elsewhere --

    def state_dict(self) -> dict[str, Any]:
        """Everything a training of the same config on the same data needs to go on, bit for bit on the CPU.

        Raises:
            RuntimeError: when the training was stopped within an epoch; the state is that of an epoch's end.
        """
        if not self._is_between_epochs:
            raise RuntimeError(
                "The training stopped within an epoch: resume from the checkpoint of the last whole one."
            )
        return {
            "config": self.config.to_mapping(),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "plateau": dataclasses.asdict(self._plateau) if self._plateau else None,
            "random": self._random.state_dict(),
            "best": self._best.state_dict(),
            "has_diverged": self._has_diverged,
            "telemetry": telemetry_to_state(self.telemetry()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken, alone or in a cohort.

        Raises:
            ConfigurationError: when it was taken from a training of another config.
        """
        # A key that is newer than the checkpoint had its default's effect then.
        mine, theirs = self.config.to_mapping(), {**TrainingConfig().to_mapping(), **state["config"]}
        differences = [
            f"{key} was {theirs[key]} and is now {mine[key]}" for key in mine if mine[key] != theirs[key]
        ]
        if differences:
            raise ConfigurationError(
                f"A training resumes with the config it had, but {', '.join(differences)}."
            )
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._plateau is not None:
            self._plateau = dataclasses.replace(self._plateau, **state["plateau"])
        self._random.load_state_dict(state["random"])
        self._best.load_state_dict(state["best"])
        self._has_diverged = state["has_diverged"]
        telemetry = telemetry_from_state(state["telemetry"])
        self._rows, self._steps = list(telemetry.epochs), list(telemetry.steps)
        self.step_zero, self.data_probe = telemetry.step_zero, telemetry.data
        self.last_steps = self._steps[-1] if self._steps else None

    # -- for those who take the training on --

    def _ending(self) -> Outcome | None:
        """Why the training does not go on to its next epoch, as far as it says so itself; None when it goes on."""
        epoch = len(self._rows) - 1
        if self._outcome is not None:
            return self._outcome
        if self._has_diverged and (self.config.stop_on_divergence or epoch >= self.config.epochs):
            return Outcome.DIVERGED
        if epoch >= self.config.epochs:
            return Outcome.COMPLETED
        if self.config.patience and self._best.n_epochs_since(epoch) >= self.config.patience:
            return Outcome.STOPPED_EARLY
        return None

    def _keep(self, readings: EpochReadings, steps: StepReadings, *, has_diverged: bool) -> None:
        """Take in a trained epoch."""
        self._has_diverged = has_diverged
        self._rows.append(readings)
        self._steps.append(steps)
        self.last_steps = steps
        self._best.update(readings, self._copied_weights)
        if self._plateau is not None:
            self._plateau.update(readings.validation_loss)
        self._is_between_epochs = True

    def _copied_weights(self) -> Weights:
        return {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}

    @property
    def _order_seed(self) -> int:
        return self.config.seed if self.config.order_seed is None else self.config.order_seed

    def _order(self, epoch: int) -> Tensor:
        """The samples of ``epoch`` in their order, int64 on the device."""
        order = data_order(len(self.splits.train_x), seed=self._order_seed, epoch=epoch)
        return order.to(self.splits.device)

    def _learning_rates(self, epoch: int, n_steps: int) -> list[float]:
        """Of each of the ``n_steps`` optimizer steps of ``epoch``."""
        peak = self.peak_learning_rate * (self._plateau.factor if self._plateau else 1.0)
        first, n_planned = (epoch - 1) * n_steps, self.config.epochs * n_steps
        return [
            peak * learning_rate_factor(step, n_planned, self.config)
            for step in range(first, first + n_steps)
        ]


def _best_of(metric: str | None, direction: str | None, splits: Splits) -> BestEpoch:
    default = "validation_loss" if splits.kind == "regression" else "validation_accuracy"
    if splits.kind == "regression" and metric in _NEEDS_CLASSES:
        raise ConfigurationError(
            f"{metric} needs classes, but {splits.name} is a regression; take validation_loss."
        )
    if metric is None or metric == "seconds":
        metric, direction = default, None
    return BestEpoch(metric=metric, is_maximized=(direction or direction_of(metric)) == "maximize")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
