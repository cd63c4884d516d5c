"""A listed study trains exactly its configs, each once; a search trains no config twice."""

import dataclasses
import itertools
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

import tuner
from search_spaces import Space
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError
from studies.recorded import create_study, open_study
from studies.records import Outcome
from studies.storage import open_storage
from tests.problems import linear_model
from tests.tuner import user_code
from tuner.confirmation import replicate
from tuner.listed import Listed, search_listed
from tuner.searching import objective as objective_module
from tuner.searching.ask_tell import Ending
from tuner.searching.planning import plan_of
from tuner.searching.points import ListSampler
from tuner.training.cohort import Cohort
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun

CONFIGS: list[dict[str, Any]] = [
    {"learning_rate": 0.1, "seed": 5},
    {"learning_rate": 0.1, "seed": 6},
    {"learning_rate": 0.01, "seed": 5, "optimizer": "adam"},
]


def listed(
    configs: list[dict[str, Any]] = CONFIGS, task: Any = user_code.blob_arrays, **changes: Any
) -> Listed:
    settings = {"study": "l", "epochs": 2, "workers": 1, "fixed": {"width": 8}, **changes}
    return search_listed(configs, task, **settings)


def test_every_config_is_trained_once_and_comes_back_in_its_place() -> None:
    """With its own seed, on top of what is fixed; the value is that of the plain training."""
    found = listed()
    assert found.is_complete
    for config, trial in zip(CONFIGS, found.trials, strict=True):
        assert trial is not None
        assert {key: trial.config[key] for key in config} == config
        assert trial.config["width"] == 8
    assert found.trials[0] is not None
    splits = objective_module.Objective("quick", user_code.blob_arrays).splits
    run = TrainingRun(TrainingConfig(width=8, epochs=2, learning_rate=0.1, seed=5), splits)
    alone = [row.train_loss for row in run.epochs()][-1]
    assert found.trials[0].telemetry.epochs[-1].train_loss == pytest.approx(alone, rel=1e-4)  # type: ignore[union-attr]


def test_the_same_call_again_trains_nothing_and_gives_the_same() -> None:
    """And another list under the same name is refused, in one sentence."""
    first = listed()
    again = listed()
    assert again.values() == first.values()
    assert len(again.search.record().trials) == 3
    with pytest.raises(ConfigurationError, match=r"configs was .* and is now"):
        listed([*CONFIGS, {"learning_rate": 0.5}])


def test_what_all_configs_say_is_fixed_and_one_config_is_a_list() -> None:
    """Their seed and epochs too, against the call's own."""
    found = listed([{"learning_rate": 0.3, "epochs": 1, "seed": 9}])
    assert found.trials[0] is not None
    assert found.trials[0].config["learning_rate"] == 0.3
    assert (found.trials[0].config["epochs"], found.trials[0].config["seed"]) == (1, 9)
    assert len(found.trials[0].telemetry.epochs) == 2  # type: ignore[union-attr]


def test_a_diverged_config_has_a_trial_without_a_value() -> None:
    """It is an answer: the list is complete."""
    found = listed([{"learning_rate": 1e30}, {"learning_rate": 0.1}])
    assert found.is_complete
    assert found.values()[0] is None
    assert found.trials[0] is not None
    assert found.trials[0].outcome is Outcome.DIVERGED


def test_equal_and_missing_configs_are_refused() -> None:
    """Before anything is written; defaults count: 128 is the default batch."""
    with pytest.raises(ConfigurationError, match="numbers 1 and 2 are the same"):
        listed([{"batch_size": 128}, {"batch_size": "128"}])
    with pytest.raises(ConfigurationError, match="at least one, but got none"):
        listed([])
    with pytest.raises(ConfigurationError, match="no study database"):
        open_study("l")


def test_lists_and_none_are_values_like_others() -> None:
    """Configs may differ in milestones or epsilon, and share them: each trains as the plain config does."""
    configs = [{"milestones": [1], "epsilon": 1e-3}, {"milestones": [1, 2], "epsilon": None}]
    same = {"schedule": "multistep", "optimizer": "adam", "epochs": 3}
    splits = objective_module.Objective("quick", user_code.blob_arrays).splits
    for study, given in (("differ", configs), ("share", [{**configs[1], "seed": seed} for seed in (0, 1)])):
        found = listed([same | config for config in given], study=study)
        for config, trial in zip(given, found.trials, strict=True):
            run = TrainingRun(TrainingConfig.from_mapping({"width": 8} | same | config), splits)
            losses = [row.train_loss for row in run.epochs()]
            assert [row.train_loss for row in trial.telemetry.epochs] == pytest.approx(losses, rel=1e-4)  # type: ignore[union-attr]


