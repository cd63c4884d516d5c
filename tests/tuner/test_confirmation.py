"""Winners are confirmed with fresh seeds, on the search's split, each training once."""

from typing import Any

import pytest

import tuner
from search_spaces.errors import ConfigurationError
from studies.encoding import to_json
from studies.recorded import open_study
from tests.problems import hard_blobs
from tests.tuner import user_code
from tuner.confirmation import Confirmed, confirm_configs, confirm_study, fresh_seeds
from tuner.listed import search_listed
from tuner.searching.objective import Objective
from tuner.training.config import TrainingConfig
from tuner.training.loop import TrainingRun

FAST: dict[str, Any] = {"epochs": 2, "workers": 1, "fixed": {"width": 8}}
CANDIDATES: dict[str, dict[str, Any]] = {
    "slow": {"learning_rate": 1e-4, "seed": 3},
    "fast": {"learning_rate": 0.5, "seed": 4, "order_seed": 1},
}


def confirmed(candidates: dict[str, dict[str, Any]] = CANDIDATES, **changes: Any) -> Confirmed:
    settings = {"task": hard_blobs, "study": "c", "seeds": 3, **FAST, **changes}
    return confirm_configs(candidates, **settings)


def n_trials(study: str) -> int:
    return len(open_study(study).record(telemetry=False).trials)


def test_the_better_config_wins_over_fresh_seeds() -> None:
    """A rate that trains against one that does not: named, with six seeds that the search never used."""
    found = confirmed(seeds=6, searched={"fast": 0.99})
    assert found.confirmation.winner == "fast"
    assert found.replicates.paired_seeds == tuple(range(1000, 1006))
    assert found.config["learning_rate"] == 0.5
    assert found.confirmation.selection_bias == pytest.approx(0.99 - found.validation["fast"].mean)
    assert found.is_complete
    assert found.test == {}  # hard_blobs has no test split


def test_a_replicate_is_the_plain_training_with_its_seed_on_the_searchs_split() -> None:
    """The seed sets weights and order alike for all candidates, whatever their own seeds; the split stays."""
    found = confirmed()
    config = TrainingConfig(width=8, epochs=2, learning_rate=0.5, seed=1002)
    run = TrainingRun(config, Objective("quick", hard_blobs, seed=0).splits)
    losses = [readings.train_loss for readings in run.epochs()]
    trial = found.replicates.trials["fast"][2]
    assert trial is not None
    assert trial.telemetry is not None
    # Another kernel rounds otherwise.
    assert [readings.train_loss for readings in trial.telemetry.epochs] == pytest.approx(losses, rel=1e-5)


def test_the_same_call_again_trains_nothing_and_says_the_same() -> None:
    """A confirmation is a study: it goes on where it was left."""
    first, again = confirmed(), confirmed()
    assert again.to_json() == first.to_json()
    assert n_trials("c") == 6


def test_what_has_not_ended_makes_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one config's training of a seed is missing, that seed is compared for none, and it is said."""
    whole = confirmed()

    def without_the_second(*arguments: Any, **settings: Any) -> Any:
        listed = search_listed(*arguments, **settings)
        trials = tuple(None if place == 2 else trial for place, trial in enumerate(listed.trials))
        return type(listed)(search=listed.search, configs=listed.configs, trials=trials)

    monkeypatch.setattr("tuner.replication.search_listed", without_the_second)
    found = confirmed()
    assert not found.is_complete
    assert found.replicates.paired_seeds == (1000, 1002)
    assert found.to_json()["is_complete"] is False
    assert found.confirmation.winner is None
    assert found.sentence == "No winner yet: 1 of 6 trainings are missing."
    expected = [value for place, value in enumerate(whole.replicates.values("fast")) if place != 1]
    assert found.replicates.values("fast") == expected


def test_a_diverged_replicate_is_a_loss_and_not_a_gap() -> None:
    """A rate beyond all reason diverges with every seed: complete, counted, beaten."""
    found = confirmed(
        {"wild": {"learning_rate": 1e30, "activation": "leaky_relu"}, "fast": {"learning_rate": 0.5}}, seeds=6
    )
    assert found.is_complete
    assert found.confirmation.winner == "fast"
    assert found.confirmation.ranked[1].n_diverged == 6
    assert to_json(found.to_json())


