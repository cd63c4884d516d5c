"""What is said where the reading that would tell is missing: by other direct evidence, or not at all."""

import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record
from studies.readings import NAN
from studies.records import TrialRecord
from tests.early_cases import layers, with_class_accuracy, with_data, with_start
from tests.made_trials import LEARNING, RISING, VALIDATION_LOSS, study_of, trial_of

UNSEEN = {"validation_class_counts": (), "overlap_fraction": NAN, "moved_fraction": NAN, "input_shift": NAN}
"""What a loop shows of its validation data that gives nothing but numbers."""


def faults(trial: TrialRecord) -> list[Finding]:
    return [each for each in diagnose_record(study_of(trial), 0) if each.severity is not Severity.NOTE]


def first_cause(trial: TrialRecord) -> CauseName | None:
    found = faults(trial)
    return found[0].causes[0].name if found else None


# --- classes


@pytest.mark.parametrize(
    ("most", "fewest", "found"),
    [(500, 45, True), (500, 53, False), (440, 45, False), (3_000, 53, False), (3_000, 10, True)],
)
def test_a_class_of_a_few_samples_is_a_fault_where_nobody_can_say_that_it_is_learned(
    most: int, fewest: int, found: bool
) -> None:
    """Ten times as rare as others, and fewer than fifty: a handful, and not a share, is what cannot be learned."""
    trial = with_data(train_class_counts=(most,) * 9 + (fewest,), **UNSEEN)
    assert first_cause(trial) == (CauseName.CLASS_IMBALANCE if found else None)


def test_a_rare_class_that_is_seen_to_be_learned_is_a_note() -> None:
    """The same few samples, and forty validation samples of theirs that are answered as well as the others."""
    trial = with_data(train_class_counts=(3_000,) * 9 + (10,), validation_class_counts=(1_000,) * 9 + (40,))
    assert not faults(with_class_accuracy(trial, (0.97,) * 10))


def test_an_imbalance_comes_before_a_training_that_bursts() -> None:
    """What learned nothing cannot say which classes it knows: the data is the earlier stage."""
    losses, chance = (30.0, 25.0, 20.0, 10.0, 5.0, 2.3, 2.3, 2.3), (0.15,) * 8
    trial = with_data(
        trial_of(losses, chance, losses, chance),
        train_class_counts=(290,) * 7 + (6, 2, 6),
        validation_class_counts=(72,) * 7 + (2, 1, 1),
    )
    found = faults(with_class_accuracy(trial, (0.15,) * 10))
    assert found[0].causes[0].name is CauseName.CLASS_IMBALANCE
    assert "divergence" in found[0].consequences


# --- layers


@pytest.mark.parametrize(
    ("error", "validation", "found"),
    [(0.06, 0.06, False), (0.1, 0.06, True), (0.06, 0.08, False), (0.06, 0.09, True), (0.01, 0.12, False)],
)
def test_small_frozen_layers_are_judged_by_the_fit(error: float, validation: float, found: bool) -> None:
    """Their weights do not show whether they were trained; random features leave the training data unlearned."""
    trial = trial_of(
        LEARNING,
        RISING,
        VALIDATION_LOSS,
        (1.0 - validation,) * len(RISING),
        probe_accuracy=(1.0 - error,) * len(RISING),
    )
    frozen = layers(is_trainable=(False, True, True), spectral_ratio=(0.9, NAN, NAN))
    assert first_cause(with_start(trial, layers=frozen)) == (CauseName.FROZEN_LAYERS if found else None)


# --- inputs


def lagging(gap: float, probe_gap: float, **changes: object) -> TrialRecord:
    behind = tuple(accuracy - gap for accuracy in RISING)
    probe = tuple(accuracy + probe_gap for accuracy in behind)
    losses = tuple(loss + 1.0 for loss in VALIDATION_LOSS)
    return with_data(trial_of(LEARNING, RISING, losses, behind, probe_accuracy=probe), **changes)


@pytest.mark.parametrize(
    ("gap", "probe_gap", "found"), [(0.2, 0.3, True), (0.2, 0.05, False), (0.05, 0.3, False)]
)
def test_validation_that_lags_from_the_first_epoch_on_is_of_another_kind(
    gap: float, probe_gap: float, found: bool
) -> None:
    """A first epoch's samples are new to the network, too; batch statistics would cost them as much in eval mode."""
    shifts = [each for each in faults(lagging(gap, probe_gap, **UNSEEN)) if each.symptom == "input_shift"]
    assert bool(shifts) == found
    assert not shifts or shifts[0].causes[0].name is CauseName.AUGMENTATION_DRIFT


def test_inputs_that_were_seen_decide_over_the_lag() -> None:
    """The same curves over inputs that do not differ are no drift."""
    assert "input_shift" not in {each.symptom for each in faults(lagging(0.2, 0.3, input_shift=0.02))}


@pytest.mark.parametrize(
    ("counts", "first"),
    [
        ((400,) * 8 + (0,) * 2, CauseName.UNSTRATIFIED_SPLIT),
        ((400,) * 10, CauseName.AUGMENTATION_DRIFT),
        ((400,) * 10 + (0,) * 90, CauseName.AUGMENTATION_DRIFT),
        ((30,) * 8 + (0,) * 2, CauseName.AUGMENTATION_DRIFT),
    ],
    ids=["two missing", "all there", "a head for a hundred classes", "few samples of each"],
)
def test_a_lag_is_the_splits_where_train_lacks_classes(counts: tuple[int, ...], first: CauseName) -> None:
    """The network has outputs for them; of a handful of samples a class may be missing by chance."""
    trial = lagging(0.2, 0.3, **{**UNSEEN, "train_class_counts": counts})
    assert next(each for each in faults(trial) if each.symptom == "input_shift").causes[0].name is first


@pytest.mark.parametrize(
    ("n_absent", "gap", "is_named"), [(1, 0.4, True), (0, 0.4, False), (1, 0.12, False)], ids=str
)
def test_a_gap_that_opens_later_is_the_splits_too_where_train_lacks_classes(
    n_absent: int, gap: float, is_named: bool
) -> None:
    """Who learns slowly is as bad on training samples at first; what opens the gap is the class that train lacks."""
    counts = (400,) * (10 - n_absent) + (0,) * n_absent
    accuracies = (0.5, 0.7, 0.85, 0.95, *(1.0,) * 4)
    behind = (0.5, *(min(accuracy, 1.0 - gap) for accuracy in accuracies[1:]))
    trial = trial_of((1.5, 0.8, 0.4, 0.2, 0.1, 0.05, 0.02, 0.01), accuracies, (1.6, *(2.0,) * 7), behind)
    found = faults(with_data(trial, **{**UNSEEN, "train_class_counts": counts}))
    first = found[0].causes[0].name if found else None
    assert (first is CauseName.UNSTRATIFIED_SPLIT) is is_named
