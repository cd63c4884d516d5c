"""Noisy objective: seeds move the value more than the split explains, or as much as the best trials differ."""

import math
from collections.abc import Sequence

from search_spaces.edits import Edit, EditKind
from studies.diagnosis import thresholds as limits
from studies.diagnosis.finding import Cause, CauseName, Evidence, Finding, Remedy, Severity
from studies.diagnosis.lever_rules import more_dropout
from studies.diagnosis.over_study import (
    NoiseFloor,
    are_replicates,
    behind,
    in_order,
    noise_floor,
    replicates,
    sampling_error,
    spread_of,
    value_of,
)
from studies.diagnosis.reference import chance_limit
from studies.diagnosis.situation import Situation
from studies.diagnosis.symptom import StudySymptom
from studies.records import StudyRecord, TrialRecord

NAME = "noisy_objective"
LARGEST_VALIDATION_FRACTION = 0.4
"""Beyond it too little is left to train on (own design)."""


def find(study: StudyRecord) -> list[Finding]:
    """Replicates that swing more than ``SEED_SWING``: a warning. Else a top that noise cannot tell apart: a note.

    The top is the best quarter of the trials (``TOP_MIN`` at least), all within two noise floors of the best; or the
    best two trials, where they differ in nothing but their seeds.
    """
    finding = _swing(study) or _replicated_lead(study) or _lead(study)
    return [] if finding is None else [finding]


def _swing(study: StudyRecord) -> Finding | None:
    groups = [group for group in replicates(study) if any(_is_above_chance(study, trial) for trial in group)]
    spread, error, best = spread_of(groups), sampling_error(study), study.best
    if spread is None or error is None or best is None or spread.sd <= limits.SEED_SWING.value * error:
        return None
    n = sum(map(len, groups))
    evidence = _evidence("replicate_sd", spread.sd, limits.SEED_SWING.value * error, limits.SEED_SWING.source)
    return _finding(
        study,
        Severity.WARNING,
        f"Over {n} trainings that differ only in their seeds, {study.metric} swings by {spread.sd:.3g} (one standard "
        f"deviation), but the size of the validation split explains only {error:.2g}.",
        confidence=0.8,
        evidence=evidence,
        remedies=_steadying(best),
    )


def _replicated_lead(study: StudyRecord) -> Finding | None:
    """The first two of the study are one config: their difference is what a seed does, and no improvement."""
    ordered = _trained(study)
    if _is_listed(study) or len(ordered) < 2 or not are_replicates(ordered[0], ordered[1]):
        return None
    best, second = ordered[:2]
    n = 1 + sum(are_replicates(trial, best) for trial in ordered)
    evidence = _evidence("n_trainings_of_best_config", float(n), 2.0, "the same config, another seed")
    return _finding(
        study,
        Severity.NOTE,
        f"Trials {best.number} and {second.number}, the best two, have the same config and differ by "
        f"{behind(study, second, best):.2g} in {study.metric}: that is what the seed does.",
        confidence=0.9,
        evidence=evidence,
    )


def _lead(study: StudyRecord) -> Finding | None:
    ordered, floor = _trained(study), noise_floor(study)
    n_top = max(int(limits.TOP_MIN.value), math.ceil(limits.TOP_SHARE.value * len(ordered)))
    if _is_listed(study) or floor is None or len(ordered) < n_top or not _is_above_chance(study, ordered[0]):
        return None
    lead, allowed = behind(study, ordered[n_top - 1], ordered[0]), limits.NOISE_FLOORS.value * floor.value
    if lead > allowed:
        return None
    return _finding(
        study,
        Severity.NOTE,
        f"The {n_top} best of {len(ordered)} trials lie within {lead:.2g} in {study.metric}, which is noise "
        f"({_said(floor)}): which of them is best is not known.",
        confidence=0.6,
        evidence=_evidence("spread_of_top", lead, allowed, limits.TOP_SHARE.source),
        remedies=_more_validation_data(ordered[0]),
    )


def _said(floor: NoiseFloor) -> str:
    return f"{floor.sentence} is {floor.value:.2g}"


def _finding(
    study: StudyRecord,
    severity: Severity,
    sentence: str,
    *,
    confidence: float,
    evidence: Evidence,
    remedies: Sequence[Remedy] = (),
) -> Finding:
    return Finding(
        trial=None,
        symptom=NAME,
        severity=severity,
        sentence=sentence,
        causes=(Cause(name=CauseName.SEED_NOISE, confidence=confidence),),
        evidence=(evidence,),
        remedies=(_more_seeds(study), *remedies),
    )


def _evidence(quantity: str, value: float, threshold: float, source: str) -> Evidence:
    return Evidence(
        quantity=quantity, first_step=None, last_step=None, value=value, threshold=threshold, source=source
    )


def _more_seeds(study: StudyRecord) -> Remedy:
    how = "" if study.plan is None else f': tuner.confirm_study("{study.name}") in Python does it'
    action = f"Train the best configs again with new seeds before believing one of them{how}."
    return Remedy(sentence=action, action=action)


def _steadying(best: TrialRecord) -> tuple[Remedy, ...]:
    """What makes a training depend less on its seed: more dropout, and a larger validation split."""
    dropout = more_dropout(Situation(trial=best))
    return (*(() if dropout is None else (dropout,)), *_more_validation_data(best))


def _more_validation_data(best: TrialRecord) -> tuple[Remedy, ...]:
    """Twice as much, up to ``LARGEST_VALIDATION_FRACTION``; nothing where the fraction is not known."""
    fraction = Situation(trial=best).number("validation_fraction")
    wanted = float(f"{min(2.0 * fraction, LARGEST_VALIDATION_FRACTION):.3g}")
    if not 0.0 < fraction < wanted:
        return ()
    return (
        Remedy(
            sentence=f"Raise validation_fraction from {fraction:g} to {wanted:g}, in a study of its own: a larger "
            "split measures more exactly.",
            edits=(Edit(kind=EditKind.FIX, lever="validation_fraction", value=wanted),),
        ),
    )


def _is_listed(study: StudyRecord) -> bool:
    """Whether its configs were given: such a study compares by replicates, and has all that it was made for."""
    return study.plan is not None and bool(study.plan.configs)


def _trained(study: StudyRecord) -> list[TrialRecord]:
    """The complete trials in order, without those that took over another one's result."""
    return [trial for trial in in_order(study) if trial.reuses is None]


def _is_above_chance(study: StudyRecord, trial: TrialRecord) -> bool:
    """Of a validation accuracy; other objectives have no chance level that is known."""
    if study.metric != "validation_accuracy" or trial.telemetry is None:
        return True
    limit = chance_limit(trial.telemetry)  # NaN where the classes are not known
    return not value_of(trial) <= limit


SYMPTOM = StudySymptom(name=NAME, find=find)
