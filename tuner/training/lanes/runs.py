"""Neighboring lanes of one program: what they have is stacked, and they take their steps in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import LaneSteps, Minibatch
from tuner.training.lanes.masks import drawn_factors, dropouts_of
from tuner.training.lanes.programs import Program
from tuner.training.lanes.stacked_losses import StackedLoss
from tuner.training.one_epoch import CLIP_EPSILON
from tuner.training.optimizers import Optimizer
from tuner.training.precision import weight_type
from tuner.training.probes import TINY_NORM, watched_layers

Samples = tuple[Tensor, Tensor]
Gradients = list[Tensor | None]
"""One a parameter, stacked; None for what the loss does not depend on, and for frozen ones."""


@dataclass(kw_only=True)
class ModuleLane:
    """A lane's own module and optimizer. The module's tensors are views into those of its run."""

    config: TrainingConfig
    model: nn.Module
    generator: torch.Generator
    optimizer: Optimizer
    program: Program | None = None
    """The one it has shared; every program of modules that differ in nothing but dropout is as good."""

    def __post_init__(self) -> None:
        self.parameters: list[Parameter] = list(self.model.parameters())
        self.buffers: list[Tensor] = list(self.model.buffers())
        self.dropouts = dropouts_of(self.model)
        self.layers = watched_layers(self.model)


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
        self._loss = StackedLoss([lane.config for lane in lanes], splits)
        self._reads_hits = splits.kind == "classification"
        clip_norms = [lane.config.clip_norm if lane.config.clipping else 0.0 for lane in lanes]
        numbers = weight_type(lanes[0].config)
        self._clip_norms = torch.tensor(clip_norms, dtype=numbers, device=splits.device)
        self._clips = any(clip_norms)
        self._parameters = [
            _stacked(column) for column in zip(*(lane.parameters for lane in lanes), strict=True)
        ]
        self._buffers = [_stacked(column) for column in zip(*(lane.buffers for lane in lanes), strict=True)]
        self._is_trained = [parameter.requires_grad for parameter in lanes[0].parameters]
        self._no_norm = torch.zeros(len(lanes), dtype=numbers, device=splits.device)
        places = {id(parameter): place for place, parameter in enumerate(lanes[0].parameters)}
        self._layers = [[places[id(each)] for each in layer.parameters] for layer in lanes[0].layers]
        self._layer_weights = [[places[id(each)] for each in layer.weights] for layer in lanes[0].layers]

    def are_finite(self) -> Tensor:
        """[n_lanes], bool."""
        return torch.stack([_norms(parameter) for parameter in self._parameters]).isfinite().all(0)

    def step(
        self,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        """As `Engine.step`: ``parts`` are those of all lanes of the engine, ``learning_rates`` those of these."""
        losses, hits, gradients = self._backward([self._samples(part) for part in parts])
        norms = layer_norms = update_ratios = None
        if reads_norms or is_probed or self._clips:
            norms_by_parameter = [self._no_norm if each is None else _norms(each) for each in gradients]
            norms = _together(norms_by_parameter)
            if is_probed:
                by_layer = [
                    _together([norms_by_parameter[place] for place in layer]) for layer in self._layers
                ]
                layer_norms = _side_by_side(by_layer, norms)
            if self._clips:
                self._clip(gradients, norms)
        before = self._weights() if is_probed else []
        self._update(gradients, learning_rates)
        if is_probed and norms is not None:
            update_ratios = _side_by_side(self._update_ratios(before), norms)
        return LaneSteps(
            losses=losses,
            hits=hits,
            norms=norms if reads_norms else None,
            layer_norms=layer_norms,
            update_ratios=update_ratios,
        )

    # -- what a step consists of --

    def _samples(self, part: Sequence[Minibatch]) -> Samples:
        """Those of these lanes: [n, ...] and [1, n, ...] where all share them, else [n_lanes, n, ...] both."""
        end = self.first + len(self.lanes)
        shares = [
            (batch, min(batch.first_lane + batch.n_lanes, end) - max(batch.first_lane, self.first))
            for batch in part
        ]
        mine = [(batch, n_lanes) for batch, n_lanes in shares if n_lanes > 0]
        if len(mine) == 1:
            return mine[0][0].x, mine[0][0].y[None]
        # Copies of samples cost less than a forward pass for each minibatch.
        x = torch.cat([batch.x.expand(n_lanes, *batch.x.shape) for batch, n_lanes in mine])
        y = torch.cat([batch.y.expand(n_lanes, *batch.y.shape) for batch, n_lanes in mine])
        return x, y

    def _backward(self, parts: Sequence[Samples]) -> tuple[Tensor, Tensor | None, Gradients]:
        """Losses and hits, [n_lanes] each, and the gradients of the mean loss over all samples."""
        n_samples = sum(y.shape[1] for _, y in parts)
        losses, hits = [], []
        gradients: Gradients = [None] * len(self._parameters)
        for x, y in parts:
            share = y.shape[1] / n_samples
            leaves = [
                parameter.detach().requires_grad_(is_trained)
                for parameter, is_trained in zip(self._parameters, self._is_trained, strict=True)
            ]
            outputs = self._outputs(leaves, x, has_own_x=len(y) > 1)
            loss = self._loss(outputs, y)
            found = _gradients(loss, leaves, share)
            gradients = [_sum(*both) for both in zip(gradients, found, strict=True)]
            losses.append(loss.detach() * share)
            if self._reads_hits:
                hits.append(outputs.detach().argmax(2).eq(y).sum(1))
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

    def _clip(self, gradients: Gradients, norms: Tensor) -> None:
        factors = (self._clip_norms / (norms + CLIP_EPSILON)).clamp(max=1.0)
        factors = factors.where(self._clip_norms > 0, torch.ones_like(factors))
        for gradient in gradients:
            if gradient is not None:
                gradient.mul_(factors.view(-1, *(1 for _ in gradient.shape[1:])))

    def _update(self, gradients: Gradients, learning_rates: Sequence[float]) -> None:
        for position, (lane, rate) in enumerate(zip(self.lanes, learning_rates, strict=True)):
            for parameter, gradient in zip(lane.parameters, gradients, strict=True):
                parameter.grad = None if gradient is None else gradient[position]
            lane.optimizer.step(rate)
            for parameter in lane.parameters:
                parameter.grad = None

    def _weights(self) -> list[list[Tensor]]:
        return [[self._parameters[place].clone() for place in places] for places in self._layer_weights]

    def _update_ratios(self, before: list[list[Tensor]]) -> list[Tensor]:
        """How far each layer's weights moved, relative to their norm before; [n_lanes] each."""
        ratios = []
        for places, weights in zip(self._layer_weights, before, strict=True):
            moved = [
                _norms(self._parameters[place] - was) for place, was in zip(places, weights, strict=True)
            ]
            ratios.append(_together(moved) / (_together([_norms(each) for each in weights]) + TINY_NORM))
        return ratios


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


def _gradients(losses: Tensor, leaves: Sequence[Tensor], share: float) -> Gradients:
    """Of each lane's loss, times ``share``; a lane's loss depends on its own slices of ``leaves`` only."""
    trained = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(torch.autograd.grad(losses, trained, torch.full_like(losses, share), allow_unused=True))
    # Fused optimizers read memory as it lies, so a gradient must lie as its parameter does.
    return [_laid_out(next(found)) if leaf.requires_grad else None for leaf in leaves]


def _laid_out(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.contiguous()


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _norms(tensors: Tensor) -> Tensor:
    """The L2 norm of each lane's slice of [n_lanes, *shape]."""
    norms: Tensor = torch.linalg.vector_norm(tensors.reshape(len(tensors), -1), dim=1)
    return norms


def _together(norms: Sequence[Tensor]) -> Tensor:
    """The norm of several tensors at once, from the norm of each."""
    return torch.stack(list(norms)).square().sum(0).sqrt()


def _side_by_side(layers: Sequence[Tensor], like: Tensor) -> Tensor:
    """[n_lanes, n_layers]; a model may have no layer that is watched."""
    return torch.stack(list(layers), 1) if layers else like.new_empty((len(like), 0))
