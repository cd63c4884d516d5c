"""What trains the networks of a cohort: one interface, and an engine for each way of doing it.

Position k is the k-th of the lanes that are in the engine now. Lanes share structure (the program, the shapes); every
number that a lever sets may differ from lane to lane.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from tuner.training.config import TrainingConfig
from tuner.training.probes import ProbePass


@dataclass(frozen=True, kw_only=True)
class LaneStart:
    """What a lane brings into an engine."""

    config: TrainingConfig
    model: nn.Module
    """Built with the lane's seed, on the device, in the cohort's type. It is the lane's own from then on."""
    generator: torch.Generator
    """The lane's random stream, of the device: dropout draws from it exactly what the lane alone would draw."""


@dataclass(frozen=True, kw_only=True)
class Minibatch:
    """Samples that some neighboring lanes train on in one step."""

    first_lane: int
    n_lanes: int
    x: Tensor
    """[n, *input_shape], scaled."""
    y: Tensor
    """[n]."""


@dataclass(frozen=True, kw_only=True)
class LaneSteps:
    """What one optimizer step read of each lane. All tensors stay on the device."""

    losses: Tensor
    """[n_lanes]: the training loss, mean over the samples."""
    hits: Tensor | None
    """[n_lanes], int64: right predictions; None for regression."""
    norms: Tensor | None
    """[n_lanes]: the global norm of the gradient before clipping; None where it was not asked for."""
    layer_norms: Tensor | None = None
    """[n_lanes, n_layers]: the gradient norm of each layer, before clipping; None at steps without the probe."""
    update_ratios: Tensor | None = None
    """[n_lanes, n_layers]: how far the step moved a layer's weights, relative to their norm before it."""

    def as_results(self) -> tuple[Tensor | None, ...]:
        """All of it, in the order of the fields."""
        return self.losses, self.hits, self.norms, self.layer_norms, self.update_ratios

    @classmethod
    def of(cls, results: tuple[Tensor | None, ...]) -> "LaneSteps":
        """The inverse of `as_results`."""
        losses, hits, norms, layer_norms, update_ratios = results
        if losses is None:
            raise ValueError("A step has losses.")
        return cls(
            losses=losses, hits=hits, norms=norms, layer_norms=layer_norms, update_ratios=update_ratios
        )


class Engine(Protocol):
    """Trains the networks of some lanes in lockstep. A lane's numbers depend on no other lane."""

    @property
    def n_lanes(self) -> int: ...

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Of the layers that are probed, as `probes.watched_layers` names them."""

    def add(self, starts: Sequence[LaneStart]) -> None:
        """Take lanes in, behind those that are there."""

    def keep(self, positions: Sequence[int]) -> None:
        """Keep only the lanes at ``positions``, in that order; the state of the others is gone."""

    def step(
        self,
        parts: Sequence[Sequence[Minibatch]],
        learning_rates: Sequence[float],
        *,
        reads_norms: bool,
        is_probed: bool,
    ) -> LaneSteps:
        """One optimizer step of every lane.

        Args:
            parts: of the samples of the step, as many as ``accumulation_steps`` makes of them; each part is the
                minibatches of all lanes, in their order. Parts are weighed by their samples.
            learning_rates: one a lane.
            reads_norms: whether gradient norms are read.
            is_probed: whether gradients and updates are read layer by layer, too.
        """

    def outputs(self, x: Tensor) -> Tensor:
        """What each network makes of the same scaled ``x`` in eval mode, [n_lanes, n, n_outputs], without gradients."""

    def probe_passes(self, x: Tensor) -> Sequence[ProbePass]:
        """Of each lane what `probes.probe_pass` reads of its network on the scaled ``x``."""

    def are_finite(self) -> Tensor:
        """[n_lanes], bool: whether all parameters of the lane are finite."""

    def model_state(self, position: int) -> dict[str, Tensor]:
        """A copy of the state dict of the lane's network, as its ``nn.Module`` has it."""

    def load_model_state(self, position: int, state: Mapping[str, Tensor]) -> None:
        """The inverse of `model_state`."""

    def optimizer_state(self, position: int) -> dict[str, list[Tensor]]:
        """A copy of the lane's part of the optimizer, as `optimizers.Optimizer.state_dict` has it."""

    def load_optimizer_state(self, position: int, state: Mapping[str, Sequence[Tensor]]) -> None:
        """The inverse of `optimizer_state`."""
