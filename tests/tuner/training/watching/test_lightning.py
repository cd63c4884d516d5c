"""`tuner.LightningWatch`, with Lightning where it is installed, and a sentence where it is not."""

import importlib.util
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import tuner
from search_spaces.errors import ConfigurationError
from studies.recorded import open_study
from studies.records import Outcome
from tests.tuner.training.watching.loops import N_TRAIN, digits, network, validation
from tuner.training.watching import lightning as module

IS_INSTALLED = importlib.util.find_spec("lightning") is not None


def test_lightning_is_asked_for_when_the_callback_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it."""
    for name in ("lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)  # as if there were none
    with pytest.raises(ConfigurationError, match=r"needs .*, which is not installed: pip install 'symptune"):
        tuner.LightningWatch(study="mine")


class Callback:
    """What the callback needs of Lightning's base class."""


class SmallTrainer:
    """Calls a callback as Lightning's fit loop does: the closure of the optimizer's step does forward and backward."""

    def __init__(self, model: nn.Module, callback: Any) -> None:
        self.model, self.callback = model, callback
        self.optimizers = [torch.optim.SGD(model.parameters(), lr=0.2)]
        self.callback_metrics: dict[str, torch.Tensor] = {}

    def fit(self, epochs: int) -> None:
        x, y = digits()
        self.callback.on_train_start(self, self.model)
        try:
            for _ in range(epochs):
                for number, places in enumerate(torch.randperm(N_TRAIN).split(32)):
                    outputs = self._step(x[places], y[places])
                    self.callback.on_train_batch_end(
                        self, self.model, outputs, [x[places], y[places]], number
                    )
                self.callback_metrics["val_acc"] = self._accuracy()
                self.callback.on_train_epoch_end(self, self.model)
        except BaseException as error:
            self.callback.on_exception(self, self.model, error)
            raise
        self.callback.on_train_end(self, self.model)

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = {}

        def closure() -> torch.Tensor:
            loss = functional.cross_entropy(self.model(x), y)
            self.optimizers[0].zero_grad()
            loss.backward()
            outputs["loss"] = loss.detach()
            return loss

        self.optimizers[0].step(closure)
        return outputs

    def _accuracy(self) -> torch.Tensor:
        self.model.eval()
        with torch.no_grad():
            hits = self.model(validation()[0]).argmax(1).eq(validation()[1])
        self.model.train()
        return hits.float().mean()


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_callback", lambda _lightning: Callback)


@pytest.mark.usefixtures("_stand_in")
def test_a_training_is_watched_through_its_callbacks(sqlite_url: str) -> None:
    """Steps, gradients, epochs and what the module logs; of a stand-in for the Trainer."""
    SmallTrainer(network(), tuner.LightningWatch(study="mine", storage=sqlite_url)).fit(2)
    (trial,) = open_study("mine", sqlite_url).record(steps=True).trials
    assert trial.outcome is Outcome.COMPLETED
    assert trial.telemetry is not None
    assert [len(steps) for steps in trial.telemetry.steps] == [20, 20]
    assert (trial.telemetry.step_series("gradient_norm") > 0).all()
    assert trial.value == trial.telemetry.series("validation_accuracy")[1:].max()
    assert trial.telemetry.code is not None
    assert trial.telemetry.code.stale_gradient_share == 0.0


@pytest.mark.usefixtures("_stand_in")
def test_a_training_that_breaks_leaves_a_failed_trial(sqlite_url: str) -> None:
    """And no hook behind."""
    model = network()
    trainer = SmallTrainer(model, tuner.LightningWatch(study="mine", storage=sqlite_url))
    trainer._accuracy = lambda: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(ZeroDivisionError):
        trainer.fit(1)
    (trial,) = open_study("mine", sqlite_url).record().trials
    assert trial.outcome is Outcome.FAILED
    assert not model._forward_hooks


# Lightning asks torch in a way that torch is about to drop.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.skipif(not IS_INSTALLED, reason="Lightning is not installed")
def test_lightnings_own_trainer_is_watched(sqlite_url: str) -> None:
    """The same with the real one."""
    pl = importlib.import_module("lightning.pytorch")

    class Module(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

        def training_step(self, batch: Any, _number: int) -> torch.Tensor:
            return functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch: Any, _number: int) -> None:
            self.log("val_acc", self(batch[0]).argmax(1).eq(batch[1]).float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.2)

    x, y = digits()
    train = DataLoader(TensorDataset(x[:N_TRAIN], y[:N_TRAIN]), batch_size=32, shuffle=True)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[tuner.LightningWatch(study="mine", storage=sqlite_url)],
    )
    trainer.fit(Module(), train, DataLoader(TensorDataset(*validation()), batch_size=320))
    (trial,) = open_study("mine", sqlite_url).record(steps=True).trials
    assert trial.telemetry is not None
    assert [len(steps) for steps in trial.telemetry.steps] == [20, 20]
    assert trial.value is not None
    assert trial.value > 0.3
