"""The layers of a multilayer perceptron for all lanes at once, forward and backward, without autograd.

A layer is made of the same layer's module of each lane. It stacks their parameters and buffers, of which theirs become
views: whatever reads or loads a lane's module goes on working. Activations are [n_lanes, units, n], units x samples.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import Parameter

from tuner.training.architectures.dropout import Dropout, draw_numbers, kept_scale, lowest_kept, n_numbers
from tuner.training.lanes.draws import Call
from tuner.training.lanes.engine import Minibatch
from tuner.training.lanes.products import Products

aten = torch.ops.aten


class Layer(ABC):
    """One layer of all lanes, behind the first."""

    parameters: tuple[Tensor, ...] = ()
    """In the order of ``module.parameters()``, each [n_lanes, *its shape]."""
    gradients: tuple[Tensor, ...] = ()
    """Of the parameters, after `backward`."""

    @abstractmethod
    def forward(self, h: Tensor) -> Tensor:
        """In train mode."""

    @abstractmethod
    def backward(self, d: Tensor) -> Tensor:
        """From the gradient of the output to that of the input; ``d`` is used up."""

    @abstractmethod
    def evaluate(self, h: Tensor) -> Tensor:
        """In eval mode; ``h`` is used up."""


def stacked(modules: Sequence[nn.Module], name: str) -> Tensor:
    """The parameters or buffers ``name`` of ``modules`` as one tensor [n_lanes, *shape], and theirs as views of it."""
    tensor = torch.stack([cast("Tensor", getattr(module, name)).detach() for module in modules])
    for module, view in zip(modules, tensor, strict=True):
        own = getattr(module, name)
        if isinstance(own, Parameter):
            own.data = view
        else:
            setattr(module, name, view)
    return tensor


def unstack(module: nn.Module) -> None:
    """Give ``module`` tensors of its own again, so that the memory of the lanes it was stacked with can go."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.clone()


class FirstLinear:
    """The linear layer that takes the samples: lanes that share them take them in one wide product."""

    def __init__(self, modules: Sequence[nn.Linear], products: Products) -> None:
        self.parameters = self._weights, self._biases = stacked(modules, "weight"), stacked(modules, "bias")
        self._products = products
        self._batches: Sequence[Minibatch] = ()
        self.gradients: tuple[Tensor, ...] = ()

    def forward(self, batches: Sequence[Minibatch]) -> Tensor:
        self._batches = batches
        outputs = [
            self._products.shared_outputs(_lanes(self._weights, batch), self._samples(batch.x))
            for batch in batches
        ]
        return _joined(outputs).add_(self._biases.unsqueeze(2))

    def backward(self, d: Tensor) -> None:
        """Makes the gradients of its own; nothing is before it."""
        gradients = [
            self._products.shared_weight_gradients(_lanes(d, batch), self._samples(batch.x))
            for batch in self._batches
        ]
        self.gradients = (_joined(gradients), d.sum(2))

    def evaluate(self, x: Tensor) -> Tensor:
        """All lanes on the same ``x`` [n, *input_shape]."""
        return self._products.shared_outputs(self._weights, self._samples(x)).add_(self._biases.unsqueeze(2))

    def _samples(self, x: Tensor) -> Tensor:
        """[n, in], in the type of the weights."""
        return x.flatten(1).to(self._weights.dtype)


def _lanes(tensor: Tensor, batch: Minibatch) -> Tensor:
    return tensor.narrow(0, batch.first_lane, batch.n_lanes)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


class HiddenLinear(Layer):
    """A linear layer behind another layer."""

    def __init__(self, modules: Sequence[nn.Linear], products: Products) -> None:
        self.parameters = self._weights, self._biases = stacked(modules, "weight"), stacked(modules, "bias")
        self._products = products

    def forward(self, h: Tensor) -> Tensor:
        self._input = h
        return self.evaluate(h)

    def backward(self, d: Tensor) -> Tensor:
        self.gradients = (self._products.weight_gradients(d, self._input), d.sum(2))
        return self._products.input_gradients(self._weights, d)

    def evaluate(self, h: Tensor) -> Tensor:
        return self._products.outputs(self._weights, h).add_(self._biases.unsqueeze(2))


