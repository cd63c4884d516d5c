"""Lanes in turn, each through its own module and autograd: slow and obvious, for any model on any device."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import LaneStart, LaneSteps, Minibatch
from tuner.training.losses import Loss, training_loss
from tuner.training.one_epoch import CLIP_EPSILON, clip_norm
from tuner.training.optimizers import Optimizer, build_optimizer
from tuner.training.precision import forward
from tuner.training.probes import ProbePass, UpdateProbe, WatchedLayer, probe_pass, watched_layers
from tuner.training.readings import are_finite
from tuner.training.reproducibility import drawing_from


@dataclass(frozen=True, kw_only=True)
class _LaneStep:
    """`LaneSteps` of one lane."""

    loss: Tensor
    hits: Tensor | None
    norm: Tensor
    layers: Tensor | None
    """[2, n_layers]: gradient norms and update ratios."""


@dataclass(kw_only=True)
class _Network:
    """One lane: its module, and all that trains it."""

    start: LaneStart
    loss: Loss
    optimizer: Optimizer = field(init=False)
    layers: tuple[WatchedLayer, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = build_optimizer(self.start.config, self.start.model.parameters())
        self.layers = watched_layers(self.start.model)

    def step(self, parts: Sequence[Minibatch], learning_rate: float, *, is_probed: bool) -> _LaneStep:
        self.start.model.train()
        n_samples = sum(len(part.y) for part in parts)
        losses, hits = [], []
        for part in parts:
            with drawing_from(self.start.generator):
                outputs = forward(self.start.model, part.x, self.start.config)
                loss = self.loss(outputs, part.y) * (len(part.y) / n_samples)
                loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            losses.append(loss.detach())
            if not part.y.is_floating_point():
                hits.append(outputs.detach().argmax(1).eq(part.y).sum())
        norm, layers = self._update(learning_rate, is_probed=is_probed)
        return _LaneStep(
            loss=torch.stack(losses).sum(),
            hits=torch.stack(hits).sum() if hits else None,
            norm=norm,
            layers=layers,
        )

    def _update(self, learning_rate: float, *, is_probed: bool) -> tuple[Tensor, Tensor | None]:
        """Clip, and take the optimizer's step: the gradient's norm before, and what the probe read."""
        probe = UpdateProbe(layers=self.layers) if is_probed and self.layers else None
        if probe is not None:
            probe.before()
        gradients = [p.grad for p in self.optimizer.parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each) for each in gradients]))
        if limit := clip_norm(self.start.config):
            factor = (limit / (norm + CLIP_EPSILON)).clamp(max=1.0)
            for gradient in gradients:
                gradient.mul_(factor)
        self.optimizer.step(learning_rate)
        if probe is not None:
            probe.after()
        for parameter in self.optimizer.parameters:
            parameter.grad = None
        return norm, None if probe is None else probe.last

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        self.start.model.eval()
        with drawing_from(self.start.generator):
            return forward(self.start.model, x, self.start.config)

    def probe_pass(self, x: Tensor) -> ProbePass:
        with drawing_from(self.start.generator):
            return probe_pass(self.start.model, self.layers, x)


class OneByOneEngine:
    """An `Engine` that leaves each lane to its own module; ``splits`` are what the lanes are trained on."""

    def __init__(self, splits: Splits) -> None:
        self._splits = splits
        self._networks: list[_Network] = []

    @property
    def n_lanes(self) -> int:
        return len(self._networks)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Of the lane that has most: a user's function may build another network for each."""
        layers = max((network.layers for network in self._networks), key=len, default=())
        return tuple(layer.name for layer in layers)

    def add(self, starts: Sequence[LaneStart]) -> None:
        self._networks.extend(
            _Network(start=start, loss=training_loss(start.config, self._splits)) for start in starts
        )

    def keep(self, positions: Sequence[int]) -> None:
        self._networks = [self._networks[position] for position in positions]

    def step(
        self,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        by_lane = zip(*(_by_lane(part) for part in parts), strict=True)
        steps = [
            network.step(mine, rate, is_probed=is_probed)
            for network, mine, rate in zip(self._networks, by_lane, learning_rates, strict=True)
        ]
        hits = [step.hits for step in steps if step.hits is not None]
        layers = self._stacked_layers(steps) if is_probed else None
        return LaneSteps(
            losses=torch.stack([step.loss for step in steps]),
            hits=torch.stack(hits) if hits else None,
            norms=torch.stack([step.norm for step in steps]) if reads_norms else None,
            layer_norms=None if layers is None else layers[:, 0],
            update_ratios=None if layers is None else layers[:, 1],
        )

    def _stacked_layers(self, steps: Sequence[_LaneStep]) -> Tensor:
        """[n_lanes, 2, n_layers], NaN behind the layers of those that have fewer."""
        stacked = torch.full((len(steps), 2, len(self.layer_names)), torch.nan, device=self._splits.device)
        for row, step in zip(stacked, steps, strict=True):
            if step.layers is not None:
                row[:, : step.layers.shape[1]] = step.layers
        return stacked

    def outputs(self, x: Tensor) -> Tensor:
        # A copy for each: a module may change its input in place.
        return torch.stack([network.outputs(x.clone()) for network in self._networks])

    def probe_passes(self, x: Tensor) -> Sequence[ProbePass]:
        return [network.probe_pass(x.clone()) for network in self._networks]

    def are_finite(self) -> Tensor:
        return torch.tensor([are_finite(network.start.model) for network in self._networks])

    def model_state(self, position: int) -> dict[str, Tensor]:
        state = self._networks[position].start.model.state_dict()
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    def load_model_state(self, position: int, state: Mapping[str, Tensor]) -> None:
        self._networks[position].start.model.load_state_dict(state)

    def optimizer_state(self, position: int) -> dict[str, list[Tensor]]:
        state = self._networks[position].optimizer.state_dict()
        return {name: [tensor.clone() for tensor in column] for name, column in state.items()}

    def load_optimizer_state(self, position: int, state: Mapping[str, Sequence[Tensor]]) -> None:
        self._networks[position].optimizer.load_state_dict(state)


def _by_lane(part: Sequence[Minibatch]) -> list[Minibatch]:
    """The minibatch of each lane, with samples of its own: a module may change its input in place."""
    return [
        dataclasses.replace(minibatch, x=minibatch.x.clone()) if minibatch.n_lanes > 1 else minibatch
        for minibatch in part
        for _ in range(minibatch.n_lanes)
    ]
