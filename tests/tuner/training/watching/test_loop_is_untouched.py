"""A training with a watch is, bit for bit, the training without."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import tuner
from tests.tuner.training.watching.loops import Loop, digits, network, validation


def with_batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))


class Noisy(nn.Module):
    """Draws from every random stream there is, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = random.random() + np.random.default_rng(0).random() + float(torch.rand(()))  # noqa: S311
        return self.inner(x) * noise


def random_states() -> list[Any]:
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]  # noqa: NPY002


LOOPS = {
    "plain": Loop,
    "told before the step": lambda: Loop(is_told_before_step=True),
    "accumulation": lambda: Loop(accumulation=4),
    "clipped": lambda: Loop(clip=0.5),
    "batch norm": lambda: Loop(model=with_batch_norm),
    "noise of its own": lambda: Loop(model=Noisy),
    "adam": lambda: Loop(optimizer=lambda p: torch.optim.Adam(p, lr=0.01)),
    "no epochs told": lambda: Loop(tells_epochs=False),
}


@pytest.mark.parametrize("name", LOOPS)
def test_losses_and_random_states_are_those_without(name: str) -> None:
    """Same losses, same random states of torch, NumPy and Python, whatever the probes run in between."""
    without, with_watch = LOOPS[name](), LOOPS[name]()
    random.seed(0)
    without.run(None)
    states = random_states()
    random.seed(0)
    with_watch.run(validation=validation())
    assert with_watch.seen == without.seen
    assert random_states() == states


def test_a_validation_loader_draws_nothing_from_the_users_generators() -> None:
    """Not from the global one, and not from one that the loop's loader shares."""
    x, y = validation()
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, generator=generator)
    before = generator.get_state()
    without, with_watch = Loop(), Loop()
    without.run(None)
    with_watch.run(validation=loader)
    assert with_watch.seen == without.seen
    assert torch.equal(generator.get_state(), before)


def test_modes_and_buffers_are_left_alone() -> None:
    """A frozen batch norm stays frozen, and its statistics stay what they were."""
    model = with_batch_norm()
    model[1].eval()
    statistics = model[1].running_mean.clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    with tuner.watch(model, optimizer, validation=validation()) as watch:
        loss = functional.cross_entropy(model(x[:64]), y[:64])
        loss.backward()
        optimizer.step()
        watch.step(loss, x[:64], y[:64])
        watch.epoch()
    assert not model[1].training
    assert model[3].training
    assert torch.equal(model[1].running_mean, statistics)


@pytest.mark.parametrize("error", [None, ValueError("theirs"), KeyboardInterrupt()])
def test_no_hook_is_left(error: BaseException | None) -> None:
    """Not on the model, not on its parameters, not on the optimizer; whatever ended the loop."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()

    def train() -> None:
        with tuner.watch(model, optimizer) as watch:
            for _ in range(3):
                loss = functional.cross_entropy(model(x[:64]), y[:64])
                loss.backward()
                optimizer.step()
                watch.step(loss, x[:64], y[:64])
            if error is not None:
                raise error

    if error is None:
        train()
    else:
        with pytest.raises(type(error)):
            train()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert not any(module._forward_hooks for module in model.modules())
    for parameter in model.parameters():
        assert not parameter._backward_hooks
        assert not parameter._post_accumulate_grad_hooks
