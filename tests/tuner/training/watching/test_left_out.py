"""A watch never breaks a loop: what it cannot read it leaves out, and says so."""

import copy
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import tuner
from search_spaces.errors import ConfigurationError
from tests.tuner.training.watching.loops import BATCH, Loop, digits, network, validation, watched
from tuner.training.watching.left_out import LeftOut
from tuner.training.watching.watch import Watch


class OfOneSize(nn.Module):
    """Its batch size is written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.inner(x.view(BATCH, 64))
        return outputs


class OnlyInTrainMode(OfOneSize):
    """Cannot run in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            raise RuntimeError("runs in train mode only")
        outputs: Tensor = self.inner(x)
        return outputs


def trained(
    model: nn.Module, *, loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy, **options: Any
) -> tuple[Watch, list[float]]:
    """Two epochs that tell nothing but losses, on minibatches that are all of one size."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    losses = []
    with tuner.watch(model, optimizer, quiet=True, **options) as watch:
        for _ in range(2):
            for places in torch.arange(8 * BATCH).split(BATCH):
                optimizer.zero_grad()
                value = loss(model(x[places]), y[places])
                value.backward()
                optimizer.step()
                watch.step(value, x[places], y[places])
                losses.append(float(value.detach()))
            watch.epoch()
    return watch, losses


@pytest.mark.parametrize("model", [OfOneSize, OnlyInTrainMode])
@pytest.mark.parametrize("given", [None, validation()])
def test_a_model_that_refuses_our_passes_trains_on(model: type[nn.Module], given: Any) -> None:
    """The losses are read, the probes and validation are left out, each for its reason; findings work."""
    watch, losses = trained(model(), validation=given)
    reasons = " ".join(watch.left_out)
    assert "would not run in eval mode on the probe batch" in reasons
    assert ("could not be graded on validation=" in reasons) is (given is not None)
    assert watch.telemetry.step_series("train_loss") == pytest.approx(losses, rel=1e-5)
    assert all(row.validation_loss != row.validation_loss for row in watch.telemetry.epochs)  # NaN
    watch.findings()


class OfFewSamples(nn.Module):
    """Takes no more than a minibatch at a time, as one that just fits into memory."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most = network(), most

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise RuntimeError(f"no room for {len(x)}")
        outputs: Tensor = self.inner(x)
        return outputs


def test_what_a_leak_adds_is_measured_in_minibatches_of_the_users_size() -> None:
    """No pass is larger than those that the model has taken; and validation is there in every epoch."""
    x, y = validation()
    copies = TensorDataset(torch.cat([digits()[0][:160], x[160:]]), torch.cat([digits()[1][:160], y[160:]]))
    watch, _losses = trained(OfFewSamples(BATCH), validation=DataLoader(copies, batch_size=BATCH))
    assert not any("leak" in reason or "validation" in reason for reason in watch.left_out)
    assert all(math.isfinite(row.validation_loss) for row in watch.telemetry.epochs)
    assert math.isfinite(watch.telemetry.epochs[-1].copy_inflation)


def test_a_loss_function_that_fails_on_our_samples_is_left_out() -> None:
    """It is theirs, and may know minibatches of one size only."""

    def of_one_size(outputs: Tensor, targets: Tensor) -> Tensor:
        if len(outputs) != BATCH:
            raise ValueError("wrong size\nand more of it")
        return functional.cross_entropy(outputs, targets)

    watch, losses = trained(network(), loss_function=of_one_size)
    assert len(losses) == 16
    assert watch.left_out[0].endswith("ValueError (wrong size)")


