"""What a leak adds to the validation accuracy of one network: copies against the rest, telling features or others.

A leak is in the data, its harm in the network: one that memorizes nothing gains nothing by copies, and one that does
not look at a feature gains nothing by what it tells.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from studies.readings import NAN

Copies = npt.NDArray[np.bool_]
AnswersOf = Callable[[Tensor], Tensor]
"""From inputs [n, ...] to the classes that each of some networks answers, [n_lanes, n]; -1 where it answers nothing."""
ANSWERED_BATCH = 1024
"""Samples a forward pass, as in an evaluation."""
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class LeakMarks:
    """Where the validation samples leak."""

    places: Tensor
    """int64 [m]: those that were compared with the train split; none where there are no copies."""
    are_copies: Tensor
    """bool [m]."""
    features: tuple[int, ...] = ()
    """Of the flattened input: those that tell the class."""

    def __bool__(self) -> bool:
        return bool(len(self.places) or self.features)

    @staticmethod
    def of(are_copies: Copies | None, places: Tensor | None, features: tuple[int, ...]) -> "LeakMarks":
        """``are_copies`` of the validation samples at ``places``, of all of them where that is None."""
        copies = torch.from_numpy(np.empty(0, dtype=np.bool_) if are_copies is None else are_copies)
        return LeakMarks(
            places=torch.arange(len(copies)) if places is None else places,
            are_copies=copies,
            features=features,
        )


@dataclass(frozen=True, kw_only=True)
class Inflation:
    """How much higher the validation accuracy is than without the leak, and the standard error of that."""

    copy_inflation: float = NAN
    copy_inflation_error: float = NAN
    telling_inflation: float = NAN
    telling_inflation_error: float = NAN


NO_INFLATION = Inflation()
"""Nothing leaks, or nothing was read."""


def inflations(
    marks: LeakMarks, answers_of: AnswersOf, x: Tensor, y: Tensor, *, batch: int = ANSWERED_BATCH
) -> tuple[Inflation, ...]:
    """Of each network, on validation samples ``x``, ``y``; in eval mode, as the caller sees to.

    The features are measured by giving each sample those of another one: an answer that changes hung on them. No pass
    has more samples than ``batch``.
    """
    with torch.no_grad():
        right = _right(answers_of, x, y, batch)
        others = _right(answers_of, _exchanged(x, marks.features), y, batch) if marks.features else right
    by_copies = [(NAN, NAN)] * len(right)
    if len(marks.places):
        by_copies = [copy_inflation(of_lane[marks.places], marks.are_copies) for of_lane in right]
    by_features = [(NAN, NAN)] * len(right)
    if marks.features:
        by_features = [_mean_and_error(one - other) for one, other in zip(right, others, strict=True)]
    return tuple(
        Inflation(
            copy_inflation=of_copies[0],
            copy_inflation_error=of_copies[1],
            telling_inflation=of_features[0],
            telling_inflation_error=of_features[1],
        )
        for of_copies, of_features in zip(by_copies, by_features, strict=True)
    )


def answers(outputs: Tensor) -> Tensor:
    """The class of the largest output, [..., n, n_outputs] to [..., n]; -1 where one is not finite."""
    return outputs.argmax(-1).where(outputs.isfinite().all(-1), -1)


def _right(answers_of: AnswersOf, x: Tensor, y: Tensor, batch: int) -> Tensor:
    """Which answers are right, 0 or 1 as doubles, [n_lanes, n] on the CPU."""
    answered = torch.cat([answers_of(part) for part in torch.split(x, batch)], 1)
    return (answered == y).cpu().double()


def copy_inflation(right: Tensor, are_copies: Tensor) -> tuple[float, float]:
    """What copies add to an accuracy, and its standard error: their share times what they are answered better.

    A copy is as hard as any sample. NaN without a rest.

    Args:
        right: which answers are right, 0 or 1 as doubles, [n].
        are_copies: bool [n].
    """
    copies, rest = right[are_copies], right[~are_copies]
    if not len(copies) or len(rest) < 2:
        return NAN, NAN
    share = len(copies) / len(right)
    error = math.sqrt(_variance(copies) / len(copies) + _variance(rest) / len(rest))
    return share * float(copies.mean() - rest.mean()), share * error


def _variance(right: Tensor) -> float:
    """Of one answer, as if one more were right and one more wrong: all of a few right are no proof of always."""
    rate = (float(right.sum()) + 1.0) / (len(right) + 2.0)
    return rate * (1.0 - rate)


def _mean_and_error(differences: Tensor) -> tuple[float, float]:
    n = len(differences)
    if n < 2:
        return NAN, NAN
    return float(differences.mean()), max(float(differences.std()) / math.sqrt(n), 1.0 / n)


def _exchanged(x: Tensor, features: tuple[int, ...]) -> Tensor:
    """``x`` with these features of another sample, drawn at random, together."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(_SEED)).to(x.device)
    flat = x.flatten(1).clone()
    columns = torch.tensor(features, device=x.device)
    flat[:, columns] = flat[order][:, columns]
    return flat.view(x.shape)
