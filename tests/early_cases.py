"""Studies that show exactly one symptom of the code, the data or the untrained network, and controls beside them.

As in `tests.cases` all is made by hand. A case that its anomaly harms shows the harm too: an anomaly alone is a note.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from studies.readings import NAN, CodeProbe, LayerProbe
from studies.records import StudyRecord, TrialRecord
from tests.made_trials import (
    DATA,
    HEALTHY_LAYERS,
    LEARNING,
    LN10,
    RISING,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    good_trial,
    step_zero,
    study_of,
    trial_of,
)

SOUND_CODE = CodeProbe(
    stale_gradient_share=0.0,
    training_in_eval_mode_share=0.0,
    evaluation_in_train_mode_share=0.0,
    loss_kind="cross_entropy",
)


def with_code(trial: TrialRecord | None = None, **changes: Any) -> TrialRecord:
    """A watched training, good but for its code."""
    known = trial or good_trial()
    assert known.telemetry is not None
    code = dataclasses.replace(SOUND_CODE, **changes)
    return dataclasses.replace(known, telemetry=dataclasses.replace(known.telemetry, code=code))


def with_data(trial: TrialRecord | None = None, **changes: Any) -> TrialRecord:
    """A training, good but for its data."""
    known = trial or good_trial()
    assert known.telemetry is not None
    data = dataclasses.replace(DATA, **changes)
    return dataclasses.replace(known, telemetry=dataclasses.replace(known.telemetry, data=data))


def with_start(trial: TrialRecord | None = None, **changes: Any) -> TrialRecord:
    """A training, good but for the untrained network."""
    known = trial or good_trial()
    assert known.telemetry is not None
    return dataclasses.replace(
        known, telemetry=dataclasses.replace(known.telemetry, step_zero=step_zero(**changes))
    )


def layers(**changes: Any) -> tuple[LayerProbe, ...]:
    """The usual layers; each change is a sequence of one value a layer."""
    rows = [LayerProbe(name=name, gradient_norm=norm, dead_fraction=0.1) for name, norm in HEALTHY_LAYERS]
    return tuple(
        dataclasses.replace(row, **{name: values[i] for name, values in changes.items()})
        for i, row in enumerate(rows)
    )


def stuck_trial(**changes: Any) -> TrialRecord:
    """A loss that stays at that of guessing."""
    n = 8
    return trial_of((2.303,) * n, (0.11,) * n, (2.302,) * n, (0.11,) * n, update_ratio=1e-3, **changes)


def with_weight_norm(trial: TrialRecord, norm: float) -> TrialRecord:
    """Of every layer, after every epoch."""
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(
            row, layers=tuple(dataclasses.replace(layer, weight_norm=norm) for layer in row.layers)
        )
        for row in trial.telemetry.epochs
    )
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))


def with_class_accuracy(trial: TrialRecord, accuracies: tuple[float, ...]) -> TrialRecord:
    assert trial.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, class_accuracy=accuracies) if row.epoch else row
        for row in trial.telemetry.epochs
    )
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))


# --- One symptom each


def frozen_layers() -> StudyRecord:
    return study_of(with_code(n_layers_not_optimized=1))


def evaluation_mode() -> StudyRecord:
    return study_of(with_code(evaluation_in_train_mode_share=1.0))


def stale_gradients() -> StudyRecord:
    return study_of(with_code(stale_gradient_share=0.998))


def saturating_loss() -> StudyRecord:
    """Accuracy rises as it should, and the loss cannot follow: its floor is 1.4612."""
    losses = tuple(1.4612 + loss / 2.0 for loss in LEARNING)
    validation = tuple(1.4612 + loss / 2.0 for loss in VALIDATION_LOSS)
    trial = trial_of(losses, RISING, validation, VALIDATION_ACCURACY)
    return study_of(with_start(trial, output_low=0.02, output_high=0.31, output_sum_error=1e-7))


def non_finite_data() -> StudyRecord:
    return study_of(with_data(n_non_finite=12))


def leaking_data() -> StudyRecord:
    return study_of(with_data(overlap_fraction=0.4))


def skewed_classes() -> StudyRecord:
    """Two of ten classes are forty times rarer, and answered by half as well."""
    train, validation = (4_800,) * 8 + (120,) * 2, (1_200,) * 8 + (30,) * 2
    trial = with_data(train_class_counts=train, validation_class_counts=validation)
    return study_of(with_class_accuracy(trial, (0.97,) * 8 + (0.45,) * 2))


def unshuffled_data() -> StudyRecord:
    return study_of(with_data(label_mixing=0.05))


def inconsistent_labels() -> StudyRecord:
    """A fifth of the labels are wrong on both splits; the network has learned the others."""
    losses = tuple(0.9 + loss for loss in LEARNING)
    accuracies = tuple(0.8 * a for a in RISING)
    validation = tuple(0.8 * a for a in VALIDATION_ACCURACY)
    trial = trial_of(losses, accuracies, tuple(0.9 + v for v in VALIDATION_LOSS), validation)
    return study_of(with_data(trial, label_disagreement=0.17))


def input_shift() -> StudyRecord:
    """Trained on inverted images, asked about upright ones."""
    validation = tuple(a - 0.3 for a in VALIDATION_ACCURACY)
    trial = trial_of(LEARNING, RISING, tuple(v + 1.0 for v in VALIDATION_LOSS), validation)
    return study_of(with_data(trial, input_shift=2.4))


def input_scale() -> StudyRecord:
    return study_of(with_data(stuck_trial(), input_max=255.0, input_mean=33.0, input_std=78.0))


def abnormal_start() -> StudyRecord:
    return study_of(with_start(stuck_trial(), train_loss=60.0, layers=layers(weight_gain=(14.0, 8.0, 8.0))))


EARLY_CASES: dict[str, Callable[[], StudyRecord]] = {
    case.__name__: case
    for case in (
        frozen_layers,
        evaluation_mode,
        stale_gradients,
        saturating_loss,
        non_finite_data,
        leaking_data,
        skewed_classes,
        unshuffled_data,
        inconsistent_labels,
        input_shift,
        input_scale,
        abnormal_start,
    )
}


# --- Controls: odd, and at most worth a note


def _trained_before() -> StudyRecord:
    return study_of(
        with_start(
            layers=layers(is_trainable=(False, True, True), spectral_ratio=(3.4, NAN, NAN)),
        )
    )


def _frozen_random_without_harm() -> StudyRecord:
    return study_of(
        with_start(layers=layers(is_trainable=(False, True, True), spectral_ratio=(1.0, NAN, NAN)))
    )


def _right_loss_of_probabilities() -> StudyRecord:
    """The logarithm is taken before nll_loss: the loss falls far below 1.4612."""
    trial = with_start(output_low=0.02, output_high=0.31, output_sum_error=1e-7)
    return study_of(with_code(trial, loss_kind="nll"))


def _imbalance_of_three() -> StudyRecord:
    train, validation = (4_800,) * 5 + (1_600,) * 5, (1_200,) * 5 + (400,) * 5
    trial = with_data(train_class_counts=train, validation_class_counts=validation)
    return study_of(with_class_accuracy(trial, (0.98,) * 5 + (0.9,) * 5))


def _imbalance_without_harm() -> StudyRecord:
    train, validation = (4_800,) * 9 + (100,), (1_200,) * 9 + (25,)
    trial = with_data(train_class_counts=train, validation_class_counts=validation)
    return study_of(with_class_accuracy(trial, (0.97,) * 9 + (0.96,)))


def _head_alone_in_the_optimizer() -> StudyRecord:
    """The usual way to train a new head on a pretrained body."""
    pretrained = layers(is_trainable=(False, False, True), spectral_ratio=(3.4, 2.2, NAN))
    return study_of(with_code(with_start(layers=pretrained), n_layers_not_optimized=2))


CONTROLS: dict[str, Callable[[], StudyRecord]] = {
    "sound_code": lambda: study_of(with_code()),
    "accumulated_gradients": lambda: study_of(with_code(stale_gradient_share=0.0)),
    "some_passes_without_gradient_in_train_mode": lambda: study_of(
        with_code(evaluation_in_train_mode_share=0.5)
    ),
    "layers_trained_before": _trained_before,
    "head_alone_in_the_optimizer": _head_alone_in_the_optimizer,
    "frozen_random_layers_without_harm": _frozen_random_without_harm,
    "right_loss_of_probabilities": _right_loss_of_probabilities,
    "few_natural_copies": lambda: study_of(with_data(overlap_fraction=0.004)),
    "easy_data_of_two_classes": lambda: study_of(
        with_data(
            leak_accuracy=0.97,
            n_leak_features=1,
            train_class_counts=(500, 500),
            validation_class_counts=(120, 130),
        )
    ),
    "imbalance_of_three": _imbalance_of_three,
    "imbalance_without_harm": _imbalance_without_harm,
    "three_percent_of_wrong_labels": lambda: study_of(with_data(label_disagreement=0.03)),
    "disputed_labels_that_are_learned": lambda: study_of(with_data(label_disagreement=0.08)),
    "minibatches_of_two": lambda: study_of(with_data(good_trial(config={"batch_size": 2}), label_mixing=0.4)),
    "small_shuffle_buffer": lambda: study_of(with_data(label_mixing=0.7)),
    "augmentation_that_shifts_inputs_and_helps": lambda: study_of(with_data(input_shift=0.6)),
    "raw_pixels_behind_batch_normalization": lambda: study_of(
        with_data(input_max=255.0, input_mean=33.0, input_std=78.0)
    ),
    "initial_loss_somewhat_high": lambda: study_of(with_start(train_loss=1.6 * LN10)),
    "outputs_all_zero_at_first": lambda: study_of(
        with_start(train_loss=LN10, layers=layers(weight_gain=(1.4, 1.4, 0.0), twin_fraction=(0.0, 0.0, 1.0)))
    ),
}
"""No warning may come of these."""
