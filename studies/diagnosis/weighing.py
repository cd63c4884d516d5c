"""A cause together with the readings that speak for it: what the rules on curves return."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studies.diagnosis.finding import Cause, CauseName, Evidence


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """One cause that the readings of a trial point to."""

    name: CauseName
    confidence: float
    evidence: tuple[Evidence, ...] = ()

    @property
    def cause(self) -> Cause:
        return Cause(name=self.name, confidence=self.confidence)


def ranked(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Each cause once, with its highest confidence, the most likely first."""
    best: dict[CauseName, Cause] = {}
    for cause in causes:
        if cause.name not in best or cause.confidence > best[cause.name].confidence:
            best[cause.name] = cause
    return tuple(sorted(best.values(), key=lambda cause: -cause.confidence))


def causes_of(suspicions: Iterable[Suspicion]) -> tuple[Cause, ...]:
    """The causes alone, ranked."""
    return ranked(suspicion.cause for suspicion in suspicions)


def evidence_of(suspicions: Sequence[Suspicion]) -> tuple[Evidence, ...]:
    """The readings that speak for the likeliest, then those for the others; each quantity once."""
    seen: dict[str, Evidence] = {}
    for suspicion in sorted(suspicions, key=lambda s: -s.confidence):
        for evidence in suspicion.evidence:
            seen.setdefault(evidence.quantity, evidence)
    return tuple(seen.values())
