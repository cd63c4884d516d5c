"""In which numbers a network is trained: ``precision`` of a config, on the device at hand.

float32 and float64 say what everything is. tf32 shortens the factors of float32 products to 10 bits of mantissa, and
bfloat16 takes products in bfloat16 (autocast); weights, updates and the loss stay float32 in both.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from search_spaces.errors import ConfigurationError
from tuner.training.config import PRECISIONS, TrainingConfig

TF32_CAPABILITY = (8, 0)
"""The first CUDA devices that multiply tf32 (Ampere)."""


def check_precision(config: TrainingConfig, device: torch.device) -> None:
    """Look whether ``device`` has the config's precision.

    Raises:
        ConfigurationError: when it has not.
    """
    can = [name for name in PRECISIONS if _has(name, device)]
    if config.precision not in can:
        raise ConfigurationError(
            f"precision must be one that the device {device} has ({', '.join(can)}), but got {config.precision}."
        )


def weight_type(config: TrainingConfig) -> torch.dtype:
    """The type of the weights, and of the inputs that the network gets."""
    return torch.float64 if config.precision == "float64" else torch.float32


def targets(y: Tensor, config: TrainingConfig) -> Tensor:
    """``y`` as the loss takes it: class numbers as they are, values in the type of the outputs."""
    return y.to(weight_type(config)) if y.is_floating_point() else y


def forward(model: Callable[[Tensor], Tensor], x: Tensor, config: TrainingConfig) -> Tensor:
    """What ``model`` makes of the scaled ``x``, in the type of the weights."""
    if config.precision == "bfloat16":
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs = model(x)
        return outputs.float()
    return model(x.to(weight_type(config)))


@contextlib.contextmanager
def product_precision(config: TrainingConfig, device: torch.device) -> Iterator[None]:
    """Let CUDA shorten float32 factors where the config says tf32, and nowhere else; then as it was before.

    Convolutions are deterministic meanwhile.
    """
    if device.type != "cuda":
        yield
        return
    is_short = config.precision == "tf32"
    before = torch.get_float32_matmul_precision()
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=is_short):
        torch.set_float32_matmul_precision("high" if is_short else "highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


def _has(precision: str, device: torch.device) -> bool:
    match precision:
        case "tf32":
            return device.type == "cuda" and torch.cuda.get_device_capability(device) >= TF32_CAPABILITY
        case "bfloat16":
            return device.type == "cpu" or (
                device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            )
        case "float64":
            return device.type != "mps"
    return True
