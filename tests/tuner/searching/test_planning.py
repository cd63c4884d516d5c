"""Plans: what counts as another study, what a resumed one is made of, and what is said of what cannot be."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from optuna.distributions import CategoricalDistribution

import tuner
from search_spaces import Condition, Lever, Role, Space, preset
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Family, Value
from studies.plan import StudyPlan
from tests.tuner import user_code
from tuner.searching.names import is_importable, task_name
from tuner.searching.planning import objective_of, plan_of
from tuner.training.config import TrainingConfig

SPACE = Space(
    name="s",
    levers=(lever("optimizer"), lever("dropout").within(low=0.0, high=0.3), lever("depth")),
    fixed={"width": 16},
)


def plan(space: Space = SPACE, **changes: Any) -> StudyPlan:
    objective = tuner.Objective(space, user_code.blob_arrays)
    return dataclasses.replace(plan_of(objective, sampler="tpe", pruner="none"), **changes)


def with_levers(*levers: Any, **changes: Any) -> Space:
    return dataclasses.replace(SPACE, levers=levers, roles={}, **changes)


class TestDifferences:
    def test_texts_for_people_play_no_part(self) -> None:
        """A reason may be reworded, a space renamed and described, while a study runs."""
        reworded = tuple(
            dataclasses.replace(each, reason="because", source="a book") for each in SPACE.levers
        )
        assert plan().differences(plan(with_levers(*reworded, name="t", description="new"))) == []

    @pytest.mark.parametrize(
        ("space", "said"),
        [
            (
                with_levers(
                    SPACE["optimizer"],
                    SPACE["dropout"].within(high=0.5),
                    SPACE["depth"],
                    lever("label_smoothing"),
                ),
                "dropout was a number in 0..0.3 and is now a number in 0..0.5, label_smoothing is new",
            ),
            (with_levers(*SPACE.levers[:2]), "depth is gone"),
            (dataclasses.replace(SPACE, fixed={"width": 32}), "width was fixed to 16 and is now fixed to 32"),
            (
                dataclasses.replace(SPACE, fixed={}),
                "width was fixed to 16 and is now not fixed",
            ),
            (
                dataclasses.replace(SPACE, conditions={"depth": Condition(key="optimizer", values=("sgd",))}),
                "depth was always there and is now there where optimizer is 'sgd'",
            ),
            (
                dataclasses.replace(SPACE, roles={"depth": Role.NUISANCE}),
                "depth was scientific and is now nuisance",
            ),
            (
                with_levers(*reversed(SPACE.levers)),
                "the order was optimizer dropout depth and is now depth dropout optimizer",
            ),
            (
                with_levers(SPACE["optimizer"], SPACE["dropout"].within(high=0.3000001), SPACE["depth"]),
                (
                    "dropout was FloatDistribution(high=0.3, log=False, low=0.0, step=None) "
                    "and is now FloatDistribution(high=0.3000001, log=False, low=0.0, step=None)"
                ),
            ),
            (
                with_levers(
                    SPACE["optimizer"], SPACE["dropout"], dataclasses.replace(SPACE["depth"], default=3)
                ),
                "depth was 1 by default and is now 3 by default",
            ),
        ],
    )
    def test_what_changed_in_a_space_is_named(self, space: Space, said: str) -> None:
        """In one part of a sentence, and whatever changes the fingerprint has something to say."""
        mine, theirs = plan(), dataclasses.replace(plan(), space=space.to_json())
        assert mine.differences(theirs) == [f"space: {said}"]

    def test_another_default_is_another_study(self) -> None:
        """Unless the key is searched, fixed, or known to only one of the two."""
        mine = plan()
        changed = {**mine.defaults, "momentum": 0.9, "dropout": 0.1, "width": 99, "brand_new": 1}
        del changed["activation"]
        assert mine.differences(dataclasses.replace(mine, defaults=changed)) == [
            "the default of momentum was 0.0 and is now 0.9"
        ]

    def test_a_lever_that_may_be_absent_needs_its_default(self) -> None:
        """Where its condition does not hold, the default is what is trained with."""
        space = dataclasses.replace(SPACE, conditions={"depth": Condition(key="optimizer", values=("sgd",))})
        mine = plan(space)
        theirs = dataclasses.replace(mine, defaults={**mine.defaults, "depth": 2})
        assert mine.differences(theirs) == ["the default of depth was 1 and is now 2"]


class TestResumed:
    def test_the_recorded_defaults_make_the_configs(self) -> None:
        """Not today's; a key that is newer than the plan takes today's."""
        mine = plan()
        begun = {**mine.defaults, "batch_size": 7, "milestones": [1, 2], "epsilon": None}
        del begun["activation"]
        config = objective_of(dataclasses.replace(mine, defaults=begun)).config({"dropout": 0.25})
        assert config == TrainingConfig(batch_size=7, milestones=(1, 2), dropout=0.25, width=16)

    def test_a_plan_without_defaults_stays_readable(self) -> None:
        """Today's rule then, under what its space fixes."""
        assert objective_of(plan(defaults={})).base_config == TrainingConfig(epochs=10, width=16)

    def test_a_plan_of_a_newer_symptune_is_refused(self) -> None:
        """A key it does not know would be trained without."""
        newer = plan(versions={"symptune": "9.1"})
        newer = dataclasses.replace(newer, defaults={**newer.defaults, "sharpness": 0.5})
        with pytest.raises(
            ConfigurationError, match=r"does not know sharpness; it was begun with symptune 9\.1"
        ):
            objective_of(newer)

    def test_other_data_is_refused(self) -> None:
        """It may be sound; it is not this study's."""
        with pytest.raises(ConfigurationError, match="the data it was begun with"):
            objective_of(plan(data_hash="0" * 64))

    @pytest.mark.parametrize("name", ["__main__:mine", "module:<lambda>", "module:<partial of mine>"])
    def test_what_cannot_be_imported_is_refused(self, name: str) -> None:
        """In one sentence with the ways out."""
        with pytest.raises(
            ConfigurationError, match="another process cannot import; move it to a module, or"
        ):
            objective_of(plan(task=name))