def test_known_replicates_are_not_trained_again() -> None:
    """A third candidate beside two known ones costs its own trainings only; another split is refused."""
    first = confirmed()
    more = CANDIDATES | {"middle": {"learning_rate": 0.05}}
    found = confirmed(more, study="more", known=first.replicates)
    assert n_trials("more") == 3
    assert found.replicates.values("fast") == first.replicates.values("fast")
    with pytest.raises(ConfigurationError, match="share all settings, but got seed of the split 0 and 1"):
        confirmed(more, study="other", known=first.replicates, seed=1, seeds=[1000, 1001, 1002])


def test_more_seeds_cost_their_own_trainings_only() -> None:
    """What few seeds could not tell, more may: those that are known stay, and a study of the new pairs joins them."""
    first = confirmed(seeds=2)
    found = confirmed(study="more", seeds=4, known=first.replicates)
    assert n_trials("more") == 4
    assert found.is_complete
    assert found.replicates.paired_seeds == (1000, 1001, 1002, 1003)
    for label in CANDIDATES:
        assert found.replicates.values(label) == confirmed(study="all", seeds=4).replicates.values(label)
        assert found.replicates.values(label)[:2] == first.replicates.values(label)


def test_all_configs_are_queued_with_a_seed_before_the_next() -> None:
    """So that what has ended when a confirmation is interrupted makes pairs."""
    found = confirmed()
    listed = found.replicates.listed
    assert listed is not None
    assert [config["seed"] for config in listed.configs] == [1000, 1000, 1001, 1001, 1002, 1002]


def test_nothing_missing_means_no_study() -> None:
    """When every candidate is known, no study is made, and the answer is the same."""
    first = confirmed()
    found = confirmed(study="none", known=first.replicates)
    assert found.validation == first.validation
    with pytest.raises(ConfigurationError, match="study's name must be one of c, but got 'none'"):
        open_study("none")


def test_the_test_split_is_read_of_the_candidates() -> None:
    """Digits have one: each candidate's accuracy there comes with its interval, and in the sentence the leader's."""
    found = confirmed({"a": {"learning_rate": 0.5}, "b": {"learning_rate": 1e-3}}, task="digits", seeds=2)
    assert set(found.test) == {"a", "b"}
    assert found.test["a"].mean == pytest.approx(sum(found.replicates.test_accuracies("a")) / 2)  # type: ignore[arg-type]
    assert "On the test split, which nothing was chosen by, it reaches" in found.sentence
    assert found.to_json()["ranked"][0]["test"]["mean"] == found.test["a"].mean


def test_a_searchs_best_distinct_configs_are_confirmed() -> None:
    """Under their trial numbers, with what the search had found, under its plan; a baseline may stand beside them."""
    searched = tuner.search(
        "quick", user_code.blob_arrays, study="s", trials=4, epochs=1, workers=1, sampler="random", pruner="none",
        fixed={"width": 8}, seed=7,
    )  # fmt: skip
    found = confirm_study("s", top=2, seeds=2, baseline={"learning_rate": 1e-4, "width": 8}, workers=1)
    best = searched.best
    assert best is not None
    assert found.replicates.study == "s-seeds"
    assert found.replicates.seeds == (1007, 1008)
    assert {f"trial {best.number}", "baseline"} < set(found.replicates.configs)
    assert len(found.replicates.configs) == 3
    rows = {row.label: row for row in found.confirmation.ranked}
    assert rows[f"trial {best.number}"].searched == best.value
    assert rows["baseline"].searched is None
    assert all(config["epochs"] == 1 for config in found.replicates.configs.values())


def searched(**changes: Any) -> Any:
    asked: dict[str, Any] = {
        "trials": 2,
        "epochs": 1,
        "workers": 1,
        "sampler": "random",
        "pruner": "none",
        "fixed": {"width": 8},
    }
    return tuner.search("quick", user_code.blob_arrays, study="s", **asked | changes)


def trained_with(found: Confirmed) -> Any:
    """The plan of the replicates' study."""
    return open_study(found.replicates.study).record(telemetry=False).plan


