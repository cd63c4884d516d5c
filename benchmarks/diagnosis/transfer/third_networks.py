"""Networks of the third transfer set: fully connected, residual, recurrent, dilated, grouped, and one of sets."""

import torch
from torch import Tensor, nn

from benchmarks.diagnosis.transfer.third_recipe import Recipe

N_GROUPS = 4
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def network(recipe: Recipe, shape: torch.Size, n_classes: int) -> nn.Sequential:
    """``shape`` is one sample's. Ends in a linear layer, but for a planted fault."""
    model = nn.Sequential(
        *_body(recipe, shape), nn.Dropout(recipe.dropout), nn.Linear(recipe.width, n_classes)
    )
    _plant(recipe, model)
    return model


def _plant(recipe: Recipe, model: nn.Sequential) -> None:
    match recipe.fault:
        case "softmax":
            model.append(nn.Softmax(1))
        case "large_weights":
            for parameter in _matrices(model):
                parameter.data *= recipe.strength
        case "tiny_weights":
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=recipe.strength)
        case "negative_biases":
            for layer in _hidden(model):
                nn.init.constant_(layer.bias, -recipe.strength)
        case "frozen":
            model[: int(recipe.strength)].requires_grad_(False)


def _matrices(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]


def _hidden(model: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in model[:-1].modules() if isinstance(layer, nn.Linear)]


def _body(recipe: Recipe, shape: torch.Size) -> list[nn.Module]:
    width, activation = recipe.width, _ACTIVATIONS[recipe.activation]
    match recipe.network:
        case "lstm":
            return [_Lstm(shape[-1], width, recipe.depth)]
        case "dilated":
            blocks = [_DilatedBlock(width, 2**at, activation) for at in range(recipe.depth)]
            return [
                _ChannelsFirst(),
                nn.Conv1d(shape[-1], width, 1),
                *blocks,
                nn.AdaptiveMaxPool1d(1),
                nn.Flatten(),
            ]
        case "grouped":
            return [*_grouped(shape[0], recipe, activation), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case "pooled":
            rows = _perceptron(shape[-1], recipe, activation)
            return [*rows, _MeanOverMembers(), nn.Linear(width, width), activation()]
        case "residual":
            blocks = [_ResidualBlock(width, activation, recipe.dropout) for _ in range(recipe.depth)]
            return [nn.Linear(shape.numel(), width), *blocks, nn.BatchNorm1d(width), activation()]
    return _perceptron(shape.numel(), recipe, activation)


def _perceptron(n_inputs: int, recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(recipe.depth):
        layers += [nn.Linear(n_inputs, recipe.width), activation(), nn.Dropout(recipe.dropout)]
        n_inputs = recipe.width
    return layers


def _grouped(n_channels: int, recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for at in range(recipe.depth):
        convolution = nn.Conv2d(n_channels, recipe.width, 3, padding=1, stride=2 if at else 1)
        layers += [convolution, nn.GroupNorm(N_GROUPS, recipe.width), activation()]
        n_channels = recipe.width
    return layers


class _Lstm(nn.Module):
    def __init__(self, n_channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_channels, width, num_layers=depth, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _last = self.lstm(x)
        mean: Tensor = outputs.mean(1)
        return mean


class _ChannelsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class _MeanOverMembers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class _DilatedBlock(nn.Module):
    def __init__(self, width: int, dilation: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.activation(self.convolution(x))
        return found


class _ResidualBlock(nn.Module):
    """Batch norm before each layer."""

    def __init__(self, width: int, activation: type[nn.Module], dropout: float) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.BatchNorm1d(width),
            activation(),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            activation(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.inner(x)
        return found
