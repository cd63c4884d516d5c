"""What was proven of a study's remedies: kept as attributes of the study itself, so that whoever opens it sees it.

Plain data, as JSON tells it: the tuner trains and judges, reports and the dashboard only read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from studies.encoding import to_json

PROOF = "proof:"
"""Before a trial's number: the attribute with the proof of its remedies; the last one counts."""
REQUEST = "proof_request:"
"""Before the name of a study of replicates: the attribute that says what was asked of it."""


@dataclass(frozen=True, kw_only=True)
class TriedRecord:
    """One remedy after its replicates."""

    label: str
    """The change itself, as ``learning_rate=0.01``."""
    sentence: str
    """The remedy's."""
    verdict: str
    """proven, not_proven or made_worse."""
    why: str
    """The verdict with its numbers: one sentence."""
    values: tuple[float | None, ...]
    """One for each seed; None where the training diverged."""
    gain: float | None
    low: float | None
    high: float | None
    recovered: float | None = None
    """The share of the gap to the healthy reference; None without one, and in proofs kept before it was."""
    recovered_low: float | None = None
    recovered_high: float | None = None
    """Where the true share lies, as sure as the gain; None without bounds."""


@dataclass(frozen=True, kw_only=True)
class ProofRecord:
    """Remedies of one trial's finding, tried as paired replicates."""

    trial: int
    symptom: str
    study: str
    """Of the replicates."""
    metric: str
    """What the remedies were judged by."""
    direction: str
    confidence: float
    """Of each gain's interval."""
    sentence: str
    baseline: tuple[float | None, ...]
    reference: tuple[float | None, ...]
    """Empty where there was no healthy reference."""
    remedies: tuple[TriedRecord, ...]

    @property
    def proven(self) -> TriedRecord | None:
        """The proven remedy that gains most; None where nothing was proven."""
        proven = [each for each in self.remedies if each.verdict == "proven"]
        return max(proven, key=lambda each: each.gain or 0.0, default=None)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ProofRecord":
        """What ``Proof.to_json`` of the tuner wrote, of a proof that tried something."""
        rows = data["remedies"]
        return cls(
            trial=data["trial"],
            symptom=data["finding"]["symptom"],
            study=data["replicates"],
            metric=data["metric"],
            direction=data["direction"],
            confidence=data["confidence"],
            sentence=data["sentence"],
            baseline=tuple(data["baseline"]),
            reference=tuple(data["reference"] or ()),
            remedies=tuple(
                TriedRecord(
                    **{
                        key: row[key]
                        for key in ("label", "sentence", "verdict", "why", "gain", "low", "high")
                    },
                    **{key: row.get(key) for key in ("recovered", "recovered_low", "recovered_high")},
                    values=tuple(row["values"]),
                )
                for row in rows
            ),
        )


def save_proof(study: optuna.Study, trial: int, proof: Mapping[str, Any]) -> None:
    """Keep the JSON of a proof with the study; an older one of the same trial goes."""
    study.set_user_attr(f"{PROOF}{trial}", to_json(proof))


def proofs_in(attributes: Mapping[str, Any]) -> tuple[ProofRecord, ...]:
    """The proofs among a study's user attributes, by trial."""
    found = [
        ProofRecord.from_json(json.loads(text)) for key, text in attributes.items() if key.startswith(PROOF)
    ]
    return tuple(sorted(found, key=lambda proof: proof.trial))


def save_request(study: optuna.Study, replicates: str, request: str) -> None:
    """Note what a study of replicates is for, before it begins: the same request goes on with it."""
    study.set_user_attr(REQUEST + replicates, request)


def request_of(study: optuna.Study, replicates: str) -> str | None:
    """What was asked of a study of replicates; None where it is not one of this study's."""
    found = study.user_attrs.get(REQUEST + replicates)
    return found if isinstance(found, str) else None
