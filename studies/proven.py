"""The config that `tuner fix` has proven, in a sentence: what a reader may use in place of the best trial's."""

from dataclasses import dataclass
from pathlib import Path

from studies.intervals import Interval, interval
from studies.paths import StudyPaths
from studies.proofs import ProofRecord, TriedRecord
from studies.records import StudyRecord


@dataclass(frozen=True, kw_only=True)
class ProvenConfig:
    """A trial's config with the remedy that was proven."""

    proof: ProofRecord
    remedy: TriedRecord
    value: Interval
    """Over the fresh seeds, in the proof's metric."""
    file: Path
    """Where the config is kept."""
    task: str
    """Empty where it is not known."""

    @property
    def command(self) -> str:
        """What trains it."""
        return f"tuner train --config {self.file}" + (f" --task {self.task}" if self.task else "")

    @property
    def sentence(self) -> str:
        """Which config it is, and its value over the fresh seeds with an interval."""
        mean, low, high = (
            _shown(each, self.proof.metric) for each in (self.value.mean, self.value.low, self.value.high)
        )
        return (
            f"Proven on {self.value.n} fresh seeds: trial {self.proof.trial} with {self.remedy.label} has "
            f"{self.proof.metric.replace('_', ' ')} {mean} (95% interval {low} to {high})."
        )


def proven_config(record: StudyRecord) -> ProvenConfig | None:
    """The best of the proven configs, by the study's own metric where one was judged by it; None without one."""
    paths = (
        StudyPaths.of(record.name, record.storage)
        if record.storage
        else StudyPaths(root=Path("runs"), study=record.name)
    )
    found = [
        ProvenConfig(
            proof=proof,
            remedy=best,
            value=interval(best.values),
            file=paths.fixed_config(proof.trial),
            task="" if record.plan is None else record.plan.task,
        )
        for proof in record.proofs
        if (best := proof.proven) is not None
    ]
    return max(found, key=lambda each: _rank(each, record), default=None)


def _rank(each: ProvenConfig, record: StudyRecord) -> tuple[bool, float]:
    sign = 1.0 if each.proof.direction == "maximize" else -1.0
    return each.proof.metric == record.metric, sign * each.value.mean


def _shown(value: float, metric: str) -> str:
    return f"{value:.2%}" if metric.endswith("accuracy") else f"{value:.4g}"
