"""Samplers that several workers share repeat nothing; a grid is finished exactly; pruners decide from epoch 1."""

import multiprocessing
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import tuner
from search_spaces import Condition, Lever, Space, preset
from search_spaces.catalog import lever
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Value
from studies.leases import REPLACES
from studies.storage import open_storage
from tests.tuner import user_code
from tuner.searching.points import MAX_GRID_POINTS, check_grid, value_at
from tuner.searching.strategy import (
    PRUNERS,
    make_pruner,
    make_sampler,
    n_possible_trials,
)

MIXED = Space(
    name="mixed",
    levers=(
        lever("optimizer").among(["sgd", "adam"]),
        lever("label_smoothing").among([0.0, 0.1]),
        lever("dropout").among([0.0, 0.2, 0.4]),
    ),
    conditions={"label_smoothing": Condition(key="optimizer", values=("sgd",))},
)
"""9 distinct configs: 2 x 3 with sgd, 3 with adam."""


def study_on(space: Space, sampler: str, *, ordinal: int = 1) -> optuna.Study:
    return optuna.create_study(sampler=make_sampler(sampler, space, study_seed=0, ordinal=ordinal))


def one_config(study: optuna.Study, space: Space) -> tuple[tuple[str, Value], ...]:
    """What the study tries next, as something that can be compared."""
    trial = study.ask()
    config = space.suggest(trial)
    study.tell(trial, 0.0)
    return tuple(config.items())


def work(url: str, sampler: str, space: Space, ordinal: int, n_trials: int) -> None:
    """One worker process."""
    study = optuna.load_study(
        study_name="s",
        storage=open_storage(url, writable=True),
        sampler=make_sampler(sampler, space, study_seed=0, ordinal=ordinal),
    )
    for _ in range(n_trials):
        one_config(study, space)


