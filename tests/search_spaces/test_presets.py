import pytest
from optuna.distributions import CategoricalDistribution

from search_spaces.catalog import CONDITIONS, LEVERS, lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import choices_of
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Role

TEACHING = (
    "lr-range",
    "batch-lr",
    "weight-decay",
    "dropout",
    "regularization-grid",
    "schedulers",
    "depth",
    "width-depth",
    "activation-depth",
    "optimizer",
)


def test_which_there_are() -> None:
    """The presets that the documentation names, in the order in which one meets them."""
    assert tuple(PRESETS) == ("quick", "mlp", "cnn", *TEACHING, "full")
    with pytest.raises(ConfigurationError, match="Did you mean 'quick'"):
        preset("quik")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_narrowings_of_the_catalog(name: str) -> None:
    """A preset's lever is the catalog's on a range inside (but for the full batch); so are its conditions."""
    space = preset(name)
    assert space.name == name
    assert space.description.endswith(".")
    free = {"distribution": None, "anchor": None}
    for narrowed in space:
        known = lever(narrowed.name)
        assert {**narrowed.to_json(), **free} == {**known.to_json(), **free}
        points = choices_of(narrowed.distribution) or narrowed.grid(7)
        beyond = [point for point in points if not known.contains(known.to_config(point))]
        assert beyond == (["full"] if name == "batch-lr" and narrowed.name == "batch_size" else [])
    decided = {*(known.key for known in space), *space.fixed}
    assert space.conditions == {
        name: condition
        for name, condition in CONDITIONS.items()
        if name in space and condition.key in decided
    }


def test_what_the_presets_hold() -> None:
    """`quick` has four levers and plain SGD; `mlp` has those and six more on a rate for all optimizers."""
    quick, mlp = preset("quick"), preset("mlp")
    assert quick.names == ("learning_rate", "one_minus_momentum", "weight_decay", "dropout")
    assert quick["learning_rate"].grid(2) == [1e-3, 1.0]
    assert quick["dropout"].grid(2) == [0.0, 0.3]
    more = {"batch_size", "depth", "width", "activation", "optimizer", "schedule"}
    assert set(mlp.names) == {*quick.names, *more}
    assert mlp["learning_rate"].grid(2) == [1e-4, 1.0]
    assert mlp["width"].grid(2) == mlp["batch_size"].grid(2) == [32, 64, 128, 256, 512]


def test_studies_of_the_first_presets_can_go_on() -> None:
    """The fingerprints that symptune 0.1 recorded."""
    assert preset("quick").fingerprint() == "975b00133a081ee2"
    assert preset("mlp").fingerprint() == "42e6aebef4d6d72e"


@pytest.mark.parametrize("name", TEACHING)
def test_what_teaches_is_a_small_grid_with_one_question(name: str) -> None:
    """Two to sixty points at the usual resolution, of which each is another config; and a lever that is asked about."""
    space = preset(name)
    points = space.grid(5)
    assert 2 <= len(points) == space.n_grid_points(5) <= 60
    assert len({tuple(space.config(point).items()) for point in points}) == len(points)
    assert Role.SCIENTIFIC in space.roles.values()


def test_a_learning_rate_is_never_the_question_of_another_levers_preset() -> None:
    """Where something else is compared, the rate is tuned along as nuisance, or held."""
    asked = {
        name: [lever for lever, role in preset(name).roles.items() if role is Role.SCIENTIFIC]
        for name in TEACHING
    }
    assert asked == {
        "lr-range": ["learning_rate"],
        "batch-lr": ["batch_size"],
        "weight-decay": ["weight_decay"],
        "dropout": ["dropout"],
        "regularization-grid": ["weight_decay", "dropout"],
        "schedulers": ["schedule", "warmup_fraction"],
        "depth": ["depth"],
        "width-depth": ["width", "depth"],
        "activation-depth": ["activation", "depth"],
        "optimizer": ["optimizer", "nesterov"],
    }


def test_full_leaves_out_only_what_it_says() -> None:
    """Levers of images, and those that say again what another says, are not in `full`."""
    left_out = {known.key for known in LEVERS} - {known.key for known in preset("full")}
    assert left_out == {"augmentation", "model", "warmup_steps", "accumulation_steps", "batch_lr_rule"}


def test_cosine_with_warmup_is_in_schedulers() -> None:
    """It is no schedule of its own: cosine, and a warmup beside it."""
    configs = [preset("schedulers").config(point) for point in preset("schedulers").grid()]
    pairs = {(config["schedule"], config["warmup_fraction"]) for config in configs}
    assert {("cosine", 0.1), ("cosine", 0.0), ("linear", 0.1)} <= pairs
    schedules = lever("schedule").distribution
    assert isinstance(schedules, CategoricalDistribution)
    assert len(pairs) == 2 * len(schedules.choices)
