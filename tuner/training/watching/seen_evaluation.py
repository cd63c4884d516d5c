"""What a loop that validates by itself was seen to evaluate, and whether that is what it tells the accuracy of.

Between two steps a loop may run anything through its network: the train split for a train accuracy, pictures to look
at. Samples count as those of a told accuracy only if it is a whole number of right answers among them, if the answers
that are known to be right or wrong allow it, and if samples that were trained on lie mixed among the others: in one
piece they are a pass over the train split beside the validation.
"""

import numpy as np
import torch

from tuner.training.leak_harm import NO_INFLATION, Copies, Inflation, copy_inflation
from tuner.training.watching.marks import Array
from tuner.training.watching.sample_log import SampleLog

NEARLY_WHOLE = 1e-3
"""Right answers by which a told accuracy may miss a whole number of them."""
SINGLE_PRECISION = 2.0**-23
"""Rounding of a mean in float32, of the accuracy."""


def n_right(evaluated: SampleLog, accuracy: float | None) -> int | None:
    """Right answers that ``accuracy`` makes of these samples; None where it is no accuracy of them, or not known.

    That all are right, or none, is a whole number of any samples.
    """
    n = evaluated.n_seen
    if accuracy is None or not 0.0 < accuracy < 1.0 or not n:
        return None
    right = accuracy * n
    is_whole = abs(right - round(right)) <= max(NEARLY_WHOLE, SINGLE_PRECISION * n)
    # Of so many that rounding alone hides the whole numbers, nothing is known.
    return round(right) if is_whole and SINGLE_PRECISION * n < 10 * NEARLY_WHOLE else None


def told_of(trained: SampleLog, evaluated: SampleLog, accuracy: float | None) -> SampleLog | None:
    """``evaluated``, if ``accuracy`` is of these; arguments as in `seen_inflation`."""
    twins = _twins(trained, evaluated, looks_for_moved=False)
    right = n_right(evaluated, accuracy)
    if twins is None or right is None or not are_mixed(twins >= 0):
        return None
    is_right = _right_copies(trained, evaluated, twins)
    n_of_rest = right - (0 if is_right is None else int(is_right.sum()))
    is_possible = is_right is None or 0 <= n_of_rest <= int((twins < 0).sum())
    return evaluated if is_possible else None


def are_mixed(are_copies: Copies) -> bool:
    """Whether copies and others take turns at least half as often as in random order (Wald and Wolfowitz 1940)."""
    n, n_copies = len(are_copies), int(are_copies.sum())
    n_runs = 1 + int(np.diff(are_copies.astype(np.int8)).astype(np.bool_).sum())
    return n_copies in {0, n} or n_runs >= 0.5 * (1.0 + 2.0 * n_copies * (n - n_copies) / n)


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
    is_right = None if twins is None else _right_copies(trained, evaluated, twins)
    if right is None or twins is None or is_right is None:
        return NO_INFLATION
    n_of_rest = right - int(is_right.sum())
    (rest,) = np.nonzero(twins < 0)
    if not 0 <= n_of_rest <= len(rest):
        return NO_INFLATION
    is_right[rest[:n_of_rest]] = True  # which of them is all the same
    value, error = copy_inflation(torch.from_numpy(is_right).double(), torch.from_numpy(twins >= 0))
    return Inflation(copy_inflation=value, copy_inflation_error=error)


def _right_copies(trained: SampleLog, evaluated: SampleLog, twins: Array) -> Copies | None:
    """Which evaluated samples are copies that are answered as they were labeled, [n]; None where that is not known."""
    labels, answered = trained.labels(), evaluated.labels()
    if len(labels) != trained.n_seen or len(answered) != evaluated.n_seen:
        return None
    is_right: Copies = (twins >= 0) & (labels[twins] == answered)
    return is_right


def _twins(trained: SampleLog, evaluated: SampleLog, *, looks_for_moved: bool) -> Array | None:
    """For each evaluated sample the place of the same one in training, else -1; None where that is not known of all."""
    twins = trained.twins_of(evaluated)
    if twins is None or not trained.is_marked or not evaluated.is_marked:
        return None
    if not looks_for_moved:
        return twins
    kept = evaluated.samples()
    if kept is None or not evaluated.is_whole:  # moved ones would be among the rest
        return None
    moved = trained.moved_twins(kept[0])
    return None if moved is None else np.maximum(twins, moved)
