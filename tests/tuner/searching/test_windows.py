"""Trials are put in the order of structures without any bias: a window has the draws it would have had anyway."""

import collections
import dataclasses
import itertools
import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from scipy import stats

from search_spaces import Condition, Space
from search_spaces.catalog import lever
from search_spaces.lever import Value
from tuner.searching.points import RandomSampler, in_windows
from tuner.searching.strategy import make_sampler
from tuner.searching.windows import LONGEST_WINDOW, by_structure, window_of

SPACE = Space(
    name="s",
    levers=(
        lever("learning_rate"),
        lever("optimizer").among(["sgd", "adam"]),
        lever("one_minus_momentum"),
        lever("depth"),
        lever("width"),
        lever("dropout"),
    ),
    conditions={"one_minus_momentum": Condition(key="optimizer", values=("sgd",))},
)
N_TRIALS = 512


def drawn(
    sampler: optuna.samplers.BaseSampler, n_trials: int = N_TRIALS, space: Space = SPACE
) -> list[dict[str, Value]]:
    study = optuna.create_study(sampler=sampler)
    for _ in range(n_trials):
        trial = study.ask()
        space.suggest(trial)
        study.tell(trial, 0.0)
    return [trial.params for trial in study.trials]


@pytest.fixture(scope="module")
def ours() -> list[dict[str, Value]]:
    return drawn(RandomSampler(SPACE, seed=3))


@pytest.fixture(scope="module")
def optunas() -> list[dict[str, Value]]:
    return drawn(optuna.samplers.RandomSampler(seed=3))


@pytest.mark.parametrize("name", SPACE.names)
def test_every_lever_is_distributed_as_optuna_draws_it(
    name: str, ours: list[dict[str, Value]], optunas: list[dict[str, Value]]
) -> None:
    """Two samples of each, structural or not: no test at 1 in 1,000 tells them apart."""
    one, other = ([params[name] for params in each if name in params] for each in (ours, optunas))
    if isinstance(SPACE[name].distribution, CategoricalDistribution):
        values = sorted(set(one) | set(other))
        p_value = stats.chi2_contingency(
            [[each.count(value) for value in values] for each in (one, other)]
        ).pvalue
    else:
        p_value = stats.ks_2samp(one, other).pvalue
    assert p_value > 1e-3


def test_levers_are_independent_of_each_other(ours: list[dict[str, Value]]) -> None:
    """Although neighbors share their structure: rank correlations stay within noise."""
    numbers = np.array(
        [[params[name] for name in ("learning_rate", "depth", "width", "dropout")] for params in ours]
    )
    correlation = stats.spearmanr(numbers).statistic
    off_diagonal = correlation[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 4 / math.sqrt(N_TRIALS)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_a_window_has_its_draws_and_neighbors_share_a_structure(sampler: str) -> None:
    """As many runs of one structure as there are structures in the window."""
    params = drawn(make_sampler(sampler, SPACE, study_seed=0, ordinal=1), 2 * LONGEST_WINDOW)
    for start in (8, 16, 32, 64):
        window = window_of(start)
        structures = [
            (each["optimizer"], each["depth"], each["width"]) for each in params[window.start : window.stop]
        ]
        assert len(list(itertools.groupby(structures))) == len(set(structures))


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_without_structural_levers_trials_come_in_their_own_order(sampler: str) -> None:
    """Trial n is draw n, of whatever worker."""
    space = Space(name="s", levers=(lever("learning_rate"), lever("dropout")))
    whole = drawn(make_sampler(sampler, space, study_seed=0, ordinal=1), 20, space)
    study = optuna.create_study(sampler=make_sampler(sampler, space, study_seed=0, ordinal=9))
    trials = [study.ask() for _ in range(20)]
    for trial in reversed(trials):
        space.suggest(trial)
    assert [trial.params for trial in trials] == whole
    assert len({params["dropout"] for params in whole}) == 20


def test_windows_double_and_cover_every_trial_once() -> None:
    """8, 8, 16, 32, and then 64 each."""
    numbers = range(300)
    assert all(number in window_of(number) for number in numbers)
    sizes = collections.Counter(window_of(number) for number in numbers)
    assert [len(window) for window in sizes][:6] == [8, 8, 16, 32, 64, 64]
    assert all(count == len(window) for window, count in list(sizes.items())[:-1])


def test_a_lever_that_does_not_exist_makes_no_structure_of_its_own() -> None:
    """Points that differ in it alone are neighbors, in the order in which they came."""
    space = Space(
        name="s",
        levers=(lever("optimizer").among(["sgd", "adam"]), lever("depth"), lever("dropout")),
        conditions={"depth": Condition(key="optimizer", values=("sgd",))},
    )
    points: list[dict[str, Value]] = [
        {"optimizer": "adam", "depth": 1, "dropout": 0.1},
        {"optimizer": "sgd", "depth": 1, "dropout": 0.2},
        {"optimizer": "adam", "depth": 2, "dropout": 0.3},
        {"optimizer": "sgd", "depth": 2, "dropout": 0.4},
        {"optimizer": "sgd", "depth": 1, "dropout": 0.5},
    ]
    assert [point["dropout"] for point in by_structure(points, space)] == [0.1, 0.3, 0.2, 0.5, 0.4]


def test_structure_is_what_trainings_must_share_and_not_what_a_file_marks() -> None:
    """A rate that is marked structural makes no structures, a depth that is not does."""
    depth, rate = (
        dataclasses.replace(SPACE[name], structural=name == "learning_rate")
        for name in ("depth", "learning_rate")
    )
    space = Space(name="own", levers=(depth, rate))
    points: list[dict[str, Value]] = [
        {"depth": depth, "learning_rate": rate} for depth, rate in ((1, 0.1), (2, 0.2), (1, 0.3), (2, 0.1))
    ]
    assert [point["learning_rate"] for point in by_structure(points, space)] == [0.1, 0.3, 0.2, 0.1]


def test_a_grid_in_windows_has_all_its_points() -> None:
    """Once each."""
    points = SPACE.grid(2)
    ordered = in_windows(points, SPACE)
    assert len(ordered) == len(points)
    assert all(point in ordered for point in points)
