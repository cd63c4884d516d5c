import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD, lr_scheduler

from tuner.training.config import TrainingConfig
from tuner.training.schedules import (
    PlateauState,
    effective_batch_size,
    learning_rate_factor,
    peak_learning_rate,
    plateau_of,
    warmup_steps,
)

EPOCHS, STEPS_PER_EPOCH = 6, 10
N_STEPS = EPOCHS * STEPS_PER_EPOCH


def torch_factors(
    make_scheduler: Callable[[SGD], lr_scheduler.LRScheduler], *, each_epoch: bool = False
) -> list[float]:
    """The learning rate that torch uses at every step, starting from 1."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    for step in range(1, N_STEPS):
        optimizer.step()
        if not each_epoch or step % STEPS_PER_EPOCH == 0:
            scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def factors(**keys: Any) -> list[float]:
    config = TrainingConfig(epochs=EPOCHS, **keys)
    return [learning_rate_factor(step, N_STEPS, config) for step in range(N_STEPS)]


@pytest.mark.parametrize(
    ("keys", "make_scheduler", "each_epoch"),
    [
        ({"schedule": "constant"}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0), False),
        (
            {"schedule": "step", "step_size": 2, "step_gamma": 0.3},
            lambda o: lr_scheduler.StepLR(o, 2, gamma=0.3),
            True,
        ),
        ({"schedule": "step"}, lambda o: lr_scheduler.StepLR(o, 2, gamma=0.1), True),
        (
            {"schedule": "multistep", "milestones": (1, 4), "step_gamma": 0.5},
            lambda o: lr_scheduler.MultiStepLR(o, [1, 4], gamma=0.5),
            True,
        ),
        (
            {"schedule": "exponential", "final_lr_fraction": 0.05},
            lambda o: lr_scheduler.ExponentialLR(o, gamma=0.05 ** (1 / N_STEPS)),
            False,
        ),
        (
            {"schedule": "cosine", "final_lr_fraction": 0.1},
            lambda o: lr_scheduler.CosineAnnealingLR(o, N_STEPS, eta_min=0.1),
            False,
        ),
        (
            {"schedule": "linear", "final_lr_fraction": 0.2},
            lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=N_STEPS),
            False,
        ),
        (
            {"schedule": "one_cycle", "final_lr_fraction": 0.01},
            lambda o: lr_scheduler.OneCycleLR(
                o, max_lr=1.0, total_steps=N_STEPS, final_div_factor=0.04 / 0.01, cycle_momentum=False
            ),
            False,
        ),
        (
            {"schedule": "restarts", "restart_period": 2, "final_lr_fraction": 0.1},
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2 * STEPS_PER_EPOCH, eta_min=0.1),
            False,
        ),
    ],
    ids=lambda value: value.get("schedule") if isinstance(value, dict) else None,
)
def test_schedule_equals_its_torch_twin(
    keys: dict[str, Any], make_scheduler: Callable[[SGD], lr_scheduler.LRScheduler], each_epoch: bool
) -> None:
    """Each schedule gives torch's learning rate at every single step."""
    twin = torch_factors(make_scheduler, each_epoch=each_epoch)
    assert factors(**keys) == pytest.approx(twin, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(
    losses=st.lists(st.floats(0.01, 10) | st.just(math.nan), min_size=1, max_size=40),
    patience=st.integers(0, 4),
    gamma=st.sampled_from([0.1, 0.5]),
)
def test_plateau_equals_its_torch_twin(losses: list[float], patience: int, gamma: float) -> None:
    """PlateauState lowers the learning rate when ReduceLROnPlateau does, whatever the losses."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    twin = lr_scheduler.ReduceLROnPlateau(optimizer, factor=gamma, patience=patience, min_lr=0.01, eps=0.0)
    state = PlateauState(patience=patience, gamma=gamma, floor=0.01)
    for loss in losses:
        twin.step(loss)
        state.update(loss)
        assert state.factor == pytest.approx(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("keys", "n_samples", "rate"),
    [
        ({"batch_size": 256}, 256, 0.1),
        ({"batch_size": 256, "batch_lr_rule": "linear"}, 256, 0.4),
        ({"batch_size": 256, "batch_lr_rule": "sqrt"}, 256, 0.2),
        ({"batch_size": 32, "accumulation_steps": 8, "batch_lr_rule": "linear"}, 256, 0.4),
        ({"batch_size": 16, "batch_lr_rule": "linear"}, 16, 0.025),
        ({"batch_size": 64, "batch_lr_rule": "linear"}, 64, 0.1),
        ({"batch_size": "full", "batch_lr_rule": "sqrt"}, 1600, 0.5),
        ({"batch_size": "full", "accumulation_steps": 4, "batch_lr_rule": "sqrt"}, 1600, 0.5),
        ({"batch_size": 5000, "batch_lr_rule": "linear"}, 1600, 2.5),
    ],
)
def test_the_peak_follows_the_samples_of_a_step(keys: dict[str, Any], n_samples: int, rate: float) -> None:
    """linear and sqrt carry 0.1 at 64 samples over to those of one step: minibatches times steps, or all there are."""
    config = TrainingConfig(learning_rate=0.1, base_batch_size=64, **keys)
    assert effective_batch_size(config, n_train=1600) == n_samples
    assert peak_learning_rate(config, n_train=1600) == pytest.approx(rate)


def test_plateau_belongs_to_one_schedule() -> None:
    """Only schedule=plateau keeps a plateau state."""
    assert plateau_of(TrainingConfig()) is None
    state = plateau_of(TrainingConfig(schedule="plateau", plateau_patience=7))
    assert state is not None
    assert state.patience == 7


def test_warmup_rises_linearly_and_then_hands_over() -> None:
    """Twelve warmup steps rise in twelfths to 1; cosine then has the other 48 steps."""
    rates = factors(schedule="cosine", warmup_steps=12, final_lr_fraction=0.0)
    assert rates[:12] == pytest.approx([(step + 1) / 12 for step in range(12)])
    assert rates[12:] == pytest.approx([(1 + math.cos(math.pi * step / 48)) / 2 for step in range(48)])


def test_warmup_fraction_is_of_all_steps() -> None:
    """A fifth of 60 steps is 12, and no warmup is longer than the training."""
    assert warmup_steps(N_STEPS, TrainingConfig(warmup_fraction=0.2)) == 12
    assert warmup_steps(N_STEPS, TrainingConfig(warmup_steps=500)) == N_STEPS
    assert factors(schedule="constant", warmup_fraction=0.2) == factors(schedule="constant", warmup_steps=12)


def test_one_cycle_warmup_is_the_length_of_its_rise() -> None:
    """With warmup_fraction 0.5, one_cycle peaks at half of the training."""
    rates = factors(schedule="one_cycle", warmup_fraction=0.5)
    assert rates.index(max(rates)) == N_STEPS // 2 - 1


@settings(deadline=None)
@given(
    schedule=st.sampled_from(
        [
            "constant",
            "step",
            "multistep",
            "exponential",
            "cosine",
            "one_cycle",
            "linear",
            "plateau",
            "restarts",
        ]
    ),
    warmup=st.floats(0, 0.9),
    n_steps=st.integers(1, 200),
    epochs=st.integers(1, 12),
)
def test_factors_stay_between_nothing_and_one(
    schedule: str, warmup: float, n_steps: int, epochs: int
) -> None:
    """With gamma below 1, no schedule ever exceeds the learning rate or turns it off."""
    config = TrainingConfig(schedule=schedule, warmup_fraction=warmup, epochs=epochs)
    for step in range(n_steps):
        assert 0 < learning_rate_factor(step, n_steps, config) <= 1 + 1e-12
