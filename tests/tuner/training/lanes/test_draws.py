"""Counted numbers, and what lanes draw: each from its own stream, for all at once or alone."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from tests.tuner.training.lanes.counted_generators import CountedGenerator
from tests.tuner.training.lanes.recorded_calls import no_host_sync
from tuner.training.architectures import counted_numbers
from tuner.training.architectures.counted_numbers import draw_counted, key_of, span
from tuner.training.architectures.dropout import Dropout, drawn_mask
from tuner.training.lanes.draws import Call, CountedDraws, Draws, StreamDraws
from tuner.training.lanes.masks import Draw, LaneMasks, drawn_factors

CPU = torch.device("cpu")
SPLITMIX = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC)
"""What splitmix64 gives from state 0, as its authors' C code prints it."""
CALLS = (Call(lanes=(0, 2), n=5), Call(lanes=(0, 1, 2), n=3), Call(lanes=(2,), n=8))


def numbers_of(seed: int, offset: int, n: int) -> list[int]:
    generator = CountedGenerator(seed)
    generator.set_offset(offset)
    numbers = torch.empty(n, dtype=torch.int64)
    draw_counted(numbers, generator)
    return numbers.tolist()


def test_the_numbers_are_those_of_splitmix64() -> None:
    """From the state 0 the first four are the published ones."""
    zeros = torch.zeros(1, dtype=torch.int64)
    numbers = counted_numbers.counted_numbers(zeros, zeros, 4)[0]
    assert [number & (2**64 - 1) for number in numbers.tolist()] == list(SPLITMIX)
    assert key_of(0) & (2**64 - 1) == SPLITMIX[0]


def test_many_steps_at_once_are_each_step() -> None:
    """A number depends on its place alone: draws of 4 and 8 are one of 12, and the places of two draws never meet."""
    assert numbers_of(3, 0, 4) + numbers_of(3, 4, 8) == numbers_of(3, 0, 12)
    generator = CountedGenerator(3)
    for n, offset in ((5, 8), (4, 12), (1, 16)):
        draw_counted(torch.empty(n, dtype=torch.int64), generator)
        assert generator.get_offset() == offset
    assert span(0) == 0


def test_bits_are_fair_and_independent() -> None:
    """Each of the 64 is set in half of the numbers; streams of neighboring seeds agree in half of their bits."""
    one, other = (torch.tensor(numbers_of(seed, 0, 20_000)) for seed in (0, 1))
    places = torch.arange(64)
    deviation = 0.5 / len(one) ** 0.5
    for numbers in (one, one ^ other, one[1:] ^ one[:-1], one ^ (one >> 16)):
        shares = ((numbers[:, None] >> places[:48]) & 1).double().mean(0)
        assert float((shares - 0.5).abs().max()) < 4.5 * deviation


@pytest.mark.parametrize("kind", [CountedDraws, StreamDraws])
def test_lanes_draw_together_what_each_draws_alone(
    kind: type[StreamDraws], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several steps and calls, of which not every lane takes part in all; no value is read on the way."""
    if kind is CountedDraws:
        monkeypatch.setattr(counted_numbers, "DEVICES", frozenset({"cpu"}))
        generators: Sequence[torch.Generator] = [CountedGenerator(seed) for seed in (0, 1, 2)]
        twins: Sequence[torch.Generator] = [CountedGenerator(seed) for seed in (0, 1, 2)]
    else:
        generators, twins = ([torch.Generator().manual_seed(s) for s in (0, 1, 2)] for _ in range(2))
    draws: Draws = kind(generators)
    for _ in range(3):
        inputs = draws.inputs(CALLS)
        if kind is CountedDraws:
            with no_host_sync():
                found = list(draws.numbers(CALLS, inputs))
        else:
            found = list(draws.numbers(CALLS, inputs))
        for call, numbers in zip(CALLS, found, strict=True):
            for lane in call.lanes:
                mask = drawn_mask((1, 4 * call.n), 0.4, twins[lane], CPU)
                assert torch.equal(numbers[lane].view(torch.int16) >= round(0.4 * 2**16) - 2**15, mask[0])


def test_masks_of_all_lanes_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a layer multiplies by, drawn at once, is what the lanes draw in turn; some have no dropout, or no layer."""
    monkeypatch.setattr(counted_numbers, "DEVICES", frozenset({"cpu"}))
    layers: list[nn.Module | None] = [Dropout(0.3), None, Dropout(0.0), Dropout(0.5)]
    draw = Draw(layer="dropout", shape=(7, 5), dtype=torch.float64)
    generators, twins = ([CountedGenerator(seed) for seed in range(4)] for _ in range(2))
    masks, draws = LaneMasks(layers, CPU), CountedDraws(generators)
    for _ in range(2):
        call = masks.call(draw)
        assert call is not None
        numbers = next(draws.numbers([call], draws.inputs([call])))
        expected = drawn_factors(draw, layers, twins)
        assert torch.equal(masks.factors(numbers, draw), expected)
    assert [each.get_offset() for each in generators] == [each.get_offset() for each in twins]
    assert LaneMasks([Dropout(0.0), None], CPU).call(draw) is None
