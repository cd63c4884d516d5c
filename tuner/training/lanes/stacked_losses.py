"""The training losses of lanes, one a lane: `tuner.training.losses` over stacked outputs, for autograd."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits
from tuner.training.losses import balanced_weights
from tuner.training.precision import weight_type


class StackedLoss:
    """Cross-entropy with each lane's smoothing, and the class weights they share; mean squared error for regression.

    Args:
        configs: of the lanes, in their order.
        splits: what they are trained on.
    """

    def __init__(self, configs: Sequence[TrainingConfig], splits: Splits) -> None:
        self._is_regression = splits.kind == "regression"
        smoothing = [config.label_smoothing for config in configs]
        numbers = weight_type(configs[0])
        self._smoothing = (
            torch.tensor(smoothing, dtype=numbers, device=splits.device) if any(smoothing) else None
        )
        self._weights = None
        if configs[0].class_weights == "balanced" and not self._is_regression:
            self._weights = balanced_weights(splits.train_y, splits.n_outputs).to(numbers)

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean over samples, [n_lanes].

        Args:
            outputs: [n_lanes, n, n_outputs].
            y: [1, n, ...] for all lanes, or [n_lanes, n, ...].
        """
        if self._is_regression:
            return (outputs - y).square().flatten(1).mean(1)
        log_probabilities = functional.log_softmax(outputs, dim=2)
        of_samples = -log_probabilities.gather(2, y.expand(len(outputs), -1)[:, :, None])[:, :, 0]
        if self._weights is not None:
            of_samples = of_samples * self._weights[y]
        losses = of_samples.mean(1)
        if self._smoothing is None:
            return losses
        smoothed = losses + self._smoothing * (self._uniform_loss(log_probabilities) - losses)
        # Without smoothing, a class that is infinitely unlikely says nothing.
        return smoothed.where(self._smoothing > 0, losses)

    def _uniform_loss(self, log_probabilities: Tensor) -> Tensor:
        """What the losses are where every class is equally right, [n_lanes]."""
        if self._weights is not None:
            log_probabilities = log_probabilities * self._weights
        return -log_probabilities.mean((1, 2))
