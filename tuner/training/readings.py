"""Fills the records of an epoch: what the loop, the evaluation and the probes saw, as plain numbers."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from studies.readings import (
    NAN,
    DataProbe,
    EpochReadings,
    FloatArray,
    LayerReadings,
    StepReadings,
    StepZeroProbe,
)
from tuner.training.config import TrainingConfig
from tuner.training.data_probe import marks_of, read_data
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import UNREAD, Evaluation, evaluate, evaluate_outputs
from tuner.training.leak_harm import NO_INFLATION, Inflation, answers, inflations
from tuner.training.losses import Loss
from tuner.training.one_epoch import EpochPass, clip_norm
from tuner.training.precision import forward, targets, weight_type
from tuner.training.probes import (
    ProbePass,
    UpdateProbe,
    WatchedLayer,
    probe_batch,
    probe_pass,
    read_step_zero,
    watched_layers,
)
from tuner.training.reproducibility import RandomStream


@dataclass(frozen=True, kw_only=True)
class TrainedSteps:
    """What was read of the optimizer steps of one epoch, on the host."""

    sizes: Sequence[int]
    losses: FloatArray
    norms: FloatArray
    """NaN where they were not read."""
    n_hits: int | None
    """Right predictions on the way; None for regression."""
    learning_rates: Sequence[float]
    """Of these steps, and of those that did not come."""

    def readings(self, epoch: int, config: TrainingConfig) -> StepReadings:
        """The step cadence."""
        limit = clip_norm(config)
        return StepReadings(
            epoch=epoch,
            train_loss=self.losses,
            learning_rate=np.array(self.learning_rates[: len(self.sizes)], dtype=np.float32),
            gradient_norm=self.norms,
            clipped=self.norms > limit if limit else np.zeros(len(self.norms), dtype=np.bool_),
        )


def epoch_readings(
    done: TrainedSteps,
    steps: StepReadings,
    config: TrainingConfig,
    *,
    validation: Evaluation,
    probe: Evaluation,
    layers: tuple[LayerReadings, ...],
    training_seconds: float,
    inflation: Inflation = NO_INFLATION,
) -> EpochReadings:
    """The row of a trained epoch, but for ``seconds``; ``probe`` is the network on the probe batch."""
    n_samples = sum(done.sizes)
    return EpochReadings(
        epoch=steps.epoch,
        train_loss=float(np.average(steps.train_loss.astype(np.float64), weights=done.sizes)),
        train_accuracy=NAN if done.n_hits is None else done.n_hits / n_samples,
        **_validation_readings(validation),
        **_probe_readings(probe),
        **dataclasses.asdict(inflation),
        learning_rate=float(steps.learning_rate[-1]),
        gradient_norm=float(steps.gradient_norm.astype(np.float64).mean()),
        clip_fraction=float(steps.clipped.mean()) if clip_norm(config) else NAN,
        dead_fraction=_worst([layer.dead_fraction for layer in layers]),
        samples_per_second=n_samples / training_seconds,
        layers=layers,
    )


@dataclass(frozen=True, kw_only=True)
class Untrained:
    """The untrained network in eval mode."""

    train: Evaluation
    validation: Evaluation
    probe: Evaluation


def untrained_readings(
    untrained: Untrained, step_zero: StepZeroProbe, *, seconds: float = NAN
) -> EpochReadings:
    """The row of epoch 0."""
    return EpochReadings(
        epoch=0,
        train_loss=untrained.train.loss,
        train_accuracy=untrained.train.accuracy,
        **_validation_readings(untrained.validation),
        **_probe_readings(untrained.probe),
        dead_fraction=_worst([layer.dead_fraction for layer in step_zero.layers]),
        seconds=seconds,
    )


def _validation_readings(found: Evaluation) -> dict[str, Any]:
    return {
        "validation_loss": found.loss,
        "validation_accuracy": found.accuracy,
        "calibration_error": found.calibration_error,
        "confidence": found.confidence,
        "confident_error_rate": found.confident_error_rate,
        "class_accuracy": found.class_accuracy,
    }


def _probe_readings(found: Evaluation) -> dict[str, Any]:
    return {"probe_loss": found.loss, "probe_accuracy": found.accuracy}


@dataclass(kw_only=True)
class EpochReader:
    """Reads one model on one set of splits."""

    model: nn.Module
    splits: Splits
    scaling: InputScaling
    config: TrainingConfig
    is_complete: bool
    """False leaves out what costs time: calibration, probes, gradients, layers, and most of the data's probe."""

    def __post_init__(self) -> None:
        self._layers: tuple[WatchedLayer, ...] = watched_layers(self.model)
        self._probe_x, self._probe_y = probe_batch(self.splits)

    def data(self) -> DataProbe:
        return read_data(self.splits, self.scaling, self.config, is_complete=self.is_complete)

    def step_zero(self, loss: Loss, *, seed: int) -> StepZeroProbe:
        """The untrained model; draws from a random stream of its own, so that probing changes no training."""
        y = targets(self._probe_y, self.config)
        with RandomStream(seed, self.splits.device).active():
            return read_step_zero(self.model, self._layers, loss, self._probe_inputs(), y, self.splits)

    def untrained(self) -> Untrained:
        """Train, validation and probe batch in eval mode."""
        return Untrained(
            train=self.evaluation(self.splits.train_x, self.splits.train_y, in_detail=False),
            validation=self.validation(),
            probe=self.evaluation(self._probe_x, self._probe_y, in_detail=False)
            if self.is_complete
            else UNREAD,
        )

    def update_probe(self) -> UpdateProbe | None:
        """What reads gradients and updates in the next epoch."""
        return UpdateProbe(layers=self._layers) if self.is_complete and self._layers else None

    def steps(self, done: EpochPass, learning_rates: Sequence[float]) -> TrainedSteps:
        return TrainedSteps(
            sizes=done.sizes,
            losses=torch.cat(done.losses).float().cpu().numpy(),
            norms=done.gradient_norms().numpy(),
            n_hits=int(torch.stack(done.hits).sum()) if done.hits else None,
            learning_rates=learning_rates,
        )

    def validation(self) -> Evaluation:
        return self.evaluation(self.splits.validation_x, self.splits.validation_y, in_detail=self.is_complete)

    def evaluation(self, x: Tensor, y: Tensor, *, in_detail: bool) -> Evaluation:
        return evaluate(
            self.model,
            self.scaling,
            x,
            y,
            kind=self.splits.kind,
            in_detail=in_detail,
            forward=lambda model, inputs: forward(model, inputs, self.config),
        )

    def inflation(self) -> Inflation:
        """Of the validation accuracy, by what leaks; leaves the model in eval mode where something does."""
        marks = marks_of(self.splits, self.data()) if self.is_complete else None
        if not marks:
            return NO_INFLATION
        self.model.eval()
        (found,) = inflations(
            marks,
            lambda x: answers(forward(self.model, self.scaling(x), self.config))[None],
            self.splits.validation_x,
            self.splits.validation_y,
        )
        return found

    def has_finite_parameters(self) -> bool:
        return are_finite(self.model)

    def probe_pass(self) -> ProbePass | None:
        """The model as it is now on the probe batch."""
        if not self.is_complete:
            return None
        return probe_pass(self.model, self._layers, self._probe_inputs())

    def probe_evaluation(self, done: ProbePass) -> Evaluation:
        """What its outputs are worth."""
        y = targets(self._probe_y, self.config)
        (found,) = evaluate_outputs(done.outputs[None], y, kind=self.splits.kind)
        return found

    def _probe_inputs(self) -> Tensor:
        inputs: Tensor = self.scaling(self._probe_x)
        return inputs.to(weight_type(self.config))


def are_finite(model: nn.Module) -> bool:
    """Whether all parameters are; by their largest, as a sum of squares may be infinite before any of them is."""
    parameters = [parameter.detach() for parameter in model.parameters() if parameter.numel()]
    largest = torch._foreach_norm(parameters, math.inf)  # noqa: SLF001 - one call
    return bool(torch.stack(largest).isfinite().all())


def _worst(fractions: list[float]) -> float:
    return max((fraction for fraction in fractions if math.isfinite(fraction)), default=NAN)
