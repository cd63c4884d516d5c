"""What a place beside the best of the study excuses, what not, and what the others prove against a trial."""

import dataclasses
import math

import pytest

from studies.diagnosis import Severity, diagnose_record, thresholds
from studies.diagnosis.standing import (
    Standing,
    standing,
)
from studies.readings import NAN
from studies.records import TrialRecord
from tests.cases import CASES
from tests.early_cases import EARLY_CASES, layers, with_code, with_data, with_start
from tests.made_trials import (
    good_trial,
    study_of,
)
from tests.studies.standings import (
    BEST,
    among,
    among_the_best,
    behind,
    fitting,
    noise_floors,
    reaching,
    severities,
)


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


def test_where_the_accuracy_alone_counts_a_poorer_fit_is_none() -> None:
    """As in the proof of a remedy, which says by the accuracy what it gains."""
    dead = layers(dead_fraction=(0.6,) * 3, weight_norm=(5.0,) * 3)
    case = among_the_best(with_start(good_trial(dead=0.6), layers=dead))
    assert case.telemetry is not None
    rows = tuple(dataclasses.replace(row, probe_accuracy=0.85) for row in case.telemetry.epochs)
    poor = dataclasses.replace(case, telemetry=dataclasses.replace(case.telemetry, epochs=rows))
    record = among(poor, peer=fitting(0.95, 0.0))
    assert standing(poor, record) is Standing.FITS_WORSE
    for weighs_fit in (True, False):
        found = diagnose_record(record, 0, weighs_fit=weighs_fit)
        told = {each.symptom for each in found if each.severity is not Severity.NOTE}
        assert ("dead_units" in told) is weighs_fit
