"""Claims that several experiments make: where a train loss ends, and which of two ends lower."""

import math
from collections.abc import Mapping
from itertools import pairwise

from tuner.experiments.experiment import Claim, Judgment, Run


def ends_above(sentence: str, label: str, bound: float) -> Claim:
    """The train loss of ``label`` ends above ``bound``; one that is no number does."""

    def check(runs: Mapping[str, Run]) -> Judgment:
        numbers = final_train_losses(runs)
        return Judgment(held=numbers[_name(label)] > bound, numbers=numbers)

    return Claim(sentence=sentence, labels=(label,), check=check)


def end_below(sentence: str, labels: tuple[str, ...], bound: float) -> Claim:
    """The train losses of all ``labels`` end below ``bound``."""

    def check(runs: Mapping[str, Run]) -> Judgment:
        numbers = final_train_losses(runs)
        return Judgment(held=all(loss < bound for loss in numbers.values()), numbers=numbers)

    return Claim(sentence=sentence, labels=labels, check=check)


def end_in_order(sentence: str, labels: tuple[str, ...]) -> Claim:
    """The train losses of ``labels`` end one below the other, the first the highest."""

    def check(runs: Mapping[str, Run]) -> Judgment:
        losses = [runs[label].final_train_loss for label in labels]
        is_falling = all(before > after for before, after in pairwise(losses))
        return Judgment(held=is_falling, numbers=final_train_losses(runs))

    return Claim(sentence=sentence, labels=labels, check=check)


def ratio(part: float, whole: float) -> float:
    """``part / whole``, for a `Judgment`'s numbers; infinite over nothing."""
    return part / whole if whole else math.inf


def final_train_losses(runs: Mapping[str, Run]) -> dict[str, float]:
    """Quantity -> value, as a `Judgment` wants them."""
    return {_name(label): run.final_train_loss for label, run in runs.items()}


def _name(label: str) -> str:
    return f"final_train_loss_of_{label}"
