import json
import math
import warnings

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.catalog import lever as catalog_lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Family, Lever, Scale, number_range
from tests.strategies import levers, values

MOMENTUM = catalog_lever("momentum")


def own(distribution: BaseDistribution, **fields: object) -> Lever:
    made = {"name": "x", "default": 1, "family": Family.ARCHITECTURE, **fields}
    return Lever(distribution=distribution, **made)  # type: ignore[arg-type]


@given(levers())
@settings(deadline=None)
def test_json_round_trip(lever: Lever) -> None:
    """A lever survives JSON text exactly."""
    assert Lever.from_json(json.loads(json.dumps(lever.to_json(), allow_nan=False))) == lever


@given(levers(), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_whatever_is_suggested_lies_inside_and_comes_back(lever: Lever, seed: int) -> None:
    """A suggested value is contained once it is in the config's terms, and is found again from there."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    value = lever.suggest(study.ask())
    config_value = lever.to_config(value)
    assert lever.contains(config_value)
    back = lever.from_config(config_value)
    assert (
        back == value
        if lever.scale is Scale.IDENTITY
        else math.isclose(float(back), float(value), abs_tol=1e-12)
    )
    assert lever.to_config(back) == config_value


@pytest.mark.parametrize(
    ("searched", "momentum"), [(0.1, 0.9), (0.9, 0.1), (0.01, 0.99), (1.0, 0.0), (0.05, 0.95), (0.3, 0.7)]
)
def test_one_minus_has_no_rounding_noise(searched: float, momentum: float) -> None:
    """1 - 0.9 is 0.1 in a config, not 0.09999999999999998, in both directions."""
    assert MOMENTUM.to_config(searched) == momentum
    assert MOMENTUM.from_config(momentum) == searched


@given(st.lists(values, min_size=1, max_size=4, unique=True), values)
@settings(deadline=None)
def test_choices_contain_themselves_and_nothing_else(choices: list[object], value: object) -> None:
    """A categorical lever contains a value if it equals a choice, and True is not 1."""
    lever = own(CategoricalDistribution(choices))  # type: ignore[arg-type]
    slow = any(choice == value and (type(choice) is bool) == (type(value) is bool) for choice in choices)
    assert lever.contains(value) is slow


@pytest.mark.parametrize(
    ("distribution", "inside", "outside"),
    [
        (FloatDistribution(0, 1), [0, 1, 0.5, 1.0], [1.01, -0.1, "0.5", True, math.nan, math.inf]),
        (FloatDistribution(0, 1, step=0.1), [0.3, 0.1 + 0.2, 0.7], [0.35, 1.1]),
        (IntDistribution(1, 9, step=2), [1, 3, 9], [2, 3.0, 11, True, "3"]),
        (CategoricalDistribution((0.0, 0.5)), [0, 0.0, 0.5], [False, "0.5", 1]),
    ],
)
def test_contains(distribution: BaseDistribution, inside: list[object], outside: list[object]) -> None:
    """A range contains numbers of its kind between its ends and on its steps."""
    lever = own(distribution, default=1)
    assert [value for value in inside if not lever.contains(value)] == []
    assert [value for value in outside if lever.contains(value)] == []


def test_contained_choices_take_the_choice_s_own_type() -> None:
    """A 1 that a person writes becomes the 1.0 that Optuna recorded."""
    value = own(CategoricalDistribution((0.0, 1.0))).from_config(1)
    assert (value, type(value)) == (1.0, float)


@given(levers(), st.integers(2, 12))
@settings(deadline=None)
def test_grid_points_lie_inside(lever: Lever, resolution: int) -> None:
    """A grid has distinct points of the range, its ends among them, and no more than asked for."""
    points = lever.grid(resolution)
    assert all(lever.contains(lever.to_config(point)) for point in points)
    assert len(set(points)) == len(points)
    if isinstance(lever.distribution, CategoricalDistribution):
        assert points == list(lever.distribution.choices)
    else:
        assert (points[0], points[-1]) == (lever.distribution.low, lever.distribution.high)  # type: ignore[attr-defined]
        assert len(points) <= resolution


@pytest.mark.parametrize(
    ("distribution", "points"),
    [
        (FloatDistribution(0, 1), [0, 0.25, 0.5, 0.75, 1]),
        (FloatDistribution(1e-4, 1, log=True), [1e-4, 1e-3, 1e-2, 1e-1, 1]),
        (FloatDistribution(0, 1, step=0.5), [0, 0.5, 1]),
        (FloatDistribution(0.5, 0.5), [0.5]),
        (IntDistribution(1, 3), [1, 2, 3]),
        (IntDistribution(1, 100), [1, 26, 51, 75, 100]),
        (IntDistribution(1, 10000, log=True), [1, 10, 100, 1000, 10000]),
    ],
)
def test_grid_spacing(distribution: BaseDistribution, points: list[float]) -> None:
    """Points are evenly spaced on the range's own scale."""
    assert own(distribution).grid(5) == pytest.approx(points)


def test_within_and_among_change_only_the_range() -> None:
    """A bound left out stays; so do scale, key and default."""
    narrowed = MOMENTUM.within(high=0.5)
    assert narrowed.distribution == FloatDistribution(0.01, 0.5, log=True)
    assert (narrowed.key, narrowed.scale, narrowed.default) == ("momentum", Scale.ONE_MINUS, 0.0)
    assert catalog_lever("depth").within(low=2).distribution == IntDistribution(2, 5)
    assert catalog_lever("depth").among([1, 3]).distribution == CategoricalDistribution((1, 3))
    with pytest.raises(
        ConfigurationError, match=r"but optimizer is one of sgd, adam, adamw, rmsprop \(give choices"
    ):
        catalog_lever("optimizer").within(low=1)


def test_an_anchor_follows_the_range() -> None:
    """Narrowed, a lever begins where anchor and range overlap; with choices, at those that lie in the anchor."""
    dropout = catalog_lever("dropout")
    assert dropout.anchored().distribution == FloatDistribution(0.0, 0.3)
    assert dropout.within(low=0.2).anchored().distribution == FloatDistribution(0.2, 0.3)
    assert dropout.among((0.0, 0.1, 0.5)).anchored().distribution == CategoricalDistribution((0.0, 0.1))
    assert dropout.among((0.0, 0.1, 0.5)).anchor_text == "0.0, 0.1"
    assert dropout.within(low=0.2).within(low=0.0) == dropout
    assert own(IntDistribution(1, 9), anchor=(2, 4)).anchored().distribution == IntDistribution(2, 4)
    words = own(CategoricalDistribution(("a", "b", "c")), default="a", anchor=("c", "a"))
    assert words.anchored().distribution == CategoricalDistribution(("a", "c"))
    beta = own(FloatDistribution(0.01, 0.5), scale=Scale.ONE_MINUS, anchor=(0.05, 0.2))
    assert beta.anchor_text == "0.8..0.95"
    for apart in (dropout.within(low=0.5), words.among(("b",))):
        with pytest.raises(
            ConfigurationError, match=r"The range of .* must reach into its anchor, .* but is"
        ):
            apart.anchored()


def test_a_default_may_be_worked_out() -> None:
    """None is a default that the training itself decides; it is no value to search."""
    lever = own(FloatDistribution(0, 1), default=None)
    assert Lever.from_json(json.loads(json.dumps(lever.to_json()))) == lever
    assert not lever.contains(None)


def test_a_lever_of_an_older_study_has_no_anchor() -> None:
    """Studies were recorded before there were anchors."""
    written = own(FloatDistribution(0, 1)).to_json()
    del written["anchor"]
    assert Lever.from_json(written) == own(FloatDistribution(0, 1))


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"anchor": (0.5,)}, r"its anchor must be two finite numbers, the lower first, but got \(0\.5,\)"),
        ({"anchor": (0.5, 0.1)}, "its anchor must be two finite numbers, the lower first"),
        ({"anchor": ("a", "b")}, "its anchor must be two finite numbers, the lower first"),
        (
            {"distribution": CategoricalDistribution((1, 2)), "anchor": (math.nan,)},
            "its anchor must be words, finite numbers, true or false",
        ),
        ({"name": "a b"}, "its name must be a word without spaces or `=`, but got 'a b'"),
        ({"name": ""}, "its name must be a word .* its key must be a word"),
        ({"key": "a=b"}, "its key must be a word"),
        ({"default": "high"}, "its default must be a finite number, but got 'high'"),
        ({"distribution": CategoricalDistribution((1, None))}, "a choice must be a word, a finite number"),
        ({"distribution": CategoricalDistribution((1, 1.0))}, "its choices must differ"),
        (
            {"distribution": CategoricalDistribution((1, 2)), "default": math.nan},
            "its default must be a word",
        ),
        (
            {"distribution": IntDistribution(0, 1), "scale": Scale.ONE_MINUS},
            "scale one_minus needs a float range",
        ),
        ({"distribution": FloatDistribution(1e-13, 1), "scale": Scale.ONE_MINUS}, "at most 12 decimals"),
        ({"distribution": 3}, "its distribution must be Optuna's Float, Int or Categorical, but got 3"),
    ],
)
def test_a_lever_that_cannot_be_says_why(fields: dict[str, object], fault: str) -> None:
    """Every contradiction in a lever is refused in words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's own on choices of kinds that we refuse
        made = {"distribution": FloatDistribution(0, 1), **fields}
        with pytest.raises(ConfigurationError, match=fault):
            own(**made)  # type: ignore[arg-type]


def test_another_kind_cannot_be_converted() -> None:
    """A word for a number is refused with the range."""
    with pytest.raises(
        ConfigurationError, match=r"momentum must be a number in 0\.\.0\.99, but got 'high'\."
    ):
        MOMENTUM.from_config("high")


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (FloatDistribution(0, 1, step=0.25), "a number in 0..1 in steps of 0.25"),
        (FloatDistribution(1e-5, 1, log=True), "a number in 1e-05..1"),
        (IntDistribution(1, 3), "a whole number in 1..3"),
        (IntDistribution(1, 5, step=2), "a whole number in 1..5 in steps of 2"),
        (CategoricalDistribution(("a", 2)), "one of a, 2"),
    ],
)
def test_range_text(distribution: BaseDistribution, text: str) -> None:
    """A range reads well in the middle of a sentence."""
    assert own(distribution).range_text == text


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"low": 2, "high": 1}, "`low <= high` must hold"),
        ({"low": 0, "high": 1, "log": True}, "`low > 0` must hold"),
        ({"low": 0, "high": 1, "step": -1}, "`step > 0` must hold"),
        (
            {"low": 0, "high": 1, "step": 0.3},
            r"`step` must divide `high - low`, but got low=0, high=1, step=0\.3",
        ),
        ({"low": 0.0, "high": 1.0, "step": 1e-300}, "fewer steps than can be counted in 28 digits"),
        (
            {"low": 0, "high": 10**40, "whole": True, "step": 1},
            "fewer steps than can be counted in 28 digits",
        ),
        ({"low": 0, "high": math.inf}, "must have finite numbers"),
        ({"low": True, "high": 2}, "must have finite numbers"),
        ({"low": 0.5, "high": 2, "whole": True}, "must have whole numbers"),
    ],
)
def test_number_range_faults(arguments: dict[str, float], fault: str) -> None:
    """Bounds that make no range are refused before Optuna changes them."""
    with pytest.raises(ConfigurationError, match=fault):
        number_range(**arguments)  # type: ignore[arg-type]


def test_number_range_keeps_decimal_steps() -> None:
    """0.1 divides 0..1 although no binary fraction does."""
    assert number_range(low=0, high=1, step=0.1) == FloatDistribution(0, 1, step=0.1)
    assert number_range(low=2.0, high=8.0, step=2, whole=True) == IntDistribution(2, 8, step=2)
