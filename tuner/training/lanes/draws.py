"""The numbers that the lanes' dropout takes: each lane's from its own stream, as the lane alone would draw them.

Where numbers are counted (`counted_numbers`) a step needs no more than the places at which the streams are; the numbers
follow on the device, for all lanes at once, and may be part of a graph. Elsewhere they are drawn before the step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from tuner.training.architectures.counted_numbers import are_counted, counted_numbers, key_of, span
from tuner.training.architectures.dropout import draw_numbers


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a dropout layer."""

    lanes: tuple[int, ...]
    """Those that draw: of the others the probability is 0."""
    n: int
    """64-bit numbers a lane."""


class Draws(Protocol):
    """The streams of some lanes."""

    def inputs(self, calls: Sequence[Call]) -> list[Tensor]:
        """Move the streams on by the ``calls`` of a step, and give what `numbers` makes their numbers of.

        As many tensors of the same shapes for the same calls. They may be on the CPU, pinned.
        """

    def numbers(self, calls: Sequence[Call], inputs: Sequence[Tensor]) -> Iterator[Tensor]:
        """Of each call, int64 [n_lanes, n]; on the device, from ``inputs`` alone. Lanes that do not draw have any."""


class StreamDraws:
    """`Draws` of torch's own numbers."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self._generators = generators

    def inputs(self, calls: Sequence[Call]) -> list[Tensor]:
        return [self._drawn(call) for call in calls]

    def numbers(self, calls: Sequence[Call], inputs: Sequence[Tensor]) -> Iterator[Tensor]:
        del calls
        return iter(inputs)

    def _drawn(self, call: Call) -> Tensor:
        size = (len(self._generators), call.n)
        numbers = torch.zeros(size, dtype=torch.int64, device=self._generators[0].device)
        for lane in call.lanes:
            draw_numbers(numbers[lane], self._generators[lane])
        return numbers


class CountedDraws:
    """`Draws` of counted numbers: no launch for a lane by itself."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self._generators = generators
        self._device = generators[0].device
        keys = [key_of(generator.initial_seed()) for generator in generators]
        self._keys = torch.tensor(keys, dtype=torch.int64, device=self._device)
        self._spans: dict[Call, Tensor] = {}

    def inputs(self, calls: Sequence[Call]) -> list[Tensor]:
        offsets = [generator.get_offset() for generator in self._generators]
        moves = [0] * len(offsets)
        for call in calls:
            for lane in call.lanes:
                moves[lane] += span(call.n)
            if call not in self._spans:
                self._spans[call] = self._span_by_lane(call)
        for generator, offset, move in zip(self._generators, offsets, moves, strict=True):
            if move:
                generator.set_offset(offset + move)
        return [torch.tensor(offsets, pin_memory=self._device.type == "cuda")]

    def numbers(self, calls: Sequence[Call], inputs: Sequence[Tensor]) -> Iterator[Tensor]:
        (offsets,) = inputs
        for call in calls:
            yield counted_numbers(self._keys, offsets, call.n)
            offsets = offsets + self._spans[call]

    def _span_by_lane(self, call: Call) -> Tensor:
        moves = torch.zeros(len(self._generators), dtype=torch.int64)
        moves[list(call.lanes)] = span(call.n)
        return moves.to(self._device)


def draws_of(generators: Sequence[Generator]) -> Draws:
    """The streams of ``generators``, one a lane."""
    return CountedDraws(generators) if are_counted(generators[0].device) else StreamDraws(generators)
