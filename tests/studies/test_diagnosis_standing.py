"""How a trial stands in its study: what excuses it, what the others prove against it, and by what it is behind."""

import dataclasses
import math
from typing import Any

import pytest

from studies.diagnosis import CauseName, Finding, Severity, diagnose_record, thresholds
from studies.diagnosis.reference import validation_error
from studies.diagnosis.standing import (
    Standing,
    behind_best,
    best_accuracy,
    is_behind,
    last_accuracy,
    standing,
)
from studies.records import Outcome, StudyRecord, TrialRecord
from tests.cases import CASES
from tests.early_cases import EARLY_CASES, with_code, with_data
from tests.made_trials import (
    LEARNING,
    RISING,
    VALIDATION_ACCURACY,
    VALIDATION_LOSS,
    good_trial,
    study_of,
    trial_of,
)

BEST = max(VALIDATION_ACCURACY)


def noise_floors(n: float) -> float:
    """An accuracy so many noise floors behind that of a good trial."""
    telemetry = good_trial().telemetry
    assert telemetry is not None
    return BEST - n * validation_error(telemetry, BEST)


def ending(accuracy: float, **changes: Any) -> TrialRecord:
    """A good training but for the accuracy that its last epoch has."""
    level = (*VALIDATION_ACCURACY[:-1], accuracy)
    return trial_of(LEARNING, RISING, VALIDATION_LOSS, level, **changes)


def among(trial: TrialRecord, n_peers: int = 3) -> StudyRecord:
    return study_of(trial, *(good_trial(n) for n in range(1, n_peers + 1)))


@pytest.mark.parametrize("floors", [-1.0, 0.5, 1.9, 2.1, 3.9, 4.1])
def test_what_a_trial_lacks_is_counted_in_noise_floors_at_its_end(floors: float) -> None:
    """The gate is two of them wide; a trial beyond four is known to be harmed."""
    trial = ending(noise_floors(floors), number=9)
    record = among(trial)
    expected = max(0.0, floors)  # the best then is the trial itself
    assert behind_best(trial, record) == pytest.approx(expected, abs=1e-9)
    assert standing(trial, record) is (Standing.HEALTHY if floors <= 2.0 else Standing.WORSE)
    assert is_behind(trial, record) is (floors > 4.0)


def test_a_good_epoch_on_the_way_is_no_good_end() -> None:
    """The best epoch is as good as that of the others, and the last one is not."""
    level = (*VALIDATION_ACCURACY[:5], BEST, *VALIDATION_ACCURACY[6:9], 0.5)
    trial = trial_of(LEARNING, RISING, VALIDATION_LOSS, level)
    assert (best_accuracy(trial), last_accuracy(trial)) == (BEST, 0.5)
    assert standing(trial, among(trial)) is Standing.WORSE


def test_nobody_can_tell_without_others_or_accuracies() -> None:
    """Two complete trials, a study that learned nothing, and losses alone: no standing at all."""
    trial = good_trial(0)
    nothing = trial_of((2.3,) * 8, (0.1,) * 8, (2.3,) * 8, (0.1,) * 8)
    losses = trial_of(LEARNING, None, VALIDATION_LOSS)
    for one, record in (
        (trial, among(trial, n_peers=1)),
        (nothing, study_of(*(dataclasses.replace(nothing, number=n) for n in range(4)))),
        (losses, study_of(*(dataclasses.replace(losses, number=n) for n in range(4)))),
    ):
        assert math.isnan(behind_best(one, record))
        assert standing(one, record) is Standing.UNKNOWN
        assert not is_behind(one, record)


def test_who_diverged_is_behind_all_and_who_was_cut_off_behind_nobody() -> None:
    """A pruned trial is no worse for not being there yet, and healthy where it is there already."""
    diverged = trial_of(
        (0.9, math.nan), (0.9, math.nan), (0.8, math.nan), (0.96, math.nan), outcome=Outcome.DIVERGED
    )
    assert behind_best(diverged, among(diverged)) == math.inf
    short = [each[:3] for each in (LEARNING, RISING, VALIDATION_LOSS, VALIDATION_ACCURACY)]
    pruned = trial_of(*short, outcome=Outcome.PRUNED)
    assert behind_best(pruned, among(pruned)) > 4.0
    assert standing(pruned, among(pruned)) is Standing.UNKNOWN
    assert not is_behind(pruned, among(pruned))
    quick = ending(BEST, outcome=Outcome.PRUNED)
    assert standing(quick, among(quick)) is Standing.HEALTHY


