"""Frozen layers: the weights of a layer never change, though nothing says that they should not."""

import math
from collections.abc import Sequence

from studies.diagnosis import thresholds as limits
from studies.diagnosis.before_training import code_of, crossed, crossed_late, falls_short, start_of
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Severity
from studies.diagnosis.reference import trained_rows
from studies.diagnosis.remedies import remedies_for
from studies.diagnosis.signs import signs_of
from studies.diagnosis.situation import Situation
from studies.diagnosis.stages import Stage
from studies.diagnosis.symptom import TrialSymptom
from studies.diagnosis.thresholds import Threshold
from studies.readings import EpochReadings, LayerProbe, LayerReadings
from studies.records import StudyRecord, TrialRecord

NAME = "frozen_layers"
NONE_ALLOWED = Threshold(
    value=0, unit="layers", source="every layer that needs a gradient must get and use it"
)


def find(trial: TrialRecord, study: StudyRecord) -> Finding | None:  # noqa: ARG001 - a symptom's shape
    """Layers without gradient or optimizer, layers that stand still while others move, or untrainable layers.

    Untrainable layers that were trained before are frozen by design: a note. Large ones that are as an initialization
    leaves them are a fault where the accuracy falls short; layers too small to tell by their weights where even the
    training data is fitted poorly, as random features are; others where harm shows.
    """
    return _cut_off(trial) or _standing_still(trial) or _untrainable(trial)


def _cut_off(trial: TrialRecord) -> Finding | None:
    """Layers that require a gradient and get none, or get one that no optimizer uses."""
    code = code_of(trial)
    if code is None:
        return None
    detached, forgotten = code.n_layers_without_gradient, code.n_layers_not_optimized
    if forgotten and not any(layer.is_trainable for layer in _probed(trial)) and _probed(trial):
        return _found(
            trial,
            "The optimizer holds none of the model's weights, as if it were another model's: nothing is trained.",
            (crossed("n_layers_not_optimized", float(forgotten), NONE_ALLOWED),),
            severity=Severity.BLOCKER,
        )
    if not detached and (not forgotten or _is_pretrained(trial)):
        return None
    said = [
        f"{n} {'layer' if n == 1 else 'layers'} {what}"
        for n, what in ((detached, "never got a gradient"), (forgotten, "missing in the optimizer"))
        if n
    ]
    counts = (("n_layers_without_gradient", detached), ("n_layers_not_optimized", forgotten))
    evidence = tuple(crossed(name, float(n), NONE_ALLOWED) for name, n in counts if n)
    return _found(trial, f"The loop leaves weights as they are: {' and '.join(said)}.", evidence)


def _is_pretrained(trial: TrialRecord) -> bool:
    """Whether a layer that cannot change was trained before: then only a new head is to be trained, by design.

    Small layers do not show it, so that one which does speaks for all.
    """
    return any(layer.spectral_ratio >= limits.TRAINED_BEFORE.value for layer in _untrainable_layers(trial))


def _standing_still(trial: TrialRecord) -> Finding | None:
    """A trainable layer that gets a gradient, or did before any update, and whose weights never change.

    Not one at or before a layer whose units are all dead: no gradient comes through, and that is what is wrong. Nor one
    whose gradients are so small that the weights cannot hold the difference.
    """
    rows = trained_rows(trial)
    if len(rows) < limits.UNCHANGED_READINGS.value or any(len(r.layers) != len(rows[0].layers) for r in rows):
        return None
    updates = [[row.layers[i].update_ratio for row in rows] for i in range(len(rows[0].layers))]
    if not any(ratio > 0.0 for ratios in updates for ratio in ratios):
        return None
    unusable = {layer.name for layer in _untrainable_layers(trial)}
    first_alive = _n_cut_off_by_dead_units(rows)
    still = [
        rows[0].layers[i].name
        for i, ratios in enumerate(updates)
        if i >= first_alive
        and all(ratio == 0.0 for ratio in ratios)
        and rows[0].layers[i].name not in unusable
        and any(row.layers[i].gradient_norm > 0.0 for row in rows)
        and not all(_rounds_away(row.layers, i) for row in rows)
    ]
    if not still:
        return None
    evidence = Evidence(
        quantity="n_unchanged_readings",
        first_step=rows[0].epoch,
        last_step=rows[-1].epoch,
        value=float(len(rows)),
        threshold=limits.UNCHANGED_READINGS.value,
        source=limits.UNCHANGED_READINGS.source,
    )
    sentence = (
        f"The weights of {_listed(still)} never changed in {len(rows)} epochs, though they get gradients."
    )
    return _found(trial, sentence, (evidence,))


