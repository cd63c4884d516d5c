"""What a watch reads of a loop, against what the loop could have written down itself."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import tuner
from tests.tuner.training.watching.loops import BATCH, N_TRAIN, Loop, digits, network, validation, watched
from tuner.training.probes import probed_steps
from tuner.training.watching import listening

N_STEPS = N_TRAIN // BATCH


def norms_written_down(loop: Loop) -> list[float]:
    """The global norm of each gradient before clipping, by a loop that is nothing but plain."""
    torch.manual_seed(0)
    model, norms = loop.model(), []
    optimizer = loop.optimizer(model.parameters())
    x, y = digits()
    for _ in range(loop.epochs):
        for places in loop.order().split(BATCH):
            model.train()
            loop.loss(model(x[places]), y[places]).backward()
            norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters())))
            if loop.clip:
                nn.utils.clip_grad_norm_(model.parameters(), loop.clip)
            optimizer.step()
            optimizer.zero_grad()
    return norms


@pytest.mark.parametrize("clip", [0.0, 0.6])
def test_gradient_norms_are_those_before_clipping(clip: float) -> None:
    """Each step's; and clipped is what was longer than the limit. The first step's clipping is not known."""
    expected = norms_written_down(Loop(clip=clip))
    watch = watched(Loop(clip=clip))
    read = watch.telemetry.step_series("gradient_norm")
    assert read[1:] == pytest.approx(expected[1:], rel=1e-4)
    if clip:
        clipped = watch.telemetry.step_series("clipped")
        assert clipped[1:].tolist() == [norm > clip for norm in expected[1:]]
        assert 0.2 < watch.telemetry.epochs[-1].clip_fraction < 1.0


def test_of_long_epochs_some_gradients_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first all; then evenly spaced ones and those read by layer, before clipping; the others are NaN."""
    loop = Loop(clip=0.6)
    whole = watched(loop).telemetry
    monkeypatch.setattr(listening, "READINGS_AN_EPOCH", 5)
    thinned = watched(Loop(clip=0.6)).telemetry
    known, read = (telemetry.steps[1].gradient_norm for telemetry in (whole, thinned))
    is_read = np.isfinite(read)
    assert np.flatnonzero(is_read).tolist() == sorted(
        {*range(0, N_STEPS, N_STEPS // 5), *probed_steps(N_STEPS)}
    )
    assert read[is_read].tolist() == known[is_read].tolist()
    assert np.isfinite(whole.step_series("gradient_norm")).all()
    row = thinned.epochs[-1]
    assert row.gradient_norm == pytest.approx(known[is_read].mean(), rel=1e-6)
    assert row.clip_fraction == pytest.approx((known[is_read] > loop.clip).mean())
    assert row.layers == whole.epochs[-1].layers
    assert thinned.step_series("train_loss").tolist() == whole.step_series("train_loss").tolist()


@pytest.mark.parametrize("is_told_before_step", [True, False])
@pytest.mark.parametrize("accumulation", [1, 4])
def test_each_step_has_its_own_loss(is_told_before_step: bool, accumulation: int) -> None:
    """The mean over its minibatches, wherever the loop tells it, and undone what it was divided by."""
    loop = Loop(is_told_before_step=is_told_before_step, accumulation=accumulation)
    telemetry = watched(loop).telemetry
    expected = np.array(loop.seen).reshape(-1, accumulation).sum(1)
    assert [len(steps) for steps in telemetry.steps] == [N_STEPS // accumulation] * 2
    assert telemetry.step_series("train_loss") == pytest.approx(expected, rel=1e-5)
    assert telemetry.epochs[1].train_loss == pytest.approx(
        expected[: N_STEPS // accumulation].mean(), rel=1e-5
    )


def test_a_summed_loss_is_read_as_the_mean() -> None:
    """Rules compare a loss with ln(classes)."""
    total = Loop(
        loss=lambda outputs, y: functional.cross_entropy(outputs, y, reduction="sum"),
        optimizer=lambda p: torch.optim.SGD(p, lr=0.2 / BATCH),
    )
    assert watched(total).telemetry.series("train_loss") == pytest.approx(
        watched(Loop()).telemetry.series("train_loss"), rel=1e-3
    )


def test_an_epochs_row_is_what_the_network_does_then() -> None:
    """Validation and probe losses and accuracies are those of the network in eval mode; epoch 0 is untrained."""
    x, y = validation()
    watch = watched(Loop(), validation=(x, y))
    model = watch._model.eval()
    with torch.no_grad():
        logits = model(x)
    probabilities = logits.softmax(1)
    row, untrained = watch.telemetry.epochs[-1], watch.telemetry.epochs[0]
    assert [each.epoch for each in watch.telemetry.epochs] == [0, 1, 2]
    assert row.validation_loss == pytest.approx(float(functional.cross_entropy(logits, y)), rel=1e-4)
    assert row.validation_accuracy == pytest.approx(float(logits.argmax(1).eq(y).float().mean()))
    assert row.confidence == pytest.approx(float(probabilities.amax(1).mean()), rel=1e-4)
    assert row.probe_loss < untrained.train_loss
    assert untrained.validation_loss == pytest.approx(math.log(10), abs=0.1)
    first, last = row.layers
    assert first.name == "0"
    assert first.weight_norm == pytest.approx(float(model[0].weight.detach().norm()), rel=1e-5)
    assert 0 < first.update_ratio < 0.2
    assert 0 <= first.dead_fraction < 1
    assert math.isnan(last.dead_fraction)


def test_the_running_accuracy_is_that_of_the_training_passes() -> None:
    """In train mode, with the dropout that was drawn."""
    torch.manual_seed(0)
    model, hits = network(), 0
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    x, y = digits()
    with tuner.watch(model, optimizer) as watch:
        for places in torch.randperm(N_TRAIN).split(BATCH):
            outputs = model(x[places])
            loss = functional.cross_entropy(outputs, y[places])
            hits += int(outputs.argmax(1).eq(y[places]).sum())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            watch.step(loss, x[places], y[places])
        watch.epoch()
    assert watch.telemetry.epochs[-1].train_accuracy == hits / N_TRAIN


def test_numbers_of_the_loop_go_before_those_read() -> None:
    """And a second call of the same epoch adds to its row."""
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    x, y = digits()
    with tuner.watch(model, optimizer, validation=validation()) as watch:
        loss = functional.cross_entropy(model(x[:64]), y[:64])
        loss.backward()
        optimizer.step()
        watch.step(loss, x[:64], y[:64])
        watch.epoch(train_loss=1.5)
        watch.epoch(validation_accuracy=0.75)
    (row,) = watch.telemetry.epochs[1:]
    assert (row.train_loss, row.validation_accuracy) == (1.5, 0.75)
    assert row.validation_loss > 0


def test_without_epochs_each_evaluation_ends_one() -> None:
    """As far as one can tell; and a loop that never evaluates has one row."""
    rows = watched(Loop(tells_epochs=False, epochs=3)).telemetry.epochs
    assert [row.epoch for row in rows] == [0, 1, 2, 3]
    assert rows[3].train_loss < rows[1].train_loss
    assert rows[3].probe_accuracy > 0.3
    data = watched(Loop(tells_epochs=False, epochs=3)).telemetry.data
    assert data is not None
    assert data.n_train == N_TRAIN


def one_minibatch(model: nn.Module, x: Any, y: Any, loss_of: Any, **options: Any) -> Any:
    """A few steps on the same minibatch: ``loss_of(model, x, y)``."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    with tuner.watch(model, optimizer, **options) as watch:
        for _ in range(9):
            optimizer.zero_grad()
            loss = loss_of(model, x, y)
            loss.backward()
            optimizer.step()
            watch.step(loss, x, y)
        watch.epoch()
    return watch


def test_a_regression_has_losses_and_no_accuracy() -> None:
    """And says why."""
    x = torch.randn(64, 5)
    y = x.sum(1, keepdim=True)
    watch = one_minibatch(
        nn.Linear(5, 1), x, y, lambda model, x, y: functional.mse_loss(model(x), y), validation=(x, y)
    )
    row = watch.telemetry.epochs[-1]
    assert watch.telemetry.code.loss_kind == "mse"
    assert math.isnan(row.train_accuracy)
    assert 0 < row.validation_loss < row.train_loss
    assert row.probe_loss == pytest.approx(row.validation_loss)
    assert watch.left_out == ("targets are no classes of the outputs: no accuracy",)


def test_one_hot_targets_are_classes() -> None:
    """As the numbers of the classes are."""
    x, y = digits()
    one_hot = functional.one_hot(y[:64], 10).float()
    watch = one_minibatch(
        network(), x[:64], one_hot, lambda model, x, y: functional.cross_entropy(model(x), y)
    )
    assert watch.telemetry.data.train_class_counts == tuple(
        (9 * torch.bincount(y[:64], minlength=10)).tolist()
    )
    assert watch.telemetry.code.loss_kind == "cross_entropy"
    assert watch.telemetry.epochs[-1].probe_accuracy >= 0


class OfADictionary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, batch: dict[str, torch.Tensor], *, scale: float) -> dict[str, torch.Tensor]:
        return {"logits": self.inner(batch["pixels"] * scale), "other": batch["pixels"]}


def test_inputs_that_are_no_tensors_are_left_out() -> None:
    """With the reason; what the network makes of them is read all the same."""
    x, y = digits()
    watch = one_minibatch(
        OfADictionary(),
        {"pixels": x[:64]},
        y[:64],
        lambda model, batch, y: functional.cross_entropy(model(batch, scale=2.0)["logits"], y),
    )
    assert watch.left_out == ("inputs were a dict, not a tensor: nothing of the data",)
    assert watch.telemetry.epochs[-1].probe_accuracy >= 0
    assert watch.telemetry.data.n_train == 64 * 9
    assert math.isnan(watch.telemetry.data.input_mean)


def test_a_model_that_is_not_called_itself_is_read_as_far_as_it_goes() -> None:
    """Losses and gradients, and the reason for the rest."""
    x, y = digits()
    watch = one_minibatch(
        network(),
        x[:64],
        y[:64],
        lambda model, x, y: functional.cross_entropy(model[3](model[1](model[0](x))), y),
    )
    row = watch.telemetry.epochs[-1]
    assert row.gradient_norm > 0
    assert len(watch.telemetry.steps[0]) == 9
    assert math.isnan(row.train_accuracy)
    assert "was not called itself" in watch.left_out[0]


def test_a_closure_brings_the_gradients_within_the_step() -> None:
    """As L-BFGS, and Lightning, have it."""
    x, y = digits()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with tuner.watch(model, optimizer) as watch:
        for _ in range(4):

            def closure() -> torch.Tensor:
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(x[:64]), y[:64])
                loss.backward()
                return loss

            watch.step(optimizer.step(closure), x[:64], y[:64])
        watch.epoch()
    assert (watch.telemetry.step_series("gradient_norm") > 0).all()
    assert watch.telemetry.epochs[-1].train_accuracy > 0
    assert watch.telemetry.code is not None
    assert watch.telemetry.code.stale_gradient_share == 0


def test_schedulers_and_groups_are_seen() -> None:
    """The learning rate is that of the group with the most weights, at each step."""
    x, y = digits()
    model = network()
    optimizer = torch.optim.SGD(
        [{"params": model[3].parameters(), "lr": 9.0}, {"params": model[0].parameters(), "lr": 0.1}]
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    with tuner.watch(model, optimizer) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x[:64]), y[:64])
            loss.backward()
            optimizer.step()
            scheduler.step()
            watch.step(loss, x[:64], y[:64])
    assert watch.telemetry.step_series("learning_rate") == pytest.approx([0.1, 0.05, 0.025])


def test_a_scaler_of_gradients_is_no_clipping() -> None:
    """Gradients that are divided by a power of two before the step are what they are at the step."""
    x, y = digits()
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with tuner.watch(model, optimizer) as watch:
        for _ in range(5):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x[:64]), y[:64])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            watch.step(loss, x[:64], y[:64])
        watch.epoch()
    assert not watch.telemetry.step_series("clipped").any()
    assert (watch.telemetry.step_series("gradient_norm") < 5).all()
    assert math.isnan(watch.telemetry.epochs[-1].clip_fraction)
