"""How good a model is on a part of the data, in eval mode."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from studies.records import NAN
from tuner.training.datasets.dataset import Kind

EVALUATION_BATCH = 1024
"""Samples a forward pass: float images of one pass stay in the processor's cache."""
N_CALIBRATION_BINS = 15
"""Equal-width bins of the expected calibration error (Guo et al. 2017)."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Means over samples; accuracy and calibration error are fractions, NaN for regression."""

    loss: float
    accuracy: float = NAN
    calibration_error: float = NAN


@torch.no_grad()
def evaluate(
    model: nn.Module, scaling: nn.Module, x: Tensor, y: Tensor, *, kind: Kind, with_calibration: bool = True
) -> Evaluation:
    """The plain loss (no smoothing, no class weights), accuracy and calibration error on ``x``, ``y``.

    A prediction that is not finite counts as wrong. Leaves the model in eval mode.
    """
    model.eval()
    sums = []
    for start in range(0, len(y), EVALUATION_BATCH):
        batch_x, batch_y = x[start : start + EVALUATION_BATCH], y[start : start + EVALUATION_BATCH]
        outputs = model(scaling(batch_x))
        if kind == "regression":
            sums.append(functional.mse_loss(outputs, batch_y).mul(len(batch_y)).reshape(1))
        else:
            sums.append(_classification_sums(outputs, batch_y, with_calibration=with_calibration))
    totals = (torch.stack(sums).cpu().double().sum(0) / len(y)).tolist()
    if kind == "regression":
        return Evaluation(loss=totals[0])
    error = sum(abs(gap) for gap in totals[2:]) if with_calibration else NAN
    return Evaluation(loss=totals[0], accuracy=totals[1], calibration_error=error)


def _classification_sums(logits: Tensor, y: Tensor, *, with_calibration: bool) -> Tensor:
    """Sums over the batch: of the loss, of hits, and for each bin of hit minus confidence."""
    log_probabilities = functional.log_softmax(logits, dim=1)
    loss = functional.nll_loss(log_probabilities, y, reduction="sum")
    confidence, predicted = log_probabilities.max(1)
    hits = ((predicted == y) & confidence.isfinite()).to(logits.dtype)
    parts = [torch.stack([loss, hits.sum()])]
    if with_calibration:
        parts.append(_calibration_gaps(confidence.exp(), hits))
    return torch.cat(parts)


def _calibration_gaps(confidence: Tensor, hits: Tensor) -> Tensor:
    """Sum of hit minus confidence in each bin, shape [n_bins]; bin b is (b / n, (b + 1) / n]."""
    bins = (
        (confidence * N_CALIBRATION_BINS).ceil().sub(1).nan_to_num(0).clamp(0, N_CALIBRATION_BINS - 1).long()
    )
    # A matrix product, because scattered additions have no fixed order on a GPU.
    return (hits - confidence) @ functional.one_hot(bins, N_CALIBRATION_BINS).to(hits.dtype)
