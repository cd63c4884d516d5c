"""Where a training runs."""

import torch

from search_spaces.errors import ConfigurationError


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device called ``device``; ``auto`` is CUDA where it is there, else the CPU.

    Apple's GPU is only taken when named: an MLP on MNIST is too small to be worth its launches.

    Raises:
        ConfigurationError: for a name torch does not know, or a device this machine does not have.
    """
    if device == "auto":
        return (
            torch.device("cuda", torch.cuda.current_device())
            if torch.cuda.is_available()
            else torch.device("cpu")
        )
    available = ["auto", *available_devices()]
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ConfigurationError(
            f"device must be one of {', '.join(available)}, but got {device!r}."
        ) from error
    is_there = resolved.type in available and (
        resolved.type != "cuda" or (resolved.index or 0) < torch.cuda.device_count()
    )
    if not is_there:
        raise ConfigurationError(
            f"device must be one that this machine has ({', '.join(available)}), but got {str(device)!r}."
        )
    return torch.device("cuda", torch.cuda.current_device()) if resolved == torch.device("cuda") else resolved


def available_devices() -> list[str]:
    """The kinds of device this machine can train on."""
    kinds = ["cpu"]
    if torch.cuda.is_available():
        kinds.append("cuda")
    if torch.backends.mps.is_available():
        kinds.append("mps")
    return kinds
