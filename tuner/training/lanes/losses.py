"""The training losses of all lanes and their gradients: what `tuner.training.losses` says of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.lanes.engine import Minibatch
from tuner.training.losses import balanced_weights


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Of some samples of each lane; sums over them, divided by the samples of the whole step."""

    values: Tensor
    """[n_lanes]."""
    hits: Tensor | None
    """[n_lanes], int64; None for regression."""
    gradient: Tensor
    """[n_lanes, n_outputs, n]."""


class MeanSquaredError:
    """The mean over samples and outputs."""

    def __call__(self, outputs: Tensor, batches: Sequence[Minibatch], n: int) -> Losses:
        """The losses of ``outputs`` [n_lanes, n_outputs, n of the part], ``n`` being the samples of the step."""
        errors = outputs - _targets(batches).transpose(1, 2).to(outputs.dtype)
        share = 1 / (n * outputs.shape[1])
        values = errors.square().sum((1, 2)).mul_(share)
        return Losses(values=values, hits=None, gradient=errors.mul_(2 * share))


class CrossEntropy:
    """Cross-entropy with each lane's label smoothing, and with class weights that all share.

    A sample's target is ``(1 - smoothing) * one_hot + smoothing / n_classes``, each class times its weight.
    """

    def __init__(self, configs: Sequence[TrainingConfig], splits: Splits, dtype: torch.dtype) -> None:
        smoothing = [config.label_smoothing for config in configs]
        self._smoothing = torch.tensor(smoothing, dtype=dtype, device=splits.device).view(-1, 1, 1)
        is_weighted = configs[0].class_weights == "balanced"
        self._weights = balanced_weights(splits.train_y, splits.n_outputs).to(dtype) if is_weighted else None
        self._is_plain = not (is_weighted or any(smoothing))

    def __call__(self, outputs: Tensor, batches: Sequence[Minibatch], n: int) -> Losses:
        """The losses of ``outputs`` [n_lanes, n_classes, n of the part], ``n`` being the samples of the step."""
        y = _targets(batches).unsqueeze(1).expand(len(outputs), 1, -1)
        # Not argmax: it takes 14 times as long over a dimension that is not the last.
        hits = outputs.max(1, keepdim=True).indices.eq(y).sum((1, 2))
        log_probabilities = outputs.log_softmax(1)
        if self._is_plain:
            values = log_probabilities.gather(1, y).sum((1, 2))
            gradient = log_probabilities.exp_()
            gradient.scatter_add_(1, y, gradient.new_full((1, 1, 1), -1).expand_as(y))
        else:
            targets = self._weighed_targets(outputs, y)
            # A class without a share of the target says nothing, even where its probability is 0.
            values = (targets * log_probabilities).masked_fill_(targets == 0, 0).sum((1, 2))
            gradient = log_probabilities.exp_().mul_(targets.sum(1, keepdim=True)).sub_(targets)
        return Losses(values=values.div_(-n), hits=hits, gradient=gradient.div_(n))

    def _weighed_targets(self, outputs: Tensor, y: Tensor) -> Tensor:
        targets = (self._smoothing / outputs.shape[1]).expand_as(outputs).clone()
        targets.scatter_add_(1, y, (1 - self._smoothing).expand_as(y))
        return targets if self._weights is None else targets.mul_(self._weights.view(-1, 1))


def _targets(batches: Sequence[Minibatch]) -> Tensor:
    """[1, n, ...] where all lanes share them, else [n_lanes, n, ...]."""
    if len(batches) == 1:
        return batches[0].y.unsqueeze(0)
    return torch.cat([batch.y.expand(batch.n_lanes, *batch.y.shape) for batch in batches])
