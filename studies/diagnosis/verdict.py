"""How the best trial of a study is, in one sentence: what a reader wants to know before all else."""

from collections.abc import Sequence

from studies.diagnosis.finding import Finding, Severity
from studies.records import StudyRecord


def best_in_words(
    record: StudyRecord, findings: Sequence[Finding], *, shown_value: str, is_partial: bool = False
) -> str:
    """``Trial 12, the best (97.52%), shows nothing wrong.``, or its worst finding.

    Args:
        record: the study.
        findings: of the whole study, the worst first.
        shown_value: the best value as text.
        is_partial: whether some symptoms could not be judged.
    """
    best = record.best
    if best is None:
        return "No trial completed, so there is no best one."
    own = [finding for finding in findings if finding.trial == best.number]
    faults = [finding for finding in own if finding.severity is not Severity.NOTE]
    start = f"Trial {best.number}, the best ({shown_value}), shows"
    if faults:
        others = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        return f"{start} {_spoken(faults[0])}{others}."
    limit = " in what could be judged" if is_partial else ""
    notes = f"; noted: {', '.join(_spoken(finding) for finding in own)}" if own else ""
    return f"{start} nothing wrong{limit}{notes}."


def _spoken(finding: Finding) -> str:
    return finding.symptom.replace("_", " ")
