"""Dropout of lanes that share a forward pass: each lane's mask is drawn beforehand, as the lane alone would draw it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tuner.training.architectures.dropout import (
    Dropout,
    drawn_mask,
    kept_scale,
    lowest_kept,
    n_numbers,
)
from tuner.training.lanes.draws import Call

DROPOUTS = (nn.Dropout, Dropout)
"""The layers whose draws are known; a subclass may draw in another way."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One call of a dropout layer in a forward pass."""

    layer: str
    """Its name among `dropouts_of` the model."""
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(kw_only=True)
class Masks:
    """What dropout layers multiply by in one forward pass; the calls are counted in their order."""

    factors: Mapping[int, Tensor] = field(default_factory=dict)
    """By call. A call that has none keeps every unit."""
    calls: list[Draw] = field(default_factory=list)

    def begin(self, factors: Mapping[int, Tensor]) -> None:
        """Get ready for the next forward pass."""
        self.factors, self.calls = factors, []

    def applied(self, x: Tensor, layer: str) -> Tensor:
        factor = self.factors.get(len(self.calls))
        self.calls.append(Draw(layer=layer, shape=tuple(x.shape), dtype=x.dtype))
        return x if factor is None else x * factor


class MaskedDropout(nn.Module):
    """Stands in for a dropout layer of a lane, whose rate it does not know: that differs from lane to lane."""

    def __init__(self, layer: str, masks: Masks) -> None:
        super().__init__()
        self._layer = layer
        self._masks = masks

    def forward(self, x: Tensor) -> Tensor:
        return self._masks.applied(x, self._layer) if self.training else x


def dropouts_of(model: nn.Module) -> dict[str, nn.Module]:
    """The dropout layers of ``model`` by name."""
    return {name: module for name, module in model.named_modules() if type(module) in DROPOUTS}


def drawn_factors(
    draw: Draw, layers: Sequence[nn.Module | None], generators: Sequence[torch.Generator]
) -> Tensor | None:
    """What each lane's call multiplies by, [n_lanes, *draw.shape]; None when no lane drops anything.

    Args:
        draw: the call.
        layers: the dropout layer that is called, of each lane; None is a lane that has none there.
        generators: of each lane.
    """
    if not any(layer is not None and layer.p for layer in layers):
        return None
    factors = torch.empty((len(layers), *draw.shape), dtype=draw.dtype, device=generators[0].device)
    for factor, layer, generator in zip(factors, layers, generators, strict=True):
        _draw_into(factor, layer, generator)
    return factors


class LaneMasks:
    """What a `Dropout` layer of each lane multiplies by, from numbers that are drawn for all lanes at once.

    Args:
        layers: None is a lane that has none.
        device: where the masks are made.
    """

    def __init__(self, layers: Sequence[nn.Module | None], device: torch.device) -> None:
        rates = [0.0 if layer is None else float(layer.p) for layer in layers]  # type: ignore[arg-type]  # as below
        self._lanes = tuple(lane for lane, rate in enumerate(rates) if rate)
        lowest = torch.tensor([lowest_kept(rate) for rate in rates], dtype=torch.int16, device=device)
        scales = torch.tensor([kept_scale(rate) for rate in rates], dtype=torch.float64, device=device)
        self._lowest, self._scales = lowest.view(-1, 1, 1), scales.view(-1, 1, 1)

    def call(self, draw: Draw) -> Call | None:
        """What of the lanes' streams the call takes; None where no lane drops anything."""
        n, n_units = draw.shape
        return Call(lanes=self._lanes, n=n_numbers((n_units, n))) if self._lanes else None

    def factors(self, numbers: Tensor, draw: Draw) -> Tensor:
        """[n_lanes, *draw.shape] from ``numbers``, int64 [n_lanes, n]."""
        n, n_units = draw.shape
        draws = numbers.view(torch.int16)[:, : n_units * n].view(len(numbers), n_units, n)
        kept = (draws >= self._lowest).to(draw.dtype)
        return kept.mul_(self._scales.to(draw.dtype)).transpose(1, 2)


def _draw_into(factor: Tensor, layer: nn.Module | None, generator: torch.Generator) -> None:
    rate = 0.0 if layer is None else float(layer.p)  # type: ignore[arg-type]  # both kinds have their rate there
    if rate in {0.0, 1.0}:
        factor.fill_(1.0 - rate)  # nothing is drawn, as in torch
    elif isinstance(layer, Dropout):
        n, n_units = factor.shape
        factor.copy_(drawn_mask((n_units, n), rate, generator, factor.device).t()).mul_(kept_scale(rate))
    else:
        factor.bernoulli_(1 - rate, generator=generator).div_(1 - rate)