def faults_in(trial: TrialRecord) -> list[Finding]:
    found = diagnose_record(among(dataclasses.replace(trial, number=0)), 0)
    return [finding for finding in found if finding.severity is not Severity.NOTE]


@pytest.mark.parametrize(
    ("symptom", "is_excused"),
    [
        ("stale_gradients", False),
        ("skewed_classes", False),
        ("unshuffled_data", False),
        ("early_instability", True),
    ],
)
def test_a_place_among_the_best_excuses_what_is_the_trials_own(symptom: str, is_excused: bool) -> None:
    """An error in the code or the data is shared by all trials of a study, and by its best one."""
    case = (CASES | EARLY_CASES)[symptom]().trials[0]
    alone = [
        f.symptom for f in diagnose_record(study_of(case), case.number) if f.severity is not Severity.NOTE
    ]
    assert symptom in alone
    assert case.telemetry is not None
    rows = tuple(
        dataclasses.replace(row, validation_accuracy=BEST) if row.epoch > 0 else row
        for row in case.telemetry.epochs
    )
    good = dataclasses.replace(case, telemetry=dataclasses.replace(case.telemetry, epochs=rows), value=BEST)
    assert (symptom in [f.symptom for f in faults_in(good)]) is not is_excused


@pytest.mark.parametrize(("floors", "severity"), [(1.9, Severity.NOTE), (2.1, Severity.BLOCKER)])
def test_an_error_in_the_code_that_costs_something_is_a_fault(floors: float, severity: Severity) -> None:
    """Gradients of a few steps added are a note in a training that fits, unless others end better."""
    trial = with_code(ending(noise_floors(floors)), stale_gradient_share=0.65)
    found = [f for f in diagnose_record(among(trial), 0) if f.symptom == "stale_gradients"]
    assert [f.severity for f in found] == [severity]


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
        (behind(update_ratio=2e-3), CauseName.LEARNING_RATE_TOO_LOW),
    ],
)
def test_a_faint_sign_is_enough_where_the_harm_is_known(trial: TrialRecord, cause: CauseName) -> None:
    """The same training by itself, or among its equals, is not told that anything is wrong."""
    assert told(trial) == [(Severity.WARNING, cause)]
    assert diagnose_record(study_of(trial), 0) == []
    assert diagnose_record(study_of(*(dataclasses.replace(trial, number=n) for n in range(4))), 0) == []


@pytest.mark.parametrize("fit", [thresholds.BEHIND_FIT.value * 0.97, thresholds.BEHIND_FIT.value * 1.03])
def test_who_knows_the_data_by_heart_is_behind_for_another_reason(fit: float) -> None:
    """Below the fit nothing is blamed that more training would mend."""
    is_poor = fit > thresholds.BEHIND_FIT.value
    assert told(behind(3, fit=fit)) == [
        (Severity.WARNING, CauseName.TOO_FEW_EPOCHS) if is_poor else (Severity.NOTE, None)
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


# --- overconfidence that went on for long


def too_sure(since: int, errors: float) -> TrialRecord:
    """By so many standard errors, with a validation loss that has risen by 0.3 in the epochs since its best."""
    n, best = since + 5, 4
    losses = tuple(0.3 - 0.05 * e if e <= best else 0.1 * (1.0 + 0.3 * (e - best) / since) for e in range(n))
    accuracy, train = 0.97, tuple(0.02 * loss for loss in losses)
    telemetry = good_trial().telemetry
    assert telemetry is not None
    confidence = accuracy + errors * validation_error(telemetry, accuracy)
    return trial_of(train, (1.0,) * n, losses, (accuracy,) * n, confidence=(confidence,) * n)


@pytest.mark.parametrize(
    ("since", "errors", "severity"),
    [(21, 4.0, Severity.NOTE), (22, 4.0, Severity.WARNING), (22, 2.9, None)],
)
def test_who_went_on_long_after_the_best_need_not_know_all_by_heart(
    since: int, errors: float, severity: Severity | None
) -> None:
    """Sound trainings with such a rise stop sooner; the confidence must be sure then, too."""
    found = diagnose_record(study_of(too_sure(since, errors)), 0)
    severities = [f.severity for f in found if f.symptom == "overconfidence"]
    assert severities == ([] if severity is None else [severity])


def test_no_accuracy_excuses_overconfidence() -> None:
    """What it harms are the probabilities, in a training that answers as well as the best."""
    trial = too_sure(30, 4.0)
    assert standing(trial, among(trial)) is Standing.HEALTHY
    assert [finding.symptom for finding in faults_in(trial)] == ["overconfidence"]
