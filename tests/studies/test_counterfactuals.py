"""Counterfactual probes: what is asked, what the answers weigh, and what of them is shown."""

import dataclasses
import math

import pytest

from studies.diagnosis import thresholds
from studies.diagnosis.counterfactuals import (
    CHANGES,
    Change,
    changes_for,
    changes_for_findings,
    evidence_of,
    probed,
    weighed,
)
from studies.diagnosis.finding import Cause, CauseName, Finding, Severity
from studies.readings import Counterfactual, Telemetry
from studies.records import TrialRecord
from tests.made_trials import trial_of

TOO_HIGH, TOO_LOW = CauseName.LEARNING_RATE_TOO_HIGH, CauseName.LEARNING_RATE_TOO_LOW
BATCH, MOMENTUM = CauseName.BATCH_TOO_SMALL, CauseName.MOMENTUM_TOO_HIGH
EPOCHS, DECAYED = CauseName.TOO_FEW_EPOCHS, CauseName.PREMATURE_DECAY
HELD_BACK, SMALL = CauseName.OVER_REGULARIZED, CauseName.UNDERCAPACITY


def causes(**confidences: float) -> tuple[Cause, ...]:
    found = [Cause(name=CauseName(name), confidence=value) for name, value in confidences.items()]
    return tuple(sorted(found, key=lambda cause: -cause.confidence))


def answered(
    before: float = 1.0, unchanged: float = 1.0, *, batch_size: int = 128, **after: float
) -> TrialRecord:
    """A trial whose continuations came to these losses, by change."""
    trial = trial_of([1.5, 1.2, before], config={"batch_size": batch_size})
    rows = tuple(
        Counterfactual(
            change=Change(change),
            n_steps=200,
            loss_before=before,
            loss_after=loss,
            unchanged_loss_after=unchanged,
        )
        for change, loss in after.items()
    )
    assert trial.telemetry is not None
    return dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, counterfactuals=rows))


def names(ranked: tuple[Cause, ...]) -> list[CauseName]:
    return [cause.name for cause in ranked]


class TestWhatIsAsked:
    def test_only_the_changes_that_tell_the_rivals_apart_in_one_order(self) -> None:
        """A cause that is far behind, or of which a continuation says nothing, costs no continuation."""
        near = causes(learning_rate_too_high=0.6, batch_too_small=0.5, over_regularized=0.2, overfitting=0.6)
        assert changes_for(near) == (Change.LOWER_RATE, Change.LARGER_BATCH, Change.LOWER_MOMENTUM)
        near = causes(over_regularized=0.6, too_few_epochs=0.5)
        assert changes_for(near) == (
            Change.LOWER_RATE,
            Change.HIGHER_RATE,
            Change.NO_WEIGHT_DECAY,
            Change.NO_DROPOUT,
        )
        assert list(CHANGES) == list(Change)

    def test_nothing_of_a_cause_that_is_sure_or_that_no_continuation_can_judge(self) -> None:
        """A leak is no matter of the next 200 steps."""
        assert changes_for(()) == ()
        assert changes_for(causes(learning_rate_too_high=0.9, batch_too_small=0.5)) == ()
        assert changes_for(causes(target_leakage=0.5, learning_rate_too_high=0.5)) == ()

    def test_a_lone_cause_is_asked_about_while_it_is_a_guess(self) -> None:
        """What is left to try has no rival, and still is no answer."""
        assert changes_for(causes(learning_rate_too_low=0.3)) != ()
        assert changes_for(causes(learning_rate_too_low=0.7)) == ()

    def test_of_findings_only_faults_are_asked_about(self) -> None:
        """Advice on what works is not worth the time."""
        note, fault = (
            Finding(trial=0, symptom="plateau", severity=severity, sentence="", causes=found)
            for severity, found in (
                (Severity.NOTE, causes(augmentation_drift=0.4)),
                (Severity.WARNING, causes(learning_rate_too_low=0.3)),
            )
        )
        assert changes_for_findings([note]) == ()
        assert changes_for_findings([note, fault]) == changes_for(fault.causes)


