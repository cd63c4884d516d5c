import subprocess
import sys

import pytest
from optuna.distributions import CategoricalDistribution

import search_spaces
from search_spaces.catalog import CONDITIONS, LEVERS, conditions_for, decided, lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Family, Lever
from search_spaces.space import Condition, Space


@pytest.mark.parametrize("known", LEVERS, ids=lambda known: known.name)
def test_every_lever_says_why_and_whence(known: Lever) -> None:
    """A catalog lever has a reason and a source of one line each, and is found by its name and by its key."""
    assert known.reason.endswith(".")
    assert known.source
    assert "\n" not in known.reason + known.source
    assert lever(known.name) is lever(known.key) is known


def test_names_and_keys_are_unique() -> None:
    """A name or key points at one lever."""
    assert len({known.name for known in LEVERS}) == len({known.key for known in LEVERS}) == len(LEVERS)


def test_a_default_is_a_choice() -> None:
    """The default of a categorical lever is one of its choices; weight_decay_kind's auto is short for one of two."""
    categorical = [known for known in LEVERS if isinstance(known.distribution, CategoricalDistribution)]
    assert [known.name for known in categorical if not known.contains(known.default)] == ["weight_decay_kind"]


def test_an_anchor_lies_inside() -> None:
    """An anchored lever of the catalog is one on part of its range; others are left as they are."""
    anchors = {known.name: known.anchor_text for known in LEVERS if known.anchor}
    assert anchors == {
        "weight_decay": "0.01..0.1",
        "dropout": "0..0.3",
        "label_smoothing": "0.05..0.1",
        "augmentation": "0..0.5",
    }
    for known in LEVERS:
        anchored = known.anchored()
        assert all(known.contains(known.to_config(point)) for point in anchored.grid(5))
        assert (anchored == known) == (not known.anchor)


def test_the_families_hold_what_the_guide_names() -> None:
    """Five families, each with its levers, in the order in which a person reads them."""
    families = {family: [known.key for known in LEVERS if known.family is family] for family in Family}
    assert families == {
        Family.OPTIMIZATION: [
            "learning_rate",
            "optimizer",
            "momentum",
            "nesterov",
            "beta1",
            "beta2",
            "alpha",
            "epsilon",
            "clipping",
            "clip_norm",
        ],
        Family.BATCHING: ["batch_size", "accumulation_steps", "batch_lr_rule"],
        Family.REGULARIZATION: [
            "weight_decay",
            "weight_decay_kind",
            "dropout",
            "label_smoothing",
            "augmentation",
            "class_weights",
        ],
        Family.SCHEDULING: [
            "schedule",
            "warmup_steps",
            "warmup_fraction",
            "final_lr_fraction",
            "step_size",
            "step_gamma",
            "plateau_patience",
            "restart_period",
        ],
        Family.ARCHITECTURE: ["model", "depth", "width", "activation", "normalization", "initialization"],
    }


def test_the_ranges_that_the_guide_fixes() -> None:
    """Clipping in 0.5..1, warmup of 100 to 1000 steps or a tenth at most, dropout to 0.6, full batches where asked."""
    ranges = {
        name: lever(name).range_text for name in ("clip_norm", "warmup_steps", "warmup_fraction", "dropout")
    }
    assert ranges == {
        "clip_norm": "a number in 0.5..1",
        "warmup_steps": "a whole number in 100..1000",
        "warmup_fraction": "a number in 0..0.1",
        "dropout": "a number in 0..0.6",
    }
    with_full = lever("batch_size").among((1, 32, "full"))
    assert with_full.grid(2) == [1, 32, "full"]
    assert lever("learning_rate").distribution.log  # type: ignore[attr-defined]  # it is a float range


def test_conditions_are_of_the_catalog() -> None:
    """A condition names a lever that comes after the one it asks about, and values that this one can have."""
    names = [known.name for known in LEVERS]
    for name, condition in CONDITIONS.items():
        parent = lever(condition.key)
        assert lever(name).name == name
        assert names.index(parent.name) < names.index(name)
        assert all(parent.contains(value) for value in condition.values)


def test_a_decided_key_brings_its_conditions() -> None:
    """Once: a lever that had none though its key was decided is wanted everywhere."""
    levers = (lever("learning_rate"), lever("nesterov"), lever("epsilon"))
    space = Space(name="open", levers=levers)
    assert decided(space, "optimizer", "sgd").names == ("learning_rate", "nesterov")
    assert decided(space, "optimizer", "adam").names == ("learning_rate", "epsilon")
    everywhere = Space(name="told", levers=levers, fixed={"optimizer": "sgd"})
    assert decided(everywhere, "optimizer", "adam").names == everywhere.names
    assert decided(space, "batch_size", 64) == space.fix("batch_size", 64)


def test_a_value_that_the_catalog_does_not_know_keeps_every_lever() -> None:
    """What a model of one's own reads is its own affair; conditions that a user wrote hold."""
    levers = (lever("model"), lever("depth"), lever("dropout"))
    own = {"dropout": Condition(key="model", values=("cnn",))}
    space = Space(name="s", levers=levers, conditions={**conditions_for(levers, {}), **own})
    assert decided(space, "model", "mine:build").names == ("depth",)
    assert decided(space, "model", "mlp").names == ("depth",)
    assert decided(space, "model", "cnn").names == ("dropout",)


def test_an_unknown_lever_has_a_near_name() -> None:
    """A typing error is answered with the name that was meant."""
    with pytest.raises(ConfigurationError, match="Did you mean 'learning_rate'"):
        lever("learnig_rate")


def test_public_names() -> None:
    """Every public name is there, and no other."""
    assert [name for name in search_spaces.__all__ if getattr(search_spaces, name).__name__ != name] == []
    assert dir(search_spaces) == sorted(search_spaces.__all__)
    with pytest.raises(AttributeError, match="module 'search_spaces' has no attribute 'Spaec'"):
        search_spaces.Spaec  # noqa: B018


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import search_spaces.errors", ["optuna", "yaml", "torch", "pandas"]),
        (
            "from search_spaces import Lever, Space, preset; preset('mlp')",
            ["yaml", "torch", "pandas", "sqlalchemy"],
        ),
    ],
)
def test_imports_stay_cheap(statement: str, absent: list[str]) -> None:
    """Errors cost no import of Optuna; spaces cost no import of torch or pandas."""
    code = f"import sys; {statement}; print([name for name in {absent} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