class TestSplit:
    FIXED: ClassVar[dict[str, Any]] = {"split": "last", "validation_fraction": 0.5}

    @pytest.mark.parametrize("by_space", [True, False])
    def test_what_is_fixed_of_the_split_is_how_the_data_is_split(self, *, by_space: bool) -> None:
        """By a space's own file as by --set, in the plan, and after it is read back."""
        space = dataclasses.replace(SPACE, fixed=self.FIXED) if by_space else SPACE
        objective = tuner.Objective(space, user_code.blob_arrays, fixed=None if by_space else self.FIXED)
        mine = plan_of(objective, sampler="tpe", pruner="none")
        expected = {
            "kind": "last",
            "fraction": 0.5,
            "seed": 0,
            "n_train": 60,
            "n_validation": 60,
            "n_test": 0,
        }
        assert mine.split == expected
        again = objective_of(mine)
        assert again.splits.describe() == expected
        assert again.base_config == objective.base_config
        assert (again.config({}).split, again.config({}).validation_fraction) == ("last", 0.5)

    def test_a_space_that_fixes_the_model_is_planned_with_it(self) -> None:
        """And resumed with it."""
        space = dataclasses.replace(SPACE, fixed={"model": "tests.problems:linear_model"})
        mine = plan(space)
        assert mine.model == "tests.problems:linear_model"
        assert objective_of(mine).config({}).model == "tests.problems:linear_model"

    @pytest.mark.parametrize("key", ["split", "validation_fraction"])
    def test_the_split_is_no_lever(self, key: str) -> None:
        """Its trials could not be compared; fixing it is the way out."""
        choices: list[Value] = ["stratified", "last"] if key == "split" else [0.1, 0.2]
        distribution = CategoricalDistribution(choices)
        its = Lever(name=key, distribution=distribution, default=choices[0], family=Family.OPTIMIZATION)
        space = with_levers(*SPACE.levers, its)
        with pytest.raises(ConfigurationError, match=f"share one split, so {key} cannot be searched"):
            tuner.search(space, user_code.blob_arrays, study="s")
        assert not Path("runs").exists()
        assert tuner.Objective(space, user_code.blob_arrays, fixed={key: choices[1]}).space.find(key) is None


class _CallableTask:
    def __call__(self) -> Any:
        return user_code.blob_arrays()


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (user_code.blob_arrays, "tests.problems:blob_arrays"),
        ("mnist", "mnist"),
        (functools.partial(user_code.blob_arrays), "tests.problems:<partial of blob_arrays>"),
        (_CallableTask(), f"{__name__}:<_CallableTask object>"),
        (functools.partial(_CallableTask()), f"{__name__}:<partial of _CallableTask object>"),
    ],
)
def test_every_task_has_a_name(task: str | Callable[..., Any], name: str) -> None:
    """With brackets where no process can find it by that name."""
    assert task_name(task) == name
    assert is_importable(task) == ("<" not in name)


@pytest.mark.parametrize("task", [functools.partial(user_code.blob_arrays), _CallableTask()])
def test_a_task_that_is_called_like_a_function_is_planned_and_searched(task: Callable[..., Any]) -> None:
    """In this process."""
    found = tuner.search("quick", task, study="s", trials=1, epochs=1)
    assert found.n_trials.complete == 1
    assert found.record().plan is not None


def test_a_wrong_space_or_task_is_refused_in_a_sentence() -> None:
    """The rule and what we got."""
    with pytest.raises(ConfigurationError, match=r"A space must be a Space, .* but got a dict\."):
        tuner.Objective({"dropout": 0.1}, user_code.blob_arrays)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ConfigurationError, match=r"A task must be a name, .* but got a tuple\."):
        tuner.search("quick", user_code.blob_arrays(), study="s")


def test_a_grid_too_large_is_refused_before_data_is_loaded() -> None:
    """And so before a study is made."""
    objective = tuner.Objective(preset("mlp"), "npz:nothing-here.npz")
    with pytest.raises(ConfigurationError, match="at most 10,000 points"):
        plan_of(objective, sampler="grid", pruner="none")
