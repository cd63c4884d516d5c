"""How a trial stands in its study: what excuses it, what the others prove against it, and by what it is behind."""

import dataclasses
import math
from typing import Any

import pytest

from studies.diagnosis import CauseName, Severity, diagnose_record, thresholds
from studies.diagnosis.reference import validation_error
from studies.diagnosis.standing import (
    Standing,
    behind_best,
    best_accuracy,
    end_accuracy,
    far_behind,
    is_behind,
    standing,
)
from studies.readings import NAN
from studies.records import Outcome, StudyRecord, TrialRecord
from tests import made_trials
from tests.cases import CASES
from tests.early_cases import EARLY_CASES, layers, with_code, with_data, with_start
from tests.made_trials import (
    LEARNING,
    RISING,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    good_trial,
    study_of,
    trial_of,
    with_steps,
)

BEST = max(VALIDATION_ACCURACY)
LUCK = 2.0 + 1.05
"""Noise floors behind the best of four from which the harm is known: Blom's (4 - 0.375) / 4.25 is 1.05 deviations."""


def noise_floors(n: float) -> float:
    """An accuracy so many noise floors behind that of a good trial."""
    telemetry = good_trial().telemetry
    assert telemetry is not None
    return BEST - n * validation_error(telemetry, BEST)


def reaching(accuracy: float, **changes: Any) -> TrialRecord:
    """A good training but for its accuracy, which grows to this and no higher."""
    level = (*(min(each, accuracy) for each in VALIDATION_ACCURACY[:-1]), accuracy)
    return trial_of(LEARNING, RISING, VALIDATION_LOSS, level, **changes)


def fallen(accuracy: float, **changes: Any) -> TrialRecord:
    """As good as any in the sixth epoch, and not at the end."""
    level = (*VALIDATION_ACCURACY[:5], BEST, *VALIDATION_ACCURACY[6:9], accuracy)
    return trial_of(LEARNING, RISING, VALIDATION_LOSS, level, **changes)


def among(trial: TrialRecord, n_peers: int = 3, peer: TrialRecord | None = None) -> StudyRecord:
    """Beside good trials, or so many of another one."""
    return study_of(
        trial, *(dataclasses.replace(peer or good_trial(), number=n) for n in range(1, n_peers + 1))
    )


@pytest.mark.parametrize("floors", [0.5, 1.9, 2.1, LUCK - 0.1, LUCK + 0.1])
def test_what_a_trial_lacks_is_counted_in_noise_floors(floors: float) -> None:
    """The gate is two of them wide; beyond that and the luck of the best a trial is known to be harmed."""
    trial = reaching(noise_floors(floors), number=9)
    record = among(trial)
    assert behind_best(trial, record) == pytest.approx(floors, abs=1e-9)
    assert standing(trial, record) is (Standing.HEALTHY if floors <= 2.0 else Standing.WORSE)
    assert is_behind(trial, record) is (floors > LUCK)


def test_the_best_of_many_is_lucky() -> None:
    """By Blom's scores: what is far behind the best of a hundred equal trials is not so behind the best of four."""
    for n, luck in ((4, 1.05), (20, 1.87), (100, 2.50), (1000, 3.23)):
        record = study_of(*(good_trial(number) for number in range(n)))
        assert far_behind(record) == pytest.approx(2.0 + luck, abs=0.01)


def test_a_good_epoch_on_the_way_is_no_good_end_and_no_bad_one_either() -> None:
    """It is judged by itself, unless it was stopped early: then the weights of that epoch are what it leaves."""
    trial = fallen(0.5)
    assert (best_accuracy(trial), end_accuracy(trial)) == (BEST, 0.5)
    assert standing(trial, among(trial)) is Standing.UNKNOWN
    assert standing(fallen(noise_floors(1.9)), among(trial)) is Standing.HEALTHY
    stopped = fallen(0.5, outcome=Outcome.STOPPED_EARLY)
    assert end_accuracy(stopped) == BEST
    assert standing(stopped, among(stopped)) is Standing.HEALTHY