def worked_by(
    n_workers: int, n_trials: int, *, url: str, sampler: str, space: Space
) -> list[Mapping[str, Value]]:
    """The parameters of a study that processes worked on at the same time."""
    optuna.create_study(study_name="s", storage=open_storage(url, writable=True))
    processes = [
        multiprocessing.get_context("spawn").Process(
            target=work, args=(url, sampler, space, ordinal, n_trials // n_workers)
        )
        for ordinal in range(1, n_workers + 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * n_workers
    return [trial.params for trial in optuna.load_study(study_name="s", storage=open_storage(url)).trials]


class TestQmc:
    def test_four_processes_draw_from_one_sequence_and_repeat_nothing(self, sqlite_url: str) -> None:
        """And what they draw is what one process would have drawn."""
        space = Space(name="s", levers=(lever("learning_rate"), lever("dropout")))
        together = worked_by(4, 48, url=sqlite_url, sampler="qmc", space=space)
        assert len({tuple(params.items()) for params in together}) == 48
        alone = study_on(space, "qmc")
        for _ in range(48):
            one_config(alone, space)
        assert [trial.params for trial in alone.trials] == together

    def test_a_lever_is_spread_evenly_over_its_range(self) -> None:
        """Of 32 points, each 32nd of a range has one: random points leave a third of them empty."""
        space = Space(name="s", levers=(lever("learning_rate"), lever("dropout")))
        study = study_on(space, "qmc")
        for _ in range(32):
            one_config(study, space)
        drawn = np.array([trial.params["dropout"] for trial in study.trials])
        high = space["dropout"].distribution
        assert isinstance(high, FloatDistribution)
        assert sorted(np.floor(drawn / high.high * 32).astype(int)) == list(range(32))

    def test_another_seed_is_another_sequence(self) -> None:
        """The user's ``--seed``, not the worker's."""
        space = preset("quick")
        drawn = [
            one_config(
                optuna.create_study(sampler=make_sampler("qmc", space, study_seed=seed, ordinal=1)), space
            )
            for seed in (0, 0, 1)
        ]
        assert drawn[0] == drawn[1] != drawn[2]


class TestGrid:
    def test_each_distinct_config_comes_once_and_then_again(self) -> None:
        """A lever that does not exist makes no second point of the same config."""
        study = study_on(MIXED, "grid")
        configs = [one_config(study, MIXED) for _ in range(18)]
        assert MIXED.n_grid_points() == 9
        assert len(set(configs[:9])) == 9
        assert set(configs[9:]) == set(configs[:9])

    def test_three_processes_finish_it_without_repeating_a_point(self, sqlite_url: str) -> None:
        """27 points, of which each worker takes what comes."""
        space = Space(
            name="s",
            levers=tuple(
                lever(name).among([0.0, 0.1, 0.2]) for name in ("dropout", "weight_decay", "label_smoothing")
            ),
        )
        params = worked_by(3, 27, url=sqlite_url, sampler="grid", space=space)
        assert len({tuple(sorted(each.items())) for each in params}) == space.n_grid_points() == 27

    def test_a_worker_that_joins_later_goes_on_where_others_are(self) -> None:
        """Its own sampler, made in another process, knows what was taken."""
        study = study_on(MIXED, "grid")
        configs = [one_config(study, MIXED) for _ in range(4)]
        study.sampler = make_sampler("grid", MIXED, study_seed=0, ordinal=7)
        assert len({*configs, *(one_config(study, MIXED) for _ in range(5))}) == 9

    @pytest.mark.parametrize(
        "mine", [{}, {"optimizer": "sgd"}, {"dropout": 0.2, "optimizer": "adam"}, {"label_smoothing": 0.1}]
    )
    def test_an_enqueued_part_is_filled_up_to_a_point_of_the_grid(self, mine: dict[str, Value]) -> None:
        """Which is then not tried again."""
        study = study_on(MIXED, "grid")
        study.enqueue_trial(mine)
        configs = [one_config(study, MIXED) for _ in range(9)]
        assert mine.items() <= study.trials[0].params.items()
        assert len(set(configs)) == 9

    def test_a_config_off_the_grid_is_filled_up_and_takes_nothing(self) -> None:
        """All points of the grid still come."""
        space = Space(name="s", levers=(lever("learning_rate"), lever("dropout")))
        study = study_on(space, "grid")
        study.enqueue_trial({"learning_rate": 0.0123})
        assert dict(one_config(study, space))["learning_rate"] == 0.0123
        undisturbed = study_on(space, "grid")
        assert [one_config(study, space) for _ in range(25)] == [
            one_config(undisturbed, space) for _ in range(25)
        ]

    def test_a_value_beside_a_point_by_rounding_is_that_point(self) -> None:
        """0.1 as a person writes it, and as logarithms give it."""
        space = Space(name="s", levers=(lever("learning_rate").within(low=1e-3, high=1e1),))
        study = study_on(space, "grid")
        study.enqueue_trial({"learning_rate": 0.1})
        rates = sorted(float(dict(one_config(study, space))["learning_rate"]) for _ in range(5))
        assert rates == pytest.approx([1e-3, 1e-2, 1e-1, 1.0, 1e1])

    def test_a_trial_lost_before_its_first_suggestion_comes_back_as_its_point(self) -> None:
        """Its replacement is enqueued without any parameter."""
        study = study_on(MIXED, "grid")
        lost = study.ask()
        study.tell(lost, state=TrialState.FAIL)
        study.enqueue_trial({}, user_attrs={REPLACES: lost.number})
        undisturbed = study_on(MIXED, "grid")
        assert [one_config(study, MIXED) for _ in range(9)] == [
            one_config(undisturbed, MIXED) for _ in range(9)
        ]

    def test_a_grid_of_millions_is_refused_with_the_way_out(self) -> None:
        """Before a point is made, with the number and the rule."""
        said = (
            r"at most 10,000 points, but 'mlp' has [\d,]{9,}; search fewer levers, fix some with --set, take"
        )
        with pytest.raises(ConfigurationError, match=said):
            check_grid(preset("mlp"), 5)
        with pytest.raises(ConfigurationError, match=said):
            make_sampler("grid", preset("mlp"), study_seed=0, ordinal=1)
        check_grid(preset("quick"), 5)
        assert preset("quick").n_grid_points() <= MAX_GRID_POINTS

    def test_it_bounds_the_number_of_trials(self) -> None:
        """Other samplers never run out."""
        assert n_possible_trials(50, sampler="grid", space=MIXED) == 9
        assert n_possible_trials(5, sampler="grid", space=MIXED) == 5
        assert n_possible_trials(50, sampler="qmc", space=MIXED) == 50

    @pytest.mark.parametrize(("mine", "n"), [(0.15, 4), (0.1, 3)])
    def test_a_config_that_was_enqueued_beside_the_grid_takes_no_points_place(
        self, mine: float, n: int
    ) -> None:
        """All of the grid is trained, and the config; one on the grid is one of its points. Again, nothing is left."""
        space = Space(name="s", levers=(lever("dropout").within(low=0.0, high=0.2),))
        for _ in range(2):
            found = tuner.search(
                space,
                user_code.blob_arrays,
                study="g",
                sampler="grid",
                resolution=3,
                trials=50,
                epochs=1,
                workers=1,
                fixed={"width": 4},
                enqueue={"dropout": mine},
            )
            tried = [trial.params["dropout"] for trial in found.record().trials]
            assert sorted(tried) == pytest.approx(sorted({0.0, 0.1, 0.2, mine}))
            assert len(tried) == n
        assert tuner.resume("g").n_trials.counted == n


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (CategoricalDistribution(["a", "b", "c"]), ["a", "b", "c"]),
        (IntDistribution(2, 4), [2, 3, 4]),
        (IntDistribution(2, 10, step=4), [2, 6, 10]),
        (FloatDistribution(0.0, 1.0, step=0.5), [0.0, 0.5, 1.0]),
    ],
)
def test_whatever_can_be_counted_has_equal_shares(
    distribution: BaseDistribution, values: Sequence[Value]
) -> None:
    """Of 300 even coordinates, a hundred each; and 1.0, to which 32-bit numbers may round, is inside."""
    drawn = [value_at(distribution, (index + 0.5) / 300) for index in range(300)]
    assert {value: drawn.count(value) for value in drawn} == dict.fromkeys(values, 100)
    assert value_at(distribution, 1.0) == values[-1]


@pytest.mark.parametrize(
    ("distribution", "middle"),
    [
        (FloatDistribution(0.0, 3.0), 1.5),
        (FloatDistribution(1e-4, 1.0, log=True), 1e-2),
        (
            IntDistribution(1, 100, log=True),
            7,
        ),  # the middle of log 0.5 .. log 100.5: each number has its own share
    ],
)
def test_a_range_goes_from_end_to_end(
    distribution: FloatDistribution | IntDistribution, middle: float
) -> None:
    """Linear or in logarithms, ends included."""
    values = [value_at(distribution, coordinate) for coordinate in (0.0, 0.5, 1.0)]
    assert values == pytest.approx([distribution.low, middle, distribution.high])


@pytest.mark.parametrize("pruner", [name for name in PRUNERS if name not in {"none", "patient"}])
def test_a_bad_trial_is_pruned_right_after_epoch_1(pruner: str) -> None:
    """Not before, and not an epoch later."""
    study = optuna.create_study(
        direction="minimize",
        pruner=make_pruner(pruner, epochs=9),
        study_name="fixed: hyperband's brackets hash it",
    )
    for value in np.linspace(1, 2, 12):
        trial = study.ask()
        for epoch in range(1, 10):
            trial.report(float(value), epoch)
            trial.should_prune()  # rungs are remembered when they are asked about
        study.tell(trial, float(value))
    pruned = []
    for _ in range(6):
        bad = study.ask()
        bad.report(9.0, 1)
        pruned.append(bad.should_prune())
    assert any(pruned) if pruner == "hyperband" else all(pruned)  # brackets begin at epochs 1, 3 and 9


def test_levers_of_a_space_are_asked_for_in_any_order(sqlite_url: str) -> None:
    """A point belongs to its trial: two trials in hand do not mix."""
    levers: tuple[Lever, ...] = (lever("learning_rate"), lever("dropout"))
    space = Space(name="s", levers=levers)
    study = optuna.create_study(
        storage=sqlite_url, sampler=make_sampler("qmc", space, study_seed=0, ordinal=1)
    )
    one, other = study.ask(), study.ask()
    first = levers[0].suggest(one), levers[0].suggest(other)
    second = levers[1].suggest(one), levers[1].suggest(other)
    assert first[0] != first[1]
    alone = study_on(space, "qmc")
    assert [dict(one_config(alone, space)) for _ in range(2)] == [
        {"learning_rate": rate, "dropout": dropout} for rate, dropout in zip(first, second, strict=True)
    ]
