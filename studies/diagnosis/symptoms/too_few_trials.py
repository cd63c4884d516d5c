"""Too few trials: the best one stands alone, so another search of the same size may well end elsewhere."""

from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Evidence, Finding, Remedy, Severity
from studies.diagnosis.reference import validation_error
from studies.diagnosis.symptom import StudySymptom
from studies.records import StudyRecord

NAME = "too_few_trials"


def find(study: StudyRecord) -> list[Finding]:
    """Fewer than ``NEAR_BEST`` trials within the noise of the best, and fewer than ten per searched lever.

    The first is asked only where the noise is known: the objective is a validation accuracy and n_validation
    recorded. A study of given configs has all that it was made for.
    """
    if study.plan is not None and study.plan.configs:
        return []
    complete = study.complete_trials
    levers = {name for trial in complete for name, d in trial.distributions.items() if not d.single()}
    wanted = round(limits.TRIALS_PER_LEVER.value * len(levers))
    if not complete or len(complete) >= wanted:
        return []
    n_near = _n_near_best(study)
    if n_near is not None and n_near >= limits.NEAR_BEST.value:
        return []
    near = Evidence(
        quantity="n_trials_near_best",
        first_step=None,
        last_step=None,
        value=float(n_near or 0),
        threshold=limits.NEAR_BEST.value,
        source=limits.NEAR_BEST.source,
    )
    per_lever = Evidence(
        quantity="complete_trials_per_lever",
        first_step=None,
        last_step=None,
        value=len(complete) / len(levers),
        threshold=limits.TRIALS_PER_LEVER.value,
        source=limits.TRIALS_PER_LEVER.source,
    )
    total = wanted + study.counts.counted - len(complete)
    action = f"Run the same command with --trials {total}, or search fewer levers."
    alone = "" if n_near is None else f", and only {n_near} of them within the noise of the best"
    return [
        Finding(
            trial=None,
            symptom=NAME,
            severity=Severity.NOTE,
            sentence=f"{len(levers)} levers were searched with {len(complete)} complete trials{alone}.",
            evidence=(per_lever,) if n_near is None else (near, per_lever),
            remedies=(Remedy(sentence=action, action=action),),
        )
    ]


def _n_near_best(study: StudyRecord) -> int | None:
    """Complete trials within two noise floors of the best, itself included; None if the noise is unknown."""
    best = study.best
    telemetry = best.telemetry if best is not None else None
    if best is None or telemetry is None or telemetry.data is None or study.metric != "validation_accuracy":
        return None
    value = float(best.value or 0.0)
    floor = value - limits.NOISE_FLOORS.value * validation_error(telemetry, value)
    return sum(float(trial.value or 0.0) >= floor for trial in study.complete_trials)


SYMPTOM = StudySymptom(name=NAME, find=find)
