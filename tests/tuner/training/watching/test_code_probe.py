"""What a watch sees of a loop's own code: each fault where it is, and none where there is none."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import tuner
from studies.readings import CodeProbe
from tests.tuner.training.watching.loops import Loop, digits, network, validation, watched

HEALTHY: dict[str, Callable[[], Loop]] = {
    "plain": Loop,
    "accumulation": lambda: Loop(accumulation=4),
    "clipped": lambda: Loop(clip=0.01),
    "log-probabilities": lambda: Loop(model=lambda: network(nn.LogSoftmax(1)), loss=functional.nll_loss),
    "log-probabilities and cross-entropy": lambda: Loop(model=lambda: network(nn.LogSoftmax(1))),
    "one-hot": lambda: Loop(target=lambda y: functional.one_hot(y, 10).float()),
    "smoothed": lambda: Loop(loss=lambda o, y: functional.cross_entropy(o, y, label_smoothing=0.1)),
    "probabilities and their logarithm": lambda: Loop(
        model=lambda: network(nn.Softmax(1)), loss=lambda o, y: functional.nll_loss(o.log(), y)
    ),
}


def code_of(loop: Loop, **options: Any) -> CodeProbe:
    code = watched(loop, **options).telemetry.code
    assert code is not None
    return code


@pytest.mark.parametrize("name", HEALTHY)
def test_sound_code_is_sound(name: str) -> None:
    """However it is written."""
    code = code_of(HEALTHY[name]())
    assert (code.stale_gradient_share, code.loss_of_probabilities) == (0.0, False)
    assert (code.training_in_eval_mode_share, code.evaluation_in_train_mode_share) == (0.0, 0.0)
    assert (code.n_layers_without_gradient, code.n_layers_not_optimized, code.n_layers_not_required) == (
        0,
        0,
        0,
    )


def test_the_loss_is_known_by_its_name() -> None:
    """As far as it is one of ours."""
    kinds = {name: code_of(loop()).loss_kind for name, loop in HEALTHY.items()}
    assert kinds["plain"] == kinds["one-hot"] == kinds["accumulation"] == "cross_entropy"
    assert kinds["log-probabilities"] == kinds["probabilities and their logarithm"] == "nll"
    assert kinds["smoothed"] == "other"


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_a_missing_zero_grad_shows(accumulation: int, clip: float) -> None:
    """In every step that was looked at, clipped or not."""
    assert code_of(Loop(zeroes=False, accumulation=accumulation, clip=clip)).stale_gradient_share == 1.0


@pytest.mark.parametrize(
    "loop",
    [
        lambda: Loop(model=lambda: network(nn.Softmax(1))),
        lambda: Loop(loss=lambda outputs, y: functional.cross_entropy(outputs.softmax(1), y)),
    ],
    ids=["in the model", "in the loop"],
)
def test_softmax_before_cross_entropy_shows(loop: Callable[[], Loop]) -> None:
    """Wherever it stands."""
    code = code_of(loop())
    assert code.loss_of_probabilities
    assert code.loss_kind == "cross_entropy"


def test_modes_show_where_they_matter() -> None:
    """A network with dropout that is evaluated in train mode, or trained in eval mode; one without does not care."""
    assert code_of(Loop(evaluates_in_train_mode=True)).evaluation_in_train_mode_share == 1.0
    assert code_of(Loop(trains_in_eval_mode=True)).training_in_eval_mode_share == 1.0
    plain = code_of(Loop(model=lambda: nn.Sequential(nn.Linear(64, 10)), evaluates_in_train_mode=True))
    assert plain.evaluation_in_train_mode_share != 1.0


def test_an_evaluation_with_gradients_is_one_too() -> None:
    """Nothing was learned from its passes before the epoch ended."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    with tuner.watch(model, optimizer) as watch:
        for _ in range(2):
            model.train()
            loss = functional.cross_entropy(model(x[:64]), y[:64])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss, x[:64], y[:64])
            model(validation()[0])
            watch.epoch()
    assert watch.telemetry.code is not None
    assert watch.telemetry.code.evaluation_in_train_mode_share == 1.0


def trained(model: nn.Module, parameters: Any, *others: Any) -> tuner.Watch:
    x, y = digits()
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    with tuner.watch(model, optimizer) as watch:
        for _ in range(5):
            loss = functional.cross_entropy(model(x[:64]), y[:64])
            for each in (optimizer, *others):
                each.zero_grad()
            loss.backward()
            for each in (optimizer, *others):
                each.step()
            watch.step(loss, x[:64], y[:64])
        watch.epoch()
    return watch


def test_layers_that_cannot_learn_are_counted_by_reason() -> None:
    """Not required, not in the optimizer, without a gradient; and the step-0 probe says which."""
    frozen = network()
    frozen[0].requires_grad_(requires_grad=False)
    watch = trained(frozen, [p for p in frozen.parameters() if p.requires_grad])
    assert watch.telemetry.code.n_layers_not_required == 1
    assert [layer.is_trainable for layer in watch.telemetry.step_zero.layers] == [False, True]
    assert watch.telemetry.step_zero.layers[0].spectral_ratio < 1.3
    assert watch.telemetry.epochs[-1].layers[0].update_ratio == 0

    forgotten = network()
    watch = trained(forgotten, forgotten[3].parameters())
    assert watch.telemetry.code.n_layers_not_optimized == 1
    assert [layer.is_trainable for layer in watch.telemetry.step_zero.layers] == [False, True]

    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x).relu().detach())

    detached = Detached()
    code = trained(detached, detached.parameters()).telemetry.code
    assert (code.n_layers_without_gradient, code.n_layers_not_optimized) == (1, 0)


def test_a_second_optimizer_is_no_fault() -> None:
    """Weights that it moves are optimized."""
    model = network()
    code = trained(model, model[3].parameters(), torch.optim.Adam(model[0].parameters())).telemetry.code
    assert code.n_layers_not_optimized == 0


def test_gradients_for_another_network_are_not_stale() -> None:
    """As in adversarial training: what another backward pass left is zeroed before this network's own."""
    x, y = digits()
    model, other = network(), nn.Linear(64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with tuner.watch(model, optimizer) as watch:
        for _ in range(6):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x[:64]), y[:64])
            loss.backward()
            optimizer.step()
            watch.step(loss, x[:64], y[:64])
            functional.cross_entropy(model(other(x[:64])), y[:64]).backward()
        watch.epoch()
    assert watch.telemetry.code is not None
    assert watch.telemetry.code.stale_gradient_share == 0.0
