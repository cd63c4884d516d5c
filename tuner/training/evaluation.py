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
CONFIDENT = 0.9
"""Probability of an answer above which it is sure of itself."""
MOST_CLASSES = 100
"""That are read one by one: beyond, an epoch's row would be longer than all else of it."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Means over samples, as fractions; of a regression the loss alone."""

    loss: float
    accuracy: float = NAN
    calibration_error: float = NAN
    confidence: float = NAN
    """Probability of the answers given."""
    confident_error_rate: float = NAN
    """Share of the samples whose answer is wrong with a probability above `CONFIDENT`."""
    class_accuracy: tuple[float, ...] = ()
    """By class; NaN for one without samples, empty for more than `MOST_CLASSES`."""


UNREAD = Evaluation(loss=NAN)
"""Of what was not looked at, such as a network that diverged."""


def evaluate(
    model: nn.Module,
    scaling: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    kind: Kind,
    in_detail: bool = True,
    forward: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__,
) -> Evaluation:
    """The plain loss (no smoothing, no class weights) and accuracy on ``x``, ``y``; the rest of it only ``in_detail``.

    A prediction that is not finite counts as wrong. Leaves the model in eval mode.
    """
    model.eval()
    (found,) = evaluate_lanes(
        lambda inputs: forward(model, inputs)[None],
        scaling,
        x,
        y,
        kind=kind,
        in_detail=in_detail,
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
    in_detail: bool = True,
) -> tuple[Evaluation, ...]:
    """As `evaluate`, of several networks at once: ``outputs_of`` scaled inputs are [n_lanes, n, n_outputs]."""
    sums = []
    for start in range(0, len(y), EVALUATION_BATCH):
        batch_x, batch_y = x[start : start + EVALUATION_BATCH], y[start : start + EVALUATION_BATCH]
        outputs = outputs_of(scaling(batch_x))
        sums.append(_sums(outputs, batch_y, kind, in_detail=in_detail))
    return _evaluations(torch.stack(sums), y, kind)


@torch.no_grad()
def evaluate_outputs(outputs: Tensor, y: Tensor, *, kind: Kind) -> tuple[Evaluation, ...]:
    """Loss and accuracy of each network, by its ``outputs`` [n_lanes, n, n_outputs] on samples of the targets ``y``."""
    return _evaluations(_sums(outputs, y, kind, in_detail=False)[None], y, kind)


def _evaluations(sums: Tensor, y: Tensor, kind: Kind) -> tuple[Evaluation, ...]:
    """From sums over batches, [n_batches, n_lanes, n_sums]."""
    totals = sums.cpu().double().sum(0)
    n_classes = totals.shape[1] - _FIRST_CLASS
    counts = torch.bincount(y.cpu(), minlength=n_classes).double() if n_classes > 0 else torch.empty(0)
    by_class = (totals[:, _FIRST_CLASS:] / counts).tolist()
    means = (totals[:, :_FIRST_CLASS] / len(y)).tolist()
    return tuple(
        _evaluation(lane, tuple(of_class), kind) for lane, of_class in zip(means, by_class, strict=True)
    )


_FIRST_BIN = 4
_FIRST_CLASS = _FIRST_BIN + N_CALIBRATION_BINS
"""Places in the sums of `_classification_sums`."""


def _evaluation(means: list[float], class_accuracy: tuple[float, ...], kind: Kind) -> Evaluation:
    if kind == "regression":
        return Evaluation(loss=means[0])
    if len(means) < _FIRST_CLASS:
        return Evaluation(loss=means[0], accuracy=means[1])
    return Evaluation(
        loss=means[0],
        accuracy=means[1],
        calibration_error=sum(abs(gap) for gap in means[_FIRST_BIN:]),
        confidence=means[2],
        confident_error_rate=means[3],
        class_accuracy=class_accuracy,
    )


def _sums(outputs: Tensor, y: Tensor, kind: Kind, *, in_detail: bool) -> Tensor:
    """Over a batch, [n_lanes, n_sums], the loss first."""
    if kind == "regression":
        return (outputs - y).square().flatten(1).mean(1, keepdim=True) * len(y)
    return _classification_sums(outputs, y, in_detail=in_detail)


def _classification_sums(logits: Tensor, y: Tensor, *, in_detail: bool) -> Tensor:
    """Sums over the batch, for each lane: of the loss and of hits.

    In detail also: of confidence, of confident errors, for each bin of hit minus confidence, for each class of hits.
    """
    # Over a dimension that is not the last, torch takes a whole vector of samples at a time: 25 times as fast.
    log_probabilities = functional.log_softmax(logits.transpose(1, 2), dim=1)
    loss = -log_probabilities.gather(1, y.expand(len(logits), 1, -1)).sum((1, 2))
    largest, predicted = log_probabilities.max(1)
    hits = ((predicted == y) & largest.isfinite()).to(logits.dtype)
    parts = [loss[:, None], hits.sum(1, keepdim=True)]
    if in_detail:
        confidence = largest.exp()
        sure_errors = (confidence > CONFIDENT).to(hits.dtype) * (1 - hits)
        parts += [confidence.sum(1, keepdim=True), sure_errors.sum(1, keepdim=True)]
        parts.append(_calibration_gaps(confidence, hits))
        if logits.shape[2] <= MOST_CLASSES:
            # Of zeros and ones: exact, in whatever order they are added.
            parts.append(hits @ functional.one_hot(y, logits.shape[2]).to(hits.dtype))
    return torch.cat(parts, 1)


def _calibration_gaps(confidence: Tensor, hits: Tensor) -> Tensor:
    """Sum of hit minus confidence in each bin, shape [n_lanes, n_bins]; bin b is (b / n, (b + 1) / n]."""
    bins = (confidence * N_CALIBRATION_BINS).ceil().sub(1).nan_to_num(0).clamp(0, N_CALIBRATION_BINS - 1)
    numbers = torch.arange(N_CALIBRATION_BINS, device=bins.device)
    is_in_bin = (bins[:, None] == numbers[:, None]).to(hits.dtype)
    # Sums, because scattered additions have no fixed order on a GPU, and the rounding of a product of matrices depends
    # on where in memory a lane lies.
    return (is_in_bin * (hits - confidence)[:, None]).sum(2)
