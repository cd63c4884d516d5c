"""Same config, same machine, same numbers - without touching the caller's random state."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


class RandomStream:
    """torch's global random state (CPU, and CUDA where it trains) as one training sees it.

    A training draws dropout masks and initial weights from torch's global generators. Inside ``active()``
    these hold the training's own state; outside they are the caller's, untouched.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._seed = seed
        self._states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            self._states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Swap the training's state in, and out again, with deterministic convolutions meanwhile."""
        callers = self._read()
        self._write(self._states)
        try:
            # enabled: else the flags that are not named here turn cuDNN off.
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
                yield
        finally:
            self._states = self._read()
            self._write(callers)

    def generator(self) -> torch.Generator:
        """A generator of the device, at the place of this stream: it draws what ``active()`` would let one draw."""
        generator = torch.Generator(self._device).manual_seed(self._seed)
        if self._device.type in self._states:
            generator.set_state(self._states[self._device.type])
        return generator

    def take(self, generator: torch.Generator) -> None:
        """Go on where ``generator``, once given by `generator`, is now."""
        self._states[self._device.type] = generator.get_state()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return dict(self._states)

    def load_state_dict(self, states: dict[str, torch.Tensor]) -> None:
        """Take the state over; one saved on another kind of device goes on as far as it reaches."""
        for name in self._states:
            if name in states:
                self._states[name] = states[name].cpu()

    def _read(self) -> dict[str, torch.Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states

    def _write(self, states: dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self._device)


@contextlib.contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let modules, which draw from torch's global generator of the device, draw from ``generator``."""
    device = generator.device
    callers = _global_state(device)
    _set_global_state(device, generator.get_state())
    try:
        yield
    finally:
        generator.set_state(_global_state(device))
        _set_global_state(device, callers)


def _global_state(device: torch.device) -> torch.Tensor:
    match device.type:
        case "cuda":
            return torch.cuda.get_rng_state(device)
        case "mps":
            return torch.mps.get_rng_state()
    return torch.get_rng_state()


def _set_global_state(device: torch.device, state: torch.Tensor) -> None:
    match device.type:
        case "cuda":
            torch.cuda.set_rng_state(state, device)
        case "mps":
            torch.mps.set_rng_state(state)
        case _:
            torch.set_rng_state(state)


def data_order(n_samples: int, *, seed: int, epoch: int) -> torch.Tensor:
    """The order of the samples in ``epoch``, int64 [n_samples] on the CPU: it depends on nothing else."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return torch.randperm(n_samples, generator=torch.Generator().manual_seed(mixed & (2**63 - 1)))
