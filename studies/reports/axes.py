"""How a quantity is laid along an axis, so that one bad trial does not press all the others into a line.

What separates good trials lies within the last percent of an accuracy, and a loss spans decades: the share of errors
and the loss go on a logarithmic axis.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ACCURACIES = frozenset({"validation_accuracy", "train_accuracy"})
LOSSES = frozenset({"validation_loss", "train_loss"})
SHARE_OF_SMALLEST = 0.5
"""Of the smallest error shown: where no error at all is drawn, which a logarithmic axis has no place for."""
SMALLEST_ERROR = 1e-4
"""Where nothing is wrong in any trial: 1 in 10,000, the test images of MNIST."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The title and scale of an axis, and where values lie on it."""

    title: str
    is_log: bool
    is_error: bool = False
    """Whether 1 - value is drawn: lower is better then."""
    floor: float = 0.0
    """The least error that is drawn."""

    decades: float = 0.0
    """What a logarithmic axis spans, in powers of ten."""

    def positions(self, values: Iterable[float]) -> npt.NDArray[np.float64]:
        own = np.asarray(list(values), dtype=np.float64)
        return np.where(np.isnan(own), np.nan, np.maximum(1.0 - own, self.floor)) if self.is_error else own


def axis_of(quantities: Sequence[str], values: Iterable[float]) -> Axis:
    """The axis for all ``values`` of one or two quantities of a kind (train and validation loss)."""
    shown = np.asarray(list(values), dtype=np.float64)
    shown = shown[np.isfinite(shown)]
    title = quantities[0] if len(quantities) == 1 else quantities[0].rpartition("_")[2]
    title = title.replace("_", " ")
    if set(quantities) <= ACCURACIES and np.all((shown >= 0.0) & (shown <= 1.0)):
        errors = 1.0 - shown[shown < 1.0]
        floor = SHARE_OF_SMALLEST * float(errors.min()) if errors.size else SMALLEST_ERROR
        decades = _decades(np.maximum(1.0 - shown, floor))
        return Axis(title=f"1 - {title}", is_log=True, is_error=True, floor=floor, decades=decades)
    is_log = set(quantities) <= LOSSES and shown.size > 0 and bool(np.all(shown > 0.0))
    return Axis(title=title, is_log=is_log, decades=_decades(shown) if is_log else 0.0)


def _decades(shown: npt.NDArray[np.float64]) -> float:
    return float(np.log10(shown.max() / shown.min())) if shown.size else 0.0
