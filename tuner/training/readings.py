"""Fills the records of an epoch: what the loop, the evaluation and the probes saw, as plain numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from studies.records import NAN, DataProbe, EpochReadings, LayerReadings, StepReadings, StepZeroProbe
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import Evaluation, evaluate
from tuner.training.losses import Loss
from tuner.training.one_epoch import EpochPass
from tuner.training.probes import (
    UpdateProbe,
    WatchedLayer,
    probe_batch,
    read_activities,
    read_data,
    read_step_zero,
    watched_layers,
)
from tuner.training.reproducibility import RandomStream


@dataclass(kw_only=True)
class EpochReader:
    """Reads one model on one set of splits."""

    model: nn.Module
    splits: Splits
    scaling: InputScaling
    clip_norm: float
    is_complete: bool
    """False leaves out what costs time: calibration, gradients, layers."""

    def __post_init__(self) -> None:
        self._layers: tuple[WatchedLayer, ...] = watched_layers(self.model)
        self._probe_x, self._probe_y = probe_batch(self.splits)

    def data(self) -> DataProbe:
        return read_data(self.splits, self.scaling)

    def step_zero(self, loss: Loss, *, seed: int) -> StepZeroProbe:
        """The untrained model; draws from a random stream of its own, so that probing changes no training."""
        with RandomStream(seed, self.splits.device).active():
            inputs = self.scaling(self._probe_x)
            return read_step_zero(self.model, self._layers, loss, inputs, self._probe_y, self.splits)

    def untrained(self, step_zero: StepZeroProbe) -> EpochReadings:
        """Epoch 0: one pass in eval mode over train and validation."""
        splits = self.splits
        train = evaluate(self.model, self.scaling, splits.train_x, splits.train_y, kind=splits.kind)
        validation = self.validation()
        return EpochReadings(
            epoch=0,
            train_loss=train.loss,
            train_accuracy=train.accuracy,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            calibration_error=validation.calibration_error,
            dead_fraction=_worst([layer.dead_fraction for layer in step_zero.layers]),
        )

    def update_probe(self) -> UpdateProbe | None:
        """What reads gradients and updates in the next epoch."""
        return UpdateProbe(layers=self._layers) if self.is_complete and self._layers else None

    def steps(self, epoch: int, done: EpochPass, learning_rates: Sequence[float]) -> StepReadings:
        norms = done.gradient_norms().numpy()
        is_clipped = norms > self.clip_norm if self.clip_norm else np.zeros(len(norms), dtype=np.bool_)
        return StepReadings(
            epoch=epoch,
            train_loss=torch.cat(done.losses).float().cpu().numpy(),
            learning_rate=np.array(learning_rates[: len(done.sizes)], dtype=np.float32),
            gradient_norm=norms,
            clipped=is_clipped,
        )

    def epoch(
        self, done: EpochPass, steps: StepReadings, probe: UpdateProbe | None, *, with_validation: bool
    ) -> EpochReadings:
        """The row of a trained epoch, but for ``seconds``."""
        validation = self.validation() if with_validation else Evaluation(loss=NAN)
        layers = self._layer_readings(probe) if probe is not None else ()
        return EpochReadings(
            epoch=steps.epoch,
            train_loss=float(np.average(steps.train_loss.astype(np.float64), weights=done.sizes)),
            train_accuracy=float(torch.stack(done.hits).sum()) / done.n_samples if done.hits else NAN,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            calibration_error=validation.calibration_error,
            learning_rate=float(steps.learning_rate[-1]),
            gradient_norm=float(steps.gradient_norm.astype(np.float64).mean()),
            clip_fraction=float(steps.clipped.mean()) if self.clip_norm else NAN,
            dead_fraction=_worst([layer.dead_fraction for layer in layers]),
            samples_per_second=done.n_samples / done.seconds,
            layers=layers,
        )

    def validation(self) -> Evaluation:
        splits = self.splits
        return evaluate(
            self.model,
            self.scaling,
            splits.validation_x,
            splits.validation_y,
            kind=splits.kind,
            with_calibration=self.is_complete,
        )

    def has_finite_parameters(self) -> bool:
        parameters = [parameter.detach() for parameter in self.model.parameters()]
        return bool(torch.stack(torch._foreach_norm(parameters)).isfinite().all())  # noqa: SLF001 - one call

    def _layer_readings(self, probe: UpdateProbe) -> tuple[LayerReadings, ...]:
        return probe.readings(read_activities(self.model, self._layers, self.scaling(self._probe_x)))


def _worst(fractions: list[float]) -> float:
    return max((fraction for fraction in fractions if math.isfinite(fraction)), default=NAN)
