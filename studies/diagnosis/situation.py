"""The config of a trial: what remedies start from and causes look at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.diagnosis.reference import trained
from studies.records import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A trial seen through its config. A key that is not known is absent: no rule may guess it."""

    trial: TrialRecord

    @property
    def config(self) -> Mapping[str, Any]:
        return self.trial.config

    def number(self, key: str) -> float:
        """The config's number under ``key``; NaN where it is not known or is no number (batch_size: full)."""
        value = self.config.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan

    def choice(self, key: str) -> str:
        """The config's name under ``key``; empty where it is not known."""
        value = self.config.get(key)
        return value if isinstance(value, str) else ""

    @property
    def learning_rate(self) -> float:
        """The peak learning rate: the config's, else the highest that was read; NaN if neither is known."""
        configured = self.number("learning_rate")
        read = trained(self.trial, "learning_rate")
        read = read[np.isfinite(read)]
        return configured if math.isfinite(configured) else float(read.max()) if len(read) else math.nan

    @property
    def effective_rate(self) -> float:
        """The rate over (1 - momentum) for SGD, the rate itself elsewhere."""
        momentum = self.number("momentum") if self.choice("optimizer") == "sgd" else 0.0
        return self.learning_rate / (1.0 - momentum) if 0.0 <= momentum < 1.0 else self.learning_rate
