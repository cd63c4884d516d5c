"""Well behind the best of a study: by what a trial is, if its readings tell."""

import dataclasses

import pytest

from studies.diagnosis import CauseName, Severity, diagnose_record, thresholds
from studies.readings import NAN
from studies.records import TrialRecord
from tests.early_cases import with_code, with_data
from tests.made_trials import (
    RISING,
    good_trial,
    study_of,
    trial_of,
    with_steps,
)
from tests.studies.standings import (
    BEST,
    among,
    behind,
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
