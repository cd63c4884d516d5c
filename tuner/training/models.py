"""Models by name: mlp, cnn, or a user's ``module:function``."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from search_spaces.errors import ConfigurationError, unknown_name
from tuner.training.architectures.cnn import build_cnn
from tuner.training.architectures.mlp import build_mlp
from tuner.training.config import TrainingConfig
from tuner.training.datasets.input_scaling import InputScaling
from tuner.training.datasets.splits import Splits
from tuner.training.functions import calling_user_code, import_function
from tuner.training.precision import weight_type
from tuner.training.reproducibility import RandomStream

ModelBuilder = Callable[[TrainingConfig, tuple[int, ...], int], nn.Module]
"""Takes ``(config, input_shape, n_outputs)``; the input it will get is float32 [n, *input_shape]."""

BUILDERS: dict[str, ModelBuilder] = {"mlp": build_mlp, "cnn": build_cnn}


def untrained_model(
    config: TrainingConfig,
    splits: Splits,
    scaling: InputScaling,
    random: RandomStream,
    *,
    builder: ModelBuilder | None = None,
) -> nn.Module:
    """The model of ``config`` as a training of it on ``splits`` begins, with weights drawn from ``random``.

    Raises:
        ConfigurationError: when there is no such model, or it does not fit the data.
        UserCodeError: when a user's code raises.
    """
    with random.active():
        model = build_model(config, splits.input_shape, splits.n_outputs, builder=builder)
        model = model.to(splits.device, weight_type(config))
        # It also gives lazy modules their shapes before the optimizer looks.
        check_output(model, scaling(splits.train_x[:2]).to(weight_type(config)), splits.n_outputs)
    return model


def build_model(
    config: TrainingConfig,
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    builder: ModelBuilder | None = None,
) -> nn.Module:
    """The untrained model that ``builder`` makes, or the one ``config.model`` names, on the CPU.

    Raises:
        ConfigurationError: an unknown name, a function that cannot be imported, or a result that is no model.
        UserCodeError: when a user's function raises.
    """
    if builder is None:
        builder = _builder(config.model)
    model = _built(builder, config, input_shape, n_outputs)
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"A model function returns a torch.nn.Module, but this one returned {type(model).__name__}."
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigurationError(f"A model needs parameters to train, but {type(model).__name__} has none.")
    return model


@torch.no_grad()
def check_output(model: nn.Module, inputs: Tensor, n_outputs: int) -> None:
    """Pass ``inputs`` through ``model`` in eval mode, and look at what comes out.

    Raises:
        ConfigurationError: when that is no tensor of shape [n, n_outputs].
        UserCodeError: when the model raises.
    """
    model.eval()
    with calling_user_code(f"The model must take inputs of shape {list(inputs.shape)}"):
        output = model(inputs)
    wanted = [len(inputs), n_outputs]
    if not isinstance(output, Tensor) or list(output.shape) != wanted:
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ConfigurationError(
            f"For {len(inputs)} samples the model must return a tensor of shape {wanted}, "
            f"but it returned {got}."
        )


def _built(
    builder: ModelBuilder, config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int
) -> object:
    if builder in BUILDERS.values():
        return builder(config, input_shape, n_outputs)
    name = getattr(builder, "__qualname__", type(builder).__name__)
    with calling_user_code(f"The model function {name} must take (config, input_shape, n_outputs)"):
        return builder(config, input_shape, n_outputs)


def _builder(name: str) -> ModelBuilder:
    if name in BUILDERS:
        return BUILDERS[name]
    if ":" not in name:
        raise unknown_name("model", name, [*BUILDERS, "module:function"])
    return import_function(name, purpose="model")
