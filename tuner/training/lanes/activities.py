"""What `probes.probe_pass` reads of each lane, of all lanes in one pass: one wait for the device instead of many."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tuner.training.lanes.layers import Activation, FirstLinear, HiddenLinear, Layer
from tuner.training.probes import BOUNDED, RELU_LIKE, SATURATION_MARGIN, SATURATION_SHARE, Activity, ProbePass


@torch.no_grad()
def stacked_probe_passes(
    names: Sequence[str], first: FirstLinear, layers: Sequence[Layer], x: Tensor
) -> list[ProbePass]:
    """Of each lane of a perceptron, in eval mode.

    Args:
        names: of the linear layers, in their order.
        first: takes the scaled samples ``x``.
        layers: all behind it.
        x: [n, *input_shape], in the type of the weights.
    """
    unread = torch.full((len(first.parameters[0]),), math.nan, device=x.device, dtype=x.dtype)
    h = first.evaluate(x)
    readings = [_of_linear(first, h, unread)]
    for layer in layers:
        h = layer.evaluate(h)
        if isinstance(layer, HiddenLinear):
            readings.append(_of_linear(layer, h, unread))
        elif isinstance(layer, Activation):
            readings[-1] |= _of_activation(layer, h)
    quantities = list(readings[0])
    stacked = torch.stack([torch.stack([reading[name] for name in quantities]) for reading in readings])
    return [
        ProbePass(
            outputs=outputs.t(),
            activities={
                name: Activity(**dict(zip(quantities, values, strict=True)))
                for name, values in zip(names, of_lane, strict=True)
            },
        )
        for outputs, of_lane in zip(h, stacked.permute(2, 0, 1).tolist(), strict=True)
    ]


def _of_linear(layer: FirstLinear | HiddenLinear, output: Tensor, unread: Tensor) -> dict[str, Tensor]:
    """The fields of an `Activity`, [n_lanes] each."""
    units = output.flatten(1)
    return {
        "output_std": units.std(1) if units.shape[1] > 1 else unread,
        "dead_fraction": unread,
        "saturated_fraction": unread,
        "weight_norm": torch.linalg.vector_norm(layer.parameters[0].flatten(1), dim=1),
    }


def _of_activation(layer: Activation, output: Tensor) -> dict[str, Tensor]:
    if issubclass(layer.kind, RELU_LIKE):
        return {"dead_fraction": (output.amax(2) <= 0).to(output.dtype).mean(1)}
    if layer.kind not in BOUNDED:
        return {}
    low, high = BOUNDED[layer.kind]
    margin = SATURATION_MARGIN * (high - low)
    shares = ((output < low + margin) | (output > high - margin)).float().mean(2)
    return {"saturated_fraction": (shares > SATURATION_SHARE).to(output.dtype).mean(1)}