class BatchNorm(Layer):
    """Batch normalization of all lanes as one: lanes times units are the channels of one long sample."""

    def __init__(self, modules: Sequence[nn.BatchNorm1d]) -> None:
        self.parameters = self._weights, self._biases = stacked(modules, "weight"), stacked(modules, "bias")
        self._means, self._variances = stacked(modules, "running_mean"), stacked(modules, "running_var")
        self._n_batches = stacked(modules, "num_batches_tracked")
        self._momentum = cast("float", modules[0].momentum)
        self._epsilon = modules[0].eps

    def forward(self, h: Tensor) -> Tensor:
        self._input = h
        self._n_batches.add_(1)
        output, self._mean, self._inverse_std = self._normalized(h, is_training=True)
        return output

    def backward(self, d: Tensor) -> Tensor:
        d_input, d_weights, d_biases = aten.native_batch_norm_backward(
            _as_channels(d),
            _as_channels(self._input),
            self._weights.flatten(),
            self._means.flatten(),
            self._variances.flatten(),
            self._mean,
            self._inverse_std,
            True,
            self._epsilon,
            [True, True, True],
        )
        self.gradients = (d_weights.view_as(self._weights), d_biases.view_as(self._biases))
        return cast("Tensor", d_input.view_as(d))

    def evaluate(self, h: Tensor) -> Tensor:
        return self._normalized(h, is_training=False)[0]

    def _normalized(self, h: Tensor, *, is_training: bool) -> tuple[Tensor, Tensor, Tensor]:
        output, mean, inverse_std = torch.native_batch_norm(
            _as_channels(h),
            self._weights.flatten(),
            self._biases.flatten(),
            self._means.flatten(),
            self._variances.flatten(),
            is_training,
            self._momentum,
            self._epsilon,
        )
        return output.view_as(h), mean, inverse_std


def _as_channels(h: Tensor) -> Tensor:
    """[1, n_lanes * units, n]."""
    return h.flatten(0, 1).unsqueeze(0)


class LayerNorm(Layer):
    """Normalizes over the units of each sample."""

    def __init__(self, modules: Sequence[nn.LayerNorm]) -> None:
        self.parameters = self._weights, self._biases = stacked(modules, "weight"), stacked(modules, "bias")
        self._epsilon = modules[0].eps

    def forward(self, h: Tensor) -> Tensor:
        centered = h - h.mean(1, keepdim=True)
        variance = centered.square().mean(1, keepdim=True)
        self._inverse_std = variance.add_(self._epsilon).rsqrt_()
        self._normalized = centered.mul_(self._inverse_std)
        return torch.addcmul(self._biases.unsqueeze(2), self._normalized, self._weights.unsqueeze(2))

    def backward(self, d: Tensor) -> Tensor:
        scaled = d * self._normalized
        self.gradients = (scaled.sum(2), d.sum(2))
        weights = self._weights.unsqueeze(2)
        along = scaled.mul_(weights).mean(1, keepdim=True)
        d = d.mul_(weights)
        d.sub_(d.mean(1, keepdim=True)).addcmul_(self._normalized, along, value=-1)
        return d.mul_(self._inverse_std)

    def evaluate(self, h: Tensor) -> Tensor:
        return self.forward(h)


@dataclass(frozen=True, kw_only=True)
class _Room:
    """Where the masks of one shape are made. It stays, as a recorded step goes on writing to it."""

    numbers: Tensor
    """Without lanes where the layer is given its numbers."""
    factors: Tensor
    """Like the activations."""
    scales: Tensor


