"""Each number that decides over code, data and the untrained network is where the answer changes."""

import dataclasses
from collections.abc import Callable

import pytest

from studies.diagnosis import Severity, diagnose_record, thresholds
from studies.diagnosis.symptoms.saturating_loss import lowest_of_probabilities
from studies.diagnosis.thresholds import Threshold, before_training
from studies.records import TrialRecord
from tests.crossing_trials import (
    against_guides,
    collapsing,
    copied,
    disputed,
    drifting,
    far,
    frozen,
    growing,
    inflated,
    lagging,
    misread,
    mixed_up,
    never_cleared,
    of_probabilities,
    rare,
    scaled,
    unseen,
    worse_by,
)
from tests.early_cases import (
    EARLY_CASES,
    layers,
    stuck_trial,
    with_class_accuracy,
    with_code,
    with_data,
    with_start,
)
from tests.made_trials import LN10, good_trial, study_of

Make = Callable[[float], TrialRecord]


FLOOR = lowest_of_probabilities(LN10)
ONE_OF = {"train_class_counts": (500, 500), "validation_class_counts": (125, 125)}
BOUNDARIES: dict[Threshold, tuple[Make, str, bool]] = {
    # threshold: a trial made from a reading, the cause beyond it, whether beyond is above
    thresholds.STALE_SHARE: (
        lambda x: with_code(stuck_trial(), stale_gradient_share=x),
        "stale_gradients",
        True,
    ),
    thresholds.STALE_TOO_LONG: (lambda x: with_code(stale_gradient_share=x), "stale_gradients", True),
    thresholds.STALE_FIT_ERROR: (lambda x: never_cleared(0.8, x), "stale_gradients", True),
    thresholds.STALE_FIT_RATIO: (never_cleared, "stale_gradients", True),
    thresholds.EVALUATION_TRAIN_MODE_SHARE: (
        lambda x: with_code(evaluation_in_train_mode_share=x),
        "evaluation_mode_bug",
        True,
    ),
    thresholds.TRAINING_EVAL_MODE_SHARE: (
        lambda x: with_code(stuck_trial(), training_in_eval_mode_share=x),
        "evaluation_mode_bug",
        True,
    ),
    thresholds.REPEAT_DIFFERENCE: (lambda x: with_start(repeat_difference=x), "evaluation_mode_bug", True),
    thresholds.PROBABILITY_SUM_ERROR: (lambda x: of_probabilities(FLOOR, x), "double_softmax", False),
    thresholds.LOSS_FLOOR_MARGIN: (lambda x: of_probabilities(FLOOR - x), "double_softmax", False),
    thresholds.TRAINED_BEFORE: (frozen, "frozen_layers", False),
    thresholds.INPUT_SIZE: (lambda x: scaled(0.0, x), "unnormalized_input", True),
    thresholds.INPUT_SMALLNESS: (lambda x: scaled(0.0, x), "unnormalized_input", False),
    thresholds.INPUT_OFFSET: (lambda x: scaled(x / 3.0, 1.0 / 3.0), "unnormalized_input", True),
    thresholds.OVERLAP_FRACTION: (
        lambda x: with_data(overlap_fraction=x),
        "train_validation_overlap",
        True,
    ),
    thresholds.INFLATION_UNSEEN: (lambda x: inflated(x, 0.01), "train_validation_overlap", True),
    thresholds.INFLATION_NEGLIGIBLE: (lambda x: inflated(x, 0.001), "train_validation_overlap", True),
    thresholds.LEAK_ACCURACY: (lambda x: with_data(leak_accuracy=x), "target_leakage", True),
    thresholds.LEAK_ACCURACY_FEW_CLASSES: (
        lambda x: with_data(leak_accuracy=x, **ONE_OF),
        "target_leakage",
        True,
    ),
    thresholds.IMBALANCE_RATIO: (rare, "class_imbalance", True),
    thresholds.RARE_CLASS_DEFICIT: (worse_by, "class_imbalance", True),
    thresholds.SPLIT_DRIFT: (drifting, "unstratified_split", True),
    thresholds.UNSEEN_SHARE: (unseen, "unstratified_split", True),
    thresholds.LABEL_MIXING: (lambda x: with_data(stuck_trial(), label_mixing=x), "unshuffled_data", False),
    thresholds.LABEL_MIXING_SORTED: (lambda x: with_data(label_mixing=x), "unshuffled_data", False),
    thresholds.MIXING_BATCH: (
        lambda x: with_data(good_trial(config={"batch_size": x}), label_mixing=0.1),
        "unshuffled_data",
        True,
    ),
    thresholds.LABEL_DISAGREEMENT: (lambda x: disputed(x, 0.1), "label_noise", True),
    thresholds.LABEL_DISAGREEMENT_NOISY: (lambda x: disputed(x, 0.29), "label_noise", True),
    thresholds.NOISY_ERROR: (lambda x: disputed(0.04, x), "label_noise", True),
    thresholds.DISAGREEMENT_ERRORS: (lambda x: disputed(0.2, 0.2 * x), "label_noise", True),
    thresholds.NEIGHBOR_GUIDANCE: (lambda x: disputed(0.1, 0.2, x), "label_noise", True),
    thresholds.CLEAR_DISAGREEMENT: (lambda x: mixed_up(x, 0.7), "label_noise", True),
    thresholds.CLEAR_GUIDANCE: (lambda x: mixed_up(0.3, x), "label_noise", True),
    thresholds.INPUT_SHIFT_FAR: (far, "augmentation_drift", True),
    thresholds.MISREAD_ERRORS: (misread, "evaluation_mode_bug", True),
    thresholds.INPUT_SHIFT: (lambda x: with_data(stuck_trial(), input_shift=x), "augmentation_drift", True),
    thresholds.INPUT_SHIFT_LAGGING: (lambda x: lagging(0.3, x), "augmentation_drift", True),
    thresholds.INITIAL_LOSS_EXCESS: (
        lambda x: with_start(stuck_trial(), train_loss=LN10 * (1.0 + x)),
        "bad_initialization",
        True,
    ),
    thresholds.WEIGHT_GAIN_LOW: (
        lambda x: with_start(stuck_trial(), layers=layers(weight_gain=(1.0, x, 1.0))),
        "bad_initialization",
        False,
    ),
    thresholds.WEIGHT_GAIN_HIGH: (
        lambda x: with_start(stuck_trial(), layers=layers(weight_gain=(1.0, x, 1.0))),
        "bad_initialization",
        True,
    ),
    thresholds.TWIN_FRACTION: (
        lambda x: with_start(stuck_trial(), layers=layers(twin_fraction=(x, 0.0, 0.0))),
        "bad_initialization",
        True,
    ),
    thresholds.ALL_TWINS: (copied, "bad_initialization", True),
    thresholds.COLLAPSED_WEIGHTS: (collapsing, "vanishing_gradients", True),
    thresholds.GROWTH_PER_LAYER: (growing, "exploding_gradients", True),
    thresholds.EXPLODING_RATIO: (
        lambda x: with_start(stuck_trial(), layers=layers(gradient_norm=(x, 1.0, 1.0))),
        "exploding_gradients",
        True,
    ),
}
TESTED_ELSEWHERE = {
    # in test_diagnosis_thresholds
    "VANISHING_RATIO",
    "VANISHING_NORM",
    "FADING_SLOPE",
    "DEAD_FRACTION",
    "ALL_DEAD",
    # in test_diagnosis_starts
    "STILL_DEAD",
    # counts, errors and p-values: below, and in test_diagnosis_code and test_diagnosis_data
    "UNCHANGED_READINGS",
    "OVERLAP_NOTED",
    "LEAK_FEW_CLASSES",
    "RARE_CLASS_P_VALUE",
    "RARE_CLASS_P_VALUE_STRONG",
    # in test_diagnosis_names
    "NEVER_TRAINED",
    "FADING_STEEP",
    "SPLIT_P_VALUE",
    "SHIFT_GAP",
    # in test_diagnosis_harm_and_notes
    "SHIFT_LOSS_RATIO",
    "GROWING_LAYERS",
    # in test_diagnosis_second_draw
    "ALIKE_GAINS",
    # in test_diagnosis_starts
    "MAGNIFYING_GAIN",
    "MAGNIFIED_LOSS_EXCESS",
    "FADING_LASTING",
    "BOTTLENECK_SHARE",
    "ROUNDED_UPDATE",
    # in test_diagnosis_unread
    "FROZEN_FIT_ERROR",
    "FROZEN_ERRORS",
    "IMBALANCE_UNREAD",
    "RARE_CLASS_SAMPLES",
    "FADING_LAYERS",
    "RATE_SPIKE",
}


