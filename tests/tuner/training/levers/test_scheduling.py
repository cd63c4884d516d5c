"""What each lever of scheduling promises is the learning rate of every step."""

import math
from typing import Any

import numpy as np
import pytest

from search_spaces.catalog import CONDITIONS, lever
from tests.tuner.training.levers.measured import near, numbers, rates, trained


def test_schedule() -> None:
    """Each curve as its name says, over six epochs of ten steps."""
    found = {name: rates(schedule=name) for name in lever("schedule").distribution.choices}  # type: ignore[attr-defined]
    assert set(found["constant"]) == {1.0}
    assert numbers(found["step"]) == near(np.repeat([1, 0.1, 0.01], 20))
    assert numbers(found["multistep"]) == near(
        np.concatenate([np.full(30, 1.0), np.full(15, 0.1), np.full(15, 0.01)])
    )
    assert numbers(np.diff(np.log(found["exponential"]))) == near(np.full(59, math.log(0.01) / 60))
    assert numbers(found["cosine"][30]) == near((1 + 0.01) / 2)
    assert numbers(np.diff(found["linear"])) == near(np.full(59, -0.99 / 60))
    assert found["one_cycle"].argmax() == 17
    assert found["one_cycle"][0] == pytest.approx(1 / 25)
    assert found["plateau"][0] == 1
    assert numbers(found["restarts"]) == near(np.tile(found["restarts"][:20], 3))
    assert found["restarts"][0] == 1 > found["restarts"][19]


def test_warmup_steps() -> None:
    """The first rate is one of 20 parts, the 20th the whole; cosine with it is cosine with warmup."""
    assert numbers(rates(warmup_steps=20)[:25]) == near([*(np.arange(1, 21) / 20), *[1.0] * 5])
    warm = rates(warmup_steps=20, schedule="cosine")
    assert warm.argmax() in {19, 20}
    assert warm[0] == pytest.approx(0.05)
    assert warm[-1] < 0.02


def test_warmup_fraction() -> None:
    """A tenth of 60 steps is 6."""
    assert numbers(rates(warmup_fraction=0.1)) == near(rates(warmup_steps=6))
    assert rates(warmup_fraction=0.1)[0] == pytest.approx(1 / 6)


def test_final_lr_fraction() -> None:
    """Every falling schedule ends there, and restarts comes down to it each time."""
    for name in CONDITIONS["final_lr_fraction"].values:
        for fraction in (0.02, 0.3):
            keys: dict[str, Any] = {"schedule": name, "final_lr_fraction": fraction, "epochs": 12}
            if name == "plateau":  # what it is told never becomes better
                keys |= {"learning_rate": 1e-30, "plateau_patience": 0}
                last = trained(**keys).telemetry().epochs[-1].learning_rate / 1e-30
            else:
                last = float(rates(**keys)[-1])
            a_step = 2 / 120  # the last step begins one step before the end
            assert fraction - 1e-6 <= last <= fraction + a_step, name


def test_step_size() -> None:
    """A drop every so many epochs."""
    for size in (1, 2, 4):
        curve = rates(schedule="step", step_size=size)
        assert (np.flatnonzero(np.diff(curve)) + 1).tolist() == list(range(10 * size, 60, 10 * size))


def test_step_gamma() -> None:
    """The factor of each drop of step and multistep, and of plateau's."""
    for name in ("step", "multistep"):
        curve = rates(schedule=name, step_gamma=0.3)
        assert np.unique(curve.round(6)).tolist() == pytest.approx([0.09, 0.3, 1.0])
    stuck = {"schedule": "plateau", "learning_rate": 1e-30, "plateau_patience": 0, "epochs": 3}
    for gamma in (0.3, 0.5):
        row = trained(**stuck, step_gamma=gamma).telemetry().epochs[-1]
        assert row.learning_rate / 1e-30 == pytest.approx(gamma)


def test_plateau_patience() -> None:
    """With a validation loss that never moves, the first drop comes patience + 1 epochs after the best one."""
    for patience in (0, 2):
        run = trained(schedule="plateau", learning_rate=1e-30, plateau_patience=patience, epochs=6)
        by_epoch = [row.learning_rate / 1e-30 for row in run.telemetry().epochs[1:]]
        first_drop = next(epoch for epoch, rate in enumerate(by_epoch, start=1) if rate < 0.5)
        assert first_drop == 1 + (patience + 1) + 1


def test_restart_period() -> None:
    """The rate is back at its peak every so many epochs."""
    for period in (1, 2, 3):
        curve = rates(schedule="restarts", restart_period=period)
        assert np.flatnonzero(curve > 0.999).tolist() == list(range(0, 60, 10 * period))
