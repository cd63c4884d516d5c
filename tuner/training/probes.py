"""What is read of a model beyond its loss: gradients, updates and activations by layer.

A layer is a module that owns a weight of two dimensions or more, under its name in ``named_modules``; so a
normalization is no layer of its own.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.modules.conv import _ConvNd

from studies.readings import NAN, PROBE_SAMPLES, LayerProbe, LayerReadings, StepZeroProbe
from tuner.training.datasets.splits import Splits
from tuner.training.losses import Loss
from tuner.training.weights import (
    initialization_distance,
    largest_of,
    spectral_ratio,
    twin_fraction,
    weight_gain,
    weight_matrix,
)

PROBE_BATCH = PROBE_SAMPLES
"""Training images on which activations are read: enough to tell a unit that is off from one that is rare."""
PROBED_STEPS = 3
"""Optimizer steps an epoch at which gradients and updates are read layer by layer."""
SATURATION_MARGIN = 0.01
"""Of an activation's range: nearer than this to a bound is saturated."""
SATURATION_SHARE = 0.9
"""Of the probe batch on which a unit must be saturated to count."""
TINY_NORM = 1e-12

RELU_LIKE = (nn.ReLU, nn.ReLU6)
"""Their gradient is exactly 0 for a negative input; leaky_relu, elu, gelu and selu always pass some on."""
BOUNDED = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class WatchedLayer:
    """One layer of a model, and its parameters."""

    name: str
    module: nn.Module
    weights: tuple[Parameter, ...]
    """Of two dimensions or more."""
    parameters: tuple[Parameter, ...]


def watched_layers(model: nn.Module) -> tuple[WatchedLayer, ...]:
    """The layers of ``model`` in the order of ``named_modules``."""
    layers = []
    for name, module in model.named_modules():
        parameters = tuple(module.parameters(recurse=False))
        weights = tuple(parameter for parameter in parameters if parameter.ndim >= 2)
        if weights:
            name_or_type = name or type(module).__name__
            layers.append(
                WatchedLayer(name=name_or_type, module=module, weights=weights, parameters=parameters)
            )
    return tuple(layers)


def probed_steps(n_steps: int) -> frozenset[int]:
    """`PROBED_STEPS` steps evenly spaced over an epoch of ``n_steps``, in the middle of its equal parts."""
    return frozenset(int((part + 0.5) * n_steps / PROBED_STEPS) for part in range(PROBED_STEPS))


@dataclass(kw_only=True)
class UpdateProbe:
    """Reads, around an optimizer step, each layer's gradient norm and how far the step moved its weights.

    Call `before` between ``backward()`` and the step, before clipping, and `after` behind the step.
    """

    layers: tuple[WatchedLayer, ...]
    _weights: list[list[Tensor]] = field(default_factory=list)
    _norms: list[Tensor] = field(default_factory=list)
    """For each probed step: gradient norms and update ratios, shape [2, n_layers]."""
    _gradient_norms: Tensor | None = None

    def before(self) -> None:
        self._gradient_norms = torch.stack([_gradient_norm(layer.parameters) for layer in self.layers])
        self._weights = [[weight.detach().clone() for weight in layer.weights] for layer in self.layers]

    def after(self) -> None:
        if self._gradient_norms is None:
            raise RuntimeError("UpdateProbe.after() must follow before().")
        ratios = []
        for layer, weights in zip(self.layers, self._weights, strict=True):
            moved = _norm([new.detach() - old for new, old in zip(layer.weights, weights, strict=True)])
            ratios.append(moved / (_norm(weights) + TINY_NORM))
        self._norms.append(torch.stack([self._gradient_norms, torch.stack(ratios)]))
        self._weights, self._gradient_norms = [], None

    @property
    def last(self) -> Tensor:
        """Of the last probed step: gradient norms and update ratios, shape [2, n_layers]."""
        return self._norms[-1]

    def readings(self, activities: Mapping[str, "Activity"]) -> tuple[LayerReadings, ...]:
        """One row a layer: medians over the probed steps, with the layer's ``activities``."""
        steps = torch.stack(self._norms).tolist() if self._norms else []
        return layer_readings([layer.name for layer in self.layers], steps, activities)


