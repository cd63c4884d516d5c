"""The config of a trial: what remedies start from and causes look at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.diagnosis.reference import trained
from studies.readings import Telemetry
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
    def resolved_rate(self) -> float:
        """The highest rate that was used, which ``batch_lr_rule`` carries away from the config's; else the config's."""
        steps = (self.trial.telemetry or Telemetry()).step_series("learning_rate")
        used = steps if len(steps) else trained(self.trial, "learning_rate")
        used = used[np.isfinite(used)]
        return float(used.max()) if len(used) else self.number("learning_rate")

    @property
    def momentum_factor(self) -> float:
        """1 / (1 - momentum) for SGD, by which momentum multiplies a steady step; 1 elsewhere."""
        momentum = self.number("momentum") if self.choice("optimizer") == "sgd" else 0.0
        return 1.0 / (1.0 - momentum) if 0.0 <= momentum < 1.0 else 1.0

    @property
    def effective_rate(self) -> float:
        """The rate that was used, times what momentum makes of it."""
        return self.resolved_rate * self.momentum_factor

    @property
    def batch_size(self) -> float:
        """Samples of one optimizer step, accumulation included; NaN where the config does not say."""
        data = (self.trial.telemetry or Telemetry()).data
        if self.choice("batch_size") == "full":
            return float(data.n_train) if data is not None and data.n_train else math.nan
        passes = self.number("accumulation_steps")
        return self.number("batch_size") * (passes if math.isfinite(passes) else 1.0)