def test_the_best_is_never_behind_itself() -> None:
    """It is healthy if it ends as it was at its best, and else judged by itself."""
    sound, sagged = reaching(0.99), trial_of(LEARNING, RISING, VALIDATION_LOSS, (0.99,) * 9 + (0.7,))
    for trial, expected in ((sound, Standing.HEALTHY), (sagged, Standing.UNKNOWN)):
        record = among(trial)
        assert record.best is trial
        assert (behind_best(trial, record), standing(trial, record)) == (0.0, expected)
        assert "falls_behind" not in {finding.symptom for finding in diagnose_record(record)}


def test_nobody_can_tell_without_others_or_accuracies() -> None:
    """Two complete trials, a study that learned nothing, losses alone, a loss as the objective: no standing."""
    trial = good_trial(0)
    nothing = trial_of((2.3,) * 8, (0.1,) * 8, (2.3,) * 8, (0.1,) * 8)
    losses = trial_of(LEARNING, None, VALIDATION_LOSS)
    by_loss = dataclasses.replace(among(trial), direction="minimize", metric="validation_loss")
    for one, record in (
        (trial, among(trial, n_peers=1)),
        (nothing, study_of(*(dataclasses.replace(nothing, number=n) for n in range(4)))),
        (losses, study_of(*(dataclasses.replace(losses, number=n) for n in range(4)))),
        (trial, by_loss),
    ):
        assert math.isnan(behind_best(one, record))
        assert standing(one, record) is Standing.UNKNOWN
        assert not is_behind(one, record)


def test_no_errors_in_a_few_samples_are_no_certainty() -> None:
    """Of 360 all are right in the best and three are wrong in the other: the floor is that of two wrong answers."""
    few = dataclasses.replace(made_trials.DATA, n_validation=360, validation_class_counts=(36,) * 10)
    best = trial_of(LEARNING, RISING, VALIDATION_LOSS, (1.0,) * 10, data=few, number=1)
    other = trial_of(LEARNING, RISING, VALIDATION_LOSS, (357 / 360,) * 10, data=few)
    record = study_of(other, best, *(dataclasses.replace(other, number=n) for n in (2, 3)))
    by_hand = (3 / 360) / math.sqrt((358 / 360) * (2 / 360) / 360)
    assert behind_best(other, record) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(2.13, abs=0.01)


def test_who_diverged_is_behind_all_and_who_was_cut_off_behind_nobody() -> None:
    """A pruned trial is no worse for not being there yet, and healthy where it is there already."""
    diverged = trial_of(
        (0.9, math.nan), (0.9, math.nan), (0.8, math.nan), (0.96, math.nan), outcome=Outcome.DIVERGED
    )
    assert behind_best(diverged, among(diverged)) == math.inf
    short = [each[:3] for each in (LEARNING, RISING, VALIDATION_LOSS, VALIDATION_ACCURACY)]
    pruned = trial_of(*short, outcome=Outcome.PRUNED)
    assert behind_best(pruned, among(pruned)) > LUCK
    assert standing(pruned, among(pruned)) is Standing.UNKNOWN
    assert not is_behind(pruned, among(pruned))
    quick = reaching(BEST, outcome=Outcome.PRUNED)
    assert standing(quick, among(quick)) is Standing.HEALTHY


def fitting(fit: float, floors: float = 1.0, **code: Any) -> TrialRecord:
    """A watched training that ends so many noise floors behind, with such an accuracy on training samples."""
    end = noise_floors(floors)
    level = (*(min(each, end) for each in VALIDATION_ACCURACY[:-1]), end)
    trial = trial_of(
        LEARNING, RISING, VALIDATION_LOSS, level, probe_accuracy=(fit,) * 10, probe_loss=LEARNING, number=0
    )
    return with_code(with_data(trial, label_mixing=1.0), **({"stale_gradient_share": 0.0} | code))


