"""Which validation samples stand in the train split moved by a pixel or two, or mirrored.

So does augmentation before the split leave them: no value stands where it stood, and the network has seen the sample
all the same.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from studies.readings import NAN
from tuner.training.datasets.copies import sample_numbers

MOST_ASKED = 500
"""Validation samples that are looked up: five of them are 1%."""
MOST_COMPARED = 2000
"""Of data that are known to hold copies: so many tell how much better these are answered than the rest."""
FURTHEST = 2
"""Pixels or steps along each of the last two axes."""
SIDE_PER_STEP = 8
"""Pixels of a side for each step: what is compared is the middle, and a small one is the same by chance."""
RICH = 8
"""Different values in the middle of a sample: boards, masks and blank images of fewer are alike by chance."""
_SEED = 0


def moved_fraction(train_x: Tensor, validation_x: Tensor) -> float:
    """Share of the validation samples whose middle is that of a train sample after a move or a reflection.

    Of some of the validation samples, [m, ..., height, width] or [m, ..., length]; those that are in the train split
    as they are do not count. NaN where samples have no sides to move along, or cannot be compared.
    """
    are_moved = moved_copies(train_x, validation_x, MOST_ASKED)
    return NAN if are_moved is None else float(are_moved.mean())


def places_asked(validation_x: Tensor, most: int = MOST_COMPARED) -> Tensor:
    """The validation samples that are looked up, int64 [m]."""
    return torch.randperm(len(validation_x), generator=torch.Generator().manual_seed(_SEED))[:most]


def moved_copies(
    train_x: Tensor, validation_x: Tensor, most: int = MOST_COMPARED
) -> npt.NDArray[np.bool_] | None:
    """Which of the samples at `places_asked` are so; None where that cannot be known."""
    is_comparable = train_x.shape[1:] == validation_x.shape[1:] and train_x.dtype == validation_x.dtype
    reaches = reaches_of(train_x)
    if not is_comparable or reaches is None or not len(train_x) or not len(validation_x):
        return None
    asked = validation_x.detach()[places_asked(validation_x, most).to(validation_x.device)]
    known, *moved = sample_numbers(middle(train_x.detach(), reaches), *moved_middles(asked, reaches))
    is_found = np.isin(np.stack(moved), known)
    are_moved: npt.NDArray[np.bool_] = is_found[1:].any(0) & ~is_found[0]
    return are_moved & are_rich(middle(asked, reaches))


def reaches_of(x: Tensor) -> tuple[int, int] | None:
    """How far samples [n, ..., height, width] or [n, ..., length] may be moved along each of the last two axes.

    None where they have no sides, or are too small.
    """
    if x.ndim < 3:
        return None
    down, right = (min(FURTHEST, side // SIDE_PER_STEP) for side in x.shape[-2:])
    return (down, right) if down or right else None


def moved_middles(x: Tensor, reaches: tuple[int, int]) -> list[Tensor]:
    """The middles of ``x`` as it is, then of all its moves and reflections."""
    down, right = reaches
    steps = [(i, j) for i in range(-down, down + 1) for j in range(-right, right + 1)]
    others = [middle(x, reaches, step) for step in steps if step != (0, 0)]
    mirrored = [middle(x.flip(-1), reaches, step) for step in steps]
    return [middle(x, reaches), *others, *mirrored]


def middle(x: Tensor, reaches: tuple[int, int], step: tuple[int, int] = (0, 0)) -> Tensor:
    """What is left of ``x`` without ``reaches`` at the ends of the last two axes, seen a ``step`` away."""
    height, width = (side - 2 * reach for side, reach in zip(x.shape[-2:], reaches, strict=True))
    top, left = (reach + by for reach, by in zip(reaches, step, strict=True))
    return x[..., top : top + height, left : left + width]


def are_rich(x: Tensor) -> npt.NDArray[np.bool_]:
    """Whether each sample has enough different values, [n]."""
    values = np.sort(x.reshape(len(x), -1).cpu().double().numpy(), axis=1)
    rich: npt.NDArray[np.bool_] = (np.diff(values, axis=1) != 0).sum(1) + 1 >= RICH
    return rich