def causes(trial: TrialRecord) -> set[str]:
    """Of all findings that are no notes."""
    found = [f for f in diagnose_record(study_of(trial), trial.number) if f.severity is not Severity.NOTE]
    return {cause.name.value for finding in found for cause in finding.causes}


@pytest.mark.parametrize("threshold", BOUNDARIES, ids=lambda threshold: threshold.unit)
def test_a_threshold_is_where_the_answer_changes(threshold: Threshold) -> None:
    """A few percent this side of the threshold nothing is said, a few percent beyond it the cause is."""
    make, found, above = BOUNDARIES[threshold]
    less, more = threshold.value * 0.97, threshold.value * 1.03
    beyond, short = (more, less) if above else (less, more)
    assert found in causes(make(beyond))
    assert found not in causes(make(short))


def test_every_early_threshold_has_its_boundary() -> None:
    """A number that no test moves across could be any number."""
    all_of_them = {name for name, value in vars(before_training).items() if isinstance(value, Threshold)}
    tested = {name for name in all_of_them if getattr(before_training, name) in BOUNDARIES}
    assert all_of_them - tested == TESTED_ELSEWHERE


@pytest.mark.parametrize(("gap", "confidence"), [(0.09, 0.6), (0.11, 0.9)])
def test_a_gap_from_the_first_epoch_makes_a_shift_surer(gap: float, confidence: float) -> None:
    """Below a tenth the shift itself is all that speaks for it."""
    (finding, *_) = diagnose_record(study_of(lagging(gap, 2.0)), 0)
    drift = next(cause for cause in finding.causes if cause.name == "augmentation_drift")
    assert drift.confidence == confidence


