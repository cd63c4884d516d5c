"""The rows of an epoch of all lanes: validation, activities and finiteness are read of all networks at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from studies.readings import NAN, EpochReadings, StepReadings
from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import Evaluation, evaluate_lanes
from tuner.training.lanes.engine import Engine
from tuner.training.lanes.lane import Lane
from tuner.training.lanes.lockstep import LanePass
from tuner.training.one_epoch import EpochPlan
from tuner.training.precision import targets, weight_type
from tuner.training.probes import Activity, layer_readings, probe_batch, read_activities, watched_layers
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
class LaneReader:
    """Reads lanes of one structure.

    Args:
        splits: the data.
        scaling: of the inputs.
        is_complete: False leaves out what costs time: calibration, gradients, layers.
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
        activities = self._activities(engine, config) if seated else ()
        network = dict(
            zip(map(id, seated), zip(is_finite, validations, activities, strict=True), strict=True)
        )
        return [self._epoch(done, trained[id(done)], network.get(id(done)), pace) for done in passes]

    def _epoch(
        self,
        done: LanePass,
        trained: TrainedSteps,
        network: tuple[bool, Evaluation, Mapping[str, Activity]] | None,
        pace: float,
    ) -> TrainedEpoch:
        """``network`` is what was read of the network in its seat; None for a lane that left on the way."""
        lane = done.lane
        steps = trained.readings(lane.n_rows, lane.config)
        if network is None:
            network = False, Evaluation(loss=NAN), self._activities_of(lane)
        is_finite, validation, activities = network
        has_diverged = not (is_finite and np.isfinite(steps.train_loss).all())
        if has_diverged and lane.config.stop_on_divergence:
            validation = Evaluation(loss=NAN)
        row = epoch_readings(
            trained,
            steps,
            lane.config,
            validation=validation,
            layers=layer_readings(lane.layer_names, done.layers, activities) if self.is_complete else (),
            training_seconds=sum(trained.sizes) / pace,
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
                with_calibration=self.is_complete,
            )

    def _activities(self, engine: Engine, config: TrainingConfig) -> Sequence[Mapping[str, Activity]]:
        if not self.is_complete:
            return [{}] * engine.n_lanes
        return engine.activities(self._probe_inputs(config))

    def _activities_of(self, lane: Lane) -> Mapping[str, Activity]:
        if not self.is_complete:
            return {}
        with drawing_from(lane.generator):
            return read_activities(lane.model, watched_layers(lane.model), self._probe_inputs(lane.config))

    def _probe_inputs(self, config: TrainingConfig) -> Tensor:
        inputs: Tensor = self.scaling(probe_batch(self.splits)[0])
        return inputs.to(weight_type(config))
