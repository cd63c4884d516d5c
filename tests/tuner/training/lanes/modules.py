"""Networks of the kind that users write: such as must train as lanes, and such as cannot."""

import itertools
import math
import random

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.training.architectures.dropout import Dropout
from tuner.training.config import TrainingConfig

Shape = tuple[int, ...]


def plain_mlp(config: TrainingConfig, input_shape: Shape, n_outputs: int) -> nn.Module:
    n_inputs = math.prod(input_shape)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(n_inputs, config.width), nn.ReLU(), nn.Linear(config.width, n_outputs)
    )


def batch_norm_mlp(config: TrainingConfig, input_shape: Shape, n_outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), config.width, bias=False),
        nn.BatchNorm1d(config.width),
        nn.ReLU(),
        nn.Linear(config.width, config.width),
        nn.BatchNorm1d(config.width, momentum=0.3),
        nn.Tanh(),
        nn.Linear(config.width, n_outputs),
    )


def layer_norm_mlp(config: TrainingConfig, input_shape: Shape, n_outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(input_shape), config.width),
        nn.LayerNorm(config.width),
        nn.GELU(),
        nn.Linear(config.width, n_outputs),
    )


def dropout_mlp(config: TrainingConfig, input_shape: Shape, n_outputs: int) -> nn.Module:
    """torch's dropout and ours, at a rate that a lane may set to nothing."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(config.dropout / 2),
        nn.Linear(math.prod(input_shape), config.width),
        nn.ReLU(),
        Dropout(config.dropout),
        nn.Linear(config.width, config.width),
        nn.ReLU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.width, n_outputs),
    )


class ResidualBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.inner(self.norm(x)))
        return x + self.dropout(self.outer(inner))


class Residual(nn.Module):
    def __init__(self, config: TrainingConfig, input_shape: Shape, n_outputs: int) -> None:
        super().__init__()
        self.stem = nn.Linear(math.prod(input_shape), config.width)
        self.blocks = nn.ModuleList(ResidualBlock(config.width, config.dropout) for _ in range(2))
        self.head = nn.Linear(config.width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        for block in self.blocks:
            x = block(x)
        return self.head(functional.relu(x))


def residual(config: TrainingConfig, input_shape: Shape, n_outputs: int) -> nn.Module:
    return Residual(config, input_shape, n_outputs)


def two_convolutions(config: TrainingConfig, input_shape: Shape, n_outputs: int) -> nn.Module:
    n_channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(n_channels, 4, kernel_size=3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(config.dropout),
        nn.Linear(8 * (height // 4) * (width // 4), n_outputs),
    )


class LearnedScale(nn.Module):
    """A parameter that is a single number."""

    def __init__(self, config: TrainingConfig, input_shape: Shape, n_outputs: int) -> None:
        super().__init__()
        self.inner = plain_mlp(config, input_shape, n_outputs)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.inner(x)


class AddedWeights(nn.Module):
    """Its weight and its bias are sums, whose terms' gradients are one tensor, or parts of one."""

    def __init__(self, config: TrainingConfig, input_shape: Shape, n_outputs: int) -> None:
        super().__init__()
        n_inputs, n_upper = math.prod(input_shape), config.width // 2
        self.weight = nn.Parameter(torch.randn(config.width, n_inputs) / n_inputs)
        self.change = nn.Parameter(torch.randn(config.width, n_inputs) / n_inputs)
        self.bias = nn.Parameter(torch.zeros(config.width))
        self.upper = nn.Parameter(torch.zeros(n_upper))
        self.lower = nn.Parameter(torch.zeros(config.width - n_upper))
        self.head = nn.Linear(config.width, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias + torch.cat([self.upper, self.lower])
        return self.head(functional.relu(functional.linear(x.flatten(1), self.weight + self.change, bias)))


VECTORIZING = (
    plain_mlp,
    LearnedScale,
    batch_norm_mlp,
    layer_norm_mlp,
    dropout_mlp,
    residual,
    two_convolutions,
)


def partly_frozen(config: TrainingConfig, input_shape: Shape, n_outputs: int) -> nn.Module:
    """Its stem is frozen, and a head that is not called has no gradient."""
    model = Residual(config, input_shape, n_outputs)
    model.stem.requires_grad_(requires_grad=False)
    model.unused = nn.Linear(config.width, n_outputs)
    return model


class _Wrapped(nn.Module):
    """A plain network whose forward is a subclass's own."""

    def __init__(self, config: TrainingConfig, input_shape: Shape, n_outputs: int) -> None:
        super().__init__()
        self.inner = plain_mlp(config, input_shape, n_outputs)


class OwnDraws(_Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + torch.rand(len(x), 1, device=x.device)


_FOREIGN = random.Random(0)  # noqa: S311 - noise, no secret
_CALLS = itertools.count()


class ForeignDraws(_Wrapped):
    """Its noise does not come from torch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * _FOREIGN.random()


class DropsEverySecondTime(_Wrapped):
    """What it draws depends on what happened elsewhere."""

    def __init__(self, config: TrainingConfig, input_shape: Shape, n_outputs: int) -> None:
        super().__init__(config, input_shape, n_outputs)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.dropout(x) if self.training and next(_CALLS) % 2 else x)


class FunctionalDropout(_Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(functional.dropout(x, 0.3, self.training))


class LooksAtValues(_Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        outputs = self.inner(x)
        return outputs * 2 if outputs.sum() > 0 else outputs


class LooksAtInputs(_Wrapped):
    """Samples that all lanes share have values under vmap; a lane's own have none."""

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.mean() > 0 else self.inner(-x)


class RefusesTheWordy(_Wrapped):
    """Its exception says a lot, and has no sentence to end after."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise ValueError("too many " + "words " * 50)
        return self.inner(x)


class CountsItsCalls(_Wrapped):
    """Its numbers depend on what Python remembers."""

    n_calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.n_calls += 1
        return self.inner(x) / self.n_calls if self.n_calls else self.inner(x)


class DependsOnTheConfig(_Wrapped):
    """Its program is another for every lane."""

    def __init__(self, config: TrainingConfig, input_shape: Shape, n_outputs: int) -> None:
        super().__init__(config, input_shape, n_outputs)
        self.factor = 1 + config.weight_decay

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.factor


class RaisesInTraining(_Wrapped):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise ValueError("my own bug")
        return self.inner(x)
