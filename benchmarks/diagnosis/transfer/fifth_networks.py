"""Networks of the fifth transfer set: highways, messages on graphs, attention pools, patches of pictures and others."""

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from benchmarks.diagnosis.transfer.fifth_recipe import Recipe

N_HEADS = 4
PATCH = 4
"""Pixels on a side, of the vision transformer."""
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
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
        case "equal_weights":
            for parameter in _matrices(model):
                nn.init.constant_(parameter, recipe.strength)
        case "wide_weights":
            for parameter in _matrices(model):
                nn.init.normal_(parameter, std=recipe.strength)
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
        case "dropout":
            layers = _perceptron(shape.numel(), recipe, activation)
        case "highway":
            layers = [nn.Linear(shape.numel(), width), *(_Highway(width, activation) for _ in range(depth))]
        case "messages":
            layers = [_Degrees(), *_messages(recipe, activation), _MeanAndLargestOfNodes()]
            n_features = 2 * width
        case "residual":
            layers = [nn.Conv1d(shape[0], width, 5, padding=2)]
            layers += [_ResidualBlock(width, activation) for _ in range(depth)]
            layers += [nn.AdaptiveMaxPool1d(1), nn.Flatten()]
        case "layered":
            layers = [*_layered(shape[0], recipe, activation), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case "lstm":
            layers = [_MeanOfOutputs(shape[1], width, depth)]
        case "wide_and_deep":
            layers = [_WideAndDeep(nn.Sequential(*_perceptron(shape.numel(), recipe, activation)))]
            n_features = shape.numel() + width
        case "vision":
            layers = [_Patches(shape, width), *_encoders(recipe), _ClassToken(), nn.LayerNorm(width)]
        case "attentive":
            encoder = [nn.Linear(shape[1], width), activation(), nn.Linear(width, width), activation()]
            layers = [*encoder, _AttentionPool(width), nn.Linear(width, width), activation()]
    return layers, n_features


def _perceptron(n_features: int, recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    """Dropout between the hidden layers; that behind the last one comes before the output layer."""
    layers: list[nn.Module] = []
    for at in range(recipe.depth):
        dropout = [nn.Dropout(recipe.dropout)] if at else []
        layers += [*dropout, nn.Linear(n_features, recipe.width), activation()]
        n_features = recipe.width
    return layers


def _messages(recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    return [_Messages(recipe.width if at else 1, recipe.width, activation) for at in range(recipe.depth)]


def _layered(n_channels: int, recipe: Recipe, activation: type[nn.Module]) -> list[nn.Module]:
    """Layer normalization over channels and places, as one group."""
    layers: list[nn.Module] = []
    for at in range(recipe.depth):
        convolution = nn.Conv2d(n_channels, recipe.width, 3, stride=1 + at % 2, padding=1)
        layers += [convolution, nn.GroupNorm(1, recipe.width), activation()]
        n_channels = recipe.width
    return layers


def _encoders(recipe: Recipe) -> list[nn.Module]:
    """Layer normalization before each part."""
    width, dropout = recipe.width, recipe.dropout
    return [
        nn.TransformerEncoderLayer(
            width, N_HEADS, 2 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        for _ in range(recipe.depth)
    ]


class _Highway(nn.Module):
    """A gate for each feature, closed at the start, says how much of it is new."""

    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.inner, self.gate, self.activation = (
            nn.Linear(width, width),
            nn.Linear(width, width),
            activation(),
        )
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        found: Tensor = gate * self.activation(self.inner(x)) + (1 - gate) * x
        return found


class _Degrees(nn.Module):
    """Adjacency rows, with each node's number of neighbors, less the usual one, in front."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.sum(2, keepdim=True) / 2 - 2, x], 2)


class _Messages(nn.Module):
    """Each node hears the sum of what its neighbors have; edges are passed on behind the features."""

    def __init__(self, n_features: int, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.n_features, self.activation = n_features, activation()
        self.own, self.heard = nn.Linear(n_features, width), nn.Linear(n_features, width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        features, edges = x[..., : self.n_features], x[..., self.n_features :]
        heard = self.own(features) + self.heard(edges @ features / 4)
        return torch.cat([self.activation(self.norm(heard)), edges], 2)


class _MeanAndLargestOfNodes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        features = x[..., : -x.shape[1]]
        return torch.cat([features.mean(1), features.amax(1)], 1)


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm1d(width),
            activation(),
            nn.Conv1d(width, width, 5, padding=2, bias=False),
            nn.BatchNorm1d(width),
            activation(),
            nn.Conv1d(width, width, 5, padding=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = nn.functional.avg_pool1d(x + self.body(x), 2)
        return found


class _MeanOfOutputs(nn.Module):
    def __init__(self, n_channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_channels, width, num_layers=depth, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.lstm(x)[0]
        return outputs.mean(1)


class _WideAndDeep(nn.Module):
    """The last layer sees the features themselves besides what the perceptron makes of them."""

    def __init__(self, deep: nn.Module) -> None:
        super().__init__()
        self.deep = deep

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.deep(x)], 1)


class _Patches(nn.Module):
    """Tokens of the patches behind one that is the same for all pictures."""

    def __init__(self, shape: torch.Size, width: int) -> None:
        super().__init__()
        n_patches = (shape[1] // PATCH) * (shape[2] // PATCH)
        self.linear = nn.Linear(shape[0] * PATCH**2, width)
        self.first = nn.Parameter(torch.zeros(width))
        self.places = nn.Parameter(0.1 * torch.randn(n_patches + 1, width))

    def forward(self, x: Tensor) -> Tensor:
        patches = self.linear(unfold(x, PATCH, stride=PATCH).transpose(1, 2))
        tokens = torch.cat([self.first.expand(len(x), 1, -1), patches], 1)
        found: Tensor = tokens + self.places
        return found


class _ClassToken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class _AttentionPool(nn.Module):
    """A mean over the members, each weighted by what one learned question makes of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.question = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.question(x), 1)
        return (weights * x).sum(1)
