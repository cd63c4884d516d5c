"""A listed study trains exactly its configs, each once; a search trains no config twice."""

from typing import Any

import pytest

import tuner
from search_spaces import Space
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError
from studies.recorded import open_study
from studies.records import Outcome
from tests.tuner import user_code
from tuner.listed import Listed, search_listed
from tuner.searching import objective as objective_module
from tuner.training.config import TrainingConfig
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
    assert [row.train_loss for row in run.epochs()][-1] == found.trials[0].telemetry.epochs[-1].train_loss  # type: ignore[union-attr]


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
            assert [row.train_loss for row in trial.telemetry.epochs] == losses  # type: ignore[union-attr]


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


def test_a_search_does_not_train_the_same_config_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a space of two points: two trainings; the other trials take over results, curves and outcomes."""
    space = Space(name="two", levers=(lever("learning_rate").among([0.1, 1e30]),))
    trained = []
    original = TrainingRun.epochs

    def counting(run: TrainingRun) -> Any:
        trained.append(run.config.learning_rate)
        return original(run)

    monkeypatch.setattr(TrainingRun, "epochs", counting)
    found = tuner.search(
        space,
        user_code.blob_arrays,
        study="s",
        trials=8,
        epochs=2,
        workers=1,
        sampler="random",
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
    import optuna

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