@pytest.mark.parametrize(
    ("best", "own", "expected"),
    [
        (0.95, 0.95 - 1.9 * math.sqrt(0.95 * 0.05 / 512), Standing.HEALTHY),
        (0.95, 0.95 - 2.1 * math.sqrt(0.95 * 0.05 / 512), Standing.FITS_WORSE),
        (0.95, 0.99, Standing.HEALTHY),
        (1.0, 1.0 - 1.9 * math.sqrt(510 / 512 * 2 / 512 / 512), Standing.HEALTHY),
        (1.0, 1.0 - 2.1 * math.sqrt(510 / 512 * 2 / 512 / 512), Standing.FITS_WORSE),
        (0.95, NAN, Standing.HEALTHY),
        (NAN, 0.5, Standing.HEALTHY),
    ],
)
def test_who_fits_the_training_data_clearly_worse_is_not_as_good(
    best: float, own: float, expected: Standing
) -> None:
    """Few validation samples hide what a poorer fit shows: such a trial is judged by itself, and not called worse."""
    trial = fitting(own)
    record = among(trial, peer=fitting(best, floors=0.0))
    assert standing(trial, record) is expected


def test_the_fit_of_a_small_train_split_is_noisier() -> None:
    """No more samples are read than there are."""
    few = dataclasses.replace(made_trials.DATA, n_train=128, train_class_counts=(13,) * 10)
    best = fitting(0.95, floors=0.0)
    assert best.telemetry is not None
    small = dataclasses.replace(best, telemetry=dataclasses.replace(best.telemetry, data=few))
    trial = fitting(0.95 - 1.9 * math.sqrt(0.95 * 0.05 / 128))
    assert standing(trial, among(trial, peer=small)) is Standing.HEALTHY
    assert standing(trial, among(trial, peer=best)) is Standing.FITS_WORSE


def test_a_poorer_fit_counts_against_an_error_that_is_known() -> None:
    """Gradients of a few steps added, beside a best that clears them and fits clearly better."""
    best = fitting(0.95, floors=0.0)
    for fit, severity in ((0.95, Severity.NOTE), (0.90, Severity.BLOCKER)):
        trial = fitting(fit, stale_gradient_share=0.65)
        assert severities(trial, among(trial, peer=best)) == {"stale_gradients": severity}
    shared = fitting(0.95, floors=0.0, stale_gradient_share=0.65)
    trial = fitting(0.90, stale_gradient_share=0.65)
    assert severities(trial, among(trial, peer=shared)) == {"stale_gradients": Severity.NOTE}
    assert severities(fitting(0.90), among(fitting(0.90), peer=best)) == {}


def among_the_best(case: TrialRecord) -> TrialRecord:
    """The same training as good as any within a noise floor, and no better than a good one."""
    assert case.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, validation_accuracy=noise_floors(1.0), probe_accuracy=0.95)
        if row.epoch > 0
        else row
        for row in case.telemetry.epochs
    )
    telemetry = dataclasses.replace(case.telemetry, epochs=rows)
    return dataclasses.replace(case, telemetry=telemetry, value=noise_floors(1.0), number=0)


@pytest.mark.parametrize(
    ("symptom", "beside_one_without", "beside_one_like_it"),
    [
        ("stale_gradients", True, False),
        ("unshuffled_data", True, False),
        ("skewed_classes", False, False),
        ("input_shift", True, True),  # of an augmentation, which differs from trial to trial
        ("early_instability", True, True),
    ],
)
def test_a_place_among_the_best_excuses_what_an_accuracy_would_show(
    symptom: str, beside_one_without: bool, beside_one_like_it: bool
) -> None:
    """An error in the code only beside a best that does not have it; an error in the data never."""
    case = (CASES | EARLY_CASES)[symptom]().trials[0]
    assert severities(case, study_of(case))[symptom] is not Severity.NOTE
    good = among_the_best(case)
    same = dataclasses.replace(good, value=BEST)
    for peer, is_excused in ((fitting(0.95, 0.0), beside_one_without), (same, beside_one_like_it)):
        record = among(good, peer=peer)
        assert record.best is not good
        assert standing(good, record) is Standing.HEALTHY
        assert (severities(good, record)[symptom] is Severity.NOTE) is is_excused


def test_an_excused_error_says_what_it_was_measured_by() -> None:
    """A reader would mend it anyway."""
    good = among_the_best((CASES | EARLY_CASES)["stale_gradients"]().trials[0])
    (finding,) = diagnose_record(among(good, peer=fitting(0.95, 0.0)), 0)
    assert finding.sentence.endswith(
        "A trial without it is no better: nothing shows that it costs this one anything."
    )


