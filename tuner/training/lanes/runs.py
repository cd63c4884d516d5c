"""Neighboring lanes of one program: what they have is stacked, and they take their steps in one pass."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from tuner.training.architectures.counted_numbers import are_counted
from tuner.training.architectures.dropout import Dropout
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.capture import Recorder, Results, Steps, numbers_for
from tuner.training.lanes.draws import Call, CountedDraws
from tuner.training.lanes.engine import LaneSteps, Minibatch
from tuner.training.lanes.losses import CrossEntropy, MeanSquaredError
from tuner.training.lanes.masks import Draw, LaneMasks, drawn_factors, dropouts_of
from tuner.training.lanes.minibatches import layout_of, parts_of, samples_of
from tuner.training.lanes.optimizers import LaneOptimizer, LaneOptimizers, Updates
from tuner.training.lanes.programs import Program
from tuner.training.lanes.stacked import StackedOptimizers
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
        stacks: whether all lanes are updated at once, rather than in turn.
        recorder: records steps, if lanes are updated at once; None issues every step anew.
    """

    def __init__(
        self,
        first: int,
        lanes: Sequence[ModuleLane],
        splits: Splits,
        *,
        stacks: bool,
        recorder: Recorder | None,
    ) -> None:
        self.first = first
        self.lanes = tuple(lanes)
        self._device = splits.device
        self._program = _program_of(lanes)
        numbers = weight_type(lanes[0].config)
        is_regression = splits.kind == "regression"
        configs = [lane.config for lane in lanes]
        self._loss = MeanSquaredError() if is_regression else CrossEntropy(configs, splits, numbers)
        self._parameters = [
            _stacked(column) for column in zip(*(lane.parameters for lane in lanes), strict=True)
        ]
        self._buffers = [_stacked(column) for column in zip(*(lane.buffers for lane in lanes), strict=True)]
        self._is_trained = [parameter.requires_grad for parameter in lanes[0].parameters]
        optimizers = [lane.optimizer for lane in lanes]
        self._optimizers = LaneOptimizers(optimizers)
        trained = list(compress(self._parameters, self._is_trained))
        self._stacked = StackedOptimizers(optimizers, trained) if stacks else None
        self._masks = _Masks(self.lanes, self._program, self._device)
        self._steps = Steps(self._device, recorder)

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
        mine = [self._shares(part) for part in parts]
        if self._stacked is not None:
            return self._step_stacked(
                self._stacked, mine, learning_rates, reads_norms=reads_norms, is_probed=is_probed
            )
        factors = [factors for draws in self._draws(mine) for factors in self._masks.drawn(draws)]
        return self._taken(
            mine,
            iter(factors),
            lambda gradients: self._optimizers.step(
                gradients, learning_rates, reads_norms=reads_norms, is_probed=is_probed
            ),
        )

    # -- what a step consists of --

    def _step_stacked(
        self,
        optimizers: StackedOptimizers,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        """The step as one of tensors: all that changes from one to the next is among its inputs."""
        layout, samples = layout_of(parts), samples_of(parts)
        draws = [draw for of_part in self._draws(parts) for draw in of_part]

        def step(inputs: Sequence[Tensor]) -> Results:
            read = self._taken(
                parts_of(layout, inputs),
                self._masks.factors(draws, inputs[len(samples) + 1 :]),
                lambda gradients: optimizers.step(
                    gradients, inputs[len(samples)], reads_norms=reads_norms, is_probed=is_probed
                ),
            )
            return read.as_results()

        inputs = [*samples, numbers_for(self._device, learning_rates), *self._masks.inputs(draws)]
        form = (layout, reads_norms, is_probed)
        return LaneSteps.of(self._steps.take(form, step, inputs, may_record=not is_probed))

    def _taken(
        self,
        parts: Sequence[Sequence[Minibatch]],
        factors: Iterator[Tensor | None],
        update: Callable[[Gradients], Updates],
    ) -> LaneSteps:
        losses, hits, gradients = self._backward(parts, factors)
        updates = update(gradients)
        return LaneSteps(
            losses=losses,
            hits=hits,
            norms=updates.norms,
            layer_norms=updates.layer_norms,
            update_ratios=updates.update_ratios,
        )

    def _shares(self, part: Sequence[Minibatch]) -> list[Minibatch]:
        """What of ``part`` is of these lanes, by their position in the run."""
        shares = []
        for batch in part:
            first = max(batch.first_lane - self.first, 0)
            end = min(batch.first_lane + batch.n_lanes - self.first, len(self.lanes))
            if first < end:
                shares.append(Minibatch(first_lane=first, n_lanes=end - first, x=batch.x, y=batch.y))
        return shares

    def _draws(self, parts: Sequence[Sequence[Minibatch]]) -> list[tuple[Draw, ...]]:
        """The calls of dropout in each part."""
        if not self._program.dropouts:
            return [()] * len(parts)
        return [self._program.draws(self._parameters, self._buffers, batches[0].x) for batches in parts]

    def _backward(
        self, parts: Sequence[Sequence[Minibatch]], factors: Iterator[Tensor | None]
    ) -> tuple[Tensor, Tensor | None, Gradients]:
        """Losses and hits, [n_lanes] each, and the gradients of the mean loss over all samples."""
        n_samples = sum(len(batches[0].y) for batches in parts)
        losses, hits = [], []
        gradients: Gradients = [None] * sum(self._is_trained)
        for batches, draws in zip(parts, self._draws(parts), strict=True):
            leaves = [
                parameter.detach().requires_grad_(is_trained)
                for parameter, is_trained in zip(self._parameters, self._is_trained, strict=True)
            ]
            of_calls = {
                call: factor for call, factor in enumerate(islice(factors, len(draws))) if factor is not None
            }
            outputs = self._program.outputs(
                leaves,
                self._buffers,
                _samples(batches),
                has_own_x=len(batches) > 1,
                factors=of_calls,
            )
            found = self._loss(outputs.detach().transpose(1, 2), batches, n_samples)
            of_part = _gradients(outputs, found.gradient.transpose(1, 2), leaves)
            gradients = [_sum(*both) for both in zip(gradients, of_part, strict=True)]
            losses.append(found.values)
            if found.hits is not None:
                hits.append(found.hits)
        return torch.stack(losses).sum(0), torch.stack(hits).sum(0) if hits else None, gradients


class _Masks:
    """What the lanes' dropout layers multiply by, from each lane's stream, in the order of the calls.

    Where numbers are counted, and all the layers are our own, they are drawn within a step, for all lanes at once. Else
    each lane draws its own before the step.
    """

    def __init__(self, lanes: Sequence[ModuleLane], program: Program, device: torch.device) -> None:
        self._generators = [lane.generator for lane in lanes]
        self._layers = {name: [lane.dropouts.get(name) for lane in lanes] for name in program.dropouts}
        kinds = {type(layer) for layers in self._layers.values() for layer in layers if layer is not None}
        self._counted = None
        if are_counted(device) and kinds == {Dropout}:
            self._counted = CountedDraws(self._generators)
            self._masks = {name: LaneMasks(layers, device) for name, layers in self._layers.items()}

    def drawn(self, draws: Sequence[Draw]) -> list[Tensor | None]:
        """Of each call; None where no lane drops anything."""
        return [drawn_factors(draw, self._layers[draw.layer], self._generators) for draw in draws]

    def inputs(self, draws: Sequence[Draw]) -> list[Tensor]:
        """What `factors` needs of the calls of a step."""
        if self._counted is not None:
            return self._counted.inputs(self._calls(draws))
        return [factor for factor in self.drawn(draws) if factor is not None]

    def factors(self, draws: Sequence[Draw], inputs: Sequence[Tensor]) -> Iterator[Tensor | None]:
        """Of each call, as `drawn`."""
        numbers = iter(inputs)
        if self._counted is not None:
            numbers = self._counted.numbers(self._calls(draws), inputs)
        for draw in draws:
            if not any(layer is not None and layer.p for layer in self._layers[draw.layer]):
                yield None
            elif self._counted is not None:
                yield self._masks[draw.layer].factors(next(numbers), draw)
            else:
                yield next(numbers)

    def _calls(self, draws: Sequence[Draw]) -> list[Call]:
        calls = [self._masks[draw.layer].call(draw) for draw in draws]
        return [call for call in calls if call is not None]


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
    return _each_its_own(found)


def _each_its_own(gradients: Sequence[Tensor | None]) -> Gradients:
    """``gradients``, none of which shares memory with another: an update in place would change that one, too.

    Those of two parameters that are added up are one and the same tensor, or views of one.
    """
    own: Gradients = []
    storages = set()
    for gradient in gradients:
        if gradient is None:
            own.append(None)
            continue
        # Fused optimizers read memory as it lies, so a gradient must lie as its parameter does.
        laid_out = gradient.contiguous()
        storage = laid_out.untyped_storage().data_ptr()
        own.append(laid_out.clone() if storage in storages else laid_out)
        storages.add(storage)
    return own


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
