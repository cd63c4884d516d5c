"""Sweeps that W&B would not take either: every fault by name, and rubbish that is never a traceback."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import ConfigurationError
from search_spaces.exchange.config_names import catalog_keys
from search_spaces.exchange.imported import Choices, Remarks
from search_spaces.exchange.importing import export_space
from search_spaces.exchange.wandb.distributions import FORMS
from search_spaces.exchange.wandb.sweep import read_sweep
from tests.search_spaces.exchange.sweep_outcomes import read


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"x": {"distribution": "normal", "sigma": -1}}, "x: sigma must be a number in 0..1e.15, but got -1"),
        (
            {"x": {"distribution": "normal", "mu": 1e15, "sigma": 1}},
            "x: mu plus or minus 3 sigma must be below",
        ),
        (
            {"x": {"distribution": "q_uniform", "min": 0, "max": 1e12, "q": 1e-9}},
            "x: q must be larger, but 0..1e.12",
        ),
        ({"x": {"min": 1, "max": 10**40}}, "x: max must be a number in"),
        (
            {"x": {"distribution": ["uniform"]}},
            r"x: distribution must be one of constant, .* but got \['uniform'\]",
        ),
        ({"x": {"distribution": "beta", "a": "two"}}, "x: a must be a number, but got 'two'"),
        ({"x": {}}, "x must have a value, values, .* but has nothing"),
        ({"epochs": {"values": ["many"]}}, "epochs must be whole numbers of at least 1, but got many"),
        ({"epochs": {"value": 0}}, "epochs must be whole numbers of at least 1, but got 0"),
        ({"seed": {"value": -1}}, "seed must be whole numbers of at least 0, but got -1"),
        ({"one_minus_momentum": {"value": "high"}}, "one_minus_momentum must be a number, but got 'high'"),
        (
            {"momentum": {"value": 0.9}, "one_minus_momentum": {"value": 0.1}},
            "momentum must have one value, but",
        ),
        (
            {"momentum": {"value": 0.9}, "one_minus_momentum": {"min": 0.1, "max": 0.2}},
            "must be either fixed or a l",
        ),
    ],
)
def test_faults_of_a_parameter(parameters: dict[str, Any], fault: str, tmp_path: Path) -> None:
    """What is wrong with one parameter is said under its name."""
    with pytest.raises(ConfigurationError, match=fault):
        read(tmp_path, parameters)


@pytest.mark.parametrize(
    ("top", "fault"),
    [
        (
            {"early_terminate": {"type": "envelope"}},
            "early_terminate must be a mapping of type hyperband, but got",
        ),
        (
            {"metric": {"name": "loss", "gaol": "minimize"}},
            "a key of metric must be one of name, .*Did you mean 'goal'",
        ),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 0}},
            "early_terminate.min_iter must be a number of at least 1, but got 0",
        ),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}},
            "early_terminate.eta must be a number above 1, but got 1",
        ),
        ({"name": ["a"]}, r"name must be text, but got \['a'\]"),
        ({"run_cap": True}, "run_cap must be a whole number above 0, but got True"),
    ],
)
def test_faults_at_the_top(top: dict[str, Any], fault: str, tmp_path: Path) -> None:
    """What is wrong outside the parameters is said, too."""
    with pytest.raises(ConfigurationError, match=fault):
        read(tmp_path, {"dropout": {"min": 0.0, "max": 0.5}}, **top)


def test_hyperband_and_bayes_want_a_metric(tmp_path: Path) -> None:
    """W&B needs a metric for both; ours has one of its own, which is told."""
    imported = read(tmp_path, {"dropout": {"min": 0.0, "max": 0.5}}, method="bayes")
    assert imported.warnings == ("W&B needs a metric for this; a search here has validation_accuracy",)


def test_powers_beyond_all_numbers_are_refused(tmp_path: Path) -> None:
    """An exponent of 1000 is no reason to crash."""
    spec = {"distribution": "log_uniform", "min": 1, "max": 1000}
    with pytest.raises(ConfigurationError, match=r"exponents of e, 2.71828..inf, which no hyperparameter is"):
        read(tmp_path, {"x": spec}, Choices(log_uniform_as="exponents"))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats()
    | st.sampled_from(["1e-5", "x", "hyperband", ""])
)


PARAMETER_KEYS = [
    "distribution",
    "min",
    "max",
    "q",
    "mu",
    "sigma",
    "a",
    "b",
    "value",
    "values",
    "probabilities",
    "x",
]


PARAMETERS = st.dictionaries(
    st.sampled_from(PARAMETER_KEYS),
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.sampled_from(PARAMETER_KEYS), SCALARS, max_size=2),
    max_size=5,
)


@st.composite
def likely_parameters(draw: st.DrawFn) -> dict[str, Any]:
    """The keys of some distribution, with values of all kinds."""
    name = draw(st.sampled_from(sorted(FORMS)))
    values = SCALARS | st.lists(SCALARS, max_size=3)
    return {"distribution": name} | {key: draw(values) for key in (*FORMS[name].needs, *FORMS[name].may)}


@given(
    st.dictionaries(
        st.sampled_from(["lr", "bs", "epochs", "optimizer", "a.b", "one_minus_momentum"]),
        PARAMETERS | likely_parameters() | SCALARS,
        max_size=3,
    ),
    st.fixed_dictionaries(
        {"method": st.sampled_from(["grid", "random", 3])},
        optional={
            "metric": SCALARS | st.dictionaries(st.sampled_from(["name", "goal"]), SCALARS),
            "early_terminate": SCALARS
            | st.dictionaries(st.sampled_from(["type", "min_iter", "eta"]), SCALARS),
            "run_cap": SCALARS,
            "name": SCALARS,
            "controller": SCALARS,
        },
    ),
    st.sampled_from(
        [Choices(), Choices(truncate=True, log_uniform_as="values"), Choices(log_uniform_as="exponents")]
    ),
)
@settings(deadline=None, max_examples=200)
def test_whatever_a_sweep_holds_it_is_read_or_refused(
    parameters: dict[str, Any], top: dict[str, Any], choices: Choices
) -> None:
    """No value of any kind in any place ends in another error than the one for users."""
    data = {**top, "parameters": parameters}
    try:
        imported = read_sweep(data, catalog_keys(), choices, Remarks(), title="it", default_name="it")
        told = export_space(imported.space, "space").text
    except ConfigurationError as error:
        told = str(error)
    assert told.startswith(("name: ", "it must be a W&B sweep, but:\n- "))
