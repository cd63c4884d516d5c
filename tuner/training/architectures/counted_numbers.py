"""Random numbers that follow from a key and a place alone: number i of a stream is a hash of both.

On CUDA, dropout draws them instead of torch's own. Those follow from how one launch is spread over the device's
threads: a launch for each of 256 lanes in every layer would take longer than the rest of a step, and a graph would need
each lane's generator set before every replay. Of these, one launch draws for all lanes, each from its own stream, and a
lane gets what it gets alone.

The hash is splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", OOPSLA), whose
sequence is cut into streams by where it begins. Two streams of 2**40 numbers overlap with a probability of 2**-23.
"""

import torch
from torch import Generator, Tensor

DEVICES = frozenset({"cuda"})
"""The kinds of device where numbers are counted; elsewhere they are torch's."""
OFFSET_STEP = 4
"""torch counts a generator's offset in fours."""

_GAMMA = 0x9E3779B97F4A7C15
"""How far the state of splitmix64 goes from one number to the next."""
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)
_MASK = 2**64 - 1


def are_counted(device: torch.device) -> bool:
    """Whether draws on ``device`` are counted ones."""
    return device.type in DEVICES


def key_of(seed: int) -> int:
    """Where the stream of a generator's ``seed`` begins, as a signed number: far apart even for neighboring seeds."""
    state = (seed + _GAMMA) & _MASK
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        state = (state ^ (state >> shift)) * factor & _MASK
    return _signed(state ^ (state >> _SHIFTS[-1]))


def span(n: int) -> int:
    """By how much an offset grows with a draw of ``n`` numbers."""
    return -(-n // OFFSET_STEP) * OFFSET_STEP


def counted_numbers(keys: Tensor, offsets: Tensor, n: int) -> Tensor:
    """``n`` numbers of each stream, int64 [n_streams, n], all values being equally likely.

    Args:
        keys: of the streams, int64 [n_streams]; see `key_of`.
        offsets: the places of the first numbers, int64 [n_streams].
        n: how many.
    """
    steps = torch.arange(1, n + 1, device=keys.device) * _signed(_GAMMA)
    state = (keys + offsets * _signed(_GAMMA)).unsqueeze(1) + steps
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        state.bitwise_xor_(_shifted(state, shift)).mul_(_signed(factor))
    return state.bitwise_xor_(_shifted(state, _SHIFTS[-1]))


def draw_counted(numbers: Tensor, generator: Generator) -> None:
    """Fill ``numbers`` (int64 [n]) from the stream of ``generator``, which moves on. It waits for no device."""
    offset = generator.get_offset()
    key = torch.full((1,), key_of(generator.initial_seed()), device=numbers.device)
    numbers.copy_(counted_numbers(key, torch.full_like(key, offset), len(numbers))[0])
    generator.set_offset(offset + span(len(numbers)))


def global_generator(device: torch.device) -> Generator:
    """The one of a CUDA ``device`` that torch itself draws from."""
    index = torch.cuda.current_device() if device.index is None else device.index
    generator: Generator = torch.cuda.default_generators[index]
    return generator


def _signed(number: int) -> int:
    """The 64 bits of ``number`` as torch has them."""
    return number - 2**64 if number >= 2**63 else number


def _shifted(state: Tensor, by: int) -> Tensor:
    """``state`` shifted right, zeros coming in: torch would have the sign come in."""
    return (state >> by).bitwise_and_((1 << (64 - by)) - 1)