@pytest.mark.parametrize(
    ("floors_of_others", "n_others", "is_told"),
    [(1.9, 3, False), (2.3, 3, True), (0.0, 0, True)],
    ids=["as good without it", "worse without it", "all have it"],
)
def test_the_best_too_is_excused_for_an_error_that_the_study_has_measured(
    floors_of_others: float, n_others: int, is_told: bool
) -> None:
    """Beside the best of those without it; who is worse than the trial shows nothing."""
    best = fitting(0.95, floors=0.0, stale_gradient_share=0.9)
    without = [dataclasses.replace(fitting(0.95, floors_of_others), number=n + 1) for n in range(n_others)]
    alike = [dataclasses.replace(best, number=n) for n in (8, 9)]
    record = study_of(best, *without, *alike)
    assert record.best is best
    assert (severities(best, record)["stale_gradients"] is not Severity.NOTE) is is_told


def test_an_error_is_not_excused_beside_a_better_trial_or_a_poor_one() -> None:
    """Whoever does not have it is better; or is as poor as the trial is, and the best has the error."""
    trial = fitting(0.95, 2.5, stale_gradient_share=0.9)
    assert severities(trial, among(trial, peer=fitting(0.95, 0.0)))["stale_gradients"] is not Severity.NOTE
    poor, without = fitting(0.95, 4.0, stale_gradient_share=0.9), fitting(0.95, 4.0)
    best = fitting(0.95, 0.0, stale_gradient_share=0.9)
    record = study_of(*(dataclasses.replace(each, number=n) for n, each in enumerate((poor, without, best))))
    assert severities(record.trials[0], record)["stale_gradients"] is not Severity.NOTE


@pytest.mark.parametrize(
    ("other", "is_told"),
    [
        (fitting(0.95, 0.0), False),
        (fitting(NAN, 0.0), True),
        (fitting(0.95, 0.0, stale_gradient_share=NAN), True),
        (dataclasses.replace(good_trial(), value=BEST), True),
    ],
    ids=["read alike", "no fit", "no such reading", "not watched"],
)
def test_a_trial_that_was_not_looked_at_alike_shows_nothing(other: TrialRecord, is_told: bool) -> None:
    """Nobody knows that it does not have the error, or that it fits as well."""
    trial = fitting(0.95, stale_gradient_share=0.9)
    told = severities(trial, among(trial, peer=other))["stale_gradients"]
    assert (told is not Severity.NOTE) is is_told


@pytest.mark.parametrize(
    "floors", [limit + by for limit in (thresholds.ERROR_FIT_FLOORS.value,) for by in (-0.1, 0.1)]
)
def test_an_error_is_not_excused_that_costs_much_of_the_fit(floors: float) -> None:
    """It is where an error that does harm does it first."""
    best = fitting(0.95, floors=0.0)
    trial = fitting(0.95 - floors * math.sqrt(0.95 * 0.05 / 512), stale_gradient_share=0.9)
    is_told = severities(trial, among(trial, peer=best))["stale_gradients"] is not Severity.NOTE
    assert is_told is (floors > thresholds.ERROR_FIT_FLOORS.value)


@pytest.mark.parametrize(("floors", "severity"), [(1.9, Severity.NOTE), (2.1, Severity.BLOCKER)])
def test_an_error_in_the_code_that_costs_something_is_a_fault(floors: float, severity: Severity) -> None:
    """Gradients of a few steps added are a note in a training that fits, unless others end better."""
    trial = with_code(reaching(noise_floors(floors)), stale_gradient_share=0.65)
    assert severities(trial, among(trial)) == {"stale_gradients": severity}


def severities(trial: TrialRecord, record: StudyRecord) -> dict[str, Severity]:
    return {finding.symptom: finding.severity for finding in diagnose_record(record, trial.number)}


def test_what_the_best_has_too_is_not_what_a_trial_is_worse_by() -> None:
    """The same error in all trials, and the same raw inputs, explain no difference between them."""
    for anomaly, lacking in (
        ({"stale_gradient_share": 0.65}, reaching(noise_floors(2.5))),
        ({"stale_gradient_share": 0.65}, behind()),
    ):
        trial, best = with_code(lacking, **anomaly), with_code(**anomaly)
        assert severities(trial, among(trial))["stale_gradients"] is not Severity.NOTE
        assert severities(trial, among(trial, peer=best))["stale_gradients"] is Severity.NOTE
    raw = {"input_max": 255.0, "input_mean": 33.0, "input_std": 78.0}
    trial, best = with_data(behind(3), **raw), with_data(**raw)
    assert severities(trial, among(trial, peer=best)) == {
        "input_scale": Severity.NOTE,
        "falls_behind": Severity.WARNING,
    }


