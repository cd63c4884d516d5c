"""Networks of the second transfer set: recurrent, convolutional, fully connected, attention, and a mixer."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.diagnosis.transfer.second_recipe import Recipe

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def network(recipe: Recipe, shape: torch.Size, n_classes: int) -> nn.Sequential:
    """``shape`` is one sample's: [features], or [length, channels]. Ends in a linear layer, but for a planted fault."""
    body = _body(recipe, shape)
    model = nn.Sequential(*body, nn.Dropout(recipe.dropout), nn.Linear(recipe.width, n_classes))
    match recipe.fault:
        case "softmax":
            model.append(nn.Softmax(1))
        case "large_weights":
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=recipe.strength)
        case "equal_weights":
            for parameter in model.parameters():
                nn.init.constant_(parameter, recipe.strength)
        case "negative_biases":
            for layer in _linear(model[:-1]):
                nn.init.constant_(layer.bias, -recipe.strength)
    return model


def trained_parameters(recipe: Recipe, model: nn.Sequential) -> Iterator[nn.Parameter]:
    """What the optimizer is given: all, but for layers that somebody forgot."""
    if recipe.fault != "forgotten_layers":
        return model.parameters()
    return itertools.chain(*(layer.parameters() for layer in model[-int(recipe.strength) :]))


def _body(recipe: Recipe, shape: torch.Size) -> list[nn.Module]:
    width, activation = recipe.width, _ACTIVATIONS[recipe.activation]
    match recipe.network:
        case "gru":
            return [_Recurrent(shape[-1], width)]
        case "convolution":
            blocks = [_ConvolutionBlock(width, activation) for _ in range(recipe.depth)]
            return [_ChannelsFirst(), nn.Conv1d(shape[-1], width, 5, padding=2), *blocks, _MeanOverTime()]
        case "attention" | "mixer":
            block = _AttentionBlock if recipe.network == "attention" else _MixerBlock
            return [
                _Embedding(shape, width),
                *(block(width, shape[0], recipe.dropout) for _ in range(recipe.depth)),
                nn.LayerNorm(width),
                _MeanOverTokens(),
            ]
    layers: list[nn.Module] = []
    n_inputs = shape.numel()
    for _ in range(recipe.depth):
        layers.append(nn.Linear(n_inputs, width))
        if recipe.network == "normalized":
            layers.append(nn.LayerNorm(width))
        layers += [activation(), nn.Dropout(recipe.dropout)]
        n_inputs = width
    return layers


def _linear(modules: nn.Module) -> list[nn.Linear]:
    return [each for each in modules.modules() if isinstance(each, nn.Linear)]


class _Recurrent(nn.Module):
    def __init__(self, n_channels: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(n_channels, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _last = self.gru(x)
        mean: Tensor = outputs.mean(1)
        return mean


class _ChannelsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class _MeanOverTime(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(2)


class _MeanOverTokens(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class _ConvolutionBlock(nn.Module):
    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 5, padding=2, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.activation(self.norm(self.convolution(x)))
        return found


class _Embedding(nn.Module):
    def __init__(self, shape: torch.Size, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape[1], width)
        self.places = nn.Parameter(0.1 * torch.randn(shape[0], width))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(x) + self.places
        return found


class _AttentionBlock(nn.Module):
    """Before the norms, with four heads."""

    N_HEADS = 4

    def __init__(self, width: int, _n_tokens: int, dropout: float) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = _mlp(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        n, n_tokens, width = x.shape
        parts = self.asked(self.first_norm(x)).reshape(n, n_tokens, 3, self.N_HEADS, width // self.N_HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, n_tokens, width)
        x = x + self.joined(seen)
        found: Tensor = x + self.mlp(self.second_norm(x))
        return found


class _MixerBlock(nn.Module):
    """One perceptron over the tokens, then one over the channels."""

    def __init__(self, width: int, n_tokens: int, dropout: float) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_tokens, self.over_channels = _mlp(n_tokens, dropout), _mlp(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.over_tokens(self.first_norm(x).transpose(1, 2)).transpose(1, 2)
        found: Tensor = x + self.over_channels(self.second_norm(x))
        return found


def _mlp(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
    )
