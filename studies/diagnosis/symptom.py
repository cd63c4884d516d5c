"""The two kinds of symptoms: those of one trial and those of a study."""

from collections.abc import Callable
from dataclasses import dataclass

from studies.diagnosis.finding import Finding
from studies.records import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class TrialSymptom:
    """A pattern in the readings of one training."""

    name: str
    find: Callable[[TrialRecord, StudyRecord], Finding | None]
    """Looks at one trial; the study tells what others of its kind reached."""
    leads_to: tuple[str, ...] = ()
    """Symptoms that show up later because of this one: reported as its consequences, not as findings."""


@dataclass(frozen=True, kw_only=True)
class StudySymptom:
    """A pattern over the trials of a study; needs no telemetry."""

    name: str
    find: Callable[[StudyRecord], list[Finding]]
