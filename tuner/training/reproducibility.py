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
        self._states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            self._states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Swap the training's state in, and out again, with deterministic convolutions meanwhile."""
        callers = self._read()
        self._write(self._states)
        try:
            with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
                yield
        finally:
            self._states = self._read()
            self._write(callers)

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


def data_order(n_samples: int, *, seed: int, epoch: int) -> torch.Tensor:
    """The order of the samples in ``epoch``, int64 [n_samples] on the CPU: it depends on nothing else."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    return torch.randperm(n_samples, generator=torch.Generator().manual_seed(mixed & (2**63 - 1)))
