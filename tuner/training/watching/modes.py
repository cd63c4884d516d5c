"""In which mode a loop runs its network: what drops units out or normalizes by the minibatch minds."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from studies.readings import NAN


class ModeLog:
    """Counts passes by purpose and mode. Empty for a network whose mode does not matter."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._minding = tuple(module for module in model.modules() if _minds_its_mode(module))
        self._n_training = self._n_training_in_eval = 0
        self._n_others = self._n_others_in_train = 0
        self._open: list[bool] = []
        """Whether each pass with gradients, whose purpose is not known yet, was made in train mode."""

    def passed(self, *, has_gradients: bool) -> None:
        """The model ran. Without gradients it was no training."""
        if not self._minding:
            return
        is_in_train_mode = self._model.training
        if has_gradients:
            self._open.append(is_in_train_mode)
        else:
            self._n_others += 1
            self._n_others_in_train += is_in_train_mode and self._is_any_training()

    def trained(self) -> None:
        """The last pass with gradients was one of training. Those before it may have been part of it."""
        if self._open:
            self._n_training += 1
            self._n_training_in_eval += not self._open[-1]
            self._open = []

    def epoch_ended(self) -> None:
        """What ran with gradients since the last training pass was no training: nothing was learned from it.

        Where no pass is known to be one of training, nothing is known of the others.
        """
        if self._n_training:
            self._n_others += len(self._open)
            self._n_others_in_train += sum(self._open)
        self._open = []

    @property
    def training_in_eval_mode_share(self) -> float:
        return self._n_training_in_eval / self._n_training if self._n_training else NAN

    @property
    def evaluation_in_train_mode_share(self) -> float:
        return self._n_others_in_train / self._n_others if self._n_others else NAN

    @property
    def only_drops_out(self) -> bool:
        """Whether evaluations were made in train mode, and nothing but units dropped out makes a difference there."""
        has_statistics = any(isinstance(module, _BatchNorm) for module in self._minding)
        return self._n_others_in_train > 0 and not has_statistics

    def _is_any_training(self) -> bool:
        return any(module.training for module in self._minding)


def _minds_its_mode(module: nn.Module) -> bool:
    if isinstance(module, _DropoutNd):
        return module.p > 0
    if isinstance(module, _BatchNorm):
        return module.track_running_stats
    return isinstance(module, nn.RNNBase) and module.dropout > 0
