"""What is wrong with a study as a whole: each claim by hand-made trials whose values anyone can add up."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from studies.diagnosis import CauseName, Finding, Severity
from studies.diagnosis import thresholds as limits
from studies.diagnosis.over_study import are_replicates, in_order, noise_floor, replicates, spread_of
from studies.diagnosis.pruning import PruningCheck, pruning_check
from studies.diagnosis.symptoms import STUDY_SYMPTOMS, many_failures, noisy_objective, training_length
from studies.diagnosis.verdict import best_in_words
from studies.proportions import wilson_bounds
from studies.records import Outcome, StudyRecord, TrialRecord
from tests import made_trials
from tests.made_trials import study_of
from tests.study_cases import STUDY_CASES, replicates_of, spared, still_improving, trained


def found_in(study: StudyRecord) -> list[Finding]:
    """By the symptoms of studies alone."""
    return [finding for symptom in STUDY_SYMPTOMS for finding in symptom.find(study)]


def listed(study: StudyRecord) -> StudyRecord:
    """The same, of configs that were given."""
    assert study.plan is not None
    return dataclasses.replace(
        study, plan=dataclasses.replace(study.plan, configs=({"seed": 1}, {"seed": 2}))
    )


@pytest.mark.parametrize("name", list(STUDY_CASES))
def test_each_case_shows_its_symptom_and_no_other(name: str) -> None:
    """With evidence beyond its threshold, and something to do."""
    (finding,) = found_in(STUDY_CASES[name]())
    assert (finding.symptom, finding.trial) == (name, None)
    assert all(row.value > row.threshold for row in finding.evidence)
    assert finding.remedies


# --- replicates and noise


def test_replicates_share_all_but_their_seeds() -> None:
    """Two seeds of one config are a group; another width, the same seed again and a result taken over are not."""
    a, b = replicates_of((0.8, 0.9))
    again = dataclasses.replace(b, number=2)
    reused = dataclasses.replace(b, number=3, reuses=1, config={**b.config, "seed": 9})
    other = trained(4, 0.9, seed=5)
    assert replicates(study_of(a, b, again, reused, other)) == [(a, b)]
    assert are_replicates(a, b)
    assert not are_replicates(b, again)
    assert not are_replicates(a, other)


def test_configs_without_a_seed_are_not_known_to_be_the_same() -> None:
    """A watched loop may show only its rate: equal rates are no replicates."""
    watched = [trained(n, 0.9, config={"learning_rate": 0.1}) for n in range(4)]
    seeded = trained(4, 0.9, config={"learning_rate": 0.1, "seed": 1})
    assert replicates(study_of(*watched, seeded)) == []
    assert not are_replicates(watched[0], seeded)


def test_the_spread_is_pooled_over_groups_about_their_own_means() -> None:
    """Two configs with different means and the same scatter: as by hand."""
    groups = [[trained(0, 0.5), trained(1, 0.7)], [trained(2, 0.8), trained(3, 0.9), trained(4, 1.0)]]
    spread = spread_of(groups)
    assert spread is not None
    assert spread.df == 3
    assert spread.sd == pytest.approx(math.sqrt((2 * 0.1**2 + 2 * 0.1**2) / 3))
    assert spread_of(groups[:1]) is None, "one pair gives no deviation"


def test_the_noise_floor_is_of_replicates_else_of_one_training() -> None:
    """Replicates say it exactly; else the validation split's size; else, of another metric, nothing does."""
    values = (0.80, 0.90, 0.84, 0.92)
    by_seeds = noise_floor(study_of(*replicates_of(values)))
    assert by_seeds is not None
    assert by_seeds.quantity == "replicate_sd"
    assert by_seeds.value == pytest.approx(np.std(values, ddof=1))
    alone = noise_floor(study_of(trained(0, 0.9)))
    assert alone is not None
    assert (alone.quantity, alone.value) == ("standard_error", pytest.approx(math.sqrt(0.9 * 0.1 / 400)))
    jumping = {epoch: 0.8 + 0.1 * (epoch % 2) for epoch in range(1, 21)}
    jittery = noise_floor(study_of(trained(0, 0.9, intermediate_values=jumping)))
    assert jittery is not None
    assert jittery.quantity == "late_epoch_sd"
    assert noise_floor(study_of(trained(0, 0.9), metric="seconds")) is None
    assert noise_floor(study_of()) is None


# --- noisy objective


def test_a_swing_between_seeds_names_the_seed_and_what_steadies() -> None:
    """More seeds first, then more dropout, then a larger validation split; by its cause, seed_noise."""
    (finding,) = noisy_objective.find(STUDY_CASES["noisy_objective"]())
    assert finding.severity is Severity.WARNING
    assert [cause.name for cause in finding.causes] == [CauseName.SEED_NOISE]
    assert "new seeds" in (finding.remedies[0].action or "")
    assert [edit.lever for remedy in finding.remedies for edit in remedy.edits] == [
        "dropout",
        "validation_fraction",
    ]
    assert finding.remedies[-1].edits[0].value == 0.4


