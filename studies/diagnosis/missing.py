"""What cannot be judged for want of evidence, and how to get it."""

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.reference import trained, trained_rows
from studies.records import StudyRecord


def missing_evidence(record: StudyRecord) -> list[str]:
    """One sentence for each kind of evidence that is missing; ``[]`` when all symptoms could be judged."""
    if not record.trials:
        return ["The study has no trials yet: run `tuner search` to add some."]
    missing = []
    if not record.complete_trials:
        missing.append("No trial completed, so there is no best one to compare with: run more trials.")
    if not record.has_telemetry:
        missing.append(
            "The trials have no telemetry, so symptoms within a training (plateau, overfitting, ...) cannot "
            "be judged: train through `tuner search`, or give `tuner.Objective(space, task)` to your study."
        )
        return missing
    read = [trial for trial in record.trials if trained_rows(trial)]
    if not any(np.any(np.isfinite(trained(trial, "validation_loss"))) for trial in read):
        missing.append(
            "No validation loss was read, so overfitting cannot be judged: keep a validation split."
        )
    longest = max((len(trained_rows(trial)) for trial in read), default=0)
    if longest <= limits.OSCILLATION_EPOCHS.value:
        needed = int(limits.OSCILLATION_EPOCHS.value) + 1
        missing.append(f"No trial has {needed} epochs, so oscillation cannot be judged: raise --epochs.")
    if longest < limits.PERSISTENCE.value:
        needed = int(limits.PERSISTENCE.value)
        missing.append(f"No trial has {needed} epochs, so learning curves cannot be judged: raise --epochs.")
    return missing