@pytest.mark.parametrize(("share", "n_findings"), [(0.0009, 0), (0.0011, 1)])
def test_a_few_copies_are_noted(share: float, n_findings: int) -> None:
    """A thousandth of the validation samples is worth a word."""
    assert len(diagnose_record(study_of(with_data(overlap_fraction=share)))) == n_findings


@pytest.mark.parametrize(("n_classes", "found"), [(4, False), (5, True)])
def test_one_feature_may_tell_a_few_classes(n_classes: int, found: bool) -> None:
    """An accuracy of 97% by a single feature is a leak among five classes, and luck among four."""
    counts = {"train_class_counts": (500,) * n_classes, "validation_class_counts": (125,) * n_classes}
    assert ("target_leakage" in causes(with_data(leak_accuracy=0.97, **counts))) == found


@pytest.mark.parametrize(
    ("n_train", "n_rare", "accuracy", "found"),
    [
        (20, 5, 0.8, False),
        (160, 40, 0.8, True),
        (20, 5, 0.6, True),
        (20, 10, 0.9, False),
        (20, 8, 0.75, True),
    ],
)
def test_rare_classes_must_fail_beyond_chance(
    n_train: int, n_rare: int, accuracy: float, found: bool
) -> None:
    """One of five answered wrong is no evidence, eight of forty are; two of five are where there are few to learn."""
    trial = with_data(
        train_class_counts=(4_800,) * 9 + (n_train,), validation_class_counts=(1_200,) * 9 + (n_rare,)
    )
    assert ("class_imbalance" in causes(with_class_accuracy(trial, (0.95,) * 9 + (accuracy,)))) == found


@pytest.mark.parametrize(("n_train", "found"), [(20, True), (200, False)])
def test_a_handful_of_samples_needs_less_to_be_believed(n_train: int, found: bool) -> None:
    """Three of ten wrong where one in nine is: a chance of 9 in a hundred."""
    trial = with_data(
        train_class_counts=(4_800,) * 9 + (n_train,), validation_class_counts=(1_200,) * 9 + (10,)
    )
    assert ("class_imbalance" in causes(with_class_accuracy(trial, (0.89,) * 9 + (0.7,)))) == found


@pytest.mark.parametrize(("n", "found"), [(10, False), (100, True)])
def test_a_drift_of_few_samples_is_chance(n: int, found: bool) -> None:
    """Cramer's V of 0.2 in forty samples happens; in four hundred it does not."""
    trial = with_data(
        train_class_counts=(12 * n // 5, 8 * n // 5), validation_class_counts=(2 * n // 5, 3 * n // 5)
    )
    assert ("unstratified_split" in causes(trial)) == found


@pytest.mark.parametrize(("if_right", "found"), [(0.5, False), (0.6, True)])
def test_neighbors_that_would_differ_anyway_are_no_witnesses(if_right: float, found: bool) -> None:
    """What looks alike need not be alike: of such neighbors a tenth may be contradicted without a wrong label."""
    assert ("label_noise" in causes(against_guides(if_right))) == found


@pytest.mark.parametrize("symptom", EARLY_CASES)
def test_evidence_lies_beyond_its_threshold(symptom: str) -> None:
    """Who recomputes a verdict finds no value equal to its limit, and the limit among the thresholds or zero."""
    (finding,) = diagnose_record(EARLY_CASES[symptom]())
    known = {value.value for value in vars(thresholds).values() if isinstance(value, Threshold)}
    assert all(row.threshold in {*known, 0.0, FLOOR} for row in finding.evidence)


def test_the_case_of_a_trial_without_telemetry() -> None:
    """Nothing was read, so nothing early is said."""
    bare = dataclasses.replace(good_trial(), telemetry=None)
    assert diagnose_record(study_of(bare), 0) == []
