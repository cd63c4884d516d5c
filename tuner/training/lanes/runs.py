"""Neighboring lanes of one program: what they have is stacked, and they take their steps in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import LaneSteps, Minibatch
from tuner.training.lanes.losses import CrossEntropy, MeanSquaredError
from tuner.training.lanes.masks import drawn_factors, dropouts_of
from tuner.training.lanes.optimizers import LaneOptimizer, LaneOptimizers
from tuner.training.lanes.programs import Program
from tuner.training.precision import weight_type

Gradients = list[Tensor | None]
"""One a trained parameter, stacked; None for what the loss does not depend on."""


@dataclass(kw_only=True)
class ModuleLane:
    """A lane's own module and optimizer. The module's tensors are views into those of its run."""

    config: TrainingConfig
    model: nn.Module
    generator: torch.Generator
    optimizer: LaneOptimizer
    program: Program | None = None
    """The one it has shared; every program of modules that differ in nothing but dropout is as good."""

    def __post_init__(self) -> None:
        self.parameters: list[Parameter] = list(self.model.parameters())
        self.buffers: list[Tensor] = list(self.model.buffers())
        self.dropouts = dropouts_of(self.model)


class Run:
    """Takes optimizer steps with some lanes of one program.

    Args:
        first: the position of its first lane in the engine.
        lanes: whose tensors are laid side by side.
        splits: what they are trained on.
    """

    def __init__(self, first: int, lanes: Sequence[ModuleLane], splits: Splits) -> None:
        self.first = first
        self.lanes = tuple(lanes)
        self._program = _program_of(lanes)
        self._optimizers = LaneOptimizers(lane.optimizer for lane in lanes)
        numbers = weight_type(lanes[0].config)
        is_regression = splits.kind == "regression"
        configs = [lane.config for lane in lanes]
        self._loss = MeanSquaredError() if is_regression else CrossEntropy(configs, splits, numbers)
        self._parameters = [
            _stacked(column) for column in zip(*(lane.parameters for lane in lanes), strict=True)
        ]
        self._buffers = [_stacked(column) for column in zip(*(lane.buffers for lane in lanes), strict=True)]
        self._is_trained = [parameter.requires_grad for parameter in lanes[0].parameters]

    def are_finite(self) -> Tensor:
        """[n_lanes], bool."""
        by_parameter = [each.unsqueeze(-1).flatten(1).isfinite().all(1) for each in self._parameters]
        return torch.stack(by_parameter).all(0)

    def step(
        self,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        """As `Engine.step`: ``parts`` are those of all lanes of the engine, ``learning_rates`` those of these."""
        losses, hits, gradients = self._backward([self._shares(part) for part in parts])
        updates = self._optimizers.step(
            gradients, learning_rates, reads_norms=reads_norms, is_probed=is_probed
        )
        return LaneSteps(
            losses=losses,
            hits=hits,
            norms=updates.norms,
            layer_norms=updates.layer_norms,
            update_ratios=updates.update_ratios,
        )

    # -- what a step consists of --

    def _shares(self, part: Sequence[Minibatch]) -> list[Minibatch]:
        """What of ``part`` is of these lanes, by their position in the run."""
        shares = []
        for batch in part:
            first = max(batch.first_lane - self.first, 0)
            end = min(batch.first_lane + batch.n_lanes - self.first, len(self.lanes))
            if first < end:
                shares.append(Minibatch(first_lane=first, n_lanes=end - first, x=batch.x, y=batch.y))
        return shares

    def _backward(self, parts: Sequence[Sequence[Minibatch]]) -> tuple[Tensor, Tensor | None, Gradients]:
        """Losses and hits, [n_lanes] each, and the gradients of the mean loss over all samples."""
        n_samples = sum(len(batches[0].y) for batches in parts)
        losses, hits = [], []
        gradients: Gradients = [None] * sum(self._is_trained)
        for batches in parts:
            leaves = [
                parameter.detach().requires_grad_(is_trained)
                for parameter, is_trained in zip(self._parameters, self._is_trained, strict=True)
            ]
            outputs = self._outputs(leaves, _samples(batches), has_own_x=len(batches) > 1)
            found = self._loss(outputs.detach().transpose(1, 2), batches, n_samples)
            of_part = _gradients(outputs, found.gradient.transpose(1, 2), leaves)
            gradients = [_sum(*both) for both in zip(gradients, of_part, strict=True)]
            losses.append(found.values)
            if found.hits is not None:
                hits.append(found.hits)
        return torch.stack(losses).sum(0), torch.stack(hits).sum(0) if hits else None, gradients

    def _outputs(self, parameters: Sequence[Tensor], x: Tensor, *, has_own_x: bool) -> Tensor:
        """In train mode, with the dropout that each lane draws."""
        factors = {}
        if self._program.dropouts:
            draws = self._program.draws(self._parameters, self._buffers, x[0] if has_own_x else x)
            generators = [lane.generator for lane in self.lanes]
            for call, draw in enumerate(draws):
                layers = [lane.dropouts.get(draw.layer) for lane in self.lanes]
                factor = drawn_factors(draw, layers, generators)
                if factor is not None:
                    factors[call] = factor
        return self._program.outputs(parameters, self._buffers, x, has_own_x=has_own_x, factors=factors)


def _program_of(lanes: Sequence[ModuleLane]) -> Program:
    """One that has the dropout of each of ``lanes``, which are alike otherwise; they keep it."""
    widest = max(lanes, key=lambda lane: len(lane.dropouts))
    known = [
        lane.program for lane in lanes if lane.program and lane.program.dropouts >= widest.dropouts.keys()
    ]
    program = known[0] if known else Program(widest.model, widest.config)
    for lane in lanes:
        lane.program = program
    return program


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """``tensors`` side by side, [n_lanes, *shape], of which they are views from then on."""
    together = torch.stack([tensor.detach() for tensor in tensors])
    for tensor, view in zip(tensors, together.unbind(), strict=True):
        tensor.data = view
    return together


def _samples(batches: Sequence[Minibatch]) -> Tensor:
    """[n, *input_shape] where all lanes share them, else [n_lanes, n, *input_shape]."""
    if len(batches) == 1:
        return batches[0].x
    # Copies of samples cost less than a forward pass for each minibatch.
    return torch.cat([batch.x.expand(batch.n_lanes, *batch.x.shape) for batch in batches])


def _gradients(outputs: Tensor, of_outputs: Tensor, leaves: Sequence[Tensor]) -> Gradients:
    """Of each lane's loss, from those of its outputs, which depend on its own slices of ``leaves`` only."""
    trained = [leaf for leaf in leaves if leaf.requires_grad]
    found = torch.autograd.grad(outputs, trained, of_outputs, allow_unused=True)
    # Fused optimizers read memory as it lies, so a gradient must lie as its parameter does.
    return [_laid_out(gradient) for gradient in found]


def _laid_out(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.contiguous()


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
