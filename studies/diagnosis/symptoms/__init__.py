"""One file per symptom, and this list. The order is that of a training: what can show first stands first."""

from studies.diagnosis.symptom import StudySymptom, TrialSymptom
from studies.diagnosis.symptoms import (
    dead_units,
    divergence,
    edge_of_range,
    many_failures,
    oscillation,
    overfitting,
    plateau,
    too_few_trials,
    underfitting,
    vanishing_gradients,
)

TRIAL_SYMPTOMS: tuple[TrialSymptom, ...] = (
    vanishing_gradients.SYMPTOM,
    divergence.SYMPTOM,
    dead_units.SYMPTOM,
    plateau.SYMPTOM,
    oscillation.SYMPTOM,
    overfitting.SYMPTOM,
    underfitting.SYMPTOM,
)
STUDY_SYMPTOMS: tuple[StudySymptom, ...] = (
    many_failures.SYMPTOM,
    edge_of_range.SYMPTOM,
    too_few_trials.SYMPTOM,
)
SYMPTOMS: tuple[str, ...] = (*(s.name for s in TRIAL_SYMPTOMS), *(s.name for s in STUDY_SYMPTOMS))

__all__ = ["STUDY_SYMPTOMS", "SYMPTOMS", "TRIAL_SYMPTOMS"]
