"""From baseline to best one change at a time, each gain a paired difference."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import ConfigurationError
from studies.comparison import Verdict
from studies.encoding import to_json
from studies.recorded import open_study
from tests.problems import hard_blobs
from tuner.confirmation import confirm_configs
from tuner.ladder import BUNDLES, Ladder, changes_between, ladder
from tuner.listed import search_listed
from tuner.training.config import TrainingConfig

FAST: dict[str, Any] = {"epochs": 2, "workers": 1, "seeds": 3, "fixed": {"width": 8}}
OTHER_VALUES: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "batch_size": 32,
    "weight_decay": 1e-4,
    "dropout": 0.2,
    "schedule": "step",
    "step_size": 3,
    "milestones": (2, 5),
    "warmup_fraction": 0.1,
    "epsilon": 1e-6,
    "depth": 2,
    "model": "cnn",
    "clip_norm": 1.0,
    "clipping": False,
    "epochs": 20,
    "seed": 9,
}


def climbed(best: dict[str, Any], **changes: Any) -> Ladder:
    return ladder({"learning_rate": 1e-4}, best, hard_blobs, **{"study": "l", **FAST, **changes})


def names(best: dict[str, Any], order: tuple[str, ...] = ()) -> list[str]:
    return [change.name for change in changes_between({}, best, order=order)]


@settings(deadline=None)
@given(st.sets(st.sampled_from(sorted(OTHER_VALUES)), min_size=1).filter(lambda keys: keys != {"seed"}))
def test_all_changes_together_lead_from_baseline_to_best(keys: set[str]) -> None:
    """Whatever differs, each key moves exactly once, each rung is a config that can be, and the last is the best."""
    best = {key: OTHER_VALUES[key] for key in keys}
    changes = changes_between({}, best)
    moved = [key for change in changes for key in change.keys]
    assert sorted(moved) == sorted(keys - {"seed"})
    config: dict[str, Any] = {}
    for change in changes:
        config = change.applied(config)
        TrainingConfig.from_mapping(config)
    assert TrainingConfig.from_mapping(
        {**config, "seed": best.get("seed", 0)}
    ) == TrainingConfig.from_mapping(best)


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        (
            {"optimizer": "adam", "learning_rate": 0.001, "beta1": 0.8},
            [["optimizer", "learning_rate", "beta1"]],
        ),
        ({"batch_size": 512, "learning_rate": 0.4}, [["batch_size", "learning_rate"]]),
        (
            {"optimizer": "adam", "batch_size": 512, "learning_rate": 0.4},
            [["optimizer", "learning_rate"], ["batch_size"]],
        ),
        ({"optimizer": "adamw", "weight_decay": 0.01}, [["optimizer", "weight_decay"]]),
        ({"learning_rate": 0.4, "momentum": 0.9}, [["learning_rate"], ["momentum"]]),
        ({"schedule": "cosine", "warmup_fraction": 0.1}, [["schedule", "warmup_fraction"]]),
        ({"warmup_fraction": 0.1}, [["warmup_fraction"]]),
        ({"model": "cnn", "depth": 2, "dropout": 0.1}, [["dropout"], ["model", "depth"]]),
        ({"depth": 2, "width": 64}, [["depth"], ["width"]]),
    ],
)
def test_keys_that_only_mean_something_together_move_together(
    best: dict[str, Any], expected: list[list[str]]
) -> None:
    """A rate with the optimizer or batch size that it was tuned for, warmup with its schedule, size with the model."""
    assert [list(change.keys) for change in changes_between({}, best)] == expected


def test_the_order_is_by_family_or_as_given() -> None:
    """By family as the catalog has them; a given order may name changes, keys and families; others come last."""
    best = {"dropout": 0.1, "learning_rate": 0.2, "schedule": "cosine", "depth": 2, "epochs": 20}
    assert names(best) == ["learning_rate", "dropout", "schedule", "depth", "epochs"]
    assert names(best, ("epochs", "architecture", "dropout")) == [
        "epochs",
        "depth",
        "dropout",
        "learning_rate",
        "schedule",
    ]


def test_every_key_of_a_bundle_is_a_config_key() -> None:
    """A misspelled key would silently move alone."""
    keys = set(TrainingConfig().to_mapping())
    assert {key for bundle in BUNDLES for key in (*bundle.when, *bundle.also)} <= keys


def test_a_gain_is_the_paired_difference_of_neighboring_rungs() -> None:
    """Step by step, by hand, and the steps add up to the whole way."""
    found = climbed({"learning_rate": 0.5, "dropout": 0.3})
    rungs = [found.replicates.values(label) for label in found.replicates.configs]
    assert [step.change.text for step in found.steps] == ["learning_rate 0.0001 → 0.5", "dropout 0 → 0.3"]
    for step, before, after in zip(found.steps, rungs, rungs[1:], strict=False):
        gains = [b - a for a, b in zip(before, after, strict=True)]  # type: ignore[operator]  # none diverged
        assert step.gain.mean == pytest.approx(sum(gains) / 3)
        assert step.level.mean == pytest.approx(sum(after) / 3)  # type: ignore[arg-type]
    assert found.total.difference.mean == pytest.approx(sum(step.gain.mean for step in found.steps))
    assert found.best == found.steps[-1].level
    assert found.is_complete


def test_baseline_and_best_come_from_the_confirmation() -> None:
    """With the same seeds and settings only the rungs between are trained; with one change none at all."""
    ends = {"baseline": {"learning_rate": 1e-4}, "best": {"learning_rate": 0.5, "dropout": 0.3}}
    known = confirm_configs(ends, hard_blobs, study="c", **FAST).replicates
    found = climbed(ends["best"], known=known)
    assert len(open_study("l").record(telemetry=False).trials) == 3
    assert found.to_json() == climbed(ends["best"], study="all").to_json()
    assert found.baseline.mean == pytest.approx(sum(known.values("baseline")) / 3)  # type: ignore[arg-type]


def test_a_key_that_is_none_on_one_rung_is_trained_all_the_same() -> None:
    """None and lists are values like others: step_size from its default to 1, milestones from none to two."""
    found = climbed({"learning_rate": 1e-4, "schedule": "step", "step_size": 1, "epsilon": 1e-6}, seeds=2)
    assert found.is_complete
    assert "step_size default → 1" in found.steps[-1].change.text
    found = climbed(
        {"schedule": "multistep", "milestones": (1, 2), "learning_rate": 1e-4}, study="m", seeds=2
    )
    trials = open_study("m").record().trials
    rates = sorted({t.telemetry.epochs[-1].learning_rate for t in trials if t.telemetry})
    assert rates == pytest.approx([1e-5, 1e-4])


def test_a_rung_that_diverges_is_no_gap() -> None:
    """A step to a rate beyond all reason is told as worse and diverged, and its JSON has no infinity."""
    found = climbed({"learning_rate": 1e30, "activation": "leaky_relu"}, seeds=6, order=("learning_rate",))
    first = found.steps[0]
    assert first.comparison.verdict is Verdict.WORSE
    assert math.isnan(first.gain.mean)
    assert "diverged in 6 of 6 seeds" in first.sentence
    assert to_json(found.to_json())
    assert found.to_json()[0]["gain"] is None


def test_a_step_within_noise_is_said_to_be() -> None:
    """A change without any effect has a gain of zero, is named in the sentence, and is not called a gain."""
    found = climbed({"learning_rate": 1e-4, "plateau_patience": 5})
    assert "plateau_patience 3 → 5 cannot be told from noise: its gain is 0" in found.steps[0].sentence
    assert found.sentence == (
        "No winner between best and baseline: they are equal over 3 paired seeds. "
        "Not told from noise, or worse: schedule."
    )
    assert found.to_json()[0]["verdict"] == "no winner"


def test_a_ladder_with_missing_rungs_has_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how many trainings are missing, and nothing of what helps."""

    def without_the_last(*arguments: Any, **settings: Any) -> Any:
        listed = search_listed(*arguments, **settings)
        return type(listed)(search=listed.search, configs=listed.configs, trials=(*listed.trials[:-1], None))

    monkeypatch.setattr("tuner.replication.search_listed", without_the_last)
    found = climbed({"learning_rate": 0.5})
    assert found.sentence == "No verdict yet: 1 of 6 trainings are missing."


def test_epochs_and_what_is_fixed_hold_for_both_ends() -> None:
    """Keys that one config names and the call says too are no change."""
    found = climbed({"learning_rate": 0.5, "epochs": 2, "width": 8}, seeds=2)
    assert [step.change.name for step in found.steps] == ["learning_rate"]


def test_what_makes_no_ladder_is_refused() -> None:
    """Equal configs, another split, an unknown name in the order: each by its rule."""
    with pytest.raises(ConfigurationError, match="differs from the baseline, but they are the same"):
        changes_between({"seed": 1}, {"seed": 2})
    with pytest.raises(
        ConfigurationError, match="share one split of the data, but got split stratified and last"
    ):
        changes_between({}, {"split": "last", "dropout": 0.1})
    with pytest.raises(ConfigurationError, match=r"order's name must be one of .*Did you mean 'dropout'\?"):
        changes_between({}, {"dropout": 0.1}, order=("dropuot",))
