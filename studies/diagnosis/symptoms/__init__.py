"""One file per symptom, and this list. The order is that of a training: what can show first stands first."""

from studies.diagnosis.symptom import StudySymptom, TrialSymptom
from studies.diagnosis.symptoms import (
    abnormal_start,
    clipped_updates,
    dead_units,
    divergence,
    eager_pruning,
    early_instability,
    edge_of_range,
    evaluation_mode,
    falls_behind,
    frozen_layers,
    inconsistent_labels,
    input_scale,
    input_shift,
    leaking_data,
    loss_spikes,
    many_failures,
    noisy_objective,
    non_finite_data,
    oscillation,
    overconfidence,
    overfitting,
    plateau,
    saturating_loss,
    skewed_classes,
    slow_training,
    stale_gradients,
    too_few_trials,
    training_length,
    underfitting,
    unshuffled_data,
    vanishing_gradients,
)

TRIAL_SYMPTOMS: tuple[TrialSymptom, ...] = (
    # code
    frozen_layers.SYMPTOM,
    evaluation_mode.SYMPTOM,
    stale_gradients.SYMPTOM,
    saturating_loss.SYMPTOM,
    # data
    non_finite_data.SYMPTOM,
    leaking_data.SYMPTOM,
    skewed_classes.SYMPTOM,
    unshuffled_data.SYMPTOM,
    inconsistent_labels.SYMPTOM,
    input_shift.SYMPTOM,
    input_scale.SYMPTOM,
    # the untrained network
    abnormal_start.SYMPTOM,
    vanishing_gradients.SYMPTOM,
    # the first updates
    divergence.SYMPTOM,
    clipped_updates.SYMPTOM,
    early_instability.SYMPTOM,
    # the course
    loss_spikes.SYMPTOM,
    dead_units.SYMPTOM,
    slow_training.SYMPTOM,
    plateau.SYMPTOM,
    oscillation.SYMPTOM,
    overfitting.SYMPTOM,
    overconfidence.SYMPTOM,
    underfitting.SYMPTOM,
    # beside other trials
    falls_behind.SYMPTOM,
)
STUDY_SYMPTOMS: tuple[StudySymptom, ...] = (
    many_failures.SYMPTOM,
    edge_of_range.SYMPTOM,
    too_few_trials.SYMPTOM,
    noisy_objective.SYMPTOM,
    training_length.SYMPTOM,
    eager_pruning.SYMPTOM,
)
SYMPTOMS: tuple[str, ...] = (*(s.name for s in TRIAL_SYMPTOMS), *(s.name for s in STUDY_SYMPTOMS))

__all__ = ["STUDY_SYMPTOMS", "SYMPTOMS", "TRIAL_SYMPTOMS"]