def layer_readings(
    names: Sequence[str], steps: Sequence[Sequence[Sequence[float]]], activities: Mapping[str, "Activity"]
) -> tuple[LayerReadings, ...]:
    """One row a layer: medians over the probed ``steps``, each the layers' gradient norms and their update ratios."""
    rows = []
    for position, name in enumerate(names):
        activity = activities.get(name, Activity())
        rows.append(
            LayerReadings(
                name=name,
                gradient_norm=_median(norms[position] for norms, _ratios in steps),
                update_ratio=_median(ratios[position] for _norms, ratios in steps),
                dead_fraction=activity.dead_fraction,
                saturated_fraction=activity.saturated_fraction,
                weight_norm=activity.weight_norm,
            )
        )
    return tuple(rows)


@dataclass(kw_only=True)
class Activity:
    """What one layer, its output and the activation behind it look like on the probe batch."""

    output_std: float = NAN
    dead_fraction: float = NAN
    saturated_fraction: float = NAN
    weight_norm: float = NAN


@dataclass(frozen=True, kw_only=True)
class ProbePass:
    """One eval-mode pass over the probe batch."""

    outputs: Tensor
    activities: Mapping[str, Activity]
    """By layer name."""


@torch.no_grad()
def probe_pass(model: nn.Module, layers: tuple[WatchedLayer, ...], inputs: Tensor) -> ProbePass:
    """What ``model`` makes of ``inputs`` (scaled) in eval mode, and the activity of each layer on the way.

    Activations count for the layer that ran last before them, so a normalization in between does not matter.
    Activations called as functions are not seen. Leaves the model in eval mode.
    """
    model.eval()
    seen: dict[str, Activity] = {}
    with _hooks(model, layers, seen):
        outputs = model(inputs)
    norms = torch.stack([_norm(layer.weights) for layer in layers]).tolist() if layers else []
    for layer, norm in zip(layers, norms, strict=True):
        seen.setdefault(layer.name, Activity()).weight_norm = norm
    return ProbePass(outputs=outputs, activities=seen)


@contextmanager
def _hooks(model: nn.Module, layers: tuple[WatchedLayer, ...], seen: dict[str, Activity]) -> Iterator[None]:
    last: list[WatchedLayer] = []

    def note_layer(layer: WatchedLayer, output: object) -> None:
        last[:] = [layer]
        std = float(output.std()) if isinstance(output, Tensor) and output.numel() > 1 else NAN
        seen.setdefault(layer.name, Activity(output_std=std))

    def note_activation(module: nn.Module, _inputs: object, output: Tensor) -> None:
        if not last:
            return
        units = _units_last(output, is_convolution=isinstance(last[0].module, _ConvNd))
        activity = seen[last[0].name]
        if isinstance(module, RELU_LIKE):
            activity.dead_fraction = float((units.amax(0) <= 0).float().mean())
        else:
            activity.saturated_fraction = _saturated_fraction(units, *BOUNDED[type(module)])

    with ExitStack() as stack:
        for layer in layers:
            handle = layer.module.register_forward_hook(
                lambda _m, _i, output, at=layer: note_layer(at, output)
            )
            stack.callback(handle.remove)
        for module in model.modules():
            if isinstance(module, RELU_LIKE) or type(module) in BOUNDED:
                stack.callback(module.register_forward_hook(note_activation).remove)
        yield


def _units_last(output: Tensor, *, is_convolution: bool) -> Tensor:
    """``output`` as [samples and places, units]: channels are the units of a convolution."""
    output = output.movedim(1, -1) if is_convolution and output.ndim > 2 else output
    return output.reshape(-1, output.shape[-1])


def _saturated_fraction(units: Tensor, low: float, high: float) -> float:
    margin = SATURATION_MARGIN * (high - low)
    near = (units < low + margin) | (units > high - margin)
    return float((near.float().mean(0) > SATURATION_SHARE).float().mean())


