"""Training length: the better trials agree that the epochs are too few, or far too many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Remedy, Severity
from studies.diagnosis.over_study import in_order, noise_floor
from studies.diagnosis.symptom import StudySymptom
from studies.diagnosis.thresholds import Threshold
from studies.records import Outcome, StudyRecord, TrialRecord

NAME = "training_length"
LATE_MIN_EPOCHS = 4
"""Of fewer, the last quarter is no epoch of its own."""
EARLY_MIN_EPOCHS = 10
"""Of fewer, the first tenth is none."""
LONGER = 2
"""Times the epochs: what the last quarter still gained says no more exactly how many are missing (own design)."""
ROOM = 3
"""Times the epoch that was the best, so that a decaying schedule has time to end (own design)."""


def find(study: StudyRecord) -> list[Finding]:
    """The best epoch of most trials of the better half lies in the last quarter, with a gain there beyond noise.

    Or it lies in the first tenth. Only trials that trained for all their epochs are asked.
    """
    trained = [
        trial for trial in in_order(study) if trial.outcome is Outcome.COMPLETED and trial.reuses is None
    ]
    better = [
        _course(study, trial) for trial in trained[: (len(trained) + 1) // 2] if trial.intermediate_values
    ]
    if len(better) < limits.LENGTH_MIN_TRIALS.value:
        return []
    finding = _too_short(study, better) or _too_long(better)
    return [] if finding is None else [finding]


@dataclass(frozen=True, kw_only=True)
class _Course:
    """When one training was at its best."""

    n_epochs: int
    best_at: int
    """Epoch."""
    late_gain: float
    """How much better it became after the first three quarters, in the objective's unit."""


def _course(study: StudyRecord, trial: TrialRecord) -> _Course:
    sign = 1.0 if study.is_maximized else -1.0
    turned = {
        epoch: sign * value for epoch, value in trial.intermediate_values.items() if math.isfinite(value)
    }
    n_epochs = max(trial.intermediate_values)
    best_at = min(turned, key=lambda epoch: (-turned[epoch], epoch), default=n_epochs)
    early = [value for epoch, value in turned.items() if epoch <= (1.0 - limits.LATE_BEST.value) * n_epochs]
    gain = turned[best_at] - max(early) if early else 0.0
    return _Course(n_epochs=n_epochs, best_at=best_at, late_gain=gain)


def _too_short(study: StudyRecord, better: Sequence[_Course]) -> Finding | None:
    floor = noise_floor(study)
    if floor is None:
        return None
    wanted = limits.NOISE_FLOORS.value * floor.value
    late = [course for course in better if course.n_epochs >= LATE_MIN_EPOCHS and course.late_gain > wanted]
    n_epochs = max(course.n_epochs for course in better)
    return _finding(
        f"{len(late)} of the {len(better)} better trials still improved beyond noise in their last quarter.",
        share=len(late) / len(better),
        quantity="share_with_best_epoch_late",
        rule=limits.LATE_BEST,
        causes=(Cause(name=CauseName.TOO_FEW_EPOCHS, confidence=0.6),),
        n_epochs=LONGER * n_epochs,
        reason="most good trials were not done, and their schedules end later then",
    )


def _too_long(better: Sequence[_Course]) -> Finding | None:
    early = [
        c
        for c in better
        if c.n_epochs >= EARLY_MIN_EPOCHS and c.best_at <= limits.EARLY_BEST.value * c.n_epochs
    ]
    return _finding(
        f"{len(early)} of the {len(better)} better trials were at their best in the first tenth of their epochs.",
        share=len(early) / len(better),
        quantity="share_with_best_epoch_early",
        rule=limits.EARLY_BEST,
        causes=(),
        n_epochs=ROOM * max((course.best_at for course in early), default=1),
        reason="the rest of the epochs gave nothing, and buys more trials",
    )


def _finding(
    sentence: str,
    *,
    share: float,
    quantity: str,
    rule: Threshold,
    causes: tuple[Cause, ...],
    n_epochs: int,
    reason: str,
) -> Finding | None:
    if share < limits.LENGTH_SHARE.value:
        return None
    evidence = Evidence(
        quantity=quantity,
        first_step=None,
        last_step=None,
        value=share,
        threshold=limits.LENGTH_SHARE.value,
        source=f"{rule.source}; {limits.LENGTH_SHARE.source}",
    )
    edit = Edit(kind=EditKind.FIX, lever="epochs", value=n_epochs)
    remedy = Remedy(sentence=f"Search with --epochs {n_epochs}: {reason}.", edits=(edit,))
    return Finding(
        trial=None,
        symptom=NAME,
        severity=Severity.NOTE,
        sentence=sentence,
        causes=causes,
        evidence=(evidence,),
        remedies=(remedy,),
    )


SYMPTOM = StudySymptom(name=NAME, find=find)
