"""The loss that training minimizes; what is read on validation is the plain loss (evaluation.py)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs [n, n_outputs] and targets to the mean over samples, a scalar."""


def training_loss(config: TrainingConfig, splits: Splits) -> Loss:
    """Cross-entropy with the config's smoothing and class weights; the mean squared error for regression."""
    if splits.kind == "regression":
        return functional.mse_loss
    smoothing = config.label_smoothing
    if config.class_weights == "balanced":
        return _weighted_cross_entropy(balanced_weights(splits.train_y, splits.n_outputs), smoothing)
    if smoothing:
        return lambda outputs, y: functional.cross_entropy(outputs, y, label_smoothing=smoothing)
    return functional.cross_entropy


def balanced_weights(train_y: Tensor, n_classes: int) -> Tensor:
    """The inverse of each class's frequency, float32 [n_classes]; the mean over the training samples is 1.

    So the learning rate keeps its meaning.
    """
    counts = torch.bincount(train_y.cpu(), minlength=n_classes).clamp(min=1)
    return (len(train_y) / (n_classes * counts)).float().to(train_y.device)


def _weighted_cross_entropy(weights: Tensor, smoothing: float) -> Loss:
    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        # torch's weighted mean divides by the minibatch's weights, which ties a sample to its neighbours.
        total = functional.cross_entropy(
            outputs, y, weight=weights.to(outputs.dtype), label_smoothing=smoothing, reduction="sum"
        )
        return total / len(y)

    return loss
