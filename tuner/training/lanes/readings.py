"""The rows of an epoch of all lanes: validation, activities and finiteness are read of all networks at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studies.readings import EpochReadings, StepReadings
from tuner.training.config import TrainingConfig
from tuner.training.data_probe import marks_of, read_data
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import UNREAD, Evaluation, evaluate_lanes, evaluate_outputs
from tuner.training.lanes.engine import Engine
from tuner.training.lanes.lane import Lane
from tuner.training.lanes.lockstep import LanePass
from tuner.training.leak_harm import NO_INFLATION, Inflation, answers, inflations
from tuner.training.one_epoch import EpochPlan
from tuner.training.precision import targets, weight_type
from tuner.training.probes import Activity, layer_readings, probe_batch, probe_pass, watched_layers
from tuner.training.readings import TrainedSteps, epoch_readings
from tuner.training.reproducibility import drawing_from
from tuner.training.stopwatch import Stopwatch


@dataclass(frozen=True, kw_only=True)
class TrainedEpoch:
    """One lane's readings of an epoch."""

    row: EpochReadings
    """But for ``seconds``."""
    steps: StepReadings
    has_diverged: bool


@dataclass(frozen=True, kw_only=True)
class _Network:
    """What was read of one network."""

    is_finite: bool
    activities: Mapping[str, Activity]
    validation: Evaluation = UNREAD
    probe: Evaluation = UNREAD
    inflation: Inflation = NO_INFLATION


@dataclass(frozen=True, kw_only=True)
class LaneReader:
    """Reads lanes of one structure.

    Args:
        splits: the data.
        scaling: of the inputs.
        is_complete: False leaves out what costs time: calibration, probes, gradients, layers.
        stopwatch: what counts the seconds, as evaluation and telemetry.
    """

    splits: Splits
    scaling: InputScaling
    is_complete: bool
    stopwatch: Stopwatch

    def read(
        self, engine: Engine, passes: Sequence[LanePass], plan: EpochPlan, *, training_seconds: float
    ) -> list[TrainedEpoch]:
        """What one pass over the training data came to, for each of ``passes``; those not lost are in the engine."""
        seated = [done for done in passes if not done.is_lost]
        config = passes[0].lane.config
        trained = {id(done): done.trained(plan.step_sizes) for done in passes}
        # A lane's share of the time is that of its samples, so that they all have the cohort's pace.
        pace = sum(sum(each.sizes) for each in trained.values()) / training_seconds
        is_finite = engine.are_finite().tolist() if seated else []
        validations = self._validations(engine, config) if seated else ()
        probes = self._probes(engine, config) if seated else ()
        with self.stopwatch.on("evaluation"):
            found = self._inflations(engine, config) if seated else ()
        network = {
            id(done): _Network(
                is_finite=finite,
                validation=validation,
                probe=probe,
                activities=activities,
                inflation=inflation,
            )
            for done, finite, validation, (probe, activities), inflation in zip(
                seated, is_finite, validations, probes, found, strict=True
            )
        }
        return [self._epoch(done, trained[id(done)], network.get(id(done)), pace) for done in passes]

    def _epoch(
        self, done: LanePass, trained: TrainedSteps, network: _Network | None, pace: float
    ) -> TrainedEpoch:
        """``network`` is what was read of the network in its seat; None for a lane that left on the way."""
        lane = done.lane
        steps = trained.readings(lane.n_rows, lane.config)
        if network is None:
            network = _Network(is_finite=False, activities=self._activities_of(lane))
        has_diverged = not (network.is_finite and np.isfinite(steps.train_loss).all())
        is_lost = has_diverged and lane.config.stop_on_divergence
        row = epoch_readings(
            trained,
            steps,
            lane.config,
            validation=UNREAD if is_lost else network.validation,
            probe=UNREAD if is_lost else network.probe,
            layers=layer_readings(lane.layer_names, done.layers, network.activities)
            if self.is_complete
            else (),
            training_seconds=sum(trained.sizes) / pace,
            inflation=NO_INFLATION if is_lost else network.inflation,
        )
        return TrainedEpoch(row=row, steps=steps, has_diverged=has_diverged)

    def _validations(self, engine: Engine, config: TrainingConfig) -> tuple[Evaluation, ...]:
        with self.stopwatch.on("evaluation"):
            return evaluate_lanes(
                lambda x: engine.outputs(x.to(weight_type(config))),
                self.scaling,
                self.splits.validation_x,
                targets(self.splits.validation_y, config),
                kind=self.splits.kind,
                in_detail=self.is_complete,
            )

    def _inflations(self, engine: Engine, config: TrainingConfig) -> Sequence[Inflation]:
        """Of each lane, by what leaks in the data."""
        if self.is_complete:
            data = read_data(self.splits, self.scaling, config, is_complete=True)
            if marks := marks_of(self.splits, data):
                return inflations(
                    marks,
                    lambda x: answers(engine.outputs(self.scaling(x).to(weight_type(config)))),
                    self.splits.validation_x,
                    self.splits.validation_y,
                )
        return [NO_INFLATION] * engine.n_lanes

    def _probes(
        self, engine: Engine, config: TrainingConfig
    ) -> Sequence[tuple[Evaluation, Mapping[str, Activity]]]:
        """Of each lane how good it is on the probe batch, and its activities there."""
        if not self.is_complete:
            return [(UNREAD, {})] * engine.n_lanes
        passes = engine.probe_passes(self._probe_inputs(config))
        y = targets(probe_batch(self.splits)[1], config)
        outputs = torch.stack([done.outputs for done in passes])
        found = evaluate_outputs(outputs, y, kind=self.splits.kind)
        return [(probe, done.activities) for probe, done in zip(found, passes, strict=True)]

    def _activities_of(self, lane: Lane) -> Mapping[str, Activity]:
        if not self.is_complete:
            return {}
        with drawing_from(lane.generator):
            inputs = self._probe_inputs(lane.config)
            return probe_pass(lane.model, watched_layers(lane.model), inputs).activities

    def _probe_inputs(self, config: TrainingConfig) -> Tensor:
        inputs: Tensor = self.scaling(probe_batch(self.splits)[0])
        return inputs.to(weight_type(config))
