import dataclasses
from typing import Any

import pytest

from studies.diagnosis import remedies
from studies.diagnosis.finding import Cause, CauseName
from studies.diagnosis.situation import Situation
from studies.records import Outcome
from tests.cases import DEFAULTS, good_trial, trial_of


def situation(**config: Any) -> Situation:
    return Situation(trial=good_trial(config=config))


RULES: list[tuple[remedies.Rule, dict[str, Any], str, Any, dict[str, Any]]] = [
    # rule, a config that it changes, the lever, its new value, a config in which it has nothing to change
    (remedies.lower_rate_tenfold, {"learning_rate": 3.0}, "learning_rate", 0.3, {"learning_rate": 0.0}),
    (remedies.lower_rate, {"learning_rate": 0.5}, "learning_rate", 0.15, {"learning_rate": 0.0}),
    (remedies.raise_rate, {"learning_rate": 1e-4}, "learning_rate", 1e-3, {"learning_rate": 0.0}),
    (remedies.warm_up, {}, "warmup_fraction", 0.05, {"warmup_steps": 100}),
    (remedies.shorten_warmup, {"warmup_fraction": 0.4}, "warmup_fraction", 0.05, {"warmup_fraction": 0.05}),
    (remedies.clip_gradients, {}, "clip_norm", 0.5, {"clip_norm": 1.0}),
    (remedies.loosen_clipping, {"clip_norm": 0.01}, "clip_norm", 0.5, {"clip_norm": 5.0}),
    (remedies.decay_rate, {}, "schedule", "cosine", {"schedule": "step"}),
    (remedies.lower_momentum, {"momentum": 0.99}, "momentum", 0.9, {"momentum": 0.9}),
    (remedies.larger_batch, {"batch_size": 32}, "batch_size", 128, {"batch_size": "full"}),
    (remedies.smaller_batch, {"batch_size": 512}, "batch_size", 128, {"batch_size": 32}),
    (remedies.switch_to_adam, {"learning_rate": 1e-3}, "optimizer", "adam", {"learning_rate": 0.1}),
    (remedies.train_longer, {}, "epochs", 40, {"epochs": "unknown"}),
    (remedies.more_dropout, {"dropout": 0.4}, "dropout", 0.5, {"dropout": 0.5}),
    (remedies.less_dropout, {"dropout": 0.08}, "dropout", 0.0, {"dropout": 0.0}),
    (remedies.more_weight_decay, {"weight_decay": 1e-4}, "weight_decay", 1e-3, {"weight_decay": 0.1}),
    (remedies.less_weight_decay, {"weight_decay": 1e-6}, "weight_decay", 0.0, {"weight_decay": 0.0}),
    (remedies.smooth_labels, {}, "label_smoothing", 0.1, {"label_smoothing": 0.1}),
    (remedies.stop_early, {}, "patience", 3, {"patience": 5}),
    (remedies.wider, {"width": 256}, "width", 512, {"width": 512}),
    (remedies.fewer_layers, {"depth": 8}, "depth", 4, {"depth": 2}),
    (remedies.use_relu, {"activation": "tanh"}, "activation", "relu", {"activation": "relu"}),
    (remedies.use_leaky_relu, {}, "activation", "leaky_relu", {"activation": "gelu"}),
    (remedies.initialize_for_activation, {}, "initialization", "he", {"initialization": "he"}),
    (remedies.normalize_layers, {}, "normalization", "batch", {"normalization": "layer"}),
    (remedies.standardize_input, {}, "input_scaling", "standardize", {"input_scaling": "standardize"}),
]


@pytest.mark.parametrize(("rule", "config", "lever", "value", "unchanged"), RULES)
def test_a_rule_changes_one_lever_or_nothing(
    rule: remedies.Rule, config: dict[str, Any], lever: str, value: Any, unchanged: dict[str, Any]
) -> None:
    """Each rule computes its change from the trial's own config, and is silent where there is none."""
    remedy = rule(situation(**config))
    assert remedy is not None
    assert [(edit.lever, edit.value) for edit in remedy.edits] == [(lever, value)]
    assert str(lever) in remedy.sentence
    assert rule(situation(**unchanged)) is None


def test_clipping_that_is_off_is_turned_on_first() -> None:
    """Where the lever `clipping` is off, a clip_norm alone would do nothing."""
    off = remedies.clip_gradients(situation(clipping=False, clip_norm=0.7))
    assert off is not None
    assert [(edit.lever, edit.value) for edit in off.edits] == [("clipping", True), ("clip_norm", 0.5)]
    assert remedies.clip_gradients(situation(clipping=True, clip_norm=0.7)) is None


def test_every_rule_is_used_and_tested() -> None:
    """The rules in the table of remedies are those tested here, but for the two that give actions."""
    used = {rule for rules in remedies.REMEDIES.values() for rule in rules}
    tested = {row[0] for row in RULES}
    assert used - tested == {remedies.clean_data, remedies.more_data}
    assert tested <= used


def test_a_foreign_config_gets_no_guessed_levers() -> None:
    """Of a study that is not ours only what its config names is changed."""
    foreign = Situation(trial=dataclasses.replace(good_trial(), config={"dropout": 0.1}, telemetry=None))
    changed = {
        edit.lever
        for rules in remedies.REMEDIES.values()
        for rule in rules
        if (remedy := rule(foreign)) is not None
        for edit in remedy.edits
    }
    assert changed == {"dropout"}


def test_the_rate_is_read_where_no_config_names_it() -> None:
    """The highest learning rate that telemetry holds stands in for an unknown one."""
    trial = dataclasses.replace(good_trial(), config={})
    remedy = remedies.lower_rate_tenfold(Situation(trial=trial))
    assert remedy is not None
    assert remedy.edits[0].value == 0.01


def test_exploded_gradients_are_clipped_at_one() -> None:
    """Where the gradients are far too large already, their percentile is no limit."""
    trial = good_trial()
    assert trial.telemetry is not None
    rows = tuple(dataclasses.replace(row, gradient_norm=4e4) for row in trial.telemetry.epochs)
    exploded = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    remedy = remedies.clip_gradients(Situation(trial=exploded))
    assert remedy is not None
    assert remedy.edits[0].value == 1.0


def test_longer_training_needs_a_loss_that_falls() -> None:
    """A flat loss does not get better by waiting."""
    flat = trial_of((2.0, 2.0, 2.0, 2.0, 2.0, 2.0))
    assert remedies.train_longer(Situation(trial=flat)) is None


def test_no_more_than_four_remedies_and_no_lever_twice() -> None:
    """All causes at once still give four remedies, each of its own lever, the likeliest cause's first."""
    causes = [Cause(name=name, confidence=0.5) for name in remedies.REMEDIES]
    found = remedies.remedies_for(
        causes, situation(learning_rate=1e-3, momentum=0.99, outcome=Outcome.COMPLETED)
    )
    levers = [edit.lever for remedy in found for edit in remedy.edits]
    assert len(found) == remedies.MAX_REMEDIES
    assert len(set(levers)) == len(levers)
    assert levers[0] == "learning_rate"


def test_sigmoid_wants_glorot() -> None:
    """The initialization follows the activation."""
    remedy = remedies.initialize_for_activation(situation(activation="sigmoid", initialization="he"))
    assert remedy is not None
    assert remedy.edits[0].value == "glorot"


def test_causes_with_remedies_are_public_names() -> None:
    """The table's causes are of the documented list; the defaults know every lever that a rule asks for."""
    assert set(remedies.REMEDIES) <= set(CauseName)
    assert {row[2] for row in RULES} <= set(DEFAULTS)