def test_seeds_that_differ_as_the_split_explains_are_no_swing() -> None:
    """Five seeds within a standard error, in a study of given configs: nothing to say."""
    quiet = study_of(*replicates_of((0.900, 0.905, 0.895, 0.902, 0.898)))
    assert noisy_objective.find(listed(quiet)) == []


def test_a_swing_at_chance_is_no_noise_of_seeds() -> None:
    """Networks that guess differ by luck alone."""
    assert noisy_objective.find(listed(study_of(*replicates_of((0.05, 0.11, 0.02, 0.14, 0.10))))) == []


def test_two_seeds_of_one_config_are_no_improvement() -> None:
    """The do-nothing test: the better seed is not a better config, and that is a note."""
    (finding,) = noisy_objective.find(study_of(*replicates_of((0.90, 0.92))))
    assert (finding.severity, finding.causes[0].name) == (Severity.NOTE, CauseName.SEED_NOISE)
    assert "same config" in finding.sentence
    assert all(not remedy.edits for remedy in finding.remedies)


def test_a_top_within_noise_is_noted_and_a_clear_winner_is_not() -> None:
    """The five best of twenty trials within two standard errors: nobody knows the winner. 0.1 apart, one does."""
    tied = study_of(*(trained(n, 0.90 - 0.001 * n) for n in range(20)))
    (finding,) = noisy_objective.find(tied)
    assert finding.severity is Severity.NOTE
    assert "5 best of 20" in finding.sentence
    clear = study_of(*(trained(n, 0.90 - 0.02 * n) for n in range(20)))
    assert noisy_objective.find(clear) == []


@pytest.mark.parametrize(
    "changes", [{"metric": "seconds"}, {"plan": False}], ids=["another metric", "a foreign study"]
)
def test_where_the_noise_is_not_known_nothing_is_said_of_it(changes: dict[str, Any]) -> None:
    """A foreign study's value may be anything."""
    bare = [trained(n, 0.9, telemetry=None) for n in range(20)]
    assert noisy_objective.find(study_of(*bare, **changes)) == []


def test_few_trials_or_given_ones_are_no_top() -> None:
    """Four equal trials, and twenty of a list: neither search has a top to be torn between."""
    assert noisy_objective.find(study_of(*(trained(n, 0.9) for n in range(4)))) == []
    assert noisy_objective.find(listed(study_of(*(trained(n, 0.9) for n in range(20))))) == []


# --- training length


def test_late_bests_within_noise_are_the_end_of_a_training() -> None:
    """The best epoch is the last in every good training: only a gain beyond noise asks for more epochs."""
    flat = {epoch: 0.9 - 0.01 / epoch for epoch in range(1, 13)}
    assert (
        training_length.find(study_of(*(trained(n, 0.9, intermediate_values=flat) for n in range(20)))) == []
    )


def test_early_bests_ask_for_fewer_epochs() -> None:
    """At their best in epoch 2 of 40: three times that is plenty, and a note."""
    early = {epoch: 0.9 - 0.005 * abs(epoch - 2) for epoch in range(1, 41)}
    record = study_of(*(trained(n, 0.9, intermediate_values=early) for n in range(12)))
    (finding,) = training_length.find(record)
    assert finding.severity is Severity.NOTE
    assert finding.remedies[0].edits[0].to_json() == {"kind": "fix", "lever": "epochs", "value": 6}


def test_only_trainings_that_ran_to_their_end_are_asked_for_their_length() -> None:
    """What stopped early, and what is too few, says nothing of the epochs."""
    stopped = [dataclasses.replace(still_improving(n, 0.9), outcome=Outcome.STOPPED_EARLY) for n in range(20)]
    assert training_length.find(study_of(*stopped)) == []
    assert training_length.find(study_of(*(still_improving(n, 0.9) for n in range(8)))) == []


def test_a_loss_is_looked_at_from_below() -> None:
    """Of a metric to minimize the lowest epoch is the best."""
    losses = {epoch: 1.0 + 0.005 * abs(epoch - 2) for epoch in range(1, 41)}
    trials = (trained(n, 1.0, intermediate_values=losses) for n in range(12))
    record = dataclasses.replace(study_of(*trials, metric="validation_loss"), direction="minimize")
    (finding,) = training_length.find(record)
    assert finding.evidence[0].quantity == "share_with_best_epoch_early"


# --- many failures


def diverged(number: int) -> TrialRecord:
    return dataclasses.replace(trained(number, 0.0), value=None, state="pruned", outcome=Outcome.DIVERGED)


def test_a_small_grid_may_diverge_at_its_far_end() -> None:
    """Two of three points diverged and the third is good: a wide range, no fault. Four of six is one."""
    good = trained(9, 0.9)
    assert many_failures.find(study_of(diverged(0), diverged(1), good)) == []
    assert many_failures.find(study_of(*(diverged(n) for n in range(4)), good, trained(10, 0.9)))
    assert many_failures.find(study_of(diverged(0), diverged(1))), "nothing at all is left to use"


# --- pruning


