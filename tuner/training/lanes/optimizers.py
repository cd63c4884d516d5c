"""What lanes do with their gradients: each clips and steps on its own, with the kernels of the training alone.

`stacked` does the same for all lanes at once; this is its slow, obvious twin, and the faster one on a CPU.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tuner.training.config import TrainingConfig
from tuner.training.one_epoch import CLIP_EPSILON, clip_norm
from tuner.training.optimizers import build_optimizer
from tuner.training.probes import TINY_NORM, watched_layers


@dataclass(frozen=True, kw_only=True)
class Updates:
    """What one step read of the gradients before clipping, and of how far the weights moved."""

    norms: Tensor | None = None
    """[n_lanes]: over all parameters."""
    layer_norms: Tensor | None = None
    """[n_lanes, n_layers]."""
    update_ratios: Tensor | None = None
    """[n_lanes, n_layers]."""


class LaneOptimizers:
    """The optimizers of some lanes, whose models have parameters of the same shapes, trained or frozen alike."""

    def __init__(self, lanes: "Iterable[LaneOptimizer]" = ()) -> None:
        self._lanes = list(lanes)

    @property
    def lanes(self) -> "tuple[LaneOptimizer, ...]":
        """In their order."""
        return tuple(self._lanes)

    def add(self, config: TrainingConfig, model: nn.Module) -> None:
        """Take a lane in, behind those that are there."""
        self._lanes.append(LaneOptimizer(config, model))

    def keep(self, positions: Sequence[int]) -> None:
        """Keep only the lanes at ``positions``, in that order."""
        self._lanes = [self._lanes[position] for position in positions]

    @torch.no_grad()
    def step(
        self,
        gradients: Sequence[Tensor | None],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool = False,
        is_probed: bool = False,
    ) -> Updates:
        """Clip the gradients of the lanes that do so, and update all lanes.

        Args:
            gradients: of each trained parameter in the order of ``parameters()``, [n_lanes, *its shape], or None for
                one that the loss does not depend on, which then stays as it is; they are used up, so no two of them
                may share memory.
            learning_rates: one a lane.
            reads_norms: whether the global norms are read.
            is_probed: whether norms and updates are read layer by layer, too.
        """
        norms = None
        by_parameter = torch.zeros(0)
        if reads_norms or is_probed or any(lane.clip_norm for lane in self._lanes):
            by_parameter = norms_by_parameter(gradients, len(self._lanes))
            norms = by_parameter.square().sum(1).sqrt()
        before = [lane.weights() for lane in self._lanes] if is_probed else []
        nothing = (None,) * len(self._lanes)
        of_lanes = zip(
            *(nothing if gradient is None else gradient.unbind() for gradient in gradients), strict=True
        )
        for position, (lane, own, rate) in enumerate(zip(self._lanes, of_lanes, learning_rates, strict=True)):
            if lane.clip_norm and norms is not None:
                lane.clip(own, norms[position])
            lane.step(own, rate)
        if not is_probed:
            return Updates(norms=norms if reads_norms else None)
        ratios = [lane.update_ratios(weights) for lane, weights in zip(self._lanes, before, strict=True)]
        return Updates(
            norms=norms if reads_norms else None,
            layer_norms=self._lanes[0].layer_norms(by_parameter),
            update_ratios=torch.stack(ratios),
        )

    def state_dict(self, position: int) -> dict[str, list[Tensor]]:
        """A copy of one lane's state, as ``Optimizer.state_dict`` has it."""
        return self._lanes[position].state_dict()

    def load_state_dict(self, position: int, state: Mapping[str, Sequence[Tensor]]) -> None:
        """The inverse of `state_dict`."""
        self._lanes[position].load_state_dict(state)


class LaneOptimizer:
    """One lane's optimizer, clipping, and layers."""

    def __init__(self, config: TrainingConfig, model: nn.Module) -> None:
        self.clip_norm = clip_norm(config)
        self.optimizer = build_optimizer(config, model.parameters())
        self.layers = watched_layers(model)
        positions = {parameter: i for i, parameter in enumerate(self.optimizer.parameters)}
        self.positions = positions
        """Of the trained parameters, in their order."""
        self._columns = [
            [positions[parameter] for parameter in layer.parameters if parameter in positions]
            for layer in self.layers
        ]

    def clip(self, gradients: Sequence[Tensor | None], norm: Tensor) -> None:
        factor = (self.clip_norm / (norm + CLIP_EPSILON)).clamp(max=1.0)
        torch._foreach_mul_([gradient for gradient in gradients if gradient is not None], factor)

    def step(self, gradients: Sequence[Tensor | None], learning_rate: float) -> None:
        parameters = self.optimizer.parameters
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step(learning_rate)
        for parameter in parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, list[Tensor]]:
        """A copy of its state, as ``Optimizer.state_dict`` has it."""
        state = self.optimizer.state_dict()
        return {name: [tensor.clone() for tensor in column] for name, column in state.items()}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """The inverse of `state_dict`."""
        self.optimizer.load_state_dict(state)

    def weights(self) -> list[list[Tensor]]:
        """A copy of each layer's weights."""
        return [[weight.detach().clone() for weight in layer.weights] for layer in self.layers]

    def layer_norms(self, norms: Tensor) -> Tensor:
        """[n_lanes, n_layers] from the ``norms`` of all parameters, [n_lanes, n_parameters]."""
        of_layers = [norms[:, columns].square().sum(1).sqrt() for columns in self._columns]
        return torch.stack(of_layers, dim=1) if of_layers else norms.new_empty((len(norms), 0))

    def update_ratios(self, before: Sequence[Sequence[Tensor]]) -> Tensor:
        """[n_layers]: how far the weights moved since ``before``, relative to their norm then."""
        ratios = []
        for layer, weights in zip(self.layers, before, strict=True):
            moves = [new.detach() - old for new, old in zip(layer.weights, weights, strict=True)]
            ratios.append(_norm(moves) / (_norm(weights) + TINY_NORM))
        return torch.stack(ratios) if ratios else torch.empty(0)


def norms_by_parameter(gradients: Sequence[Tensor | None], n_lanes: int) -> Tensor:
    """Of each lane's gradients, [n_lanes, n_parameters]; 0 where there is none."""
    like = next(gradient for gradient in gradients if gradient is not None)
    nothing = like.new_zeros(n_lanes)
    of_parameters = [nothing if gradient is None else norm_by_lane(gradient) for gradient in gradients]
    return torch.stack(of_parameters, dim=1)


def norm_by_lane(gradient: Tensor) -> Tensor:
    """[n_lanes]. A parameter may be a single number: there is nothing to flatten then."""
    norms: Tensor = torch.linalg.vector_norm(gradient.unsqueeze(-1).flatten(1), dim=1)
    return norms


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]).square().sum().sqrt()
