"""Edge of range: the best trials lie at a bound of a searched range, so better ones may lie beyond it."""

import math

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Evidence, Finding, Remedy, Severity
from studies.diagnosis.reference import chance_accuracy, validation_error
from studies.diagnosis.symptom import StudySymptom
from studies.records import StudyRecord, TrialRecord

NAME = "edge_of_range"
NATURAL_LOW = {
    "dropout": 0.0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "warmup_fraction": 0.0,
    "augmentation": 0.0,
    "clip_norm": 0.0,
    "plateau_patience": 0,
    "depth": 1,
}
"""Bounds beyond which a lever means nothing."""
NATURAL_HIGH = {
    "dropout": 0.9,
    "label_smoothing": 0.5,
    "warmup_fraction": 0.1,  # beyond it, warmup_too_long
    "augmentation": 1.0,
    "final_lr_fraction": 1.0,
    "step_gamma": 1.0,
    **dict.fromkeys(("one_minus_momentum", "one_minus_beta1", "one_minus_beta2", "one_minus_alpha"), 1.0),
}


def find(study: StudyRecord) -> list[Finding]:
    """Numeric levers whose best trial and most of the top ones lie near one bound, with no equal inside."""
    best = study.best
    if best is None or len(study.complete_trials) < limits.EDGE_MIN_TRIALS.value:
        return []
    findings = []
    for lever, distribution in best.distributions.items():
        position = _position(best, lever, distribution)
        if math.isnan(position):
            continue
        at_high = position >= 1.0 - limits.EDGE_FRACTION.value
        at_low = position <= limits.EDGE_FRACTION.value
        if (at_high or at_low) and (finding := _at_edge(study, lever, distribution, at_high=at_high)):
            findings.append(finding)
    return findings


def _position(trial: TrialRecord, lever: str, distribution: BaseDistribution) -> float:
    """Where the trial lies in the (log-)range, from 0 at the low bound to 1; NaN if it has no such place."""
    if trial.distributions.get(lever) != distribution or not isinstance(
        distribution, FloatDistribution | IntDistribution
    ):
        return math.nan
    low, high, value = float(distribution.low), float(distribution.high), float(trial.params[lever])
    if isinstance(distribution, IntDistribution) and high - low < 1.0 / limits.EDGE_FRACTION.value:
        # With so few values there is an edge only at the bound itself, and every value is a wide bin.
        return math.nan if value not in {low, high} or high - low < 2 else (value - low) / (high - low)
    if low == high:
        return math.nan
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _at_edge(
    study: StudyRecord, lever: str, distribution: BaseDistribution, *, at_high: bool
) -> Finding | None:
    wider = _wider_bound(lever, distribution, at_high=at_high)
    if wider is None:
        return None
    sign = -1.0 if study.is_maximized else 1.0
    ordered = sorted(study.complete_trials, key=lambda t: (sign * float(t.value or 0.0), t.number))
    n_top = max(int(limits.EDGE_TOP.value), round(limits.EDGE_FRACTION.value * len(ordered)))
    near = [_is_near(t, lever, distribution, at_high=at_high) for t in ordered]
    share = sum(near[:n_top]) / n_top
    inside = [t for t, is_near in zip(ordered, near, strict=True) if not is_near]
    if share <= limits.EDGE_SHARE.value or (inside and _is_equal(study, inside[0])):
        return None
    bound = distribution.high if at_high else distribution.low  # type: ignore[attr-defined]  # _position checked it
    side = "high" if at_high else "low"
    edit = Edit(
        kind=EditKind.WIDEN, lever=lever, low=None if at_high else wider, high=wider if at_high else None
    )
    return Finding(
        trial=None,
        symptom=NAME,
        severity=Severity.NOTE,
        sentence=f"{share:.0%} of the {n_top} best trials lie near {lever}'s {side} bound, {bound:.4g}.",
        evidence=(
            Evidence(
                quantity=f"share_of_best_near_{side}_bound",
                first_step=None,
                last_step=None,
                value=share,
                threshold=limits.EDGE_SHARE.value,
                source=limits.EDGE_SHARE.source,
            ),
        ),
        remedies=(Remedy(sentence=f"Widen {lever}: move its {side} bound to {wider:.4g}.", edits=(edit,)),),
    )


def _is_near(trial: TrialRecord, lever: str, distribution: BaseDistribution, *, at_high: bool) -> bool:
    position = _position(trial, lever, distribution)
    edge = limits.EDGE_FRACTION.value
    return position >= 1.0 - edge if at_high else position <= edge


def _is_equal(study: StudyRecord, trial: TrialRecord) -> bool:
    """Within two noise floors of the best, for an accuracy; of other objectives the noise is not known."""
    best = study.best
    if best is None or best.telemetry is None or study.metric != "validation_accuracy":
        return False
    value, reached = float(best.value or 0.0), float(trial.value or 0.0)
    if value <= chance_accuracy(best.telemetry):
        return False
    return value - reached <= limits.NOISE_FLOORS.value * validation_error(best.telemetry, value)


def _wider_bound(lever: str, distribution: BaseDistribution, *, at_high: bool) -> float | int | None:
    """Ten times further in a log range, half of the range in a linear one; None at a natural limit."""
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return None
    low, high = distribution.low, distribution.high
    if distribution.log:
        bound = high * 10 if at_high else low / 10
    else:
        bound = high + (high - low) / 2 if at_high else low - (high - low) / 2
    limit = (NATURAL_HIGH if at_high else NATURAL_LOW).get(lever)
    if limit is not None:
        bound = min(bound, limit) if at_high else max(bound, limit)
    if isinstance(distribution, IntDistribution):
        bound = math.ceil(bound) if at_high else max(math.floor(bound), 1 if low >= 1 else bound)
    bound = int(bound) if isinstance(distribution, IntDistribution) else float(f"{bound:.3g}")
    return bound if (bound > high if at_high else bound < low) else None


SYMPTOM = StudySymptom(name=NAME, find=find)
