"""A wrong argument is said at once; what may be meant is left out with its reason."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tuner
from search_spaces.errors import ConfigurationError
from studies.diagnosis import missing_evidence
from tests.tuner.training.watching.loops import digits, network
from tuner.training.watching.watch import Watch


class Minibatch(NamedTuple):
    watch: Watch
    loss: Tensor
    x: Tensor
    y: Tensor
    outputs: Tensor


Told = Callable[[Minibatch], None]


def loop(step: Told | None, epoch: dict[str, Any] | None = None, **options: Any) -> Watch:
    """Two epochs in which ``step`` is called after each minibatch."""
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    with tuner.watch(model, optimizer, quiet=True, **options) as watch:
        for _ in range(2):
            for places in torch.arange(320).split(32):
                optimizer.zero_grad()
                outputs = model(x[places])
                loss = functional.cross_entropy(outputs, y[places])
                loss.backward()
                optimizer.step()
                if step is not None:
                    step(Minibatch(watch, loss, x[places], y[places], outputs))
            watch.epoch(**(epoch or {}))
    return watch


def right(m: Minibatch) -> None:
    m.watch.step(m.loss, m.x, m.y)


@pytest.mark.parametrize(
    ("step", "got"),
    [
        (lambda m: m.watch.step(None, m.x, m.y), "but got None"),
        (lambda m: m.watch.step("0.5", m.x, m.y), "but got a str"),
        (lambda m: m.watch.step(m.x, m.y, m.loss), r"but got a tensor of shape \[32, 64\]"),
        (lambda m: m.watch.step(m.loss, m.outputs, m.y), "but got the model's outputs there"),
    ],
)
def test_a_wrong_step_is_said_with_the_order(step: Told, got: str) -> None:
    """At the first call."""
    with pytest.raises(ConfigurationError, match=rf"watch\.step\(loss, inputs, targets\) needs .*{got}"):
        loop(step)


def test_a_loss_may_be_a_tensor_of_one_or_a_number() -> None:
    """Losses of shape [1] come from models that are spread over devices."""
    for step in (
        lambda m: m.watch.step(m.loss.detach()[None], m.x, m.y),
        lambda m: m.watch.step(float(m.loss.detach()), m.x, m.y),
    ):
        assert len(loop(step).telemetry.step_series("train_loss")) == 20


@pytest.mark.parametrize("value", ["a", 97.0, -1, True, torch.ones(3)])
def test_an_accuracy_is_a_share(value: Any) -> None:
    """No percentage, no text."""
    with pytest.raises(
        ConfigurationError, match=r"validation_accuracy=\.\.\.\) must be a share from 0 to 1, but got"
    ):
        loop(right, {"validation_accuracy": value})


def test_other_quantities_are_numbers() -> None:
    """Losses have no range, and tensors of one are numbers too."""
    with pytest.raises(ConfigurationError, match=r"train_loss=\.\.\.\) must be a number, but got 'low'"):
        loop(right, {"train_loss": "low"})
    row = loop(right, {"train_loss": -3.0, "validation_accuracy": torch.tensor(0.5)}).telemetry.epochs[-1]
    assert (row.train_loss, row.validation_accuracy) == (-3.0, 0.5)


def test_an_unknown_config_key_is_said_with_the_nearest() -> None:
    """Searched names are known, too."""
    with pytest.raises(ConfigurationError, match=r"but got 'clipnorm'\. Did you mean 'clip_norm'"):
        loop(right, config={"clipnorm": 1.0})
    assert (
        loop(right, config={"one_minus_momentum": 0.1}).record().trials[0].config["one_minus_momentum"] == 0.1
    )


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (lambda m: m.watch.step(m.loss, m.y, m.x), "targets look like what the model was given"),
        (lambda m: m.watch.step(m.loss, m.x, m.y[:10]), "32 inputs came with 10 targets"),
        (lambda m: m.watch.step(m.loss, m.x, m.y[:10]), "10 targets came with 32 outputs"),
        (lambda m: m.watch.step(m.loss), "no targets were told"),
    ],
)
def test_swapped_and_short_targets_are_left_out_with_the_order(step: Told, reason: str) -> None:
    """One sentence says what came, and in which order it should."""
    (said,) = [text for text in loop(step).left_out if reason in text]
    assert "watch.step(loss, inputs, targets)" in said


def test_a_loop_that_never_tells_a_step_has_not_diverged() -> None:
    """Nothing is found in readings that nobody took, neither of losses nor of modes; what is missing is said."""
    watch = loop(None)
    assert watch.findings() == []
    assert watch.left_out[0].startswith("watch.step(loss, inputs, targets) was never called")
    assert any("No train loss was read" in text for text in missing_evidence(watch.record()))


def test_a_loss_that_the_loop_itself_tells_as_nan_has_diverged() -> None:
    """By `watch.epoch` alone."""
    (finding,) = loop(None, {"train_loss": math.nan}).findings()
    assert finding.symptom == "divergence"