class TestWhatTheAnswersSay:
    def test_without_answers_the_causes_stay(self) -> None:
        """Telemetry without continuations, or none at all."""
        listed = causes(learning_rate_too_high=0.6, batch_too_small=0.5)
        assert weighed(listed, trial_of([1.0, 0.9])) == listed
        bare = TrialRecord(number=0, state="complete", outcome=None, value=None, telemetry=Telemetry())
        assert weighed(listed, bare) == listed

    def test_where_nothing_was_in_doubt_they_change_nothing(self) -> None:
        """A benchmark tries every change on every training; a person would not have asked."""
        listed = causes(learning_rate_too_low=0.9, learning_rate_too_high=0.4)
        assert weighed(listed, answered(lower_rate=0.4)) == listed
        listed = causes(augmentation_drift=0.5, over_regularized=0.4)
        assert weighed(listed, answered(lower_rate=0.4)) == listed

    def test_they_say_nothing_of_a_leak(self) -> None:
        """A finding whose likeliest cause no continuation can judge stays as it is."""
        listed = causes(target_leakage=0.6, learning_rate_too_high=0.5)
        assert weighed(listed, answered(lower_rate=0.3)) == listed

    @pytest.mark.parametrize(
        ("trial", "first"),
        [
            (answered(lower_rate=0.5, larger_batch=0.9), TOO_HIGH),
            (answered(lower_rate=0.5, larger_batch=0.5, batch_size=128), TOO_HIGH),
            (answered(lower_rate=0.5, larger_batch=0.52, batch_size=2), BATCH),
            (answered(lower_rate=0.5, lower_momentum=0.52), MOMENTUM),
            (answered(lower_rate=0.5, lower_momentum=0.9), TOO_HIGH),
            (answered(unchanged=math.inf, lower_rate=0.9), TOO_HIGH),
            (answered(2.30, 2.299, lower_rate=2.2999, higher_rate=2.297), TOO_LOW),
            (answered(1.0, 0.8, lower_rate=0.85, higher_rate=0.78), EPOCHS),
            (answered(1.0, 0.999, lower_rate=0.9999, higher_rate=0.997, peak_rate=0.9), DECAYED),
            (answered(1.0, 1.0, lower_rate=1.0, higher_rate=1.0, peak_rate=0.4), DECAYED),
            (answered(no_weight_decay=0.6, no_dropout=0.99), HELD_BACK),
            (answered(no_weight_decay=0.99, no_dropout=0.6), HELD_BACK),
            (answered(lower_rate=0.97, higher_rate=1.1, no_weight_decay=0.99), SMALL),
            (answered(no_augmentation=0.5), CauseName.AUGMENTATION_DRIFT),
        ],
        ids=[
            "rate",
            "rate, though a larger batch would stand in for it",
            "batch",
            "momentum",
            "rate, not momentum",
            "unchanged diverged",
            "rate too low",
            "too few epochs",
            "decayed too early",
            "decayed to nothing",
            "weight decay",
            "dropout",
            "nothing helps",
            "augmentation",
        ],
    )
    def test_the_change_that_helps_names_the_cause(self, trial: TrialRecord, first: CauseName) -> None:
        """Whatever the readings thought of it before, as long as they were in doubt."""
        listed = causes(
            **dict.fromkeys(
                (
                    TOO_HIGH,
                    TOO_LOW,
                    BATCH,
                    MOMENTUM,
                    EPOCHS,
                    DECAYED,
                    HELD_BACK,
                    SMALL,
                    CauseName.AUGMENTATION_DRIFT,
                ),
                0.5,
            )
        )
        assert weighed(listed, trial)[0].name is first

    def test_it_brings_in_a_cause_that_the_readings_had_not_suggested(self) -> None:
        """Evidence of an experiment beats the lack of a sign."""
        ranked = weighed(causes(learning_rate_too_low=0.3), answered(lower_rate=0.4, higher_rate=1.5))
        assert names(ranked) == [TOO_HIGH, TOO_LOW]

    def test_what_is_left_when_nothing_helps_must_have_been_suggested(self) -> None:
        """Else every level loss would be called undercapacity."""
        listed = causes(learning_rate_too_high=0.5, over_regularized=0.4)
        ranked = weighed(listed, answered(lower_rate=0.99, no_weight_decay=0.99))
        assert set(names(ranked)) == {TOO_HIGH, HELD_BACK}
        assert max(cause.confidence for cause in ranked) < 0.5

    def test_a_dead_network_is_no_witness(self) -> None:
        """It answers no change, not even the right one."""
        listed = causes(learning_rate_too_high=0.6, undercapacity=0.5)
        ranked = weighed(listed, answered(2.3026, 2.3026, lower_rate=2.3026))
        assert ranked == listed

    def test_noise_is_no_fall(self) -> None:
        """A loss that happens to be lower with the higher rate, and with the lower one too, is level."""
        ranked = weighed(
            causes(learning_rate_too_low=0.5), answered(1.0, 0.99, lower_rate=0.97, higher_rate=0.96)
        )
        assert ranked[0].confidence < 0.5

    def test_confidences_stay_within_bounds_and_keep_their_order(self) -> None:
        """The same answer never turns two causes around, and certainty stays certainty."""
        trial = answered(lower_rate=0.4)
        for is_for in (TOO_HIGH, TOO_LOW):
            values = []
            for prior in (0.0, 0.1, 0.3, 0.6, 0.9, 1.0):
                ranked = weighed(causes(learning_rate_too_high=prior, learning_rate_too_low=prior), trial)
                values += [cause.confidence for cause in ranked if cause.name is is_for]
            assert values == sorted(values)
            assert (values[0], values[-1]) == (0.0, 1.0)

    def test_an_answer_weighs_as_much_as_its_threshold_says(self) -> None:
        """The odds are multiplied by `COUNTERFACTUAL_ODDS`."""
        (found,) = weighed(causes(learning_rate_too_high=0.5), answered(lower_rate=0.4))
        odds = thresholds.COUNTERFACTUAL_ODDS.value
        assert found.confidence == pytest.approx(odds / (1 + odds))


