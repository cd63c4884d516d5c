"""Samplers that know a trial's whole point from its number: random and Sobol draws, grids, and lists of configs."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from torch.quasirandom import SobolEngine

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Value, choices_of, is_number, is_same
from studies.leases import REPLACES
from studies.records import Outcome
from tuner.searching.windows import Point, by_structure, window_of
from tuner.training.lanes.structure import structural_levers

MAX_GRID_POINTS = 10_000
"""More trainings than anyone waits for; beyond it a grid is a mistake, not a plan."""

_ANSWERED = (TrialState.COMPLETE, TrialState.PRUNED)


class _PointSampler(BaseSampler):
    """A sampler that knows a trial's whole point from the trial's number: no two workers need to agree on anything.

    Optuna's own grid and QMC samplers read and write a shared index in two steps (47 of 48 points were distinct with
    4 processes), and both fall back to something else where a lever is conditional.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._point: Point = {}

    @abstractmethod
    def point(self, study: optuna.Study, trial: FrozenTrial) -> Point:
        """What the trial should try; enqueued values take precedence, by Optuna."""

    def infer_relative_search_space(
        self,
        study: optuna.Study,  # noqa: ARG002 - Optuna's signature, here and below
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Nothing: every lever is asked for by name."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Value:
        """The lever's value in the trial's point."""
        if self._number != trial.number:
            self._point, self._number = self.point(study, trial), trial.number
        return self._point[param_name]


class _DrawnSampler(_PointSampler):
    """A sampler whose draws follow from their index; trials take them window by window, in the order of structures."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self._space = space
        self._distributions = space.distributions()
        self._window = range(0)
        self._drawn: list[Point] = []

    @abstractmethod
    def coordinates(self, window: range) -> Iterable[Sequence[float]]:
        """Of each draw of the window one number in [0, 1] for each lever, in the space's order."""

    def point(self, study: optuna.Study, trial: FrozenTrial) -> Point:  # noqa: ARG002
        """The trial's draw. Every window has exactly the draws that it would have had in their own order."""
        if trial.number not in self._window:
            has_structures = bool(structural_levers(self._space))
            self._window = (
                window_of(trial.number) if has_structures else range(trial.number, trial.number + 1)
            )
            drawn = [
                {
                    name: value_at(distribution, coordinate)
                    for (name, distribution), coordinate in zip(
                        self._distributions.items(), coordinates, strict=True
                    )
                }
                for coordinates in self.coordinates(self._window)
            ]
            self._drawn = by_structure(drawn, self._space)
        return self._drawn[trial.number - self._window.start]


class SobolSampler(_DrawnSampler):
    """One scrambled Sobol sequence for all workers, whose coordinates are all the levers."""

    def __init__(self, space: Space, *, seed: int) -> None:
        super().__init__(space)
        self._seed = seed

    def coordinates(self, window: range) -> Iterable[Sequence[float]]:
        engine = SobolEngine(len(self._distributions), scramble=True, seed=self._seed)  # type: ignore[no-untyped-call]  # torch's
        engine.fast_forward(window.start)  # type: ignore[no-untyped-call]  # torch's
        drawn: list[list[float]] = engine.draw(len(window)).tolist()
        return drawn


class RandomSampler(_DrawnSampler):
    """Independent draws, the n-th of which follows from the study's seed and n: the same for one worker as for ten."""

    def __init__(self, space: Space, *, seed: int) -> None:
        super().__init__(space)
        self._seed = seed

    def coordinates(self, window: range) -> Iterable[Sequence[float]]:
        n_levers = len(self._distributions)
        return [np.random.default_rng([self._seed, index]).random(n_levers).tolist() for index in window]


class ListSampler(_PointSampler):
    """Every point of a list once, in its order; then again from the start.

    Trial n's point follows from what the trials before it were created with, which never changes: an enqueued config
    takes its own point, a trial that replaces a lost one the lost one's, any other the first that is free. Where none
    is, a point whose trainings had all failed by their own exception when the trial began comes before a new round.
    So all workers come to the same answer without a lock.
    """

    def __init__(self, points: Sequence[Point], *, elsewhere: Point | None = None) -> None:
        super().__init__()
        self._points = [*points]
        self._elsewhere = elsewhere or {}
        """Values for levers that exist only because an enqueued config lies off the list."""
        self._free: dict[int, Point] = {}
        """The points that are left of this round, by their place in the order."""
        self._taken: list[Point] = []
        """By trial number."""
        self._n_beside = 0

    def point(self, study: optuna.Study, trial: FrozenTrial) -> Point:
        if trial.number >= len(self._taken):
            self._follow(study, trial.number + 1)
        return {**self._elsewhere, **self._taken[trial.number]}

    def n_beside(self, study: optuna.Study) -> int:
        """How many trials of the study take no point of the list: configs that were enqueued beside it."""
        self._follow(study, None)
        return self._n_beside

    def _follow(self, study: optuna.Study, n_trials: int | None) -> None:
        """Take in the study's first ``n_trials``; all of them for None."""
        storage, study_id = study._storage, study._study_id  # noqa: SLF001 - a pruner may hide trials from `study`
        trials = storage.get_all_trials(study_id, deepcopy=False)
        for trial in trials[len(self._taken) : n_trials]:
            self._taken.append(self._taken_by(trial, trials))

    def _taken_by(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> Point:
        replaces = trial.user_attrs.get(REPLACES)
        if isinstance(replaces, int) and replaces < len(self._taken):
            return self._taken[replaces]
        wanted: Point = trial.system_attrs.get("fixed_params", {})
        if not self._free:
            failed = None if wanted else self._failed_before(trial, trials)
            if failed is not None:
                return failed
            self._free = dict(enumerate(self._points))
        place = next(iter(self._free))
        if wanted:
            place = min(self._free, key=lambda place: _n_conflicts(self._free[place], wanted))
        if _n_conflicts(self._free[place], wanted):
            self._n_beside += 1
            return {
                **self._free[place],
                **wanted,
            }  # off the grid: it fills in what is missing, and takes nothing
        return self._free.pop(place)

    def _failed_before(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> Point | None:
        """The point that was tried least often among those that have only failed; the first of these in the list.

        What had ended when the trial began is on record and stays so: whoever asks, and whenever, gets the same.
        """
        tries: dict[int, list[FrozenTrial]] = {}
        for earlier, point in zip(trials, self._taken, strict=False):  # those before this trial
            tries.setdefault(id(point), []).append(earlier)
        failed = [point for point in self._points if _have_failed(tries.get(id(point), ()), trial)]
        return min(failed, key=lambda point: len(tries[id(point)]), default=None)


class GridSampler(ListSampler):
    """Every distinct config of a grid once, in shuffled order; each window of it in the order of structures."""

    def __init__(self, space: Space, *, seed: int, resolution: int) -> None:
        check_grid(space, resolution)
        points = space.grid(resolution)
        order = np.random.default_rng(seed).permutation(len(points))
        super().__init__(
            in_windows([points[index] for index in order], space),
            elsewhere={lever.name: lever.grid(resolution)[0] for lever in space},
        )


def in_windows(points: Sequence[Point], space: Space) -> list[Point]:
    """The points in their order, but for each window, which is in the order of structures."""
    ordered: list[Point] = []
    while len(ordered) < len(points):
        window = window_of(len(ordered))
        ordered += by_structure(points[window.start : window.stop], space)
    return ordered


def _have_failed(tries: Sequence[FrozenTrial], trial: FrozenTrial) -> bool:
    """Whether the last try failed by its own exception before the trial began, and none before it gave an answer.

    A lost or interrupted try is followed by the one that replaces it.
    """
    if not tries or any(earlier.state in _ANSWERED for earlier in tries):
        return False
    last = tries[-1]
    is_failed = last.state is TrialState.FAIL and last.user_attrs.get("outcome") == Outcome.FAILED
    if not is_failed or last.datetime_complete is None or trial.datetime_start is None:
        return False
    return last.datetime_complete <= trial.datetime_start


def _n_conflicts(point: Point, wanted: Point) -> int:
    return sum(name not in point or not _agree(point[name], value) for name, value in wanted.items())


def _agree(one: Value, other: Value) -> bool:
    if is_number(one) and is_number(other):
        return math.isclose(one, other, rel_tol=1e-9)  # a point computed from logarithms is not exactly 0.1
    return is_same(one, other)


def value_at(distribution: BaseDistribution, coordinate: float) -> Value:
    """The value at a coordinate in [0, 1]: each choice, whole number or step has an equal share of it, logs apart."""
    match distribution:
        case FloatDistribution(low=low, high=high, log=True):
            return min(max(math.exp(_between(math.log(low), math.log(high), coordinate)), low), high)
        case FloatDistribution(low=low, high=high, step=None):
            return min(_between(low, high, coordinate), high)
        case FloatDistribution(low=low, high=high, step=float(step)):
            return min(low + step * _share(round((high - low) / step) + 1, coordinate), high)
        case IntDistribution(low=low, high=high, log=True):
            wide = _between(math.log(low - 0.5), math.log(high + 0.5), coordinate)
            return min(max(round(math.exp(wide)), low), high)
        case IntDistribution(low=low, high=high, step=step):
            return low + step * _share((high - low) // step + 1, coordinate)
    choices = choices_of(distribution)
    return choices[_share(len(choices), coordinate)]


def _between(low: float, high: float, coordinate: float) -> float:
    return low + (high - low) * coordinate


def _share(n_shares: int, coordinate: float) -> int:
    return min(int(coordinate * n_shares), n_shares - 1)


def check_grid(space: Space, resolution: int) -> None:
    """Raise a ConfigurationError for a space whose grid is too large to be searched."""
    n_points = space.n_grid_points(resolution)
    if n_points > MAX_GRID_POINTS:
        raise ConfigurationError(
            f"A grid must have at most {MAX_GRID_POINTS:,} points, but {space.name!r} has {n_points:,}; search fewer "
            f"levers, fix some with --set, take a smaller --resolution or another sampler."
        )