def test_targets_may_be_places_in_the_minibatch() -> None:
    """As where each sample is told from the others by products of outputs: no classes of the outputs."""
    model = nn.Linear(64, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, _ = digits()
    with tuner.watch(model, optimizer, quiet=True) as watch:
        for places in torch.arange(100).split(32):
            outputs = model(x[places])
            loss = functional.cross_entropy(outputs @ outputs.T, torch.arange(len(places)))
            loss.backward()
            optimizer.step()
            watch.step(loss, x[places], torch.arange(len(places)))
        watch.epoch()
    assert len(watch.telemetry.step_series("train_loss")) == 4
    assert watch.telemetry.code is not None
    assert watch.telemetry.code.loss_kind == "other"


def test_outputs_may_be_as_wide_as_the_minibatch_is_long() -> None:
    """The last of which is shorter: its answers count too."""
    model = nn.Linear(64, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, _ = digits()
    hits = 0
    with tuner.watch(model, optimizer, quiet=True) as watch:
        hook = model.register_forward_hook(
            lambda _model, _args, outputs: outputs[:, : len(outputs)], prepend=True
        )
        for places in torch.arange(100).split(32):
            outputs, targets = model(x[places]), torch.arange(len(places))
            functional.cross_entropy(outputs, targets).backward()
            hits += int(outputs.argmax(1).eq(targets).sum())
            optimizer.step()
            watch.step(1.0, x[places], targets)
        watch.epoch()
        hook.remove()
    assert watch.telemetry.epochs[-1].train_accuracy == hits / 100


def test_what_watch_was_given_wrong_is_still_an_error() -> None:
    """A fault of the caller's is not left out."""
    left_out = LeftOut()
    with pytest.raises(ConfigurationError, match="theirs"), left_out.unless_it_fails("x", "no x"):
        raise ConfigurationError("theirs")
    with left_out.unless_it_fails("x", "no x"):
        raise KeyError
    assert left_out.reasons == ("no x: KeyError",)
    assert "x" in left_out


def test_copies_of_the_model_are_not_heard() -> None:
    """One that is kept as the best so far, or pickled, runs without the watch; without `epoch`, a pass would be one."""
    watch = _with(lambda model: copy.deepcopy(model)(digits()[0]))
    assert len(watch.telemetry.epochs) == 2
    watch = _with(lambda model: torch.save(model, io.BytesIO()))
    assert len(watch.telemetry.epochs) == 2


def test_two_watches_of_one_model_do_not_hear_each_other() -> None:
    """The probes of one are no evaluations of the loop to the other."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    with (
        tuner.watch(model, optimizer, quiet=True) as silent,
        tuner.watch(model, optimizer, quiet=True, validation=validation()) as telling,
    ):
        for _ in range(2):
            for places in torch.arange(128).split(32):
                loss = functional.cross_entropy(model(x[places]), y[places])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                silent.step(loss, x[places], y[places])
                telling.step(loss, x[places], y[places])
            telling.epoch()
    assert [len(watch.telemetry.epochs) for watch in (silent, telling)] == [2, 3]


def test_a_compiled_model_is_read_like_its_original() -> None:
    """With the same losses, layers and accuracies."""
    torch.manual_seed(1)
    plain = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    compiled = torch.compile(copy.deepcopy(plain), backend="eager")
    (one, losses), (other, compiled_losses) = trained(plain), trained(compiled)
    assert losses == compiled_losses
    assert one.telemetry.epochs[-1].layers == other.telemetry.epochs[-1].layers
    assert one.telemetry.epochs[-1].probe_loss == other.telemetry.epochs[-1].probe_loss


def test_a_watch_is_of_one_training() -> None:
    """It cannot be entered twice, nor told of steps before."""
    model = network()
    watch = tuner.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), quiet=True)
    with pytest.raises(ConfigurationError, match="needs the watch to be entered"):
        watch.step(1.0)
    with watch:
        pass
    with pytest.raises(ConfigurationError, match="call watch\\(\\) again"), watch:
        pass


def test_a_loop_without_a_step_has_no_findings() -> None:
    """And no epochs."""
    watch = watched(Loop(epochs=0))
    assert (watch.telemetry.epochs, watch.findings()) == ((), [])


def _with(action: Callable[[nn.Module], Any]) -> Watch:
    """A loop that tells no epochs, and does something with its model between steps."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    with tuner.watch(model, optimizer, quiet=True) as watch:
        for places in torch.arange(128).split(32):
            loss = functional.cross_entropy(model(x[places]), y[places])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            watch.step(loss, x[places], y[places])
            with torch.no_grad():
                action(model)
    return watch
