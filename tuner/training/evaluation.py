"""How good a model is on a part of the data, in eval mode."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from studies.readings import NAN
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


def evaluate(
    model: nn.Module,
    scaling: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    kind: Kind,
    with_calibration: bool = True,
    forward: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__,
) -> Evaluation:
    """The plain loss (no smoothing, no class weights), accuracy and calibration error on ``x``, ``y``.

    A prediction that is not finite counts as wrong. Leaves the model in eval mode.
    """
    model.eval()
    (found,) = evaluate_lanes(
        lambda inputs: forward(model, inputs)[None],
        scaling,
        x,
        y,
        kind=kind,
        with_calibration=with_calibration,
    )
    return found


@torch.no_grad()
def evaluate_lanes(
    outputs_of: Callable[[Tensor], Tensor],
    scaling: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    kind: Kind,
    with_calibration: bool = True,
) -> tuple[Evaluation, ...]:
    """As `evaluate`, of several networks at once: ``outputs_of`` scaled inputs are [n_lanes, n, n_outputs]."""
    sums = []
    for start in range(0, len(y), EVALUATION_BATCH):
        batch_x, batch_y = x[start : start + EVALUATION_BATCH], y[start : start + EVALUATION_BATCH]
        outputs = outputs_of(scaling(batch_x))
        if kind == "regression":
            sums.append((outputs - batch_y).square().flatten(1).mean(1, keepdim=True) * len(batch_y))
        else:
            sums.append(_classification_sums(outputs, batch_y, with_calibration=with_calibration))
    totals = (torch.stack(sums).cpu().double().sum(0) / len(y)).tolist()
    return tuple(_evaluation(lane, kind, with_calibration=with_calibration) for lane in totals)


def _evaluation(means: list[float], kind: Kind, *, with_calibration: bool) -> Evaluation:
    if kind == "regression":
        return Evaluation(loss=means[0])
    error = sum(abs(gap) for gap in means[2:]) if with_calibration else NAN
    return Evaluation(loss=means[0], accuracy=means[1], calibration_error=error)


def _classification_sums(logits: Tensor, y: Tensor, *, with_calibration: bool) -> Tensor:
    """Sums over the batch, for each lane: of the loss, of hits, and for each bin of hit minus confidence."""
    # Over a dimension that is not the last, torch takes a whole vector of samples at a time: 25 times as fast.
    log_probabilities = functional.log_softmax(logits.transpose(1, 2), dim=1)
    loss = -log_probabilities.gather(1, y.expand(len(logits), 1, -1)).sum((1, 2))
    confidence, predicted = log_probabilities.max(1)
    hits = ((predicted == y) & confidence.isfinite()).to(logits.dtype)
    parts = [loss[:, None], hits.sum(1, keepdim=True)]
    if with_calibration:
        parts.append(_calibration_gaps(confidence.exp(), hits))
    return torch.cat(parts, 1)


def _calibration_gaps(confidence: Tensor, hits: Tensor) -> Tensor:
    """Sum of hit minus confidence in each bin, shape [n_lanes, n_bins]; bin b is (b / n, (b + 1) / n]."""
    bins = (confidence * N_CALIBRATION_BINS).ceil().sub(1).nan_to_num(0).clamp(0, N_CALIBRATION_BINS - 1)
    numbers = torch.arange(N_CALIBRATION_BINS, device=bins.device)
    is_in_bin = (bins[:, None] == numbers[:, None]).to(hits.dtype)
    # Sums, because scattered additions have no fixed order on a GPU, and the rounding of a product of matrices depends
    # on where in memory a lane lies.
    return (is_in_bin * (hits - confidence)[:, None]).sum(2)