def test_a_users_model_is_confirmed_and_not_the_default_one() -> None:
    """A search whose model was handed over as a function is replicated with that function, trials and baseline."""
    searched(model=user_code.linear_model)
    found = confirm_study("s", top=1, seeds=2, baseline={"learning_rate": 1e-4}, workers=1)
    assert trained_with(found).model == "tests.problems:linear_model"
    assert {config["model"] for config in found.replicates.configs.values()} == {
        "tests.problems:linear_model"
    }
    label = found.confirmation.ranked[0].label
    config = TrainingConfig.from_mapping({**found.replicates.configs[label], "seed": 1000})
    run = TrainingRun(
        config, Objective("quick", user_code.blob_arrays, seed=0).splits, model=user_code.linear_model
    )
    trial = found.replicates.trials[label][0]
    assert trial is not None
    assert trial.telemetry is not None
    assert [each.train_loss for each in run.epochs()] == [each.train_loss for each in trial.telemetry.epochs]


def test_a_model_that_cannot_be_imported_is_asked_for() -> None:
    """One sentence, before anything is trained; handed over again it does."""

    def own_model(config: Any, input_shape: tuple[int, ...], n_outputs: int) -> Any:
        return user_code.linear_model(config, input_shape, n_outputs)

    searched(model=own_model)
    with pytest.raises(
        ConfigurationError, match=r"own_model' cannot be imported by its name; .* as model=, or"
    ):
        confirm_study("s", top=1, seeds=2, workers=1)
    found = confirm_study("s", top=1, seeds=2, workers=1, model=own_model)
    assert "own_model" in trained_with(found).model


def test_a_confirmation_keeps_to_the_searchs_plan() -> None:
    """Direction and metric, split and what was fixed are the search's, for the baseline too; epochs said here rule."""
    fixed = {"width": 8, "split": "last", "validation_fraction": 0.3}
    whole = searched(direction="minimize", fixed=fixed)
    found = confirm_study("s", top=1, seeds=2, baseline={"learning_rate": 1e-4}, workers=1, epochs=2)
    assert found.confirmation.direction == "minimize"
    assert found.confirmation.ranked[0].label in found.replicates.configs
    assert trained_with(found).direction == "minimize"
    assert trained_with(found).split == whole.record().plan.split
    assert all(fixed.items() <= config.items() for config in found.replicates.configs.values())
    assert {config["epochs"] for config in found.replicates.configs.values()} == {2}


def test_other_data_than_the_searchs_is_refused() -> None:
    """One sample changed is other data: what was searched there is not confirmed here."""
    searched()
    with pytest.raises(ConfigurationError, match="the data it was begun with"):
        confirm_study("s", top=1, seeds=2, task=user_code.other_blobs, workers=1)


def test_fresh_seeds_are_above_the_searchs() -> None:
    """Counted up from 1000 above it, so that searches with seeds 0, 1, 2 do not meet them."""
    assert fresh_seeds(3, seed=5) == (1005, 1006, 1007)
    assert fresh_seeds([9, 4], seed=5) == (9, 4)


@pytest.mark.parametrize(("seeds", "got"), [(1, "1000"), ([3, 3], "3, 3"), ([0, 1], "0, 1"), ([], "none")])
def test_seeds_that_are_not_fresh_or_not_two_are_refused(seeds: Any, got: str) -> None:
    """One makes no spread, the same twice is no replicate, and the search's own was selected by."""
    with pytest.raises(ConfigurationError, match=rf"without the search's own, which is 0, but got {got};"):
        confirmed(seeds=seeds)


def test_candidates_that_are_equal_but_for_their_seeds_are_refused() -> None:
    """By their labels: nothing could tell them apart."""
    with pytest.raises(ConfigurationError, match="more than their seed, but 'a' and 'b' do not"):
        confirmed({"a": {"learning_rate": 0.1, "seed": 1}, "b": {"seed": 2}})


def test_what_is_no_search_cannot_be_confirmed() -> None:
    """A study of foreign make has no split; one without a complete trial has no best; none at all is no top."""
    import optuna

    confirmed()
    storage = open_study("c", writable=True).storage
    optuna.create_study(study_name="foreign", storage=storage)
    with pytest.raises(ConfigurationError, match=r"made by symptune can be confirmed, .* but got 'foreign'"):
        confirm_study("foreign")
    with pytest.raises(ConfigurationError, match="top must be at least 1, but got 0"):
        confirm_study("c", top=0)
