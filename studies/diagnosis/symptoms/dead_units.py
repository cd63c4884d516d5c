"""Dead units: most units of a layer are inactive on every image of the probe, and so can no longer learn."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import crossed, n_units, start_of
from studies.diagnosis.curves import trailing_run
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.diagnosis.instability import instability
from studies.diagnosis.lever_rules import lower_rate_tenfold, use_leaky_relu
from studies.diagnosis.reference import ends_at_chance, peer_of, poor_fit, trained, trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.restraint import restraint
from studies.diagnosis.signs import signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.weighing import Suspicion, causes_of
from studies.readings import NAN, EpochReadings, Telemetry
from studies.records import StudyRecord, TrialRecord

NAME = "dead_units"


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:
    """More than half of a layer's units never active, in each of the last ``PERSISTENCE`` epochs.

    Of a layer that began so, fewer that have stayed dead. Or, from epoch 1 on, a layer that is dead as a whole, with an
    accuracy of chance.

    Never active on the whole probe, that is; the share of zero activations is no sign of anything (notes of
    the field: it causes 58 of one tool's 68 false alarms).
    """
    rows, began_dead = trained_rows(trial), _dead_before_training(trial)
    dead = trained(trial, "dead_fraction")
    still_dead = np.array([_worst_of(row, began_dead) for row in rows])
    n_bad = trailing_run((dead > limits.DEAD_FRACTION.value) | (still_dead > limits.STILL_DEAD.value))
    lost = n_bad > 0 and dead[-1] >= limits.ALL_DEAD.value and ends_at_chance(trial)
    if n_bad < limits.PERSISTENCE.value and not lost:
        return None
    at_start = bool(still_dead[-1] > limits.STILL_DEAD.value)
    value, limit = (still_dead[-1], limits.STILL_DEAD) if at_start else (dead[-1], limits.DEAD_FRACTION)
    since = "already before the first update" if at_start else f"since epoch {rows[-n_bad].epoch}"
    worst = [layer.name for layer in rows[-1].layers if layer.dead_fraction == value]
    where = f" of layer {worst[0]}" if worst else " of a layer"
    causes = _causes(trial, at_start=at_start)
    is_rate = causes[0].name is CauseName.LEARNING_RATE_TOO_HIGH
    first = (use_leaky_relu,) if at_start else (lower_rate_tenfold, use_leaky_relu) if is_rate else ()
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=Severity.WARNING,
        sentence=f"{value:.0%} of the units{where} are inactive on every probed image, {since}.",
        causes=causes,
        evidence=(
            crossed(
                "dead_fraction",
                float(value),
                limit,
                first_step=0 if at_start else rows[-n_bad].epoch,
                last_step=rows[-1].epoch,
            ),
        ),
        remedies=remedies_for(causes, Situation(trial=trial), first=first),
        stage=Stage.UNTRAINED if at_start else Stage.CURVES,
        hurts_by_itself=at_start or lost or _falls_behind(trial, study),
    )


def _falls_behind(trial: TrialRecord, study: StudyRecord) -> bool:
    """Units that die on the way may be units to spare, if the training fits; the healthy gate judges the others."""
    return peer_of(trial, study) is not None or poor_fit(trial, study) is not None


def _causes(trial: TrialRecord, *, at_start: bool) -> tuple[Cause, ...]:
    """Units that are dead before any update have biases or weights that no input can outweigh.

    Those that die later were pushed off by updates that were too large, for ever where the rate has stayed
    as it was, or once where it was a spike.
    """
    dying = CauseName.DYING_RELU
    if at_start:
        return (
            Cause(name=dying, confidence=0.8),
            Cause(name=CauseName.BAD_INITIALIZATION, confidence=0.6),
        )
    if _had_rate_spike(trial):
        return (
            Cause(name=dying, confidence=0.75),
            Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.6),
        )
    signs = signs_of(trial)
    return causes_of([*restraint(signs), *instability(signs), Suspicion(name=dying, confidence=0.55)])


def _had_rate_spike(trial: TrialRecord) -> bool:
    """Whether the learning rate was for a moment far above what it was at most other steps."""
    rates = (trial.telemetry or Telemetry()).step_series("learning_rate")
    rates = rates[np.isfinite(rates)]
    return bool(len(rates)) and float(rates.max()) > limits.RATE_SPIKE.value * float(np.median(rates))


def _dead_before_training(trial: TrialRecord) -> frozenset[str]:
    """The trainable layers most of whose units were dead before any update; none where that was not probed.

    Layers that cannot change may have been trained on other data: their units are not this training's. Of a handful of
    units, most are dead now and then by the luck of the draw.
    """
    if Situation(trial=trial).number("width") < limits.SMALL_WIDTH.value:
        return frozenset()
    probe = start_of(trial)
    return frozenset(
        layer.name
        for layer in (probe.layers if probe is not None else ())
        if layer.is_trainable
        and not n_units(layer) < limits.SMALL_WIDTH.value
        and layer.dead_fraction > limits.DEAD_FRACTION.value
    )


def _worst_of(row: EpochReadings, names: frozenset[str]) -> float:
    """The largest share of dead units in the layers of these names, or in any where they were not read one by one."""
    if not names:
        return NAN
    if not row.layers:
        return row.dead_fraction
    return max((one.dead_fraction for one in row.layers if one.name in names), default=NAN)


SYMPTOM = TrialSymptom(
    name=NAME,
    find=find,
    stage=Stage.CURVES,
    leads_to=("slow_training", "plateau", "oscillation", "underfitting"),
)
