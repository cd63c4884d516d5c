"""As which loss a number could be computed from the outputs and targets that it was of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tuner.training.watching.outputs import are_probabilities, scores

TOLERANCE = 1e-5
"""Relative, of a loss computed in float32."""
HALF_TOLERANCE = 5e-3
"""Of one computed in a half precision."""
MOST_PARTS = 64
"""Minibatches of one optimizer step by which a loop may have divided the loss."""


Losses = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SeenLoss:
    """A loss that a loop told, beside what it was of."""

    value: float
    outputs: Tensor
    targets: Tensor


@dataclass(frozen=True, kw_only=True)
class LossForm:
    """A loss as we know it."""

    kind: str = ""
    """``cross_entropy``, ``nll``, ``mse``, or ``other`` for one that we cannot compute; empty if nothing could be
    tried."""
    of_probabilities: bool = False
    """Whether it is the cross-entropy of probabilities: softmax twice."""
    is_sum: bool = False
    """Whether it is the sum over the minibatch instead of the mean."""
    n_parts: int = 1
    """By which the mean was divided, as for the accumulation of gradients."""

    def mean(self, value: float, n_samples: int) -> float:
        """The mean over samples of a loss of ``value`` that a loop told."""
        return value / n_samples if self.is_sum else value * self.n_parts

    def means(self, values: Losses, n_samples: npt.NDArray[np.int64]) -> Losses:
        """`mean` of many losses, each over as many samples as ``n_samples`` says."""
        return values / n_samples if self.is_sum else values * self.n_parts


Function = Callable[[Tensor, Tensor], Tensor]


def loss_form(seen: Sequence[SeenLoss]) -> LossForm:
    """The form that all of ``seen`` have; ``other`` when they have none of those that we know."""
    finite = [loss for loss in seen if math.isfinite(loss.value) and bool(loss.outputs.isfinite().all())]
    if not finite:
        return LossForm()
    answers = [found for loss in finite if (found := scores(loss.outputs, loss.targets)) is not None]
    if len(answers) < len(finite):
        return _of_numbers(finite)
    if any(int(each.labels.max()) >= each.outputs.shape[1] for each in answers):
        return LossForm(kind="other")  # the loop makes scores of the outputs first, such as products of pairs
    has_probabilities = all(are_probabilities(loss.outputs) for loss in finite)
    for form, function in _FORMS:
        scale = _common_scale(finite, function)
        if scale is not None:
            is_sum, n_parts = scale
            twice = form == "twice" or (form == "cross_entropy" and has_probabilities)
            kind = "cross_entropy" if form == "twice" else form
            return LossForm(kind=kind, of_probabilities=twice, is_sum=is_sum, n_parts=n_parts)
    return LossForm(kind="other")


def _of_numbers(seen: Sequence[SeenLoss]) -> LossForm:
    if any(loss.outputs.numel() != loss.targets.numel() for loss in seen):
        return LossForm(kind="other")
    scale = _common_scale(seen, lambda outputs, y: functional.mse_loss(outputs, y.reshape(outputs.shape)))
    return (
        LossForm(kind="other") if scale is None else LossForm(kind="mse", is_sum=scale[0], n_parts=scale[1])
    )


def _common_scale(seen: Sequence[SeenLoss], function: Function) -> tuple[bool, int] | None:
    """Whether the losses are sums of ``function``, or of it divided by which whole number; None if neither."""
    scales = [_scales(loss, function) for loss in seen]
    common = set.intersection(*scales)
    return min(common) if common else None


def _scales(loss: SeenLoss, function: Function) -> set[tuple[bool, int]]:
    is_half = loss.outputs.dtype in {torch.float16, torch.bfloat16}
    tolerance = HALF_TOLERANCE if is_half else TOLERANCE
    computed = float(function(loss.outputs.double(), _in_double(loss.targets)))
    found = set()
    if math.isclose(loss.value, computed * len(loss.outputs), rel_tol=tolerance):
        found.add((True, 1))
    if loss.value and math.isfinite(computed):
        n_parts = round(computed / loss.value)
        is_part = math.isclose(loss.value * n_parts, computed, rel_tol=tolerance)
        if 1 <= n_parts <= MOST_PARTS and is_part:
            found.add((False, n_parts))
    return found


def _in_double(targets: Tensor) -> Tensor:
    return targets.double() if targets.is_floating_point() else targets.long()


def _negative_mean(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return -(targets * log_probabilities).sum(1).mean()
    return functional.nll_loss(log_probabilities, targets.reshape(len(targets)))


def _cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return _negative_mean(outputs.log_softmax(1), targets)


_FORMS: tuple[tuple[str, Function], ...] = (
    # First: of log-probabilities, the cross-entropy is the same number.
    ("nll", _negative_mean),
    ("cross_entropy", _cross_entropy),
    ("nll", lambda outputs, targets: _negative_mean(outputs.log(), targets)),
    ("twice", lambda outputs, targets: _cross_entropy(outputs.softmax(1), targets)),
)
"""What a loop may do with outputs; ``twice``: a softmax of its own before the one in the cross-entropy."""
