"""The short training that says how long a step of so many lanes takes."""

from collections.abc import Callable

import pytest
from torch import nn

from tests.tuner.training.lanes.modules import LooksAtInputs
from tuner.searching.lane_probe import LaneProbe
from tuner.searching.objective import Objective
from tuner.training.lanes import choosing


@pytest.mark.parametrize("own_orders", [False, True])
@pytest.mark.parametrize("model", [None, LooksAtInputs])
def test_any_model_is_timed_with_data_orders_shared_and_own(
    model: Callable[..., nn.Module] | None, own_orders: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that looks at its inputs, which a pass for all lanes cannot when each has its own."""
    monkeypatch.setattr(choosing, "_KNOWN", choosing._Known())
    # One pass wherever that can be.
    monkeypatch.setattr(choosing, "paces_of", lambda _starts, _splits: (1.0, 2.0))
    probe = LaneProbe(objective=Objective("quick", "digits", epochs=2, model=model))
    assert probe.seconds_per_lane_step(2, own_orders=own_orders) > 0
