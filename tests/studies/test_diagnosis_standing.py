"""How a trial stands in its study: as good as the best, clearly behind it, or nobody can tell."""

import dataclasses
import math

import pytest

from studies.diagnosis import diagnose_record
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
from studies.records import Outcome
from tests import made_trials
from tests.made_trials import (
    LEARNING,
    RISING,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    good_trial,
    study_of,
    trial_of,
)
from tests.studies.standings import (
    BEST,
    among,
    fallen,
    fitting,
    noise_floors,
    reaching,
)

LUCK = 2.0 + 1.05
"""Noise floors behind the best of four from which the harm is known: Blom's (4 - 0.375) / 4.25 is 1.05 deviations."""


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
