"""A machine and a training whose speed, memory and loss curve are known by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from tuner.training.batching.candidates import Candidate
from tuner.training.batching.memory import MemoryMeter
from tuner.training.batching.stepping import Stretch

INITIAL_LOSS = 2.0


@dataclass
class FakeMachine:
    """Seconds of a step = ``overhead + per_sample * batch``, times what ``slowdown`` says of the n-th stretch."""

    overhead: float = 1e-3
    per_sample: float = 1e-5
    bytes_per_sample: int = 1000
    bytes_in_all: float = math.inf
    slowdown: Callable[[int], float] = lambda _n: 1.0
    n_stretches: int = 0
    held: int = 0
    """Bytes of the largest batch since the meter was started."""

    def seconds_per_step(self, batch_size: int) -> float:
        return self.overhead + self.per_sample * batch_size

    def start(self, candidate: Candidate, _seed: int = 0) -> "FakeTraining":
        return FakeTraining(self, candidate)

    def take(self, batch_size: int) -> float:
        """The slowdown of one more stretch, or no memory for it."""
        wanted = self.bytes_per_sample * batch_size
        if wanted > self.bytes_in_all:
            raise torch.OutOfMemoryError("CUDA out of memory (fake).")
        self.held = max(self.held, wanted)
        self.n_stretches += 1
        return self.slowdown(self.n_stretches)


@dataclass
class FakeTraining:
    """Its loss falls by half every ``half_life`` samples, and less from samples beyond ``useful_batch`` in a step."""

    machine: FakeMachine
    candidate: Candidate
    half_life: float = 1000.0
    useful_batch: float = math.inf
    diverges: bool = False
    n_steps: int = 0
    splits: Any = None

    @property
    def samples_per_step(self) -> int:
        return self.candidate.effective_batch_size

    def train(self, n_steps: int) -> Stretch:
        slowdown = self.machine.take(self.candidate.batch_size)
        self.n_steps += n_steps
        seconds = n_steps * self.machine.seconds_per_step(self.candidate.batch_size)
        return Stretch(
            n_steps=n_steps,
            n_samples=n_steps * self.samples_per_step,
            seconds=seconds * slowdown,
            has_diverged=self.diverges,
        )

    def validation_loss(self, _x: Any, _y: Any) -> float:
        n_useful = self.n_steps * min(self.samples_per_step, self.useful_batch)
        return INITIAL_LOSS * 0.5 ** (n_useful / self.half_life)

    def steps_to(self, loss: float) -> float:
        """By hand, without a training."""
        n_useful = self.half_life * math.log2(INITIAL_LOSS / loss)
        return n_useful / min(self.samples_per_step, self.useful_batch)


@dataclass
class FakeMeter(MemoryMeter):
    machine: FakeMachine
    available: int = 10**12
    started: int = field(default=0)

    def start(self) -> None:
        self.started += 1
        self.machine.held = 0

    def peak_bytes(self) -> int:
        return self.machine.held

    def available_bytes(self) -> int:
        return self.available


def fake_candidates(*sizes: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(batch_size=size, accumulation_steps=1, learning_rate=0.1) for size in sizes)
