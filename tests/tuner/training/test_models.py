import math

import pytest
import torch
from torch import nn

from search_spaces.errors import ConfigurationError
from tuner.training.config import TrainingConfig
from tuner.training.functions import UserCodeError
from tuner.training.models import build_model, check_output


def names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_children()]


def test_mlp_is_built_layer_by_layer() -> None:
    """Linear, normalization, activation, dropout for each hidden layer, then the output."""
    config = TrainingConfig(depth=2, width=5, normalization="layer", dropout=0.1, activation="gelu")
    model = build_model(config, (1, 3, 3), 4)
    hidden = ["hidden{0}", "normalization{0}", "activation{0}", "dropout{0}"]
    expected = ["flatten", *(name.format(n) for n in (1, 2) for name in hidden), "output"]
    assert names(model) == expected
    assert isinstance(model.activation1, nn.GELU)
    assert isinstance(model.normalization2, nn.LayerNorm)
    assert model(torch.zeros(2, 1, 3, 3)).shape == (2, 4)


def test_depth_zero_is_a_linear_model() -> None:
    """No hidden layers leaves the output layer alone."""
    assert names(build_model(TrainingConfig(depth=0), (7,), 2)) == ["flatten", "output"]


def test_cnn_takes_images_of_any_channels() -> None:
    """Two convolutions, one hidden layer of `width`, logits at the end."""
    config = TrainingConfig(model="cnn", width=6, normalization="batch", dropout=0.2)
    model = build_model(config, (3, 8, 9), 4)
    assert model(torch.zeros(2, 3, 8, 9)).shape == (2, 4)
    assert isinstance(model.normalization, nn.BatchNorm1d)


@pytest.mark.parametrize("shape", [(5,), (1, 3, 8)])
def test_cnn_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    """Rows and tiny images are told to take the mlp."""
    with pytest.raises(ConfigurationError, match="take model=mlp"):
        build_model(TrainingConfig(model="cnn"), shape, 2)


@pytest.mark.parametrize(
    ("name", "bound"),
    [("glorot", math.sqrt(6 / (400 + 200))), ("he", math.sqrt(6 / 400)), ("lecun", math.sqrt(3 / 400))],
)
def test_initializations_have_their_bounds(name: str, bound: float) -> None:
    """Weights fill the uniform range of their rule, and biases are zero."""
    torch.manual_seed(0)
    layer = build_model(TrainingConfig(initialization=name, width=200), (400,), 3).hidden1
    assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-2)
    assert layer.weight.abs().max().item() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=1e-2)
    assert not layer.bias.any()


def test_default_initialization_is_torchs() -> None:
    """initialization=default leaves the weights as torch draws them."""
    torch.manual_seed(0)
    mine = build_model(TrainingConfig(initialization="default", depth=0), (4,), 3)
    torch.manual_seed(0)
    torch.testing.assert_close(mine.output.weight, nn.Linear(4, 3).weight)


def test_an_unknown_function_is_told() -> None:
    """A model function that cannot be imported is one sentence that begins with what it was for."""
    with pytest.raises(
        ConfigurationError, match=r"model 'tests\.problems:nothing' needs a function 'nothing'"
    ):
        build_model(TrainingConfig(model="tests.problems:nothing"), (4,), 3)


def test_a_model_function_that_raises_is_one_sentence() -> None:
    """It names the function, the exception and the line; the exception itself stays its cause."""

    def broken(_config: TrainingConfig, _input_shape: tuple[int, ...], _n_outputs: int) -> nn.Module:
        raise RuntimeError("my own\nbug")

    with pytest.raises(
        UserCodeError, match=r"broken must take .*RuntimeError: my own bug \(test_models.py:"
    ) as told:
        build_model(TrainingConfig(), (1, 8, 8), 10, builder=broken)
    assert isinstance(told.value.__cause__, RuntimeError)
    with pytest.raises(UserCodeError, match="takes 0 positional arguments but 3 were given"):
        build_model(TrainingConfig(), (1, 8, 8), 10, builder=lambda: nn.Linear(1, 1))  # type: ignore[arg-type,misc]


def test_a_model_that_cannot_take_the_inputs_is_one_sentence() -> None:
    """With their shape."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(7, 10))
    with pytest.raises(
        UserCodeError, match=r"must take inputs of shape \[2, 1, 8, 8\], but it raised RuntimeError"
    ):
        check_output(model, torch.zeros(2, 1, 8, 8), 10)
