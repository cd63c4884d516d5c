"""`tuner.LightningWatch`: the same watch, as a callback of Lightning's Trainer. Lightning is optional."""

import importlib
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from search_spaces.errors import ConfigurationError
from tuner.training.watching.watch import Watch, watch

_HOMES = ("lightning.pytorch", "pytorch_lightning")
"""Where the Trainer may come from: its callbacks must come from there too."""
_NAMES = {
    "validation_loss": ("validation_loss", "val_loss", "valid_loss"),
    "validation_accuracy": ("validation_accuracy", "val_accuracy", "val_acc", "valid_acc"),
}
"""Under which names modules log what an epoch's row has."""


def lightning_watch(*, lightning: str | None = None, **options: Any) -> Any:
    """A callback that watches a Lightning training: ``Trainer(callbacks=[tuner.LightningWatch(study="mine")])``.

    It expects automatic optimization with one optimizer, a ``training_step`` that calls the module itself
    (``self(x)``), and minibatches of (inputs, targets). What the module logs as ``val_loss`` and ``val_acc``
    (``validation_loss``, ``validation_accuracy``) is taken over.

    Args:
        lightning: the package that the Trainer comes from, ``lightning.pytorch`` or ``pytorch_lightning``; None takes
            the one that is installed.
        options: as for `watch`.

    Raises:
        ConfigurationError: when Lightning is not installed.
    """
    made = type("LightningWatch", (_Hooks, _callback(lightning)), {})
    return made(options)


class _Hooks:
    """Enters the watch when fitting starts, and leaves it when it ends, however it ends."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._options = options
        self.watch: Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        optimizer = _only_optimizer(trainer)
        self.watch = watch(pl_module, optimizer, **self._options)
        self.watch.__enter__()

    def on_train_batch_end(
        self, _trainer: Any, _pl_module: Any, outputs: Any, batch: Any, _batch_idx: int
    ) -> None:
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if self.watch is not None and isinstance(loss, Tensor):
            inputs, targets = batch[:2] if isinstance(batch, tuple | list) else (batch, None)
            self.watch.step(loss, inputs, targets)

    def on_train_epoch_end(self, trainer: Any, _pl_module: Any) -> None:
        if self.watch is not None:
            self.watch.epoch(**_logged(trainer.callback_metrics))

    def on_train_end(self, _trainer: Any, _pl_module: Any) -> None:
        self._leave(None)

    def on_exception(self, _trainer: Any, _pl_module: Any, exception: BaseException) -> None:
        self._leave(exception)

    def _leave(self, error: BaseException | None) -> None:
        if self.watch is not None:
            watched, self.watch = self.watch, None
            watched.__exit__(None if error is None else type(error), error, None)


def _callback(lightning: str | None) -> Any:
    for home in _HOMES if lightning is None else (lightning,):
        try:
            return importlib.import_module(home).Callback
        except ModuleNotFoundError as error:
            if error.name is not None and not home.startswith(error.name):
                raise  # Lightning is there, and broken
    raise ConfigurationError(
        f"LightningWatch needs {' or '.join(_HOMES) if lightning is None else lightning}, which is not installed: "
        f"pip install 'symptune[lightning]'"
    )


def _only_optimizer(trainer: Any) -> Any:
    if len(trainer.optimizers) != 1:
        raise ConfigurationError(
            f"LightningWatch watches a training with one optimizer, but this one has {len(trainer.optimizers)}."
        )
    return trainer.optimizers[0]


def _logged(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What the module logs under a usual name; an accuracy in percent is none of ours, and breaks no fit."""
    found = {}
    for quantity, names in _NAMES.items():
        known = [name for name in names if name in metrics]
        value = float(metrics[known[0]]) if known else math.nan
        if known and not (quantity.endswith("accuracy") and not 0.0 <= value <= 1.0):
            found[quantity] = value
    return found