def _rounds_away(layers: Sequence[LayerReadings], at: int) -> bool:
    """Whether a layer's update is below the precision, by what the next layer that moves makes of its gradient.

    False where none does, or where one of the norms was not read.
    """
    own = layers[at]
    after = next((layer for layer in layers[at + 1 :] if layer.update_ratio > 0.0), None)
    if after is None or not (after.gradient_norm > 0.0 and own.weight_norm > 0.0):
        return False
    share = (own.gradient_norm / own.weight_norm) / (after.gradient_norm / after.weight_norm)
    return after.update_ratio * share < limits.ROUNDED_UPDATE.value


def _n_cut_off_by_dead_units(rows: Sequence[EpochReadings]) -> int:
    """How many layers, from the input on, lie at or before one that is dead as a whole at the end."""
    dead = [i for i, layer in enumerate(rows[-1].layers) if layer.dead_fraction >= limits.ALL_DEAD.value]
    return max(dead, default=-1) + 1


def _untrainable(trial: TrialRecord) -> Finding | None:
    """Layers none of whose parameters can change: by design if they were trained before."""
    layers = _untrainable_layers(trial)
    if not layers or len(layers) == len(_probed(trial)):
        return None
    said = f"The weights of {_listed([layer.name for layer in layers])} cannot change"
    ratio = max((r for layer in layers if math.isfinite(r := layer.spectral_ratio)), default=math.nan)
    spectrum = crossed("spectral_ratio", ratio, limits.TRAINED_BEFORE, first_step=0)
    if _is_pretrained(trial):
        said = f"{said}; they were trained before, so this is probably meant so."
        return _found(trial, said, (spectrum,), severity=Severity.NOTE, hurts_by_itself=False)
    distance = min(
        (d for layer in layers if math.isfinite(d := layer.initialization_distance)), default=math.nan
    )
    if math.isnan(distance) and math.isfinite(ratio):
        return _too_small_to_tell(trial, said, spectrum)
    if not distance < limits.NEVER_TRAINED.value:
        said = f"{said}, and show no sign of an earlier training."
        return _found(trial, said, (spectrum,), hurts_by_itself=False)
    return _found(
        trial,
        f"{said}, and are as an initialization leaves them: they were never trained.",
        (crossed("initialization_distance", distance, limits.NEVER_TRAINED, first_step=0), spectrum),
        hurts_by_itself=falls_short(trial),
    )


def _too_small_to_tell(trial: TrialRecord, said: str, spectrum: Evidence) -> Finding:
    """Layers whose weights tell nothing are judged by what the network makes of the data that it was trained on."""
    signs = signs_of(trial)
    error = 1.0 - signs.late("probe_accuracy")
    both = error + signs.late_error
    if not (error > limits.FROZEN_FIT_ERROR.value or both > limits.FROZEN_ERRORS.value):
        said = f"{said}, and show no sign of an earlier training."
        return _found(trial, said, (spectrum,), hurts_by_itself=False)
    is_poor = error > limits.FROZEN_FIT_ERROR.value
    misfit = crossed_late(
        "probe_error" if is_poor else "probe_and_validation_error",
        error if is_poor else both,
        limits.FROZEN_FIT_ERROR if is_poor else limits.FROZEN_ERRORS,
        signs,
    )
    wrong = f"{error:.0%} of the training data" + (
        "" if is_poor else f" and {signs.late_error:.0%} of validation"
    )
    said = f"{said}, show no sign of an earlier training, and leave {wrong} wrong."
    return _found(trial, said, (misfit, spectrum))


def _found(
    trial: TrialRecord,
    sentence: str,
    evidence: tuple[Evidence, ...],
    *,
    severity: Severity = Severity.WARNING,
    hurts_by_itself: bool = True,
) -> Finding:
    causes = (Cause(name=CauseName.FROZEN_LAYERS, confidence=0.95 if hurts_by_itself else 0.7),)
    return Finding(
        trial=trial.number,
        symptom=NAME,
        severity=severity,
        sentence=sentence,
        causes=causes,
        evidence=evidence,
        remedies=remedies_for(causes, Situation(trial=trial)),
        hurts_by_itself=hurts_by_itself,
    )


def _probed(trial: TrialRecord) -> tuple[LayerProbe, ...]:
    probe = start_of(trial)
    return probe.layers if probe is not None else ()


def _untrainable_layers(trial: TrialRecord) -> list[LayerProbe]:
    return [layer for layer in _probed(trial) if not layer.is_trainable]


def _listed(names: list[str]) -> str:
    return f"layer {names[0]}" if len(names) == 1 else f"layers {', '.join(names)}"


SYMPTOM = TrialSymptom(name=NAME, find=find, stage=Stage.CODE)
