import dataclasses
from typing import Any

import pytest

from studies.diagnosis import lever_rules, remedies
from studies.diagnosis.actions import ACTIONS, warm_up_by_hand
from studies.diagnosis.finding import Cause, CauseName
from studies.diagnosis.situation import Situation
from studies.records import Outcome
from tests.made_trials import DEFAULTS, good_trial, trial_of


def situation(**config: Any) -> Situation:
    return Situation(trial=good_trial(config=config))


RULES: list[tuple[remedies.Rule, dict[str, Any], str, Any, dict[str, Any]]] = [
    # rule, a config that it changes, the lever, its new value, a config in which it has nothing to change
    (lever_rules.lower_rate_tenfold, {"learning_rate": 3.0}, "learning_rate", 0.3, {"learning_rate": 0.0}),
    (lever_rules.lower_rate, {"learning_rate": 0.5}, "learning_rate", 0.15, {"learning_rate": 0.0}),
    (lever_rules.raise_rate, {"learning_rate": 1e-4}, "learning_rate", 3e-4, {"learning_rate": 0.0}),
    (lever_rules.warm_up, {}, "warmup_fraction", 0.05, {"warmup_steps": 100}),
    (
        lever_rules.shorten_warmup,
        {"warmup_fraction": 0.4},
        "warmup_fraction",
        0.05,
        {"warmup_fraction": 0.05},
    ),
    (lever_rules.clip_gradients, {}, "clip_norm", 0.5, {"clip_norm": 1.0}),
    (lever_rules.loosen_clipping, {"clip_norm": 0.01}, "clip_norm", 0.5, {"clip_norm": 5.0}),
    (lever_rules.smooth_schedule, {"schedule": "restarts"}, "schedule", "cosine", {"schedule": "cosine"}),
    (
        lever_rules.wait_longer,
        {"schedule": "plateau", "plateau_patience": 3},
        "plateau_patience",
        6,
        {"schedule": "cosine", "plateau_patience": 3},
    ),
    (lever_rules.decay_rate, {}, "schedule", "cosine", {"schedule": "step"}),
    (lever_rules.lower_momentum, {"momentum": 0.99}, "momentum", 0.9, {"momentum": 0.9}),
    (lever_rules.larger_batch, {"batch_size": 32}, "batch_size", 128, {"batch_size": "full"}),
    (lever_rules.larger_batch, {"batch_size": 4}, "batch_size", 32, {"batch_size": 256}),
    (lever_rules.smaller_batch, {"batch_size": 512}, "batch_size", 64, {"batch_size": 32}),
    (lever_rules.switch_to_adam, {"learning_rate": 1e-3}, "optimizer", "adam", {"learning_rate": 0.1}),
    (lever_rules.train_longer, {}, "epochs", 40, {"epochs": "unknown"}),
    (lever_rules.more_dropout, {"dropout": 0.4}, "dropout", 0.5, {"dropout": 0.5}),
    (lever_rules.less_dropout, {"dropout": 0.08}, "dropout", 0.0, {"dropout": 0.0}),
    (lever_rules.less_augmentation, {"augmentation": 0.6}, "augmentation", 0.2, {"augmentation": 0.0}),
    (lever_rules.more_augmentation, {"model": "cnn"}, "augmentation", 0.3, {"model": "mlp"}),
    (lever_rules.deeper, {"depth": 0}, "depth", 1, {"depth": 1}),
    (lever_rules.more_weight_decay, {"weight_decay": 1e-4}, "weight_decay", 1e-3, {"weight_decay": 0.1}),
    (
        lever_rules.less_weight_decay,
        {"weight_decay": 1e-6, "learning_rate": 4e3},
        "weight_decay",
        0.0,
        {"weight_decay": 1e-6},
    ),
    (lever_rules.smooth_labels, {}, "label_smoothing", 0.1, {"label_smoothing": 0.1}),
    (lever_rules.stop_early, {}, "patience", 3, {"patience": 5}),
    (lever_rules.wider, {"width": 256}, "width", 512, {"width": 512}),
    (lever_rules.fewer_layers, {"depth": 8}, "depth", 4, {"depth": 2}),
    (lever_rules.use_relu, {"activation": "tanh"}, "activation", "relu", {"activation": "relu"}),
    (lever_rules.use_leaky_relu, {}, "activation", "leaky_relu", {"activation": "gelu"}),
    (lever_rules.initialize_for_activation, {}, "initialization", "he", {"initialization": "he"}),
    (lever_rules.normalize_layers, {}, "normalization", "batch", {"normalization": "layer"}),
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
    off = lever_rules.clip_gradients(situation(clipping=False, clip_norm=0.7))
    assert off is not None
    assert [(edit.lever, edit.value) for edit in off.edits] == [("clipping", True), ("clip_norm", 0.5)]
    assert lever_rules.clip_gradients(situation(clipping=True, clip_norm=0.7)) is None


def test_every_rule_is_used_and_tested() -> None:
    """The rules in the table of remedies are those tested here, but for those that give actions."""
    used = {rule for rules in remedies.REMEDIES.values() for rule in rules}
    tested = {row[0] for row in RULES}
    actions = {rule for rules in ACTIONS.values() for rule in rules}
    assert used - tested == {
        lever_rules.more_data,
        lever_rules.less_of_the_stronger,
        warm_up_by_hand,
        *actions,
    }
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
    remedy = lever_rules.lower_rate_tenfold(Situation(trial=trial))
    assert remedy is not None
    assert remedy.edits[0].value == 0.01


def test_exploded_gradients_are_clipped_at_one() -> None:
    """Where the gradients are far too large already, their percentile is no limit."""
    trial = good_trial()
    assert trial.telemetry is not None
    rows = tuple(dataclasses.replace(row, gradient_norm=4e4) for row in trial.telemetry.epochs)
    exploded = dataclasses.replace(trial, telemetry=dataclasses.replace(trial.telemetry, epochs=rows))
    remedy = lever_rules.clip_gradients(Situation(trial=exploded))
    assert remedy is not None
    assert remedy.edits[0].value == 1.0


def test_longer_training_needs_a_loss_that_falls() -> None:
    """A flat loss does not get better by waiting."""
    flat = trial_of((2.0, 2.0, 2.0, 2.0, 2.0, 2.0))
    assert lever_rules.train_longer(Situation(trial=flat)) is None


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
    remedy = lever_rules.initialize_for_activation(situation(activation="sigmoid", initialization="he"))
    assert remedy is not None
    assert remedy.edits[0].value == "glorot"


def test_causes_with_remedies_are_public_names() -> None:
    """The table's causes are of the documented list; the defaults know every lever that a rule asks for."""
    assert set(remedies.REMEDIES) <= set(CauseName)
    assert {row[2] for row in RULES} <= set(DEFAULTS)


def test_the_stronger_regularizer_goes_first() -> None:
    """Where training with dropout is dear, dropout is lowered before a weight decay that is there too."""
    flat = (1.8,) * 6
    dear = trial_of(
        flat,
        (0.35,) * 6,
        flat,
        (0.5,) * 6,
        probe_loss=flat,
        probe_accuracy=(0.6,) * 6,
        config={"dropout": 0.6, "weight_decay": 1e-2},
    )
    found = remedies.remedies_for(
        [Cause(name=CauseName.OVER_REGULARIZED, confidence=0.9)], Situation(trial=dear)
    )
    assert [remedy.edits[0].lever for remedy in found[:2]] == ["dropout", "weight_decay"]
    assert lever_rules.less_of_the_stronger(situation(dropout=0.6)) is None


def test_each_cause_keeps_its_first_remedy() -> None:
    """Where the likeliest causes alone would fill the list, and a loop of one's own gets its warmup as an action."""
    causes = [
        Cause(name=CauseName.LEARNING_RATE_TOO_HIGH, confidence=0.6),
        Cause(name=CauseName.MISSING_WARMUP, confidence=0.5),
        Cause(name=CauseName.MOMENTUM_TOO_HIGH, confidence=0.4),
    ]
    own = {"learning_rate": 0.5, "clip_norm": 0.0, "schedule": "constant", "batch_size": 32, "momentum": 0.99}
    trial = dataclasses.replace(good_trial(), config=own)
    found = remedies.remedies_for(causes, Situation(trial=trial))
    assert len(found) == remedies.MAX_REMEDIES
    assert [edit.lever for remedy in found for edit in remedy.edits] == [
        "learning_rate",
        "clip_norm",
        "momentum",
    ]
    assert [remedy.action is not None and "LinearLR" in remedy.action for remedy in found].count(True) == 1


def test_weight_decay_that_hardly_pulls_is_no_remedy() -> None:
    """Of 1e-4 at these updates a fortieth of each is decay; where updates were not read nobody knows."""
    assert lever_rules.less_weight_decay(situation(weight_decay=1e-3)) is None
    unread = Situation(trial=dataclasses.replace(good_trial(), telemetry=None, config={"weight_decay": 1e-3}))
    assert lever_rules.less_weight_decay(unread) is not None


def test_weight_decay_is_lowered_to_a_twentieth_of_the_updates() -> None:
    """Rate 0.1, decay 0.04 and an update ratio of 0.004 are a share of 1: a tenth would still be too much."""
    remedy = lever_rules.less_weight_decay(situation(weight_decay=0.04))
    assert remedy is not None
    assert remedy.edits[0].value == 0.002


def test_a_rate_is_raised_to_what_moves_the_weights() -> None:
    """Updates of 6e-5 want 200 times the rate; where none was read, tenfold is the guess."""
    small = trial_of((2.2,) * 4, config={"learning_rate": 1e-4}, update_ratio=6e-5)
    remedy = lever_rules.raise_rate(Situation(trial=small))
    assert remedy is not None
    assert remedy.edits[0].value == 0.02
    unread = dataclasses.replace(small, telemetry=None)
    guess = lever_rules.raise_rate(Situation(trial=unread))
    assert guess is not None
    assert guess.edits[0].value == 1e-3


def test_a_full_batch_becomes_a_minibatch_and_a_long_warmup_in_steps_short() -> None:
    """Both have a value of their own beside the usual ones."""
    full = lever_rules.smaller_batch(situation(batch_size="full"))
    assert full is not None
    assert full.edits[0].value == 64
    long = lever_rules.shorten_warmup(situation(warmup_steps=2000))
    assert long is not None
    assert (long.edits[0].lever, long.edits[0].value) == ("warmup_steps", 188)


def test_images_are_augmented_before_anything_else_is_done_about_overfitting() -> None:
    """As calibration proved it: of dropout, weight decay and patience none closed the gap of its convolutional case."""
    found = remedies.remedies_for(
        (Cause(name=CauseName.OVERFITTING, confidence=0.9),), situation(model="cnn", width=64)
    )
    assert found[0].edits[0].lever == "augmentation"


@pytest.mark.parametrize(("batch_size", "kind"), [(4, "layer"), (64, "batch")])
def test_small_minibatches_are_normalized_by_layer(batch_size: int, kind: str) -> None:
    """The statistics of a handful of samples are noise."""
    remedy = lever_rules.normalize_layers(situation(batch_size=batch_size, normalization="none"))
    assert remedy is not None
    assert remedy.edits[0].value == kind
