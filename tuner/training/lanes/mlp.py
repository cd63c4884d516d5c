"""The engine of the built-in multilayer perceptron: explicit products, forward and backward, without autograd."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.activities import stacked_probe_passes
from tuner.training.lanes.capture import Recorder, Results, Steps, numbers_for
from tuner.training.lanes.draws import draws_of
from tuner.training.lanes.engine import LaneStart, LaneSteps, Minibatch
from tuner.training.lanes.layers import (
    Activation,
    BatchNorm,
    FirstLinear,
    HiddenLinear,
    LaneDropout,
    Layer,
    LayerNorm,
    unstack,
)
from tuner.training.lanes.losses import CrossEntropy, Losses, MeanSquaredError
from tuner.training.lanes.minibatches import layout_of, parts_of, samples_of
from tuner.training.lanes.optimizers import LaneOptimizers, Updates
from tuner.training.lanes.perceptron import Block, perceptron_of
from tuner.training.lanes.products import Products, keep_freed_memory
from tuner.training.lanes.stacked import StackedOptimizers, stacks_lanes
from tuner.training.probes import ProbePass, probe_pass, watched_layers


class MlpEngine:
    """Trains perceptrons as `build_mlp` builds them; see `Engine` for what its methods do.

    The lanes' own modules stay alive: their parameters and buffers are views of the tensors that are trained.
    A lane that leaves takes a copy of its last weights along.

    Args:
        splits: what the lanes are trained on.
        products: None has what is fastest.
        stacks: whether all lanes are updated at once, rather than in turn; None asks the device.
        recorder: records steps, for which lanes are updated at once; None issues every step anew.
    """

    def __init__(
        self,
        splits: Splits,
        *,
        products: Products | None = None,
        stacks: bool | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        keep_freed_memory()
        self._splits = splits
        self._products = products
        self._stacks = stacks_lanes(splits.device, stacks=stacks, is_recorded=recorder is not None)
        self._recorder = recorder
        self._starts: list[LaneStart] = []
        self._optimizers = LaneOptimizers()

    @staticmethod
    def supports(config: TrainingConfig, model: nn.Module) -> bool:
        """Whether the engine trains ``model`` as autograd would."""
        perceptron = perceptron_of(model)
        if perceptron is None:
            return False
        has_batch_norm = any(isinstance(block.normalization, nn.BatchNorm1d) for block in perceptron.blocks)
        # Batch normalization refuses to train on one sample, and it shall say so itself.
        return not (has_batch_norm and config.batch_size == 1)

    @property
    def n_lanes(self) -> int:
        return len(self._starts)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in watched_layers(self._starts[0].model)) if self._starts else ()

    def add(self, starts: Sequence[LaneStart]) -> None:
        for start in starts:
            self._starts.append(start)
            self._optimizers.add(start.config, start.model)
        self._stack()

    def keep(self, positions: Sequence[int]) -> None:
        for position in set(range(self.n_lanes)) - set(positions):
            unstack(self._starts[position].model)
        self._starts = [self._starts[position] for position in positions]
        self._optimizers.keep(positions)
        if self._starts:
            self._stack()

    @torch.no_grad()
    def step(
        self,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        if self._stacks:
            return self._step_stacked(parts, learning_rates, reads_norms=reads_norms, is_probed=is_probed)
        return self._taken(
            parts,
            lambda gradients: self._optimizers.step(
                gradients, learning_rates, reads_norms=reads_norms, is_probed=is_probed
            ),
        )

    def _step_stacked(
        self,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        """The step as one of tensors: all that changes from one to the next is among its inputs."""
        layout = layout_of(parts)
        calls = [layer.call(units, len(part[0].x)) for part in parts for layer, units in self._dropouts]
        samples = samples_of(parts)

        def step(inputs: Sequence[Tensor]) -> Results:
            given = self._draws.numbers(calls, inputs[len(samples) + 1 :])
            for layer, _ in self._dropouts:
                layer.given = given
            read = self._taken(
                parts_of(layout, inputs),
                lambda gradients: self._stacked.step(
                    gradients, inputs[len(samples)], reads_norms=reads_norms, is_probed=is_probed
                ),
            )
            return read.as_results()

        inputs = [*samples, numbers_for(self._splits.device, learning_rates), *self._draws.inputs(calls)]
        form = (layout, reads_norms, is_probed)
        return LaneSteps.of(self._steps.take(form, step, inputs, may_record=not is_probed))

    def _taken(
        self, parts: Sequence[Sequence[Minibatch]], update: Callable[[list[Tensor]], Updates]
    ) -> LaneSteps:
        n = sum(len(batches[0].x) for batches in parts)
        losses = self._backward(parts[0], n)
        values, hits = losses.values, losses.hits
        gradients = self._gradients()
        for batches in parts[1:]:
            losses = self._backward(batches, n)
            values = values + losses.values
            hits = hits + losses.hits if hits is not None and losses.hits is not None else None
            torch._foreach_add_(gradients, self._gradients())
        updates = update(gradients)
        return LaneSteps(
            losses=values,
            hits=hits,
            norms=updates.norms,
            layer_norms=updates.layer_norms,
            update_ratios=updates.update_ratios,
        )

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        h = self._first.evaluate(x)
        for layer in self._layers:
            h = layer.evaluate(h)
        return h.transpose(1, 2)

    def probe_passes(self, x: Tensor) -> Sequence[ProbePass]:
        models = [start.model for start in self._starts]
        # The products of bfloat16 are shorter than those that a module takes here.
        if self._stacks and self._starts[0].config.precision != "bfloat16":
            return stacked_probe_passes(self.layer_names, self._first, self._layers, x.to(self._dtype))
        return [probe_pass(model, watched_layers(model), x.to(self._dtype)) for model in models]

    @torch.no_grad()
    def are_finite(self) -> Tensor:
        stacks = [stack for layer in self._all_layers() for stack in layer.parameters]
        by_parameter = [stack.flatten(1).isfinite().all(1) for stack in stacks]
        return torch.stack(by_parameter).all(0)

    def model_state(self, position: int) -> dict[str, Tensor]:
        state = self._starts[position].model.state_dict()
        return {name: tensor.clone() for name, tensor in state.items()}

    def load_model_state(self, position: int, state: Mapping[str, Tensor]) -> None:
        self._starts[position].model.load_state_dict(state)

    def optimizer_state(self, position: int) -> dict[str, list[Tensor]]:
        return self._optimizers.state_dict(position)

    def load_optimizer_state(self, position: int, state: Mapping[str, Sequence[Tensor]]) -> None:
        self._optimizers.load_state_dict(position, state)

    def _backward(self, batches: Sequence[Minibatch], n: int) -> Losses:
        """Losses of one part, and the gradients in the layers; ``n`` is the number of samples of the whole step."""
        h = self._first.forward(batches)
        for layer in self._layers:
            h = layer.forward(h)
        losses = self._loss(h, batches, n)
        d = losses.gradient
        for layer in reversed(self._layers):
            d = layer.backward(d)
        self._first.backward(d)
        return losses

    def _gradients(self) -> list[Tensor]:
        """Of each parameter, [n_lanes, *its shape], in the order of the modules."""
        return [gradient for layer in self._all_layers() for gradient in layer.gradients]

    def _all_layers(self) -> tuple[FirstLinear | Layer, ...]:
        return (self._first, *self._layers)

    def _stack(self) -> None:
        """Make the layers anew, from what the lanes' modules have."""
        perceptrons = [perceptron_of(start.model) for start in self._starts]
        lanes = [perceptron for perceptron in perceptrons if perceptron is not None]
        if len(lanes) != len(perceptrons):
            raise ValueError("MlpEngine takes only models that it supports.")
        configs = [start.config for start in self._starts]
        products = self._products or Products(precision=configs[0].precision)
        linears = [[*(block.linear for block in lane.blocks), lane.output] for lane in lanes]
        first, *others = zip(*linears, strict=True)
        self._first = FirstLinear(first, products)
        self._layers: list[Layer] = []
        self._dropouts: list[tuple[LaneDropout, int]] = []
        """With the number of their units."""
        for blocks, linear in zip(zip(*(lane.blocks for lane in lanes), strict=True), others, strict=True):
            self._layers += [*self._followers(blocks), HiddenLinear(linear, products)]
        self._dtype = first[0].weight.dtype
        if self._stacks:
            generators = [start.generator for start in self._starts]
            parameters = [stack for layer in self._all_layers() for stack in layer.parameters]
            self._stacked = StackedOptimizers(self._optimizers.lanes, parameters)
            self._draws = draws_of(generators)
            self._steps = Steps(self._splits.device, self._recorder)
        is_regression = self._splits.kind == "regression"
        self._loss = MeanSquaredError() if is_regression else CrossEntropy(configs, self._splits, self._dtype)

    def _followers(self, blocks: Sequence[Block]) -> list[Layer]:
        """What stands between a hidden layer and the next linear one."""
        layers: list[Layer] = []
        batch_norms = [b.normalization for b in blocks if isinstance(b.normalization, nn.BatchNorm1d)]
        layer_norms = [b.normalization for b in blocks if isinstance(b.normalization, nn.LayerNorm)]
        if batch_norms:
            layers.append(BatchNorm(batch_norms))
        if layer_norms:
            layers.append(LayerNorm(layer_norms))
        layers.append(Activation(blocks[0].activation))
        if any(block.dropout is not None for block in blocks):
            generators = [start.generator for start in self._starts]
            dropout = LaneDropout([block.dropout for block in blocks], generators)
            layers.append(dropout)
            self._dropouts.append((dropout, blocks[0].linear.out_features))
        return layers
