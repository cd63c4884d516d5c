"""What a guide concludes from goals, budgets, the test split, and instruments that refuse."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from search_spaces import Space, catalog
from search_spaces.errors import ConfigurationError
from studies.recorded import open_study
from tests.tuner.workflow.guides import FEW, STEPS, TASK, StoppedError, items, tuned
from tuner.workflow import plan_tune


def test_a_goal_that_is_reached_ends_the_search_for_more(sqlite_url: str) -> None:
    """The steps after it are left out, with the reason; what there is, is verified all the same.

    Such a guide is the shortest: it also shows that the plan was told, and that another baseline is refused later.
    """
    asked = {"goal": 0.1, "budget": "20trials"}
    plans: list[Any] = []
    tuning = tuned(sqlite_url, on_plan=plans.append, **asked)
    assert [items(tuning, step) for step in STEPS[1:5]] == [{step: "skipped"} for step in STEPS[1:5]]
    assert tuning.to_json()["best"]["n_seeds"] >= 8
    assert not tuning.is_confirmed
    assert tuning.has_succeeded
    assert tuning.to_json()["goal"]["is_reached"]
    assert tuning.to_json()["goal"]["sentence"].startswith("The goal, 10.00%, is reached on fresh seeds")
    preview = plan_tune(TASK, budget="20trials", epochs=1, workers=1, device="cpu")
    untimed = [[dataclasses.replace(each, seconds=0.0) for each in plan.rounds] for plan in (*plans, preview)]
    assert untimed[0] == untimed[1]
    for other in ({"present": {"width": 16}}, {"fixed": {"dropout": 0.0}}, {"epochs": 2}):
        with pytest.raises(ConfigurationError, match="A study goes on only as it was begun"):
            tuned(sqlite_url, **(asked | other))


def test_the_test_split_is_read_for_the_baseline_and_the_best_alone(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits have one; the rungs between them and all earlier rounds never see it.

    Adam at 1e-6 learns nothing, and little with a dropout of 0.6: two changes are adopted, and the best is far better.
    A goal above it is missed, and said to be.
    """
    monkeypatch.setattr("tuner.guide.baseline.noise_floor_of", lambda _values, *, least: least)
    bad = {"learning_rate": 1e-6, "dropout": 0.6, "width": 32, "depth": 1}
    names = ("optimizer", "batch_size", "weight_decay", "label_smoothing", "augmentation", "schedule")
    others = {"optimizer": "adam", "batch_size": 64, "schedule": "constant", "warmup_fraction": 0.0}
    fixed = dict.fromkeys(names, 0.0) | others
    tuning = tuned(sqlite_url, "digits", present=bad, fixed=fixed, budget="60trials", goal=1.0)
    found = tuning.to_json()
    assert tuning.is_confirmed
    assert 0.5 < found["best"]["test"] < 1.0
    assert found["baseline"]["test"] < 0.3
    assert not found["goal"]["is_reached"]
    assert "not reached on fresh seeds" in found["goal"]["sentence"]
    studies = [name for step in tuning.steps for name in step.studies]
    tested = {
        study: [trial.test_accuracy is not None for trial in open_study(study, sqlite_url).record().trials]
        for study in studies
    }
    assert all(tested.pop("g-6-seeds"))
    assert "g-6-seeds-rungs" in tested
    assert not any(any(row) for row in tested.values())
    # Had the fresh seeds not borne it out, the baseline would be what to use; the same call reads everything back.
    monkeypatch.setattr("tuner.guide.seeds.Verified.is_confirmed", False)
    again = tuned(sqlite_url, "digits", present=bad, fixed=fixed, budget="60trials", goal=1.0)
    assert again.best == again.baseline
    assert again.candidate == tuning.best
    assert again.to_json()["best"] == found["baseline"]


def test_a_budget_of_time_that_cannot_be_kept_is_said(sqlite_url: str) -> None:
    """In the plan and in the checklist; the sentence on the epochs says that not all rounds fit."""
    plans: list[Any] = []
    steps: list[Any] = []

    def stop(step: Any) -> None:
        steps.append(step)
        raise StoppedError

    with pytest.raises(StoppedError):
        tuned(sqlite_url, budget="0.001s", epochs=3, on_plan=plans.append, on_step=stop)
    said = {item.name: item for item in steps[0].checklist}
    assert said["keep the budget"].state == "warning"
    assert said["keep the budget"].why == plans[0].warning
    assert "3 baselines and 2 configs on 8 seeds are trained in any case" in plans[0].warning
    assert "as asked for; not all rounds fit into" in said["choose the epochs"].why


def test_where_nothing_is_better_the_baseline_is_the_answer(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No winner is an answer: with a noise floor that nothing beats, no change is adopted and none confirmed."""
    monkeypatch.setattr("tuner.guide.baseline.noise_floor_of", lambda _values, *, least: 1.0 + least)
    tuning = tuned(sqlite_url, space=FEW, budget="25trials")
    assert tuning.best == tuning.baseline
    assert not tuning.is_confirmed
    assert tuning.to_json()["ladder"] == []
    assert "Nothing was better than the baseline beyond the noise" in tuning.verdict


def test_a_range_test_that_refuses_leaves_rates_around_the_present_one(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal is no reason to stop: it is a warning, and the rates are spread wider."""
    marks = dict.fromkeys(("suggested", "highest_stable", "steepest", "valley", "low", "high"))
    refusal = SimpleNamespace(**marks, reliable=False, reason="Too flat.")
    monkeypatch.setattr("tuner.guide.rate.learning_rate_range", lambda *_args, **_more: refusal)
    steps: list[Any] = []

    def stop_after_rate(step: Any) -> None:
        steps.append(step)
        if step.name == "rate":
            raise StoppedError

    with pytest.raises(StoppedError):
        tuned(sqlite_url, space=FEW, on_step=stop_after_rate)
    states = {item.name: item.state.value for item in steps[-1].checklist}
    assert states["range test of sgd"] == "warning"
    rates = {trial.config["learning_rate"] for trial in open_study("g-2-rate", sqlite_url).record().trials}
    assert {0.1, 0.0316, 0.316} <= rates


def test_a_config_that_learns_too_little_to_be_timed_keeps_its_batch_size(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finder's refusal is an item of the checklist, not the end of the guide."""

    def refuse(*_args: Any, **_more: Any) -> None:
        raise ConfigurationError("The config must learn before batch sizes are compared on it.")

    def stop_after_batch(step: Any) -> None:
        if step.name == "batch":
            assert [item.why for item in step.checklist] == [
                "It stays: The config must learn before batch sizes are compared on it."
            ]
            raise StoppedError

    monkeypatch.setattr("tuner.guide.batch.find_batch_size", refuse)
    space = Space(name="own", levers=(catalog.lever("batch_size"),))
    with pytest.raises(StoppedError):
        tuned(sqlite_url, space=space, on_step=stop_after_batch)