def test_the_test_split_is_read_only_where_it_is_asked_for() -> None:
    """With the best epoch's weights, as `TrainingRun.evaluate` reads it; no trial of a search has it."""
    assert listed(task="digits").trials[0].test_accuracy is None  # type: ignore[union-attr]
    found = listed(task="digits", study="t", evaluates_test=True)
    trial = found.trials[0]
    assert trial is not None
    run = TrainingRun(
        TrainingConfig.from_mapping(trial.config), objective_module.Objective("quick", "digits").splits
    )
    assert list(run.epochs())
    run.restore_best()
    assert trial.test_accuracy == pytest.approx(run.evaluate("test").accuracy)
    assert trial.test_loss == pytest.approx(run.evaluate("test").loss)


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_a_search_does_not_train_the_same_config_twice(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    """On a space of two points: two trainings, also of twins that were asked for together; the rest is taken over."""
    space = Space(name="two", levers=(lever("learning_rate").among([0.1, 1e30]),))
    trained = []
    original = Cohort.admit

    def counting(cohort: Cohort, config: TrainingConfig) -> Any:
        trained.append(config.learning_rate)
        return original(cohort, config)

    monkeypatch.setattr(Cohort, "admit", counting)
    found = tuner.search(
        space,
        user_code.blob_arrays,
        study="s",
        trials=8,
        epochs=2,
        workers=1,
        lanes=lanes,
        sampler="random",
        pruner="none",
        fixed={"width": 8},
    )
    assert sorted(trained) == [0.1, 1e30]
    record = found.record()
    assert found.n_trials.counted == 8
    assert found.record().n_reused == 6
    for trial in record.trials:
        if trial.reuses is not None:
            twin = record.trials[trial.reuses]
            assert (trial.value, trial.outcome, trial.params) == (twin.value, twin.outcome, twin.params)
            assert trial.intermediate_values == twin.intermediate_values


def test_another_training_of_the_same_parameters_is_trained() -> None:
    """In a user's own study two objectives may share parameters; what decides is the whole config."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for epochs in (1, 2, 2):
        study.enqueue_trial(
            {"learning_rate": 0.1, "one_minus_momentum": 1.0, "weight_decay": 1e-4, "dropout": 0.0}
        )
        objective = tuner.Objective("quick", user_code.blob_arrays, epochs=epochs, fixed={"width": 8})
        study.optimize(objective, n_trials=1)
    assert [len(trial.intermediate_values) for trial in study.trials] == [1, 2, 2]
    assert [trial.user_attrs.get("reuses") for trial in study.trials] == [None, None, 1]


def test_the_configs_own_split_is_the_studys() -> None:
    """As it is recorded and as it is trained; a list that differs in it is refused before anything is written."""
    said = {"split": "last", "validation_fraction": 0.5}
    found = listed([{**said, "seed": seed} for seed in (5, 6)])
    plan = found.search.record().plan
    assert plan is not None
    assert (plan.split["kind"], plan.split["fraction"], plan.split["seed"]) == ("last", 0.5, 0)
    splits = split_dataset(
        objective_module.Objective("quick", user_code.blob_arrays).dataset,
        split="last",
        validation_fraction=0.5,
    )
    run = TrainingRun(TrainingConfig(width=8, epochs=2, seed=5), splits)
    losses = [row.train_loss for row in run.epochs()]
    assert found.trials[0] is not None
    assert [row.train_loss for row in found.trials[0].telemetry.epochs] == pytest.approx(losses, rel=1e-4)  # type: ignore[union-attr]
    for key, value in (("split", "stratified"), ("validation_fraction", 0.2)):
        with pytest.raises(ConfigurationError, match=f"compared on one split, but for {key} got "):
            listed([said, {**said, key: value}], study="other")
    with pytest.raises(ConfigurationError, match="other"):
        open_study("other")


def test_replicates_are_trained_on_the_split_that_is_fixed() -> None:
    """That of the search they confirm, whether it was fixed for all or said by each config."""
    running: dict[str, Any] = {"epochs": 1, "workers": 1, "seeds": 2}
    replicate({"a": {}}, user_code.blob_arrays, study="r", fixed={"split": "last"}, **running)
    replicate({"a": {"split": "last"}}, user_code.blob_arrays, study="s", **running)
    for study in ("r", "s"):
        plan = open_study(study).plan
        assert plan is not None
        assert plan.split["kind"] == "last"


def test_the_split_is_that_of_the_call_and_not_of_a_configs_seed() -> None:
    """Even where all configs share a seed."""
    found = listed([{"seed": 9, "learning_rate": rate} for rate in (0.1, 0.2)], seed=3)
    plan = found.search.record().plan
    assert plan is not None
    assert plan.split["seed"] == 3
    assert [trial.config["seed"] for trial in found.trials if trial is not None] == [9, 9]


def test_a_config_wins_over_what_is_fixed() -> None:
    """Where they differ in it, and where they share it; also for a worker process."""
    for workers, study in ((1, "one"), (2, "two")):
        found = listed([{"width": 4}, {"width": 16}], study=study, workers=workers)
        assert [trial.config["width"] for trial in found.trials if trial is not None] == [4, 16]
    shared = listed([{"width": 4, "seed": seed} for seed in (1, 2)], study="shared")
    assert [trial.config["width"] for trial in shared.trials if trial is not None] == [4, 4]


def broken_for(*rates: float) -> Any:
    """A model function that raises another exception each time for these rates, so that nothing is halted."""
    calls = itertools.count()

    def build(config: TrainingConfig, input_shape: tuple[int, ...], n_outputs: int) -> Any:
        if config.learning_rate in rates:
            raise RuntimeError(f"broken {next(calls)}")
        return linear_model(config, input_shape, n_outputs)

    return build


def rates_tried(found: Listed) -> list[Any]:
    return [trial.config["learning_rate"] for trial in found.search.record().trials]


def test_a_failed_config_is_trained_again_by_the_next_call_and_only_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once a call; with the code mended the study becomes complete, and a further call does nothing."""
    configs = [{"learning_rate": rate} for rate in (0.1, 0.2, 0.3, 0.4)]
    monkeypatch.setattr(user_code, "linear_model", broken_for(0.1, 0.3))
    again: dict[str, Any] = {"model": "tests.tuner.user_code:linear_model"}
    assert rates_tried(listed(configs, **again)) == [0.1, 0.2, 0.3, 0.4]
    still = listed(configs, **again)
    assert rates_tried(still) == [0.1, 0.2, 0.3, 0.4, 0.1, 0.3]
    assert not still.is_complete
    monkeypatch.setattr(user_code, "linear_model", linear_model)
    mended = listed(configs, **again)
    assert rates_tried(mended) == [0.1, 0.2, 0.3, 0.4, 0.1, 0.3, 0.1, 0.3]
    assert mended.is_complete
    assert rates_tried(listed(configs, **again)) == rates_tried(mended)


def test_resume_trains_failed_configs_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without any total being said."""
    configs = [{"learning_rate": rate} for rate in (0.1, 0.2)]
    monkeypatch.setattr(user_code, "linear_model", broken_for(0.1))
    again: dict[str, Any] = {"model": "tests.tuner.user_code:linear_model"}
    assert not listed(configs, **again).is_complete
    monkeypatch.setattr(user_code, "linear_model", linear_model)
    tuner.resume("l", workers=1)
    assert listed(configs, **again).is_complete
    assert open_study("l").record().counts.counted == 3


def test_what_fails_always_is_halted_and_costs_each_call_a_try_a_config(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three times the same exception end a call; the next begins where it stood."""
    configs = [{"learning_rate": rate} for rate in (0.1, 0.2, 0.3, 0.4)]
    monkeypatch.setattr(user_code, "linear_model", user_code.always_raises)
    again: dict[str, Any] = {"model": "tests.tuner.user_code:linear_model"}
    first = listed(configs, **again)
    assert first.search.ending is Ending.HALTED
    assert rates_tried(first) == [0.1, 0.2, 0.3]
    monkeypatch.setattr(user_code, "linear_model", linear_model)
    assert rates_tried(listed(configs, **again)) == [0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3]


def test_two_workers_retry_each_failed_config_once(sqlite_url: str) -> None:
    """Each works its trial's point out alone: both began after the failures, and neither waits for the other."""
    space = Space(name="x", levers=(lever("depth").among([1, 2, 3]),))
    points = [{"depth": value} for value in (1, 2, 3)]
    study = optuna.create_study(study_name="s", storage=open_storage(sqlite_url, writable=True))
    samplers = [ListSampler(points) for _ in range(3)]

    def ask(which: int) -> Any:
        study.sampler = samplers[which]
        return study.ask()

    for _ in points:
        trial = ask(0)
        if space.suggest(trial)["depth"] == 2:
            study.tell(trial, 1.0)
        else:
            trial.set_user_attr("outcome", "failed")
            study.tell(trial, state=TrialState.FAIL)
    one, other = ask(1), ask(2)
    assert space.suggest(other) == {"depth": 3}
    assert space.suggest(one) == {"depth": 1}


def test_the_guides_own_study_is_no_search(sqlite_url: str) -> None:
    """Resuming it says what goes on with it."""
    plan = dataclasses.replace(
        plan_of(objective_module.Objective("quick", user_code.blob_arrays), sampler="tpe", pruner="none"),
        sampler="guide",
    )
    create_study("blobs-tune", plan, sqlite_url)
    with pytest.raises(
        ConfigurationError, match="guide's own and has no trials; the same `tuner tune` command"
    ):
        tuner.resume("blobs-tune", storage=sqlite_url)
