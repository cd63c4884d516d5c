"""Lanes that take as many optimizer steps at a time as one likes: the inner loop of range tests and batch races."""

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from tuner.training.augmentation import augmentation
from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import input_scaling
from tuner.training.datasets.splits import Splits
from tuner.training.evaluation import Evaluation, evaluate_lanes
from tuner.training.lanes.engine import Engine, LaneStart, Minibatch
from tuner.training.lanes.engines import engine_for
from tuner.training.lanes.minibatches import MinibatchSource, Parts, SampleOrder
from tuner.training.models import ModelBuilder, untrained_model
from tuner.training.one_epoch import EpochPlan
from tuner.training.precision import check_precision, product_precision, weight_type
from tuner.training.reproducibility import RandomStream, data_order


@dataclass(frozen=True, kw_only=True)
class Untrained:
    """A network as its seed made it, and where its random stream then was."""

    config: TrainingConfig
    model: nn.Module
    random: RandomStream


class _Feed:
    """The samples of a lane's steps, epoch after epoch in the order that a `TrainingRun` has.

    Lanes that hold the same object share their minibatches.
    """

    def __init__(self, start: LaneStart, source: MinibatchSource) -> None:
        self._start = start
        self._source = source
        self._augmentation = augmentation(start.config, source.splits.input_shape)
        self._epoch = 0
        self._step = len(source.plan.step_sizes)
        self._gathered: deque[Parts] = deque()

    def next_parts(self) -> Parts:
        """The minibatches of the next step, as if there were one lane."""
        if not self._gathered:
            self._gather()
        return self._gathered.popleft()

    def _gather(self) -> None:
        """The samples of the next few steps; they do not go beyond the end of an epoch."""
        if self._step == len(self._source.plan.step_sizes):
            self._epoch, self._step = self._epoch + 1, 0
            self._order = self._epoch_order()
        self._gathered.extend(self._source.steps([self._order], self._step))
        self._step += len(self._gathered)

    def _epoch_order(self) -> SampleOrder:
        splits = self._source.splits
        seed = _order_seed(self._start.config)
        indices = data_order(len(splits.train_x), seed=seed, epoch=self._epoch)
        return SampleOrder(
            indices=indices.to(splits.device),
            augmentation=self._augmentation,
            generator=self._start.generator,
        )


