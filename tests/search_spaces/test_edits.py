import json
from collections.abc import Callable

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import catalog
from search_spaces.edits import Edit, EditKind, apply, apply_all
from search_spaces.errors import ConfigurationError
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Condition, Space
from tests.strategies import edits, spaces

MLP, QUICK = preset("mlp"), preset("quick")


def _maker(kind: EditKind) -> Callable[..., Edit]:
    return lambda lever, **parts: Edit(kind=kind, lever=lever, **parts)


fix, widen, narrow, free, add, drop = map(_maker, EditKind)


@given(edits())
@settings(deadline=None)
def test_json_round_trip(edit: Edit) -> None:
    """An edit survives JSON text, which holds only what is set."""
    data = json.loads(json.dumps(edit.to_json(), allow_nan=False))
    assert Edit.from_json(data) == edit
    assert None not in data.values()


@given(spaces() | st.sampled_from([*PRESETS.values()]), edits())
@settings(deadline=None)
def test_an_edit_makes_a_space_or_says_why_not(space: Space, edit: Edit) -> None:
    """The answer is a working space or a ConfigurationError, and the old space is untouched."""
    before = space.fingerprint()
    try:
        edited = apply(space, edit)
    except ConfigurationError:
        edited = space
    edited.suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())
    assert space.fingerprint() == before


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (fix("momentum", value=0.9), "Fix momentum at 0.9."),
        (fix("optimizer", value="adam"), "Fix optimizer at adam."),
        (widen("learning_rate", low=1e-5), "Widen learning_rate down to 1e-05."),
        (widen("dropout", high=0.8), "Widen dropout up to 0.8."),
        (narrow("dropout", low=0.1), "Narrow dropout to at least 0.1."),
        (narrow("learning_rate", high=0.03), "Narrow learning_rate to at most 0.03."),
        (narrow("depth", low=1, high=2), "Narrow depth to 1..2."),
        (narrow("activation", choices=("relu", "gelu")), "Narrow activation to relu or gelu."),
        (free("optimizer"), "Search optimizer again instead of fixing it."),
        (add("label_smoothing"), "Add label_smoothing to the search."),
        (drop("dropout"), "Stop searching dropout; its default rules."),
    ],
)
def test_sentence(edit: Edit, sentence: str) -> None:
    """A person reads an edit as one instruction."""
    assert edit.sentence() == sentence


@pytest.mark.parametrize(
    ("kind", "parts", "rule"),
    [
        (EditKind.FIX, {}, "must have a value if it fixes, and only then"),
        (EditKind.DROP, {"value": 1}, "must have a value if it fixes, and only then"),
        (EditKind.WIDEN, {}, "either bounds or choices if it widens or narrows"),
        (EditKind.NARROW, {"low": 1, "choices": (1,)}, "either bounds or choices if it widens or narrows"),
        (EditKind.FREE, {"high": 1}, "and neither otherwise"),
        (EditKind.FIX, {"value": float("nan")}, "must have words and finite numbers"),
        (EditKind.NARROW, {"low": "a"}, "must have words and finite numbers"),
    ],
)
def test_parts_must_belong_to_the_kind(kind: EditKind, parts: dict[str, object], rule: str) -> None:
    """An edit with a part too many or too few is refused."""
    with pytest.raises(ConfigurationError, match=rule):
        Edit(kind=kind, lever="depth", **parts)  # type: ignore[arg-type]


def test_name_and_key_are_one_edit() -> None:
    """Momentum at 0.9 is 1 - momentum at 0.1, and bounds turn round likewise."""
    by_key, by_name = fix("momentum", value=0.9), fix("one_minus_momentum", value=0.1)
    assert apply(MLP, by_key) == apply(MLP, by_name) == MLP.fix("momentum", 0.9)
    expected = FloatDistribution(0.1, 0.5, log=True)
    for edit in (narrow("momentum", low=0.5, high=0.9), narrow("one_minus_momentum", low=0.1, high=0.5)):
        assert apply(MLP, edit)["one_minus_momentum"].distribution == expected
    assert apply(MLP, narrow("momentum", high=0.9))["one_minus_momentum"].distribution == FloatDistribution(
        0.1, 1.0, log=True
    )
    with pytest.raises(
        ConfigurationError, match="one_minus_momentum must be fixed at a number, but got 'high'"
    ):
        apply(MLP, fix("one_minus_momentum", value="high"))


def test_fix_needs_no_lever() -> None:
    """Any config key can be fixed, in or out of a lever's range, catalog lever or not."""
    space = apply_all(
        QUICK, [fix("patience", value=3), fix("label_smoothing", value=0.5), fix("dropout", value=0.9)]
    )
    assert space.fixed == {"optimizer": "sgd", "patience": 3, "label_smoothing": 0.5, "dropout": 0.9}
    assert "dropout" not in space