class TestWhatIsShown:
    def test_every_answer_stands_beside_its_threshold(self) -> None:
        """Relative losses, and for a higher rate how much faster the loss falls."""
        trial = answered(1.0, 0.9, lower_rate=0.99, higher_rate=0.7)
        shown = {row.quantity: (row.value, row.threshold) for row in evidence_of(trial, list(Change))}
        assert shown == {
            "counterfactual_unchanged": (pytest.approx(0.1), thresholds.COUNTERFACTUAL_FALL.value),
            "counterfactual_lower_rate": (pytest.approx(1.1), thresholds.COUNTERFACTUAL_HELPS.value),
            "counterfactual_higher_rate": (pytest.approx(3.0), thresholds.COUNTERFACTUAL_SPEED_UP.value),
        }
        assert all(row.source and row.last_step == 3 for row in evidence_of(trial, list(Change)))
        assert evidence_of(trial_of([1.0]), list(Change)) == ()

    def test_a_finding_gets_the_ranking_the_evidence_and_the_remedies_of_its_new_first_cause(self) -> None:
        """So what is advised first is what the experiment spoke for."""
        trial = answered(lower_rate=0.4, higher_rate=1.6)
        finding = Finding(
            trial=0,
            symptom="plateau",
            severity=Severity.WARNING,
            sentence="",
            causes=causes(learning_rate_too_low=0.5, learning_rate_too_high=0.4),
        )
        told = probed(finding, trial)
        assert told.causes[0].name is TOO_HIGH
        assert told.evidence == evidence_of(trial, list(Change))
        edit = told.remedies[0].edits[0]
        assert edit.lever == "learning_rate"
        assert float(str(edit.value)) < trial.config["learning_rate"]

    def test_a_finding_without_answers_is_left_alone(self) -> None:
        """The very same object."""
        finding = Finding(trial=0, symptom="plateau", severity=Severity.WARNING, sentence="")
        assert probed(finding, trial_of([1.0])) is finding


def test_a_wrecked_network_that_nothing_helps_tells_no_cause_from_another() -> None:
    """A loss of guessing stays that, with less momentum, a larger batch or a lower rate: no verdict."""
    rivals = causes(momentum_too_high=0.8, batch_too_small=0.7, learning_rate_too_high=0.6)
    wrecked = answered(2.40, 2.42, batch_size=4, lower_rate=2.35, larger_batch=2.41, lower_momentum=2.31)
    assert weighed(rivals, wrecked) == rivals
    alive = answered(1.0, 1.0, batch_size=4, lower_rate=0.5, larger_batch=0.99, lower_momentum=0.97)
    assert names(weighed(rivals, alive))[0] is TOO_HIGH
