"""What a model's outputs and the targets are to each other: scores of classes and their labels, or numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

SUM_TOLERANCE = 1e-3
"""Of the sum of a sample's probabilities, in float32; half precision keeps three digits."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Outputs of a classifier, and what they should say."""

    outputs: Tensor
    """[n, n_classes]: logits, log-probabilities or probabilities."""
    labels: Tensor
    """int64 [n]."""


def scores(outputs: Tensor | None, targets: object, *, are_rows: bool | None = None) -> Scores | None:
    """The classification that ``targets`` make of ``outputs``; None where there are no classes to tell.

    Targets are class numbers [n], or a row of probabilities for each sample, such as one-hot. Whether rows are such is
    looked at, which waits for the device, unless ``are_rows`` says it.
    """
    if outputs is None or not isinstance(targets, Tensor) or outputs.ndim != 2 or outputs.shape[1] < 2:
        return None
    if targets.shape == outputs.shape:
        is_known = are_probabilities(targets) if are_rows is None else are_rows
        return Scores(outputs=outputs, labels=targets.argmax(1)) if is_known else None
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    is_one_each = targets.ndim == 1 and len(targets) == len(outputs)
    if not is_one_each or targets.is_floating_point() or targets.is_complex():
        return None
    return Scores(outputs=outputs, labels=targets.long())


def are_probabilities(rows: Tensor) -> bool:
    """Whether each row [n, n_classes] has numbers in 0..1 that sum to 1."""
    values = rows.detach().float()
    in_range = bool(((values >= 0) & (values <= 1 + SUM_TOLERANCE)).all())
    return in_range and bool(((values.sum(1) - 1).abs() < SUM_TOLERANCE).all())


def as_logits(outputs: Tensor, *, of_probabilities: bool) -> Tensor:
    """Outputs whose softmax are the probabilities: themselves, also if they are log-probabilities."""
    values = outputs.float()
    return values.clamp_min(torch.finfo(values.dtype).tiny).log() if of_probabilities else values
