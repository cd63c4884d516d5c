import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.training.architectures.dropout import Dropout, drawn_mask, kept_scale, lowest_kept

CPU = torch.device("cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
def test_the_share_that_is_dropped_is_p(p: float) -> None:
    """Of 262,144 units the share that is dropped is p, within four standard deviations."""
    mask = drawn_mask((512, 512), p, seeded(1), CPU)
    deviation = math.sqrt(p * (1 - p) / mask.numel())
    assert abs(float((~mask).double().mean()) - p) < 4 * deviation


def test_units_are_dropped_independently() -> None:
    """Neighbors in memory, which share a 64-bit number, are both dropped as often as chance has it."""
    dropped = ~drawn_mask((512, 512), 0.5, seeded(2), CPU).flatten()
    for distance in (1, 2, 3, 4):
        both = (dropped[:-distance] & dropped[distance:]).double().mean()
        assert abs(float(both) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(dropped))


@given(p=st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_probability_is_met_to_half_a_draw(p: float) -> None:
    """Of the 65,536 values of a draw the share that drops is p to half a value; some value always keeps."""
    share = (lowest_kept(p) + 2**15) / 2**16
    assert abs(share - p) <= max(0.5 / 2**16, p - (1 - 2**-16)) + 1e-12
    assert share < 1


def test_a_layer_keeps_the_mean() -> None:
    """What is kept is scaled so that the mean of the output is that of the input."""
    torch.manual_seed(0)
    output = Dropout(0.4).train()(torch.ones(512, 512))
    assert output.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert float(output.mean()) == pytest.approx(1, abs=4 * math.sqrt(0.4 / 0.6) / 512)


def test_a_layer_draws_from_the_global_generator_what_a_lane_draws_from_its_own() -> None:
    """The mask of [n, units] is drawn as [units, n], from a global generator or one of its own in the same state."""
    x = torch.randn(7, 5, dtype=torch.float64, generator=seeded(3))
    torch.manual_seed(4)
    output = Dropout(0.3).train()(x)
    mask = drawn_mask((5, 7), 0.3, seeded(4), CPU)
    assert torch.equal(output, x * (mask.t().double() * kept_scale(0.3)))


def test_evaluation_and_a_rate_of_zero_draw_nothing() -> None:
    """In eval mode, and where p is 0, the input passes and the random state stays."""
    x = torch.randn(4, 3)
    before = torch.get_rng_state()
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_a_layer_has_no_state() -> None:
    """State dicts are as they were with torch's own dropout."""
    assert Dropout(0.5).state_dict() == {}
    assert repr(Dropout(0.5)) == "Dropout(p=0.5)"