def test_widen_and_narrow() -> None:
    """Widening keeps all of the old range, narrowing stays in it; the other bound stays."""
    wide = apply(MLP, widen("learning_rate", low=1e-5))
    assert wide["learning_rate"].distribution == FloatDistribution(1e-5, 1.0, log=True)
    assert apply(wide, narrow("learning_rate", low=1e-4)) == MLP
    assert apply(MLP, widen("width", choices=[32, 64, 128, 256, 512, 1024]))["width"].contains(1024)
    assert apply(MLP, narrow("depth", choices=[1, 3]))["depth"].distribution == CategoricalDistribution(
        (1, 3)
    )
    assert apply(MLP, narrow("depth", high=2))["depth"].distribution == IntDistribution(1, 2)


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        (
            widen("learning_rate", low=1e-3),
            r"must keep all of the old range \(learning_rate: a number in 0.0001..1\)",
        ),
        (widen("width", choices=[32, 64]), "must keep all of the old range"),
        (widen("depth", choices=[1, 2, 3]), "must keep all of the old range"),
        (narrow("learning_rate", high=2.0), "must stay in the old range .* but got a number in 0.0001..2"),
        (narrow("activation", choices=["relu", "swish"]), "must stay in the old range"),
        (narrow("learning_rate", low=0.5, high=0.1), "`low <= high` must hold"),
        (narrow("width", low=64), r"A range needs a lever of numbers"),
        (narrow("widht", low=64), "A lever to narrow must be one of .* Did you mean 'width'"),
        (drop("label_smoothing"), "A lever to drop must be one of"),
        (add("depth"), "A lever to add must be new, but depth is in the space 'mlp' already"),
        (add("depht"), "A lever of the catalog must be one of .* Did you mean 'depth'"),
        (free("depth"), r"A key to free must be fixed \(none is\), but got 'depth'"),
    ],
)
def test_an_edit_that_does_not_fit(edit: Edit, rule: str) -> None:
    """An edit that does not fit its space is refused with the rule."""
    with pytest.raises(ConfigurationError, match=rule):
        apply(MLP, edit)


def test_narrowing_takes_what_can_no_longer_exist() -> None:
    """Without sgd among the choices, momentum goes."""
    assert "one_minus_momentum" not in apply(MLP, narrow("optimizer", choices=["adam", "adamw"]))
    assert "one_minus_momentum" in apply(MLP, narrow("optimizer", choices=["sgd", "adam"]))


def test_drop_lets_the_default_decide() -> None:
    """Dropping the optimizer leaves sgd, so momentum always exists; what hangs on adam goes."""
    space = apply(MLP, drop("optimizer"))
    assert set(MLP.names) - set(space.names) == {"optimizer"}
    assert (space.conditions, space.fixed) == ({}, {})
    on_adam = MLP.rebuilt(conditions={"dropout": Condition(key="optimizer", values=("adam",))})
    assert set(MLP.names) - set(apply(on_adam, drop("optimizer")).names) == {"optimizer", "dropout"}


def test_drop_of_a_lever_that_the_training_works_out() -> None:
    """No value of it is known from then on, so what hangs on one goes."""
    levers = (catalog.lever("step_size"), catalog.lever("dropout"))
    on_a_size = Condition(key="step_size", values=(3,))
    space = Space(name="s", levers=levers, conditions={"dropout": on_a_size})
    assert apply(space, drop("step_size")).names == ()
    assert apply(space.rebuilt(conditions={}), drop("step_size")).names == ("dropout",)


def test_free_brings_the_catalog_lever_back() -> None:
    """A freed optimizer comes before momentum, which depends on it as before."""
    space = apply(QUICK, free("optimizer"))
    assert space.names == ("learning_rate", "optimizer", "one_minus_momentum", "weight_decay", "dropout")
    assert space.conditions == QUICK.conditions
    assert space.fixed == {}
    assert apply(space, fix("optimizer", value="sgd")) == QUICK
    unconditional = QUICK.rebuilt(conditions={})
    assert apply(unconditional, free("optimizer")) == space


def test_free_after_fix_gives_the_lever_back() -> None:
    """Fix and free are inverse up to order, also for a lever on another scale."""
    space = apply_all(MLP, [fix("momentum", value=0.9), free("momentum")])
    assert sorted(space.names) == sorted(MLP.names)
    assert space.conditions == MLP.conditions


def test_add_takes_the_catalog_s_condition() -> None:
    """Momentum is added under its condition, and refused where that cannot hold."""
    without = apply(MLP, drop("momentum"))
    assert apply(without, add("momentum")).conditions == MLP.conditions
    with pytest.raises(
        ConfigurationError, match="one_minus_momentum exists only where optimizer is sgd, which is not"
    ):
        apply(apply(without, fix("optimizer", value="adam")), add("momentum"))
    with pytest.raises(ConfigurationError, match=r"must not be fixed, but optimizer is 'sgd' \(free it\)"):
        apply(QUICK, add("optimizer"))
    assert "label_smoothing" in apply(QUICK, add("label_smoothing"))


def test_fixing_brings_the_condition_of_a_key_that_was_open() -> None:
    """A cnn has no depth to search; an mlp has, and a network of one's own may."""
    for space in (preset("depth"), MLP):
        assert set(space.names) - set(apply(space, fix("model", value="cnn")).names) == {"depth"}
        for model in ("mlp", "mine:build"):
            assert apply(space, fix("model", value=model)).names == space.names
    changed = apply_all(preset("depth"), [fix("model", value="mlp"), fix("model", value="mine:build")])
    assert changed.names == preset("depth").names


def test_a_lever_that_means_nothing_is_not_added() -> None:
    """Where nothing decides its condition's key, the key's default does."""
    bare = Space(name="bare", levers=(catalog.lever("learning_rate"),))
    with pytest.raises(
        ConfigurationError,
        match=r"epsilon means something only where optimizer is adam or adamw or rmsprop, but the space 'bare' leaves "
        r"optimizer at its default, sgd \(first fix optimizer, or add it to the search\)",
    ):
        apply(bare, add("epsilon"))
    with pytest.raises(ConfigurationError, match="leaves schedule at its default, constant"):
        apply(QUICK, add("step_size"))
    assert "epsilon" in apply_all(bare, [fix("optimizer", value="adam"), add("epsilon")])
    assert "step_size" in apply_all(bare, [add("schedule"), add("step_size")])
    assert {"nesterov", "depth"} <= {*apply_all(bare, [add("nesterov"), add("depth")]).names}
