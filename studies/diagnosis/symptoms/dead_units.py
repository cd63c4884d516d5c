"""Dead units: most units of a layer are inactive on every image of the probe, and so can no longer learn."""

import math

from studies.diagnosis import thresholds as limits
from studies.diagnosis.causes import causes_before_training, ranked
from studies.diagnosis.curves import trailing_run
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import ends_at_chance, peer_of, poor_fit, trained, trained_rows
from studies.diagnosis.remedies import Rule, lower_rate_tenfold, remedies_for, use_leaky_relu
from studies.diagnosis.situation import Situation
from studies.diagnosis.symptom import TrialSymptom
from studies.records import StudyRecord, TrialRecord

NAME = "dead_units"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """More than half of a layer's units never active, in each of the last ``PERSISTENCE`` epochs.

    Or, from epoch 1 on, a layer that is dead as a whole, with an accuracy of chance.

    Never active on the whole probe, that is; the share of zero activations is no sign of anything (notes of
    the field: it causes 58 of one tool's 68 false alarms).
    """
    readings = trained(trial, "dead_fraction")
    n_bad = trailing_run(readings > limits.DEAD_FRACTION.value)
    lost = n_bad > 0 and readings[-1] >= limits.ALL_DEAD.value and ends_at_chance(trial)
    if n_bad < limits.PERSISTENCE.value and not lost:
        return None
    rows = trained_rows(trial)
    at_start = _dead_at_start(trial) > limits.DEAD_FRACTION.value
    since = "already before the first update" if at_start else f"since epoch {rows[-n_bad].epoch}"
    layers = [layer for layer in rows[-1].layers if layer.dead_fraction > limits.DEAD_FRACTION.value]
    where = (
        f" of layer {max(layers, key=lambda layer: layer.dead_fraction).name}" if layers else " of a layer"
    )
    # A lone training that fits well has units to spare; beside better ones, the healthy gate decides.
    harms = lost or peer_of(trial, study) is not None or poor_fit(trial, study) is not None
    causes, first = _causes(trial, at_start=at_start)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING if harms else Severity.NOTE,
        sentence=f"{readings[-1]:.0%} of the units{where} are inactive on every probed image, {since}.",
        causes=causes,
        evidence=(
            Evidence(
                quantity="dead_fraction",
                first_step=rows[-n_bad].epoch,
                last_step=rows[-1].epoch,
                value=float(readings[-1]),
                threshold=limits.DEAD_FRACTION.value,
                source=limits.DEAD_FRACTION.source,
            ),
        ),
        remedies=remedies_for(causes, Situation(trial=trial), first=first),
    )


def _causes(trial: TrialRecord, *, at_start: bool) -> tuple[tuple[Cause, ...], tuple[Rule, ...]]:
    """Why, and the remedies that come first: what was abnormal before any update is mended before the rate."""
    if at_start:
        return (Cause(name=CauseName.BAD_INITIALIZATION, confidence=0.8),), (use_leaky_relu,)
    before = causes_before_training(trial)
    during = [
        Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.7),
        Cause(name=CauseName.DYING_RELU, confidence=0.6),
    ]
    return ranked([*before, *during]), () if before else (lower_rate_tenfold, use_leaky_relu)


def _dead_at_start(trial: TrialRecord) -> float:
    """The worst layer's dead fraction before any update; 0 where it was not probed."""
    telemetry = trial.telemetry
    if telemetry is None:
        return 0.0
    probed = (
        [layer.dead_fraction for layer in telemetry.step_zero.layers]
        if telemetry.step_zero is not None
        else []
    )
    probed += [row.dead_fraction for row in telemetry.epochs if row.epoch == 0]
    return max((reading for reading in probed if math.isfinite(reading)), default=0.0)


SYMPTOM = TrialSymptom(name=NAME, find=find, leads_to=("plateau", "oscillation", "underfitting"))
