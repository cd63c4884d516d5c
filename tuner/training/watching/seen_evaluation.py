"""What a loop that validates by itself was seen to evaluate, and whether that is what it tells the accuracy of.

Between two steps a loop may run anything through its network: the train split for a train accuracy, pictures to look
at. Samples count as those of a told accuracy only if it is a whole number of right answers among them, which of another
set it is by chance in one case of five hundred.
"""

import math

import numpy as np
import torch

from tuner.training.leak_harm import NO_INFLATION, Inflation, copy_inflation
from tuner.training.watching.marks import Array
from tuner.training.watching.sample_log import SampleLog

NEARLY_WHOLE = 1e-3
"""Right answers by which a told accuracy may miss a whole number of them."""
SINGLE_PRECISION = 2.0**-23
"""Rounding of a mean in float32, of the accuracy."""


def n_right(evaluated: SampleLog, accuracy: float | None) -> int | None:
    """Right answers that ``accuracy`` makes of these samples; None where it is no accuracy of them, or not known."""
    n = evaluated.n_seen
    if accuracy is None or not math.isfinite(accuracy) or not n:
        return None
    right = accuracy * n
    is_whole = abs(right - round(right)) <= max(NEARLY_WHOLE, SINGLE_PRECISION * n)
    # Of so many that rounding alone hides the whole numbers, nothing is known.
    return round(right) if is_whole and SINGLE_PRECISION * n < 10 * NEARLY_WHOLE else None


def told_of(evaluated: SampleLog, accuracy: float | None) -> SampleLog | None:
    """``evaluated``, if ``accuracy`` is of these."""
    return None if n_right(evaluated, accuracy) is None else evaluated


def seen_inflation(
    trained: SampleLog, evaluated: SampleLog, accuracy: float | None, *, looks_for_moved: bool = False
) -> Inflation:
    """What copies of samples that were trained on add to a told accuracy.

    The copies' labels are those that they were trained with; of the rest it is known how many answers are right.
    Nothing is said where the two do not fit together.

    Args:
        trained: the samples of an epoch of training.
        evaluated: those of the loop's evaluation, with the network's answers for labels.
        accuracy: what the loop tells.
        looks_for_moved: whether copies may be moved a little.
    """
    right, twins = n_right(evaluated, accuracy), _twins(trained, evaluated, looks_for_moved=looks_for_moved)
    labels, answered = trained.labels(), evaluated.labels()
    are_known = len(labels) == trained.n_seen and len(answered) == evaluated.n_seen
    if right is None or twins is None or not are_known:
        return NO_INFLATION
    are_copies = twins >= 0
    is_right = are_copies & (labels[twins] == answered)
    n_of_rest = right - int(is_right.sum())
    (rest,) = np.nonzero(~are_copies)
    if not 0 <= n_of_rest <= len(rest):
        return NO_INFLATION
    is_right[rest[:n_of_rest]] = True  # which of them is all the same
    value, error = copy_inflation(torch.from_numpy(is_right).double(), torch.from_numpy(are_copies))
    return Inflation(copy_inflation=value, copy_inflation_error=error)


def _twins(trained: SampleLog, evaluated: SampleLog, *, looks_for_moved: bool) -> Array | None:
    """For each evaluated sample the place of the same one in training, else -1; None where that is not known of all."""
    twins = trained.twins_of(evaluated)
    if twins is None or not trained.is_marked or not evaluated.is_marked:
        return None
    if not looks_for_moved:
        return twins
    kept = evaluated.samples()
    moved = None if kept is None or not evaluated.is_whole else trained.moved_twins(kept[0])
    return None if moved is None else np.maximum(twins, moved)
