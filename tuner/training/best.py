"""The best epoch so far, its weights, and how long nothing better has come."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from studies.readings import EpochReadings

Weights = dict[str, Tensor]


@dataclass(kw_only=True)
class BestEpoch:
    """Keeps the trained epoch with the best finite value of ``metric``; of equals the first."""

    metric: str
    is_maximized: bool
    epoch: int | None = None
    value: float = math.nan
    weights: Weights | None = None

    def update(self, readings: EpochReadings, weights: Callable[[], Weights]) -> None:
        """Take in one trained epoch; a copy of its weights is asked for if it is the best."""
        value = float(getattr(readings, self.metric))
        if math.isfinite(value) and self._is_better(value):
            self.epoch, self.value = readings.epoch, value
            self.weights = weights()

    def n_epochs_since(self, epoch: int) -> int:
        """Trained epochs up to ``epoch`` without a better value."""
        return epoch - (self.epoch or 0)

    def _is_better(self, value: float) -> bool:
        if self.epoch is None:
            return True
        return value > self.value if self.is_maximized else value < self.value

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "value": self.value, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.value, self.weights = state["epoch"], state["value"], state["weights"]