class LaneDropout(Layer):
    """Dropout with a probability and a random stream for each lane; lanes whose probability is 0 draw nothing.

    Args:
        modules: None for a lane without dropout.
        generators: of the lanes.
    """

    def __init__(self, modules: Sequence[Dropout | None], generators: Sequence[Generator]) -> None:
        probabilities = [module.p if module is not None else 0.0 for module in modules]
        device = generators[0].device
        self._drawing = [(k, generators[k]) for k, p in enumerate(probabilities) if p]
        lowest = [lowest_kept(p) for p in probabilities]
        self._lowest = torch.tensor(lowest, dtype=torch.int16, device=device).view(-1, 1, 1)
        scales = torch.tensor([kept_scale(p) for p in probabilities], dtype=torch.float64, device=device)
        self._scales = scales.view(-1, 1, 1)
        self._rooms: dict[tuple[int, ...], _Room] = {}
        self.given: Iterator[Tensor] | None = None
        """Gives the numbers of each call, as `Draws.numbers` does; None lets the layer draw them itself."""

    def call(self, n_units: int, n: int) -> Call:
        """What `forward` takes for activations [n_lanes, n_units, n]."""
        return Call(lanes=tuple(lane for lane, _ in self._drawing), n=n_numbers((n_units, n)))

    def forward(self, h: Tensor) -> Tensor:
        shape = tuple(h.shape)
        if shape not in self._rooms:
            self._rooms[shape] = self._room(h)
        room = self._rooms[shape]
        numbers = self._drawn(room.numbers) if self.given is None else next(self.given)
        n_lanes, n_units, n = shape
        draws = numbers.view(torch.int16)[:, : n_units * n].view(n_lanes, n_units, n)
        self._factors = torch.ge(draws, self._lowest, out=room.factors).mul_(room.scales)
        return h * self._factors

    def backward(self, d: Tensor) -> Tensor:
        return d.mul_(self._factors)

    def evaluate(self, h: Tensor) -> Tensor:
        return h

    def _drawn(self, numbers: Tensor) -> Tensor:
        for lane, generator in self._drawing:
            draw_numbers(numbers[lane], generator)
        return numbers

    def _room(self, h: Tensor) -> _Room:
        n_lanes, n_units, n = h.shape
        size = (0 if self.given else n_lanes, n_numbers((n_units, n)))
        return _Room(
            numbers=torch.zeros(size, dtype=torch.int64, device=h.device),
            factors=torch.empty_like(h),
            scales=self._scales.to(h.dtype),
        )


class Activation(Layer):
    """An activation function, of all lanes the same."""

    def __init__(self, module: nn.Module) -> None:
        self.kind = type(module)
        self._function, self._gradient, self._keeps_input = ACTIVATIONS[self.kind]

    def forward(self, h: Tensor) -> Tensor:
        output = self._function(h)
        self._kept = h if self._keeps_input else output
        return output

    def backward(self, d: Tensor) -> Tensor:
        return self._gradient(d, self._kept)

    def evaluate(self, h: Tensor) -> Tensor:
        return self._function(h)


def _relu_gradient(d: Tensor, output: Tensor) -> Tensor:
    return cast("Tensor", aten.threshold_backward.grad_input(d, output, 0, grad_input=d))


def _sigmoid_gradient(d: Tensor, output: Tensor) -> Tensor:
    return cast("Tensor", aten.sigmoid_backward.grad_input(d, output, grad_input=d))


def _tanh_gradient(d: Tensor, output: Tensor) -> Tensor:
    return cast("Tensor", aten.tanh_backward.grad_input(d, output, grad_input=d))


def _leaky_relu_gradient(d: Tensor, output: Tensor) -> Tensor:
    # The output has the sign of the input.
    return cast(
        "Tensor",
        aten.leaky_relu_backward.grad_input(d, output, _LEAKY_RELU_SLOPE, True, grad_input=d),
    )


def _elu_gradient(alpha: float, scale: float) -> Callable[[Tensor, Tensor], Tensor]:
    def gradient(d: Tensor, h: Tensor) -> Tensor:
        return cast("Tensor", aten.elu_backward.grad_input(d, alpha, scale, 1, False, h, grad_input=d))

    return gradient


def _gelu_gradient(d: Tensor, h: Tensor) -> Tensor:
    return cast("Tensor", aten.gelu_backward.grad_input(d, h, grad_input=d))


_LEAKY_RELU_SLOPE = 0.01
"""torch's default."""
_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946)
"""alpha and scale (Klambauer et al. 2017, arXiv:1706.02515)."""

ACTIVATIONS: dict[
    type[nn.Module], tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor], bool]
] = {
    nn.ReLU: (torch.relu_, _relu_gradient, False),
    nn.Sigmoid: (torch.sigmoid_, _sigmoid_gradient, False),
    nn.Tanh: (torch.tanh_, _tanh_gradient, False),
    nn.LeakyReLU: (nn.functional.leaky_relu_, _leaky_relu_gradient, False),
    nn.ELU: (nn.functional.elu, _elu_gradient(1.0, 1.0), True),
    nn.GELU: (nn.functional.gelu, _gelu_gradient, True),
    nn.SELU: (torch.selu, _elu_gradient(*_SELU), True),
}
"""With torch's default parameters: the function, its gradient from what is kept, and whether that is the input."""