@pytest.mark.parametrize(("floors", "severity"), [(2.5, Severity.NOTE), (6.0, Severity.WARNING)])
def test_layers_that_may_be_frozen_by_design_are_no_known_error(floors: float, severity: Severity) -> None:
    """Only where any harm is known are they blamed for it."""
    frozen = layers(
        is_trainable=(False, True, True), spectral_ratio=(1.0, NAN, NAN), initialization_distance=(9.0,) * 3
    )
    trial = with_start(reaching(noise_floors(floors)), layers=frozen)
    assert severities(trial, among(trial))["frozen_layers"] is severity


# --- falls_behind


def behind(epochs: int = 10, *, fit: float = 0.5, floors: float = 6.0, **changes: Any) -> TrialRecord:
    """A training that ends so many noise floors behind, with a train loss of ``fit`` times that of validation.

    The validation loss falls to half over the last doubling of the epochs, and then no more than by a hundredth.
    """
    losses = tuple(0.3 if n < epochs // 2 else 0.15 for n in range(epochs))
    level = (*(noise_floors(floors + 2.0),) * (epochs - 1), noise_floors(floors))
    probe = 1.0 - fit * (1.0 - level[-1])
    return trial_of(
        tuple(fit * loss for loss in losses),
        (probe,) * epochs,
        losses,
        level,
        probe_loss=tuple(fit * loss for loss in losses),
        probe_accuracy=(probe,) * epochs,
        **changes,
    )


def told(trial: TrialRecord) -> list[tuple[Severity, CauseName | None]]:
    """Of falling behind: the severity and the first cause."""
    found = [f for f in diagnose_record(among(trial), 0) if f.symptom == "falls_behind"]
    return [(f.severity, f.causes[0].name if f.causes else None) for f in found]


@pytest.mark.parametrize(
    ("trial", "cause"),
    [
        (behind(3), CauseName.TOO_FEW_EPOCHS),
        (behind(config={"width": 4, "depth": 1}), CauseName.UNDERCAPACITY),
        (behind(update_ratio=1.5e-3), CauseName.LEARNING_RATE_TOO_LOW),
        (behind(dead=0.35), CauseName.DYING_RELU),
        (behind(config={"optimizer": "sgd", "momentum": 0.97}), CauseName.MOMENTUM_TOO_HIGH),
        (behind(config={"batch_size": 4}), CauseName.BATCH_TOO_SMALL),
    ],
)
def test_a_faint_sign_is_enough_where_the_harm_is_known(trial: TrialRecord, cause: CauseName) -> None:
    """The same training by itself, or among its equals, is not told that anything is wrong."""
    assert told(trial) == [(Severity.WARNING, cause)]
    assert diagnose_record(study_of(trial), 0) == []
    assert diagnose_record(study_of(*(dataclasses.replace(trial, number=n) for n in range(4))), 0) == []


@pytest.mark.parametrize(("n_steps", "cause"), [(120, CauseName.LEARNING_RATE_TOO_LOW), (130, None)])
def test_a_short_way_is_one_of_small_updates(n_steps: int, cause: CauseName | None) -> None:
    """Updates of 0.4% of the weights: 120 of them are less than half of the weights' norm, 130 are more."""
    short = with_steps(behind(update_ratio=4e-3), (0.1,) * n_steps, (0.01,) * n_steps, n_epochs=10)
    found = diagnose_record(among(short, peer=good_trial(update_ratio=1e-2)), 0)
    causes = [f.causes[0].name if f.causes else None for f in found if f.symptom == "falls_behind"]
    assert causes == [cause]


@pytest.mark.parametrize(
    ("own", "of_best", "n_of_best", "cause"),
    [
        (0.02, 0.09, 140, CauseName.LEARNING_RATE_TOO_LOW),
        (0.02, 0.07, 140, None),  # more than a quarter
        (0.02, 0.09, 60, None),  # as far in fewer steps
    ],
)
def test_a_quarter_of_the_bests_updates_are_small_ones(
    own: float, of_best: float, n_of_best: int, cause: CauseName | None
) -> None:
    """Though no network by itself would be told that updates of 2% are small."""
    trial = with_steps(behind(update_ratio=own), (0.1,) * 130, (0.01,) * 130, n_epochs=10)
    steps = ((0.1,) * n_of_best, (0.01,) * n_of_best)
    best = with_steps(good_trial(update_ratio=of_best), *steps, n_epochs=10)
    found = diagnose_record(among(trial, peer=best), 0)
    causes = [f.causes[0].name if f.causes else None for f in found if f.symptom == "falls_behind"]
    assert causes == [cause]


@pytest.mark.parametrize(
    ("trial", "best"),
    [
        (behind(3), trial_of((0.2, 0.1, 0.08), RISING[:3], (0.3, 0.2, 0.1), (0.95, 0.96, BEST))),
        (behind(config={"width": 4, "depth": 1}), good_trial(config={"width": 4, "depth": 1})),
        (behind(update_ratio=2e-3), good_trial(update_ratio=3.9e-3)),
        (behind(dead=0.35), good_trial(dead=0.18)),
        (behind(dead=0.35), good_trial(dead=NAN)),
        (
            behind(config={"optimizer": "sgd", "momentum": 0.97}),
            good_trial(config={"optimizer": "sgd", "momentum": 0.96}),
        ),
        (behind(config={"batch_size": 4}), good_trial(config={"batch_size": 8})),
    ],
)
def test_no_cause_is_named_that_the_best_has_too(trial: TrialRecord, best: TrialRecord) -> None:
    """As few epochs, as few units, updates that are not even twice as large."""
    found = [f for f in diagnose_record(among(trial, peer=best), 0) if f.symptom == "falls_behind"]
    assert [(f.severity, f.causes) for f in found] == [(Severity.NOTE, ())]


@pytest.mark.parametrize("fit", [thresholds.BEHIND_FIT.value * 0.97, thresholds.BEHIND_FIT.value * 1.03])
def test_who_knows_the_data_by_heart_is_behind_for_another_reason(fit: float) -> None:
    """Below the fit nothing is blamed that more training would mend."""
    is_poor = fit > thresholds.BEHIND_FIT.value
    assert told(behind(3, fit=fit)) == [
        (Severity.WARNING, CauseName.TOO_FEW_EPOCHS) if is_poor else (Severity.NOTE, None)
    ]


def test_few_units_are_blamed_however_well_they_fit() -> None:
    """They know the data by heart in a way that carries no further."""
    assert told(behind(fit=0.1, config={"width": 4, "depth": 1})) == [
        (Severity.WARNING, CauseName.UNDERCAPACITY)
    ]


def test_a_trial_that_nothing_explains_is_a_note_and_no_news_to_its_study() -> None:
    """Asked for by number it is told; a search is meant to meet worse configs than its best."""
    trial = behind(update_ratio=4e-3)
    assert told(trial) == [(Severity.NOTE, None)]
    (finding,) = diagnose_record(among(trial), 0)
    assert "behind trial 1, the study's best (97.0%): its own readings do not tell why." in finding.sentence
    assert diagnose_record(among(trial)) == []


@pytest.mark.parametrize(
    ("anomaly", "symptom"),
    [
        (with_code(behind(), stale_gradient_share=0.4), "stale_gradients"),
        (with_data(behind(), input_max=255.0, input_mean=33.0, input_std=78.0), "input_scale"),
    ],
)
def test_being_behind_is_the_harm_that_an_earlier_anomaly_did(anomaly: TrialRecord, symptom: str) -> None:
    """What is a note in a training that nobody can compare is a fault beside better ones."""
    (alone,) = diagnose_record(study_of(anomaly), 0)
    assert (alone.symptom, alone.severity) == (symptom, Severity.NOTE)
    (beside,) = diagnose_record(among(anomaly), 0)
    assert beside.symptom == symptom
    assert beside.severity is not Severity.NOTE
    assert beside.consequences == ("falls_behind",)
