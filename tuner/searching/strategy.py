"""The samplers and pruners by name, with the settings that suit trainings of a few epochs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from search_spaces import Space
from search_spaces.errors import unknown_name
from search_spaces.lever import Value
from studies.plan import GRID_RESOLUTION
from tuner.searching.points import GridSampler, ListSampler, RandomSampler, SobolSampler
from tuner.searching.pruners import (
    CohortPruner,
    HalvingPruner,
    HyperbandPruner,
    NoPruner,
    PatientPruner,
    QuantilePruner,
)

LISTED = "listed"
"""The sampler of a study that trains exactly the configs of its plan; no one asks for it by name."""
GUIDE = "guide"
"""What stands for a sampler in the plan of the guide's own study, which has no trials."""


def _gp(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


def _cmaes(seed: int) -> BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


_LEARNING: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "gp": _gp,
    "cmaes": _cmaes,
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
}
"""Those that learn from the trials before, and draw from a stream of their own."""

SAMPLERS = ("tpe", "random", "grid", "qmc", "gp", "cmaes", "nsga2")
"""What one may ask for."""

PRUNERS: dict[str, Callable[[int], CohortPruner]] = {
    "median": lambda _epochs: QuantilePruner(share=0.5),
    "percentile": lambda _epochs: QuantilePruner(share=0.25, narrowing=0.0),
    "hyperband": lambda epochs: HyperbandPruner(epochs=epochs),
    "asha": lambda _epochs: HalvingPruner(),
    "patient": lambda _epochs: PatientPruner(wrapped=QuantilePruner(share=0.5), patience=2),
    "none": lambda _epochs: NoPruner(),
}


def check_strategy(sampler: str, pruner: str) -> None:
    """Raise a ConfigurationError for a name that is not known."""
    if sampler not in SAMPLERS:
        raise unknown_name("The sampler", sampler, SAMPLERS)
    if pruner not in PRUNERS:
        raise unknown_name("The pruner", pruner, PRUNERS)


def make_sampler(
    name: str,
    space: Space,
    *,
    study_seed: int,
    ordinal: int,
    resolution: int = GRID_RESOLUTION,
    configs: Sequence[Mapping[str, Value]] = (),
) -> BaseSampler:
    """The sampler for one worker.

    Args:
        name: one of `SAMPLERS`, or `LISTED`.
        space: what is searched; only those that know their points before look at it.
        study_seed: the user's ``--seed``.
        ordinal: the worker's first lease's. Optuna's samplers repeat themselves when two processes, or a resumed
            one, start from the same seed (of 12 trials, 6 were unique); ordinals are never given twice.
        resolution: of a grid.
        configs: what `LISTED` goes through.
    """
    match name:
        case "grid":
            return GridSampler(space, seed=study_seed, resolution=resolution)
        case "qmc":
            return SobolSampler(space, seed=study_seed)
        case "random":
            return RandomSampler(space, seed=study_seed)
        case _ if name == LISTED:
            return ListSampler([space.params(config) for config in configs])
    seed = int(np.random.SeedSequence([study_seed, ordinal]).generate_state(1)[0])
    return _LEARNING[name](seed)


def make_pruner(name: str, *, epochs: int) -> CohortPruner:
    return PRUNERS[name](epochs)


def n_possible_trials(
    n_trials: int,
    *,
    sampler: str,
    space: Space,
    resolution: int = GRID_RESOLUTION,
    study: optuna.Study | None = None,
    study_seed: int = 0,
) -> int:
    """``n_trials``, or fewer where the sampler runs out of points before.

    A grid has its points, and the configs that were enqueued beside them in ``study``.
    """
    if sampler != "grid":
        return n_trials
    n_beside = 0
    if study is not None:
        n_beside = GridSampler(space, seed=study_seed, resolution=resolution).n_beside(study)
    return min(n_trials, space.n_grid_points(resolution) + n_beside)
