"""Eager pruning: of the condemned trials that ran on all the same, many ended among the best."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Evidence, Finding, Remedy, Severity
from studies.diagnosis.pruning import PruningCheck, pruning_check
from studies.diagnosis.symptom import StudySymptom
from studies.records import StudyRecord

NAME = "eager_pruning"
PATIENT = "patient"
"""The pruner that forgives some epochs without a new best."""


def find(study: StudyRecord) -> list[Finding]:
    """The false-prune rate's lower bound is over ``FALSE_PRUNES``, with at least ``SPARED_MIN`` spared trials."""
    check = pruning_check(study)
    bounds = check.bounds
    if bounds is None or not check.suffices or bounds[0] <= limits.FALSE_PRUNES.value:
        return []
    return [
        Finding(
            trial=None,
            symptom=NAME,
            severity=Severity.WARNING,
            sentence=check.sentence,
            evidence=_evidence(check, bounds[0]),
            remedies=_remedies(study),
        )
    ]


def _evidence(check: PruningCheck, low: float) -> tuple[Evidence, ...]:
    return (
        Evidence(
            quantity="false_prune_rate_low",
            first_step=None,
            last_step=None,
            value=low,
            threshold=limits.FALSE_PRUNES.value,
            source=limits.FALSE_PRUNES.source,
        ),
        Evidence(
            quantity="n_spared",
            first_step=None,
            last_step=None,
            value=float(check.n_spared),
            threshold=limits.SPARED_MIN.value,
            source=limits.SPARED_MIN.source,
        ),
    )


def _remedies(study: StudyRecord) -> tuple[Remedy, ...]:
    present = "" if study.plan is None else study.plan.pruner
    wanted = "none" if present == PATIENT else PATIENT
    action = f"Search again with --pruner {wanted}, as a study of its own."
    why = "the first epochs do not tell which trials end well"
    return (Remedy(sentence=f"{action[:-1]}: {why}.", action=action),)


SYMPTOM = StudySymptom(name=NAME, find=find)