class SteppedLanes:
    """Lanes of one config but for their seeds, by the caller's positions; a lane's numbers depend on no other lane.

    Each takes the steps of a `TrainingRun` with its config, at the rates that it is given: without validation, without
    telemetry, and without an end. The caller's random state is not touched.

    Args:
        config: of the lanes; its learning rate and schedule play no part.
        splits: the data; its device is the one that trains.
        model: ``(config, input_shape, n_outputs) -> nn.Module`` instead of ``config.model``.
        engine: as of `Cohort`.
        reads_norms: read gradient norms at every step, as a training with telemetry does.
        has_whole_steps: all steps have the same size, the smaller last one of each epoch is left out. Lanes that are
            not at the same step of their epochs need it.

    Raises:
        ConfigurationError: for a precision that the device does not have.
    """

    def __init__(
        self,
        config: TrainingConfig,
        splits: Splits,
        *,
        model: ModelBuilder | None = None,
        engine: str = "auto",
        reads_norms: bool,
        has_whole_steps: bool,
    ) -> None:
        check_precision(config, splits.device)
        self.config = config
        self.splits = splits
        self.scaling = input_scaling(config, splits.train_x, splits.train_statistics)
        self._builder = model
        self._engine_name = engine
        self._reads_norms = reads_norms
        self.plan = _plan(config, len(splits.train_x), has_whole_steps=has_whole_steps)
        """How each epoch is cut into steps."""
        self._source = MinibatchSource(splits=splits, scaling=self.scaling, plan=self.plan, config=config)
        self._engine: Engine | None = None
        self._feeds: dict[int, _Feed] = {}
        """By position, of the lanes that are in the engine, in its order."""
        self._new: dict[int, LaneStart] = {}
        """By position, of the lanes that join at the next step."""

    def untrained(self, seed: int) -> Untrained:
        """The network that a `TrainingRun` with ``seed`` begins with.

        Raises:
            ConfigurationError: when the model cannot be built or does not fit the data.
        """
        config = dataclasses.replace(self.config, seed=seed)
        random = RandomStream(seed, self.splits.device)
        model = untrained_model(config, self.splits, self.scaling, random, builder=self._builder)
        return Untrained(config=config, model=model, random=random)

    def start(self, position: int, beginning: Untrained) -> None:
        """Train ``beginning``, whose model is the lane's from then on; what was at ``position`` is gone.

        Lanes that start between the same steps share their minibatches, where their data order is the same.
        """
        self.end(position)
        self._new[position] = LaneStart(
            config=beginning.config, model=beginning.model, generator=beginning.random.generator()
        )

    def end(self, position: int) -> None:
        """Drop the lane at ``position``, if there is one: it costs the others no more time."""
        self._new.pop(position, None)
        if self._engine is not None and position in self._feeds:
            self._engine.keep([i for i, other in enumerate(self._feeds) if other != position])
            del self._feeds[position]

    def advance(self, learning_rates: Mapping[int, Sequence[float]]) -> dict[int, Tensor]:
        """Take an optimizer step at each rate, in every lane; all by as many steps.

        Returns:
            For each position the minibatch losses before the updates, [n_steps], on the device.
        """
        engine = self._seated()
        rates = [learning_rates[position] for position in self._feeds]
        with product_precision(self.config, self.splits.device):
            losses = [
                engine.step(
                    self._next_parts(), of_step, reads_norms=self._reads_norms, is_probed=False
                ).losses
                for of_step in zip(*rates, strict=True)
            ]
        return dict(zip(self._feeds, torch.stack(losses, 1).unbind(), strict=True))

    def evaluate(self, x: Tensor, y: Tensor) -> dict[int, Evaluation]:
        """The plain loss and accuracy of each lane in eval mode on ``x``, ``y``."""
        engine = self._seated()
        with product_precision(self.config, self.splits.device):
            found = evaluate_lanes(
                lambda inputs: engine.outputs(inputs.to(weight_type(self.config))),
                self.scaling,
                x,
                y,
                kind=self.splits.kind,
                in_detail=False,
            )
        return dict(zip(self._feeds, found, strict=True))

    def model_state(self, position: int) -> dict[str, Tensor]:
        """A copy of the state dict of the network at ``position``."""
        engine = self._seated()
        return engine.model_state(list(self._feeds).index(position))

    def _next_parts(self) -> Parts:
        """The minibatches of the next step of all lanes."""
        # Those that share a feed may have others between them.
        parts_of = {feed: feed.next_parts() for feed in dict.fromkeys(self._feeds.values())}
        by_feed = []
        first_lane = 0
        for feed, sharing in groupby(self._feeds.values()):
            n_lanes = len(list(sharing))
            by_feed.append(
                [
                    Minibatch(first_lane=first_lane, n_lanes=n_lanes, x=part.x, y=part.y)
                    for (part,) in parts_of[feed]
                ]
            )
            first_lane += n_lanes
        return [list(part) for part in zip(*by_feed, strict=True)]

    def _seated(self) -> Engine:
        """The engine, with all lanes in it."""
        starts = list(self._new.values())
        if self._engine is None:
            self._engine = engine_for(self._engine_name, starts, self.splits).engine
        if starts:
            self._engine.add(starts)
            shared: dict[int, _Feed] = {}
            for position, start in self._new.items():
                feed = _Feed(start, self._source)
                is_own = start.config.augmentation > 0
                self._feeds[position] = feed if is_own else shared.setdefault(_order_seed(start.config), feed)
            self._new = {}
        return self._engine


def _order_seed(config: TrainingConfig) -> int:
    return config.seed if config.order_seed is None else config.order_seed


def _plan(config: TrainingConfig, n_samples: int, *, has_whole_steps: bool) -> EpochPlan:
    plan = EpochPlan.of(config, n_samples)
    if not has_whole_steps:
        return plan
    size = plan.step_sizes[0]
    return EpochPlan(batch_size=plan.batch_size, step_sizes=(size,) * (n_samples // size))
