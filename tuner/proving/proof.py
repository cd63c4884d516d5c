"""What came of the remedies of one finding, with the numbers behind each verdict. Plain data."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from studies.comparison import Interval
from studies.diagnosis.finding import Finding, Remedy
from studies.encoding import jsonable
from studies.proofs import ProofRecord
from tuner.proving.contest import LeftOut

Values = tuple[float | None, ...]
"""One for each seed; None where the training diverged."""


class Verdict(StrEnum):
    """Of one remedy."""

    PROVEN = "proven"
    NOT_PROVEN = "not_proven"
    MADE_WORSE = "made_worse"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A remedy after its replicates."""

    label: str
    remedy: Remedy
    config: Mapping[str, Any]
    """Whole, as it is ready to use."""
    changes: Mapping[str, Any]
    """The keys in which it differs from the faulty config."""
    steps: Mapping[str, Values]
    """By label, what smaller changes of the same lever read, which left the same cause."""
    values: Values
    gain: Interval
    """Over the faulty config, in the metric's unit; positive is better, whatever the direction."""
    p_better: float
    """The chance that a new seed favors it; see `studies.comparison.Comparison`."""
    share: Interval | None
    """Of the gap to the healthy reference, what is recovered; None without one."""
    n_with_symptom: int
    """Replicates that still show the finding's symptom, what follows from it, or what most of the faulty ones show."""
    new_symptoms: tuple[str, ...]
    """Faults that most of its replicates show, and the faulty config's do not."""
    verdict: Verdict
    why: str
    """The verdict with its numbers: one sentence."""

    @property
    def recovered(self) -> float | None:
        """The share itself."""
        return None if self.share is None else self.share.mean

    @property
    def symptom_gone(self) -> bool:
        """From most of its replicates."""
        return 2 * self.n_with_symptom < len(self.values)

    def to_json(self) -> dict[str, Any]:
        gain = self.gain
        return {
            "sentence": self.remedy.sentence,
            "edits": [edit.to_json() for edit in self.remedy.edits],
            "verdict": self.verdict.value,
            "gain": jsonable(gain.mean),
            "low": jsonable(gain.low),
            "high": jsonable(gain.high),
            "n_seeds": len(self.values),
            "label": self.label,
            "values": jsonable(self.values),
            "p_better": self.p_better,
            "recovered": jsonable(self.recovered),
            "recovered_low": None if self.share is None else jsonable(self.share.low),
            "recovered_high": None if self.share is None else jsonable(self.share.high),
            "symptom_gone": self.symptom_gone,
            "n_with_symptom": self.n_with_symptom,
            "new_symptoms": list(self.new_symptoms),
            "why": self.why,
            "steps": [{"label": label, "values": jsonable(values)} for label, values in self.steps.items()],
        }


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The remedies of one finding, tried; or why nothing was."""

    finding: Finding | None
    """None where nothing is wrong."""
    sentence: str
    metric: str = ""
    """What was compared."""
    direction: str = "maximize"
    reason: str = ""
    """Why by this metric: a clause."""
    confidence: float = 0.95
    """Of each gain's interval: all of them hold together with 95%."""
    seeds: tuple[int, ...] = ()
    baseline: Values = ()
    n_with_symptom: int = 0
    """Of the faulty config's replicates, those that show the symptom."""
    reference: Values | None = None
    remedies: tuple[Tried, ...] = ()
    """In the order of the finding."""
    left_out: tuple[LeftOut, ...] = ()
    """Told and not tried."""
    replicates: str = ""
    """The study of the replicates; empty where nothing was trained, or in memory."""

    @property
    def trial(self) -> int | None:
        return None if self.finding is None else self.finding.trial

    @property
    def best(self) -> Tried | None:
        """The proven remedy that gains most."""
        proven = [each for each in self.remedies if each.verdict is Verdict.PROVEN]
        return max(proven, key=lambda each: each.gain.mean, default=None)

    @property
    def is_proven(self) -> bool:
        return self.best is not None

    @property
    def config(self) -> Mapping[str, Any] | None:
        """The whole config with the best proven remedy; None where nothing was proven."""
        return None if self.best is None else self.best.config

    @property
    def changes(self) -> dict[str, Any]:
        """The keys that the best proven remedy sets, in the config's terms."""
        return {} if self.best is None else dict(self.best.changes)

    def record(self) -> ProofRecord:
        """What is kept with the study.

        Raises:
            ValueError: where nothing was tried.
        """
        if not self.remedies:
            raise ValueError("A proof is kept once something was tried.")
        return ProofRecord.from_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """As `tuner fix --json` prints it (DESIGN §3)."""
        return {
            "trial": self.trial,
            "finding": None if self.finding is None else self.finding.to_json(),
            "remedies": [each.to_json() for each in self.remedies],
            "config": jsonable(self.config),
            "sentence": self.sentence,
            "metric": self.metric,
            "direction": self.direction,
            "confidence": self.confidence,
            "seeds": list(self.seeds),
            "baseline": jsonable(self.baseline),
            "reference": jsonable(self.reference),
            "replicates": self.replicates,
            "not_tried": [
                {"sentence": each.remedy.sentence, "action": each.remedy.action, "why": each.why}
                for each in self.left_out
            ],
        }


def mean_of(values: Sequence[float | None]) -> float | None:
    """Over the replicates that did not diverge; None where all did."""
    finite = [value for value in values if value is not None]
    return statistics.fmean(finite) if finite else None
