"""What an evaluation in train mode costs is read on the probe samples, of such a loop alone, and leaves no trace."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.tuner.training.watching.loops import Loop, network, watched


def dropping(share: float) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(share), nn.Linear(32, 10))


def costs(loop: Loop) -> list[float]:
    """Of each trained epoch."""
    rows = watched(loop).telemetry.epochs
    return [row.probe_accuracy - row.train_mode_probe_accuracy for row in rows if row.epoch]


def test_the_more_is_dropped_out_the_more_it_costs() -> None:
    """Next to nothing for a twentieth of the units, much for most of them."""
    little, much = (costs(Loop(model=dropping(share), evaluates_in_train_mode=True)) for share in (0.05, 0.9))
    assert all(abs(cost) < 0.05 for cost in little)
    assert all(cost > 0.1 for cost in much)


@pytest.mark.parametrize(
    "loop",
    [
        Loop(),
        Loop(
            model=lambda: nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Linear(32, 10)),
            evaluates_in_train_mode=True,
        ),
        Loop(model=lambda: nn.Sequential(nn.Linear(64, 10)), evaluates_in_train_mode=True),
    ],
    ids=["sound", "batch statistics", "nothing minds its mode"],
)
def test_nothing_is_read_where_it_would_say_nothing(loop: Loop) -> None:
    """And so it takes no time."""
    assert all(math.isnan(cost) for cost in costs(loop))


def test_the_reading_leaves_no_trace() -> None:
    """The same losses, the same weights and the same random numbers as without a watch."""
    plain, seen = (Loop(model=network, evaluates_in_train_mode=True) for _ in range(2))
    plain.run(None)
    after = torch.rand(3)
    watch = watched(seen)
    assert seen.seen == plain.seen
    assert torch.equal(torch.rand(3), after)
    assert math.isfinite(watch.telemetry.epochs[-1].train_mode_probe_accuracy)
