"""What cannot be judged for want of evidence, and how to get it."""

import math
from collections.abc import Sequence

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.reference import trained, trained_rows
from studies.readings import DataProbe, Telemetry
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
            "be judged: train through `tuner search`, give `tuner.Objective(space, task)` to your study, or watch "
            "your own loop with `tuner.watch`."
        )
        return missing
    read = [trial for trial in record.trials if trained_rows(trial)]
    if read:
        missing += _missing_before_training([t.telemetry for t in read if t.telemetry is not None])
    if not any(np.any(np.isfinite(trained(trial, "validation_loss"))) for trial in read):
        missing.append(
            "No validation loss was read, so overfitting cannot be judged: keep a validation split."
        )
    if read and not any(np.any(~np.isnan(trained(trial, "train_loss"))) for trial in read):
        missing.append(
            "No train loss was read, so learning curves cannot be judged: call `watch.step(loss, inputs, targets)` "
            "after each `backward()`."
        )
    longer = "train for more of them" if record.plan is None else "raise --epochs"
    longest = max((len(trained_rows(trial)) for trial in read), default=0)
    if longest <= limits.OSCILLATION_EPOCHS.value:
        needed = int(limits.OSCILLATION_EPOCHS.value) + 1
        missing.append(
            f"No trial has {needed} epochs, so an oscillation of validation at the end of a training cannot be judged "
            f"(the train loss can show one in fewer): {longer}."
        )
    if longest < limits.PERSISTENCE.value:
        needed = int(limits.PERSISTENCE.value)
        missing.append(f"No trial has {needed} epochs, so learning curves cannot be judged: {longer}.")
    return missing


def _saw_validation(data: DataProbe) -> bool:
    """The samples themselves: how many there are shows in a loop that keeps them to itself, too."""
    return bool(data.validation_class_counts) or math.isfinite(data.overlap_fraction)


def _missing_before_training(telemetries: Sequence[Telemetry]) -> list[str]:
    """Of code, data and untrained network; the toolkit's own loop needs no look at its code."""
    missing = []
    if not any(telemetry.data is not None for telemetry in telemetries):
        missing.append(
            "No data was probed, so faults of inputs, labels and splits cannot be judged: pass inputs and targets "
            "to `watch.step`, and `validation=(x, y)` to `tuner.watch`."
        )
    elif not any(t.data is not None and _saw_validation(t.data) for t in telemetries):
        missing.append(
            "The validation samples were not seen, so copies of training samples among them, shifted inputs and "
            "skewed splits cannot be judged: pass `validation=(x, y)` to `tuner.watch`."
        )
    if not any(telemetry.step_zero is not None for telemetry in telemetries):
        missing.append(
            "The untrained network was not probed, so its start cannot be judged: call `tuner.watch` before the "
            "first step, and pass inputs and targets to `watch.step`."
        )
    return missing
