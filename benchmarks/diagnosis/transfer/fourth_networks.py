"""Networks of the fourth transfer set: strided and separable convolutions, embeddings, gates, pairs, and others."""

import torch
from torch import Tensor, nn
from torch.nn.functional import glu

from benchmarks.diagnosis.transfer.fourth_data import N_WORDS
from benchmarks.diagnosis.transfer.fourth_recipe import Recipe

N_HEADS = 4
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def network(recipe: Recipe, shape: torch.Size, n_classes: int) -> nn.Sequential:
    """``shape`` is one sample's. Ends in a linear layer, but for a planted fault."""
    body, n_features = _body(recipe, shape)
    model = nn.Sequential(*body, nn.Dropout(recipe.dropout), nn.Linear(n_features, n_classes))
    _plant(recipe, model)
    return model


def _plant(recipe: Recipe, model: nn.Sequential) -> None:
    match recipe.fault:
        case "softmax":
            model.append(nn.Softmax(1))
        case "positive_weights":
            for parameter in _matrices(model):
                nn.init.uniform_(parameter, 0, recipe.strength)
        case "scaled_weights":
            for parameter in _matrices(model):
                parameter.data *= recipe.strength
        case "negative_biases":
            for layer in model[:-1].modules():
                if isinstance(layer, nn.Linear):
                    nn.init.constant_(layer.bias, -recipe.strength)
        case "frozen":
            model[: int(recipe.strength)].requires_grad_(False)


def _matrices(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]


def _body(recipe: Recipe, shape: torch.Size) -> tuple[list[nn.Module], int]:
    """All but the last layer, and how many features it gets."""
    width, depth, activation = recipe.width, recipe.depth, _ACTIVATIONS[recipe.activation]
    layers: list[nn.Module]
    n_features = width
    match recipe.network:
        case "strided":
            layers = [*_strided(shape[0], recipe, activation), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
        case "separable":
            layers = [*_separable(shape[0], recipe, activation), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case "embedding":
            layers = [nn.Embedding(N_WORDS, width), _MeanOverTokens(), nn.Linear(width, width), activation()]
        case "gated":
            blocks = [_GatedBlock(width) for _ in range(depth)]
            layers = [nn.Linear(shape.numel(), width), *blocks, nn.LayerNorm(width)]
        case "paired":
            encoder = nn.Sequential(nn.Linear(shape[1], width), activation(), nn.Linear(width, width))
            layers = [_Paired(encoder), nn.Linear(3 * width, width), activation()]
        case "recurrent":
            layers = [_LastOutput(shape[1], width, depth), nn.LayerNorm(width)]
        case "transformer":
            layers = [_Patches(shape, width), *_attention(recipe), _MeanOverTokens()]
        case "dense":
            n_inputs = shape.numel()
            rows = [_DenseBlock(n_inputs + at * width, width, activation) for at in range(depth)]
            layers, n_features = [nn.Flatten(), *rows], n_inputs + depth * width
        case "normalized":
            layers = _normalized(shape.numel(), recipe, activation)
    return layers, n_features


def _normalized(n_features: int, recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(recipe.depth):
        layers += [nn.Linear(n_features, recipe.width), activation(), nn.LayerNorm(recipe.width)]
        n_features = recipe.width
    return layers


def _strided(n_channels: int, recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(recipe.depth):
        layers += [nn.Conv1d(n_channels, recipe.width, 7, stride=2, padding=3), activation()]
        n_channels = recipe.width
    return layers


def _separable(n_channels: int, recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    """After a first layer: over the places of each channel, then over the channels of each place."""
    width = recipe.width
    layers: list[nn.Module] = [
        nn.Conv2d(n_channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        activation(),
    ]
    for at in range(recipe.depth):
        layers += [
            nn.Conv2d(width, width, 3, stride=1 + at % 2, padding=1, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            activation(),
        ]
    return layers


def _attention(recipe: Recipe) -> list[nn.Module]:
    """Layer normalization after each part, as it was first."""
    width, dropout = recipe.width, recipe.dropout
    return [
        nn.TransformerEncoderLayer(width, N_HEADS, 2 * width, dropout, "gelu", batch_first=True)
        for _ in range(recipe.depth)
    ]


class _MeanOverTokens(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class _GatedBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.outer(glu(self.inner(self.norm(x))))
        return found


class _Paired(nn.Module):
    """Two inputs, one encoder: both codes and their product."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.encoder(x[:, 0]), self.encoder(x[:, 1])
        return torch.cat([first, second, first * second], 1)


class _LastOutput(nn.Module):
    def __init__(self, n_channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_channels, width, num_layers=depth, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _last = self.gru(x)
        last: Tensor = outputs[:, -1]
        return last


class _Patches(nn.Module):
    def __init__(self, shape: torch.Size, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape[1], width)
        self.places = nn.Parameter(0.2 * torch.randn(shape[0], width))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(x) + self.places
        return found


class _DenseBlock(nn.Module):
    """Adds its outputs to its inputs as further features."""

    def __init__(self, n_features: int, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(n_features, width), nn.BatchNorm1d(width)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.activation(self.norm(self.linear(x)))], 1)
