"""Which trials train the same thing, and which results may be taken over."""

import dataclasses
from typing import Any

import optuna
import pytest

import tuner
from search_spaces import Space
from search_spaces.catalog import lever
from studies.records import Outcome
from tests.problems import linear_model
from tests.tuner import user_code
from tuner.searching.duplicates import FINGERPRINT, FinishedTwins, fingerprint
from tuner.searching.equivalence import PLAYS_A_PART, canonical
from tuner.searching.objective import Objective
from tuner.searching.planning import objective_of, plan_of
from tuner.training.config import TrainingConfig
from tuner.training.loop import TrainingRun

RATE = Space(name="s", levers=(lever("learning_rate"),))

IDLE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"optimizer": "adam"}, {"momentum": 0.9}),
    ({"optimizer": "sgd"}, {"nesterov": True}),
    ({"optimizer": "rmsprop", "momentum": 0.9}, {"nesterov": True}),
    ({"optimizer": "sgd"}, {"beta1": 0.5, "beta2": 0.5, "alpha": 0.5, "epsilon": 0.1}),
    ({"optimizer": "rmsprop"}, {"epsilon": 1e-8}),
    ({"optimizer": "sgd"}, {"weight_decay_kind": "decoupled"}),
    ({"optimizer": "rmsprop", "weight_decay": 0.1}, {"weight_decay_kind": "l2"}),
    ({"optimizer": "adamw", "weight_decay": 0.1}, {"weight_decay_kind": "decoupled"}),
    (
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "adam", "weight_decay_kind": "decoupled"},
    ),
    ({"clip_norm": 0.01, "clipping": False}, {"clip_norm": 0.0, "clipping": True}),
    ({}, {"clipping": False}),
    ({}, {"base_batch_size": 7}),
    ({}, {"final_lr_fraction": 0.5, "step_size": 1, "step_gamma": 0.5, "plateau_patience": 0}),
    ({"schedule": "cosine"}, {"step_size": 1, "step_gamma": 0.5, "milestones": (1,), "restart_period": 1}),
    ({"schedule": "step"}, {"final_lr_fraction": 0.5, "milestones": (1,)}),
]


def losses(config: TrainingConfig) -> list[float]:
    splits = Objective("quick", user_code.blob_arrays).splits
    return [row.train_loss for row in TrainingRun(config, splits, device="cpu").epochs()]


@pytest.mark.parametrize(("shared", "idle"), IDLE)
def test_keys_that_play_no_part_change_neither_the_training_nor_the_canonical_config(
    shared: dict[str, Any], idle: dict[str, Any]
) -> None:
    """Equal to the last bit: the training itself is the judge."""
    common = {"width": 4, "epochs": 3, "batch_size": 32, "learning_rate": 0.05} | shared
    one, other = TrainingConfig(**common), TrainingConfig(**common | idle)
    assert canonical(one) == canonical(other)
    assert fingerprint(one) == fingerprint(other)
    assert losses(one) == losses(other)


PARTS: dict[str, tuple[dict[str, Any], Any]] = {
    "momentum": ({"optimizer": "rmsprop"}, 0.9),
    "nesterov": ({"momentum": 0.9}, True),
    "beta1": ({"optimizer": "adamw"}, 0.5),
    "beta2": ({"optimizer": "adam"}, 0.5),
    "alpha": ({"optimizer": "rmsprop"}, 0.5),
    "epsilon": ({"optimizer": "adam"}, 0.1),
    "weight_decay_kind": ({"optimizer": "adam", "weight_decay": 0.1}, "decoupled"),
    "clipping": ({"clip_norm": 0.01}, False),
    "clip_norm": ({}, 0.01),
    "base_batch_size": ({"batch_lr_rule": "linear"}, 64),
    "final_lr_fraction": ({"schedule": "linear"}, 0.5),
    "step_size": ({"schedule": "step"}, 3),
    "step_gamma": ({"schedule": "multistep"}, 0.5),
    "milestones": ({"schedule": "multistep"}, (2,)),
    "plateau_patience": ({"schedule": "plateau", "learning_rate": 20.0, "seed": 3}, 0),
    "restart_period": ({"schedule": "restarts"}, 3),
}


@pytest.mark.parametrize("key", PLAYS_A_PART)
def test_where_a_key_plays_a_part_both_change(key: str) -> None:
    """Or two different trainings would count as one."""
    shared, value = PARTS[key]
    common = {"width": 4, "epochs": 6, "batch_size": 32, "learning_rate": 0.05} | shared
    one, other = TrainingConfig(**common), TrainingConfig(**common | {key: value})
    assert canonical(one) != canonical(other)
    assert losses(one) != losses(other)


def test_a_model_of_ones_own_may_read_any_key() -> None:
    """So none of its keys is idle."""
    one = TrainingConfig(model="module:function", optimizer="adam")
    assert canonical(one) != canonical(dataclasses.replace(one, momentum=0.9))


def fingerprint_of(objective: Objective, **suggested: Any) -> str:
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"learning_rate": 0.1} | suggested)
    study.optimize(objective, n_trials=1)
    return str(study.trials[0].user_attrs[FINGERPRINT])


def test_a_model_function_has_one_fingerprint_here_in_workers_and_on_resume() -> None:
    """Handed over or named: what counts is where it can be imported from, not where it lies in memory."""
    mine = Objective(RATE, user_code.blob_arrays, epochs=1, model=linear_model)
    resumed = objective_of(plan_of(mine, sampler="tpe", pruner="none"))
    named = Objective(RATE, user_code.blob_arrays, epochs=1, fixed={"model": "tests.problems:linear_model"})
    built_in = Objective(RATE, user_code.blob_arrays, epochs=1)
    assert fingerprint_of(mine) == fingerprint_of(resumed) == fingerprint_of(named)
    assert fingerprint_of(mine) != fingerprint_of(built_in)


def _local_model() -> Any:
    return lambda config, input_shape, n_outputs: linear_model(config, input_shape, n_outputs + 0)


def test_a_model_that_nothing_can_import_is_known_to_its_objective_only() -> None:
    """Two lambdas of one name may differ."""
    one, other = (Objective(RATE, user_code.blob_arrays, epochs=1, model=_local_model()) for _ in range(2))
    assert fingerprint_of(one) == fingerprint_of(one)
    assert fingerprint_of(one) != fingerprint_of(other)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_what_ended_by_itself_is_taken_over(outcome: Outcome) -> None:
    """A pruned training was not trained out: others decided that."""
    is_complete = outcome in {Outcome.COMPLETED, Outcome.STOPPED_EARLY}
    study = optuna.create_study(direction="maximize")
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.COMPLETE if is_complete else optuna.trial.TrialState.PRUNED,
            value=1.0 if is_complete else None,
            user_attrs={"outcome": outcome.value, FINGERPRINT: "same"},
        )
    )
    taken_over = {Outcome.COMPLETED, Outcome.STOPPED_EARLY, Outcome.DIVERGED}
    assert (FinishedTwins(study).find("same") is not None) == (outcome in taken_over)


def test_a_pruned_config_is_trained_again() -> None:
    """When it comes a second time and nothing prunes it."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=2.0))
    objective = tuner.Objective(RATE, user_code.blob_arrays, epochs=3)
    for pruner in (study.pruner, optuna.pruners.NopPruner()):
        study.pruner = pruner
        study.enqueue_trial({"learning_rate": 0.1})
        study.optimize(objective, n_trials=1)
    assert [trial.user_attrs["outcome"] for trial in study.trials] == ["pruned", "completed"]
    assert [len(trial.intermediate_values) for trial in study.trials] == [1, 3]
