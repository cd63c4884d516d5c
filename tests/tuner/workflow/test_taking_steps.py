"""The whole guide on small tasks: its steps, their rounds and studies, and what it says at the end."""

from typing import Any

import optuna
import pytest
import yaml

from studies.recorded import open_study
from tests.problems import linear_model
from tests.tuner.workflow.guides import STEPS, items, tuned
from tuner.training.config import TrainingConfig
from tuner.workflow import Tuning


def test_the_guide_takes_its_steps_in_order_each_in_a_study_of_its_own(whole: tuple[Tuning, str]) -> None:
    """Named after the guide, its place and the step; a step of two rounds has two."""
    tuning, url = whole
    assert [step.name for step in tuning.steps] == STEPS
    studies = [name for step in tuning.steps for name in step.studies]
    assert studies[:2] == ["g-1-baseline", "g-2-rate"]
    assert {"g-3-batch", "g-4-regularization", "g-5-schedule", "g-5-schedule-b", "g-6-seeds"} <= set(studies)
    assert set(optuna.get_all_study_names(url)) == {"g", *studies}
    assert len(studies) == len(set(studies))


def test_a_budget_of_trials_is_kept(whole: tuple[Tuning, str]) -> None:
    """Over all studies."""
    tuning, url = whole
    studies = [name for step in tuning.steps for name in step.studies]
    counted = [len(open_study(name, url).record(telemetry=False).trials) for name in studies]
    assert sum(counted) <= 44


def test_every_round_has_the_incumbent_and_seeds_of_its_own(whole: tuple[Tuning, str]) -> None:
    """Rivals are compared on equal seeds; no seed comes again, so no luck lasts."""
    tuning, url = whole
    seeds = []
    for step in tuning.steps[1:-1]:
        for study in step.studies:
            trials = open_study(study, url).record(telemetry=False).trials
            configs = [{**trial.config} for trial in trials]
            own = [config.pop("seed") for config in configs]
            per_config = [seed for seed, config in zip(own, configs, strict=True) if config == configs[0]]
            assert len(own) == len(per_config) * len({yaml.safe_dump(config) for config in configs})
            seeds.append(set(own))
    assert len(set.union(*seeds)) == sum(map(len, seeds))
    fresh = {trial.config["seed"] for trial in open_study("g-6-seeds", url).record(telemetry=False).trials}
    assert min(fresh) > max(set.union(*seeds))


def test_a_step_changes_only_its_own_levers(whole: tuple[Tuning, str]) -> None:
    """One family at a time; between steps the incumbent is handed on."""
    own = {
        "baseline": set(),
        "rate": {"learning_rate"},
        "batch": {"batch_size", "learning_rate"},
        "regularization": {"weight_decay", "weight_decay_kind", "dropout", "label_smoothing", "augmentation"},
    }
    before: dict[str, Any] = {}
    for step in whole[0].steps:
        if before and step.name in own:
            changed = {key for key, value in step.config.items() if before.get(key, "absent") != value}
            assert changed <= own[step.name]
        before = dict(step.config)


def test_json_has_what_scripts_read(whole: tuple[Tuning, str]) -> None:
    """DESIGN section 3, and the ends of the ladder are the baseline and the best."""
    found = whole[0].to_json()
    assert {"steps", "baseline", "best", "ladder", "verdict"} <= found.keys()
    assert found["steps"][0].keys() >= {"name", "study", "checklist", "findings", "config"}
    assert found["best"].keys() >= {"config", "mean", "low", "high", "n_seeds", "test"}
    assert all(rung.keys() >= {"change", "gain", "low", "high"} for rung in found["ladder"])
    gains = sum(rung["gain"] for rung in found["ladder"])
    assert found["baseline"]["mean"] + gains == pytest.approx(found["best"]["mean"])
    assert found["best"]["n_seeds"] >= 8


def test_the_best_config_is_kept_as_yaml_that_trains(whole: tuple[Tuning, str]) -> None:
    """With its epochs; it is the last step's incumbent."""
    tuning, _url = whole
    config = yaml.safe_load(tuning.best_file.read_text(encoding="utf-8"))
    assert config == {**tuning.steps[-1].config, "epochs": 1}
    assert TrainingConfig.from_mapping(config).epochs == 1


def test_steps_without_levers_in_the_space_are_skipped_and_say_so(short: tuple[Tuning, str]) -> None:
    """The rest stays as the baseline has it; levers of architecture, which no step changes, are named."""
    tuning, _url = short
    assert items(tuning, "batch") == {"batch size": "skipped"}
    assert items(tuning, "baseline")["other levers of the space"] == "skipped"
    assert items(tuning, "regularization")["label smoothing x augmentation"] == "skipped"
    assert set(items(tuning, "schedule").values()) == {"skipped"}
    changed = {key for key in tuning.best if tuning.best[key] != tuning.baseline.get(key)}
    assert changed <= {"dropout", "learning_rate"}
    assert tuning.best["optimizer"] == "sgd"


def test_an_own_model_and_a_regression_are_tuned_too(sqlite_url: str) -> None:
    """By the validation loss; what needs classes or images is left out with the reason."""
    tuning = tuned(sqlite_url, "tests.problems:line_task", model=linear_model, budget="20trials")
    assert tuning.metric == "validation_loss"
    assert items(tuning, "regularization")["label smoothing x augmentation"] == "skipped"
    assert tuning.best["model"] == "tests.problems:linear_model"
    best, baseline = (tuning.to_json()[name] for name in ("best", "baseline"))
    assert best["mean"] <= baseline["mean"]
    assert best["test"] is None
