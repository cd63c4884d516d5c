"""The samplers and pruners by name, with the settings that suit trainings of a few epochs."""

from collections.abc import Callable

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Space
from search_spaces.errors import unknown_name

GRID_RESOLUTION = 5
"""Points per continuous lever of a grid."""
FIRST_RUNG = 1
"""The first epoch after which a trial may be pruned. Epoch 0 is the untrained network: it says nothing."""


def _tpe(_space: Space, seed: int, _study_seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def _random(_space: Space, seed: int, _study_seed: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def _grid(space: Space, _seed: int, study_seed: int) -> BaseSampler:
    return _AskTellGrid(space.grid(GRID_RESOLUTION), seed=study_seed)


def _qmc(_space: Space, _seed: int, study_seed: int) -> BaseSampler:
    # One scrambled sequence for all workers: Optuna keeps the next index in the study, under the seed.
    return optuna.samplers.QMCSampler(seed=study_seed, scramble=True, warn_independent_sampling=False)


def _gp(_space: Space, seed: int, _study_seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


def _cmaes(_space: Space, seed: int, _study_seed: int) -> BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _nsga2(_space: Space, seed: int, _study_seed: int) -> BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=seed)


SAMPLERS: dict[str, Callable[[Space, int, int], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "grid": _grid,
    "qmc": _qmc,
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": _nsga2,
}

PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "median": lambda _epochs: optuna.pruners.MedianPruner(n_warmup_steps=FIRST_RUNG - 1),
    "percentile": lambda _epochs: optuna.pruners.PercentilePruner(25.0, n_warmup_steps=FIRST_RUNG - 1),
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(
        min_resource=FIRST_RUNG, max_resource=max(epochs, FIRST_RUNG + 1), reduction_factor=3
    ),
    "asha": lambda _epochs: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=FIRST_RUNG, reduction_factor=3
    ),
    "patient": lambda _epochs: optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(), patience=2),
    "none": lambda _epochs: optuna.pruners.NopPruner(),
}


def check_strategy(sampler: str, pruner: str) -> None:
    """Raise a ConfigurationError for a name that is not known."""
    if sampler not in SAMPLERS:
        raise unknown_name("The sampler", sampler, SAMPLERS)
    if pruner not in PRUNERS:
        raise unknown_name("The pruner", pruner, PRUNERS)


def make_sampler(name: str, space: Space, *, study_seed: int, ordinal: int) -> BaseSampler:
    """The sampler for one worker.

    Args:
        name: a key of `SAMPLERS`.
        space: what is searched; only the grid looks at it.
        study_seed: the user's ``--seed``.
        ordinal: the worker's first lease's. Optuna's samplers repeat themselves when two processes, or a resumed
            one, start from the same seed (of 12 trials, 6 were unique); ordinals are never given twice.
    """
    seed = int(np.random.SeedSequence([study_seed, ordinal]).generate_state(1)[0])
    return SAMPLERS[name](space, seed, study_seed)


def make_pruner(name: str, *, epochs: int) -> BasePruner:
    return PRUNERS[name](epochs)


def n_grid_points(space: Space) -> int:
    """How many trials a grid search of ``space`` has."""
    return int(np.prod([len(values) for values in space.grid(GRID_RESOLUTION).values()], dtype=np.int64))


class _AskTellGrid(optuna.samplers.GridSampler):
    """A grid that leaves stopping to the budget: Optuna's calls ``study.stop()``, an error outside ``optimize``."""

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: object) -> None:
        """Do nothing."""
