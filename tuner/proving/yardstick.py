"""What a remedy is judged by: the study's own metric, unless that cannot see what the cause does."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from studies.diagnosis.finding import CauseName, Finding
from studies.diagnosis.reference import chance_accuracy, indifferent_loss, trained_rows
from studies.readings import NAN
from studies.records import Outcome, TrialRecord
from tuner.training.config import direction_of


class ReadAt(StrEnum):
    """The epoch whose reading counts."""

    BEST = "best"
    """The epoch that the study's metric likes best: that of the weights which are kept."""
    END = "end"
    """The last one."""


@dataclass(frozen=True, kw_only=True)
class OtherMetric:
    """A metric in place of the study's own."""

    metric: str
    read_at: ReadAt
    reason: str


METRICS_OF_CAUSES: Mapping[CauseName, OtherMetric] = {
    CauseName.OVERCONFIDENCE: OtherMetric(
        metric="validation_loss",
        read_at=ReadAt.BEST,
        reason="accuracy does not see how sure a wrong answer is; the loss is a proper score, and does",
    ),
    CauseName.OVERFITTING: OtherMetric(
        metric="validation_loss",
        read_at=ReadAt.END,
        reason="the best epoch, which a trial's value is taken at, hides what the epochs after it lose",
    ),
}
"""All other causes are judged by the study's own metric."""


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What is read of each replicate, and which way is better."""

    metric: str
    direction: str
    own_metric: str
    """The study's, which trials' values are in and best epochs go by."""
    own_direction: str
    read_at: ReadAt = ReadAt.BEST
    reason: str = "it is the study's own metric"

    @classmethod
    def of(cls, finding: Finding, *, metric: str, direction: str) -> "Yardstick":
        """What the finding's likeliest cause is judged by, in a study of this metric."""
        other = METRICS_OF_CAUSES.get(finding.causes[0].name) if finding.causes else None
        if other is None:
            return cls.own(metric, direction)
        return cls(
            metric=other.metric,
            direction=direction_of(other.metric),
            own_metric=metric,
            own_direction=direction,
            read_at=other.read_at,
            reason=other.reason,
        )

    @classmethod
    def own(cls, metric: str, direction: str) -> "Yardstick":
        """The study's own metric."""
        return cls(metric=metric, direction=direction, own_metric=metric, own_direction=direction)

    @property
    def is_own(self) -> bool:
        return self.metric == self.own_metric and self.read_at is ReadAt.BEST

    @property
    def sign(self) -> float:
        """What makes the higher value the better one."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def text(self) -> str:
        """What is compared, for a sentence."""
        name = self.metric.replace("_", " ")
        return name if self.is_own else f"{name} of the {self.read_at} epoch"

    def value(self, trial: TrialRecord) -> float | None:
        """The trial's reading; None where it diverged or has none."""
        if trial.outcome is Outcome.DIVERGED or trial.value is None:
            return None
        if self.is_own:
            return trial.value
        series = _series(trial, self.metric)
        finite = np.flatnonzero(np.isfinite(series))
        if not len(finite):
            return None
        place = int(finite[-1]) if self.read_at is ReadAt.END else self._best_place(trial)
        return float(series[place]) if np.isfinite(series[place]) else None

    def worth_of_nothing(self, trial: TrialRecord) -> float:
        """What a network that knows nothing would read: chance, or the indifferent loss; NaN where not known."""
        if trial.telemetry is None:
            return NAN
        if self.metric.endswith("accuracy"):
            return chance_accuracy(trial.telemetry)
        return indifferent_loss(trial.telemetry) if self.metric.endswith("loss") else NAN

    def _best_place(self, trial: TrialRecord) -> int:
        own = _series(trial, self.own_metric)
        sign = 1.0 if self.own_direction == "maximize" else -1.0
        return int(np.argmax(np.where(np.isfinite(own), sign * own, -np.inf)))


def _series(trial: TrialRecord, metric: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Shape [n_epochs], epoch 1 first."""
    return np.array([getattr(row, metric) for row in trained_rows(trial)], dtype=np.float64)
