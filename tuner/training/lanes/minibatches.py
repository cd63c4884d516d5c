"""The samples that lanes train on: gathered once for all neighbors that see them in the same order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from tuner.training.augmentation import Augmentation
from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import Minibatch
from tuner.training.one_epoch import EpochPlan, minibatch_sizes
from tuner.training.precision import targets, weight_type

Parts = list[list[Minibatch]]
"""Of one optimizer step: an entry for each of the minibatches that it accumulates, in it one for each order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleOrder:
    """In which order a lane sees the samples of an epoch, and how they are changed on the way.

    Lanes that hold the same object share their minibatches.
    """

    indices: Tensor
    """int64 [n_train], on the device."""
    augmentation: Augmentation | None = None
    generator: torch.Generator | None = None
    """What the augmentation draws from."""


@dataclass(frozen=True, kw_only=True)
class MinibatchSource:
    """Cuts minibatches for lanes of one structure, as `one_epoch.EpochTrainer` does for a training alone."""

    splits: Splits
    scaling: InputScaling
    plan: EpochPlan
    config: TrainingConfig
    """Of any lane; only its structural values are read."""

    def steps(self, orders: Sequence[SampleOrder], first: int) -> list[Parts]:
        """The samples of a block of optimizer steps from step ``first`` on; one of ``orders`` for each lane."""
        sizes = self.plan.step_sizes[first : first + self.plan.n_gathered]
        start = sum(self.plan.step_sizes[:first])
        steps: list[Parts] = [[[] for _ in self._part_sizes(size)] for size in sizes]
        for first_lane, n_lanes, order in _neighbors(orders):
            x, y = self._gathered(order, start, sum(sizes))
            cut = zip(x.split_with_sizes(sizes), y.split_with_sizes(sizes), strict=True)
            for parts, (step_x, step_y) in zip(steps, cut, strict=True):
                part_sizes = self._part_sizes(len(step_y))
                pieces = zip(
                    step_x.split_with_sizes(part_sizes), step_y.split_with_sizes(part_sizes), strict=True
                )
                for part, (part_x, part_y) in zip(parts, pieces, strict=True):
                    part.append(Minibatch(first_lane=first_lane, n_lanes=n_lanes, x=part_x, y=part_y))
        return steps

    def _part_sizes(self, n_samples: int) -> list[int]:
        if self.config.accumulation_steps == 1:
            return [n_samples]
        return minibatch_sizes(n_samples, self.plan.batch_size)

    def _gathered(self, order: SampleOrder, start: int, n_samples: int) -> tuple[Tensor, Tensor]:
        indices = order.indices[start : start + n_samples]
        raw = self.splits.train_x.index_select(0, indices)
        if order.augmentation is not None:
            raw = order.augmentation(raw, order.generator)
        x = self.scaling(raw).to(weight_type(self.config))
        return x, targets(self.splits.train_y.index_select(0, indices), self.config)


Layout = tuple[tuple[tuple[int, int], ...], ...]
"""Of the `Parts` of a step: of each minibatch its first lane, and how many lanes it has."""


def layout_of(parts: Sequence[Sequence[Minibatch]]) -> Layout:
    """All of ``parts`` but their tensors."""
    return tuple(tuple((batch.first_lane, batch.n_lanes) for batch in part) for part in parts)


def samples_of(parts: Sequence[Sequence[Minibatch]]) -> list[Tensor]:
    """The tensors of ``parts``: x and y of the first minibatch, of the second, ..."""
    return [tensor for part in parts for batch in part for tensor in (batch.x, batch.y)]


def parts_of(layout: Layout, samples: Iterable[Tensor]) -> Parts:
    """The parts that have ``layout``, of the next ones of ``samples``."""
    tensors = iter(samples)
    return [
        [
            Minibatch(first_lane=first_lane, n_lanes=n_lanes, x=next(tensors), y=next(tensors))
            for first_lane, n_lanes in part
        ]
        for part in layout
    ]


def _neighbors(orders: Sequence[SampleOrder]) -> Iterator[tuple[int, int, SampleOrder]]:
    """Runs of lanes that share an order: the first lane, how many, and the order."""
    first_lane = 0
    for _, run in groupby(orders, key=id):
        lanes = list(run)
        yield first_lane, len(lanes), lanes[0]
        first_lane += len(lanes)
