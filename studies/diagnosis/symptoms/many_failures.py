"""Many failures: a large share of the trials diverged, or ended by an exception."""

from collections import Counter

from optuna.distributions import FloatDistribution

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Remedy, Severity
from studies.diagnosis.symptom import StudySymptom
from studies.records import Outcome, StudyRecord, TrialRecord

NAME = "many_failures"
RATE = "learning_rate"
MIN_FAILURES = 2
"""One is not many."""
MIN_DIVERGED = 2
"""One diverged trial draws no line."""


def find(study: StudyRecord) -> list[Finding]:
    """More than half of the trials without a result, or a tenth (and more than one) ended by exceptions.

    Where some completed, it takes ``INFEASIBLE_MIN_TRIALS`` to speak of half: a small grid over a wide range is meant
    to have points that diverge.
    """
    n = study.counts
    failed = [trial for trial in study.trials if trial.outcome is Outcome.FAILED or _failed_abroad(trial)]
    share = (n.diverged + n.failed) / n.counted if n.counted else 0.0
    failed_share = n.failed / n.counted if n.counted else 0.0
    is_bug = failed_share >= limits.FAILED_SHARE.value
    is_enough = not n.complete or n.counted >= limits.INFEASIBLE_MIN_TRIALS.value
    is_most = share > limits.INFEASIBLE_SHARE.value and is_enough
    if n.diverged + n.failed < MIN_FAILURES or not (is_most or is_bug):
        return []
    rule, value = (limits.INFEASIBLE_SHARE, share) if is_most else (limits.FAILED_SHARE, failed_share)
    quantity = "failed_share" if rule is limits.FAILED_SHARE else "infeasible_share"
    return [
        Finding(
            trial=None,
            symptom=NAME,
            severity=Severity.WARNING if n.complete else Severity.BLOCKER,
            sentence=_sentence(study, failed),
            causes=_causes(study),
            evidence=(
                Evidence(
                    quantity=quantity,
                    first_step=None,
                    last_step=None,
                    value=value,
                    threshold=rule.value,
                    source=rule.source,
                ),
            ),
            remedies=(*_against_divergence(study), *_against_exceptions(failed)),
        )
    ]


def _failed_abroad(trial: TrialRecord) -> bool:
    """A failed trial of a study that is not ours: no outcome was recorded."""
    return trial.state == "fail" and trial.outcome is None


def _sentence(study: StudyRecord, failed: list[TrialRecord]) -> str:
    n = study.counts
    kinds = [(n.diverged, "diverged"), (n.failed, "ended by an exception")]
    text = f"Of {n.counted} trials {' and '.join(f'{count} {kind}' for count, kind in kinds if count)}"
    commonest = _commonest_error(failed)
    return f"{text}; the most frequent one is {commonest}." if commonest else f"{text}."


def _commonest_error(failed: list[TrialRecord]) -> str:
    texts = Counter(f"{t.error.type}: {t.error.message}".strip() for t in failed if t.error is not None)
    return texts.most_common(1)[0][0].rstrip(".") if texts else ""


def _causes(study: StudyRecord) -> tuple[Cause, ...]:
    if study.counts.diverged <= study.counts.failed:
        return ()
    return (Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.7),)


def _against_exceptions(failed: list[TrialRecord]) -> tuple[Remedy, ...]:
    if not failed:
        return ()
    error = next((trial.error for trial in failed if trial.error is not None), None)
    where = f" at {error.where}" if error is not None and error.where else ""
    action = f"Repair the code{where} that raises the exception, then resume the study."
    return (
        Remedy(sentence=f"{action} A config that cannot be trained is no bug of the search.", action=action),
    )


def _against_divergence(study: StudyRecord) -> tuple[Remedy, ...]:
    """Narrow the rates to those that live; if the best is near the limit, make larger ones stable instead."""
    limit = _first_diverging_rate(study)
    if limit is None:
        return ()
    best = study.best.params.get(RATE) if study.best is not None else None
    if isinstance(best, float) and best >= limit / limits.STABILITY_LIMIT.value:
        sentence = (
            f"Set warmup_fraction to 0.05: the best rates lie at the edge of stability (about {limit:.3g})."
        )
        return (
            Remedy(sentence=sentence, edits=(Edit(kind=EditKind.FIX, lever="warmup_fraction", value=0.05),)),
            Remedy(
                sentence="Set clip_norm to 1: single large gradients no longer throw the weights off.",
                edits=(Edit(kind=EditKind.FIX, lever="clip_norm", value=1.0),),
            ),
        )
    edit = Edit(kind=EditKind.NARROW, lever=RATE, high=limit)
    return (Remedy(sentence=f"Search {RATE} below {limit:.3g}: every trial above diverged.", edits=(edit,)),)


def _first_diverging_rate(study: StudyRecord) -> float | None:
    """The lowest rate from which on every trial diverged, to three digits; None if there is no such line."""
    rates = [
        (float(trial.params[RATE]), trial.outcome is Outcome.DIVERGED)
        for trial in study.trials
        if isinstance(trial.distributions.get(RATE), FloatDistribution)
        and (trial.is_complete or trial.outcome)
    ]
    survivors = [rate for rate, diverged in rates if not diverged]
    above = [rate for rate, diverged in rates if diverged and rate > max(survivors, default=0.0)]
    if len(above) < MIN_DIVERGED or not survivors:
        return None
    return float(f"{min(above):.3g}")


SYMPTOM = StudySymptom(name=NAME, find=find)