def test_false_is_a_spared_trial_among_the_best_that_beats_the_typical_survivor() -> None:
    """0.89 is within noise of 0.9 and better than most; 0.5 is neither; what diverged later was condemned rightly."""
    survivors = [trained(n, float(value)) for n, value in enumerate(np.linspace(0.6, 0.9, 11))]
    later = dataclasses.replace(spared(22, 0.0), value=None, state="pruned", outcome=Outcome.DIVERGED)
    pruned = trained(23, 0.3, state="pruned", outcome=Outcome.PRUNED)
    check = pruning_check(study_of(*survivors, spared(20, 0.89), spared(21, 0.5), later, pruned))
    assert (check.n_pruned, check.n_spared, check.n_false) == (1, 3, 1)
    assert check.rate == pytest.approx(1 / 3)
    assert pruning_check(study_of(*survivors, spared(20, 0.84))).n_false == 0, (
        "good, and beyond noise of the best"
    )
    level = [trained(n, 0.9) for n in range(11)]
    assert pruning_check(study_of(*level, spared(20, 0.9))).n_false == 0, "one like all others is no loss"


def test_what_a_machine_ended_tells_nothing_of_the_pruner() -> None:
    """A spared trial that was handed back is trained again under another number."""
    lost = dataclasses.replace(spared(1, 0.9), state="fail", outcome=Outcome.INTERRUPTED)
    assert pruning_check(study_of(trained(0, 0.9), lost)).n_spared == 0


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (PruningCheck(n_pruned=0, n_spared=0, n_false=0), ""),
        (PruningCheck(n_pruned=1, n_spared=0, n_false=0), "1 trial pruned; none was spared"),
        (PruningCheck(n_pruned=9, n_spared=1, n_false=1), "1 spared is too few to tell"),
        (PruningCheck(n_pruned=9, n_spared=2, n_false=None), "the noise of the objective is not known"),
        (
            PruningCheck(n_pruned=99, n_spared=10, n_false=0),
            "0 of 10 ended among the best (true share 0% to 28%)",
        ),
    ],
)
def test_the_pruners_check_says_how_sure_it_is(check: PruningCheck, said: str) -> None:
    """Nothing without pruning, too few below five, else the interval."""
    assert said in check.sentence
    assert bool(check.sentence) is bool(said)


def test_a_few_false_prunes_are_no_finding() -> None:
    """Two of ten are within what the bound allows; nine of ten are not."""
    survivors = [trained(n, float(value)) for n, value in enumerate(np.linspace(0.6, 0.9, 30))]
    few = [spared(30 + n, 0.899 if n < 2 else 0.5) for n in range(10)]
    many = [spared(30 + n, 0.899 if n < 9 else 0.5) for n in range(10)]
    assert [f for f in found_in(study_of(*survivors, *few)) if f.symptom == "eager_pruning"] == []
    (finding,) = [f for f in found_in(study_of(*survivors, *many)) if f.symptom == "eager_pruning"]
    assert "--pruner patient" in (finding.remedies[0].action or "")
    assert finding.evidence[0].value == pytest.approx(wilson_bounds(9, 10)[0])
    assert finding.evidence[0].threshold == limits.FALSE_PRUNES.value


def test_wilsons_interval() -> None:
    """Against the textbook's numbers, at the ends, and without any count."""
    assert wilson_bounds(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson_bounds(10, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)
    assert wilson_bounds(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_bounds(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="between 0 and its total, but got 3 of 2"):
        wilson_bounds(3, 2)


# --- the best trial in words


def test_the_best_trial_is_told_first() -> None:
    """Nothing wrong, with a limit where something was not judged; a note; its worst fault and how many more."""
    record = study_of(trained(3, 0.975))
    say = {"shown_value": "97.50%"}
    assert best_in_words(record, [], **say) == "Trial 3, the best (97.50%), shows nothing wrong."
    assert "in what could be judged" in best_in_words(record, [], shown_value="97.50%", is_partial=True)
    note = Finding(trial=3, symptom="loss_spikes", severity=Severity.NOTE, sentence="s")
    assert best_in_words(record, [note], **say).endswith("shows nothing wrong; noted: loss spikes.")
    fault = dataclasses.replace(note, severity=Severity.WARNING, symptom="overfitting")
    others = [fault, dataclasses.replace(fault, symptom="plateau"), dataclasses.replace(fault, trial=0)]
    assert best_in_words(record, others, **say).endswith("shows overfitting and 1 more.")
    assert best_in_words(study_of(), [], shown_value="") == "No trial completed, so there is no best one."


def test_the_best_comes_first_in_either_direction() -> None:
    """The earliest of equals before the others."""
    trials = [trained(0, 0.5), trained(1, 0.9), trained(2, 0.9)]
    assert [trial.number for trial in in_order(study_of(*trials))] == [1, 2, 0]
    down = dataclasses.replace(study_of(*trials), direction="minimize")
    assert [trial.number for trial in in_order(down)] == [0, 1, 2]


def test_a_good_study_of_few_epochs_shows_nothing() -> None:
    """Three usual trainings of one epoch: no symptom of a study."""
    assert found_in(listed(study_of(*(made_trials.good_trial(n) for n in range(3))))) == []
