"""The two kinds of symptoms: those of one trial and those of a study."""

from collections.abc import Callable
from dataclasses import dataclass

from studies.diagnosis.finding import Finding
from studies.diagnosis.stages import Stage
from studies.records import StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class TrialSymptom:
    """A pattern in the readings of one training."""

    name: str
    find: Callable[[TrialRecord, StudyRecord], Finding | None]
    """Looks at one trial; the study tells what others of its kind reached."""
    stage: Stage
    """Where it shows as a rule; a finding that shows earlier says so itself."""
    leads_to: tuple[str, ...] = ()
    """Symptoms that show up because of this one: of the same stage, reported as its consequences and not as
    findings; of a later stage, those whose harm makes a fault of an anomaly (empty: any)."""
    hurts_by_itself: bool = True
    """False for an anomaly that many good trainings have too: a note unless a later symptom shows the harm."""
    shows_harm: bool = False
    """Whether it is the harm that an earlier anomaly did even where, for want of a better training to compare with,
    it is no fault by itself."""


@dataclass(frozen=True, kw_only=True)
class StudySymptom:
    """A pattern over the trials of a study; needs no telemetry."""

    name: str
    find: Callable[[StudyRecord], list[Finding]]