def probe_batch(splits: Splits) -> tuple[Tensor, Tensor]:
    """The fixed probe batch, unscaled: evenly spaced over the train split, for the sake of sorted data."""
    n = len(splits.train_x)
    indices = torch.linspace(0, n - 1, min(PROBE_BATCH, n), dtype=torch.float64).round().long()
    indices = indices.to(splits.device)
    return splits.train_x.index_select(0, indices), splits.train_y.index_select(0, indices)


def read_step_zero(
    model: nn.Module, layers: tuple[WatchedLayer, ...], loss: Loss, inputs: Tensor, y: Tensor, splits: Splits
) -> StepZeroProbe:
    """Two eval-mode passes of the untrained ``model``, and one forward and backward in train mode.

    Leaves the model as it was. Draws dropout masks from torch's global generator, so the caller isolates it.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    first, again = (probe_pass(model, layers, inputs.clone()) for _ in range(2))
    model.train()
    value = loss(model(inputs), y)
    value.backward()  # type: ignore[no-untyped-call]  # torch does not type it
    rows = [layer_probe(layer, first.activities.get(layer.name, Activity())) for layer in layers]
    gradient_norm = float(_gradient_norm(list(model.parameters())))
    for parameter in model.parameters():
        parameter.grad = None
    with torch.no_grad():
        for buffer, before in buffers:
            buffer.copy_(before)
    has_classes = splits.kind == "classification"
    return StepZeroProbe(
        train_loss=float(value.detach()),
        expected_loss=math.log(splits.n_outputs) if has_classes else NAN,
        gradient_norm=gradient_norm,
        output_low=float(first.outputs.min()),
        output_high=float(first.outputs.max()),
        output_sum_error=sum_error(first.outputs) if has_classes else NAN,
        repeat_difference=relative_difference(first.outputs, again.outputs),
        layers=tuple(rows),
    )


def sum_error(outputs: Tensor) -> float:
    """Mean of ``|sum of a sample's outputs - 1|``, of outputs [n, ...]."""
    return float((outputs.flatten(1).sum(1) - 1).abs().mean())


def relative_difference(outputs: Tensor, again: Tensor) -> float:
    """The largest difference of two passes over the same inputs, over the outputs' deviation."""
    difference = float((outputs - again).abs().max())
    deviation = float(outputs.std(correction=0))
    if not deviation:
        return math.inf if difference else 0.0
    return difference / deviation


def layer_probe(layer: WatchedLayer, activity: Activity) -> LayerProbe:
    """After ``backward()``."""
    is_trainable = any(parameter.requires_grad for parameter in layer.parameters)
    matrix = weight_matrix(layer.module, layer.weights)
    probe = LayerProbe(
        name=layer.name,
        gradient_norm=float(_gradient_norm(layer.parameters)),
        weight_norm=activity.weight_norm,
        weight_gain=weight_gain(layer.module, matrix),
        output_std=activity.output_std,
        dead_fraction=activity.dead_fraction,
        saturated_fraction=activity.saturated_fraction,
        # Equal rows of separate channels see other inputs: they are no copies.
        twin_fraction=NAN if getattr(layer.module, "groups", 1) > 1 else twin_fraction(matrix),
    )
    return probe if is_trainable else as_untrainable(probe, layer)


def as_untrainable(probe: LayerProbe, layer: WatchedLayer) -> LayerProbe:
    """With what tells whether a layer that cannot change was trained before."""
    return dataclasses.replace(
        probe,
        is_trainable=False,
        spectral_ratio=spectral_ratio(weight_matrix(layer.module, layer.weights)),
        initialization_distance=initialization_distance(largest_of(layer.weights)),
    )


def _gradient_norm(parameters: Sequence[Parameter]) -> Tensor:
    """The L2 norm over all gradients; 0 where there is none, as in a frozen layer."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return _norm(gradients) if gradients else torch.zeros((), device=parameters[0].device)


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    norms = torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors])
    return norms.square().sum().sqrt()


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return statistics.median(known) if known else NAN
