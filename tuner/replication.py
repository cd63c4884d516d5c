"""Several configs trained with the same seeds, each training once: what confirmations and ladders are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from studies.plan import StudyPlan
from studies.records import TrialRecord
from tuner.listed import Listed, search_listed
from tuner.searching.names import is_importable, task_name
from tuner.searching.objective import Objective, Task
from tuner.searching.planning import check_data
from tuner.training.config import TrainingConfig, direction_of
from tuner.training.functions import import_function

N_SEEDS = 8
"""Enough to find a lead of two noise floors in 88% of studies of up to about four configs (docs/comparison.md)."""
FIRST_FRESH_SEED = 1000
"""Above the search's seed: people number their searches 0, 1, 2, ..., and none of those shall come again here."""

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """Several configs trained with the same seeds."""

    study: str
    storage: str
    settings: Mapping[str, Any]
    """What all of them share beside their config: only replicates of equal settings can be compared."""
    direction: str
    seeds: tuple[int, ...]
    configs: Mapping[str, Config]
    """By label, whole and without their seeds."""
    trials: Mapping[str, tuple[TrialRecord | None, ...]]
    """By label, one for each seed; None where the training has not ended."""
    listed: Listed | None
    """None when nothing had to be trained."""

    @property
    def n_trainings(self) -> int:
        return len(self.configs) * len(self.seeds)

    @property
    def n_missing(self) -> int:
        """Trainings that have not ended."""
        return sum(trial is None for row in self.trials.values() for trial in row)

    @property
    def is_complete(self) -> bool:
        return self.n_missing == 0

    @property
    def paired_seeds(self) -> tuple[int, ...]:
        """Those with which every config has ended: the others make no pairs."""
        return tuple(seed for place, seed in enumerate(self.seeds) if self._is_paired(place))

    def values(self, label: str) -> list[float | None]:
        """The metric over the paired seeds; None where the training diverged."""
        return [None if trial is None else trial.value for trial in self._paired(label)]

    def test_accuracies(self, label: str) -> list[float | None]:
        """Over the paired seeds; None where the data has no test split or the training no weights worth keeping."""
        return [None if trial is None else trial.test_accuracy for trial in self._paired(label)]

    def ended(self, config: Config) -> dict[int, TrialRecord]:
        """By seed, the trials of ``config``, a whole one; none where it is not among the configs."""
        rows = [row for label, row in self.trials.items() if self.configs[label] == config]
        return {seed: each for row in rows for seed, each in zip(self.seeds, row, strict=True) if each}

    def _is_paired(self, place: int) -> bool:
        return all(row[place] is not None for row in self.trials.values())

    def _paired(self, label: str) -> list[TrialRecord | None]:
        return [trial for place, trial in enumerate(self.trials[label]) if self._is_paired(place)]


def fresh_seeds(seeds: int | Sequence[int], *, seed: int) -> tuple[int, ...]:
    """``seeds`` of them, counted up from ``seed + FIRST_FRESH_SEED``; or the given ones, checked.

    Raises:
        ConfigurationError: for fewer than two, for one that is there twice, and for the search's own.
    """
    found = (
        tuple(seed + FIRST_FRESH_SEED + i for i in range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    )
    if len(found) < 2 or len(set(found)) < len(found) or seed in found:
        raise ConfigurationError(
            f"seeds must be at least two different ones without the search's own, which is {seed}, but got "
            f"{', '.join(map(str, found)) or 'none'}; {N_SEEDS} tell a difference of two noise floors."
        )
    return found


def replicate(  # noqa: PLR0913 - as `search_listed`
    configs: Mapping[str, Config],
    task: Task,
    *,
    study: str,
    storage: str | None = None,
    seeds: int | Sequence[int] = N_SEEDS,
    seed: int = 0,
    known: Replicates | None = None,
    evaluates_test: bool = False,
    epochs: int = 10,
    fixed: Config | None = None,
    metric: str = "validation_accuracy",
    direction: str | None = None,
    model: str | Callable[..., Any] | None = None,
    **running: Any,
) -> Replicates:
    """Train each config with each seed, but for those that are ``known``; all configs with a seed before the next one.

    Raises:
        ConfigurationError: for configs that are equal but for their seeds, and for ``known`` ones of other settings.
    """
    chosen = fresh_seeds(seeds, seed=seed)
    base = base_config(epochs=epochs, fixed=fixed, model=model)
    whole = {label: seedless({**base, **config}) for label, config in configs.items()}
    _check_distinct(whole)
    settings = {
        "task": task_name(task),
        "model function": None if model is None or isinstance(model, str) else task_name(model),
        "seed of the split": seed,
        "metric": metric,
    }
    trials = {} if known is None else _of_known(known, whole, settings)
    # Seed by seed: what has ended when it is interrupted makes pairs.
    missing = [(label, each) for each in chosen for label in whole if (label, each) not in trials]
    listed = None
    if missing:
        listed = search_listed(
            [{**whole[label], "seed": each} for label, each in missing],
            task,
            study=study,
            storage=storage,
            name="seeds",
            epochs=epochs,
            seed=seed,
            metric=metric,
            direction=direction,
            model=None if isinstance(model, str) else model,
            evaluates_test=evaluates_test,
            **running,
        )
        trials |= {pair: each for pair, each in zip(missing, listed.trials, strict=True) if each is not None}
    return Replicates(
        study=study,
        storage=listed.search.storage if listed is not None else known.storage if known is not None else "",
        settings=settings,
        direction=direction or direction_of(metric),
        seeds=chosen,
        configs=whole,
        trials={label: tuple(trials.get((label, each)) for each in chosen) for label in whole},
        listed=listed,
    )


def base_config(
    *, epochs: int, fixed: Config | None, model: str | Callable[..., Any] | None
) -> dict[str, Any]:
    """What every config rests on, where it says nothing else."""
    return {"epochs": epochs, **(fixed or {}), **({"model": model} if isinstance(model, str) else {})}


def model_of(plan: StudyPlan) -> str | None:
    """The model that rules for all trials of a study; None where each trial has its own."""
    return plan.model if Space.from_json(plan.space).find("model") is None else None


def check_reproducible(
    plan: StudyPlan, task: Task, model: str | Callable[..., Any] | None, data_dir: str | Path | None
) -> None:
    """Raise a ConfigurationError unless the search's task and model can be had, and its data is still the same."""
    for purpose, name in (("task", task), ("model", model)):
        if isinstance(name, str) and not is_importable(name):
            raise ConfigurationError(
                f"{name!r} cannot be imported by its name; hand the function itself over as {purpose}=, or move it to "
                f"a module."
            )
    if isinstance(model, str) and ":" in model:
        import_function(model, purpose="model")
    folder = None if data_dir is None else Path(data_dir)
    check_data(plan, Objective(Space.from_json(plan.space), task, defaults=plan.defaults, data_dir=folder))


def _of_known(
    known: Replicates, configs: Mapping[str, Config], settings: Mapping[str, Any]
) -> dict[tuple[str, int], TrialRecord]:
    """By label and seed, the trials of those configs that are known, whole ones."""
    if differing := [key for key, value in settings.items() if known.settings[key] != value]:
        said = ", ".join(f"{key} {known.settings[key]} and {settings[key]}" for key in differing)
        raise ConfigurationError(f"Known replicates must share all settings, but got {said}.")
    return {
        (label, seed): trial
        for label, config in configs.items()
        for seed, trial in known.ended(config).items()
    }


def seedless(config: Config) -> dict[str, Any]:
    """The whole config without what makes replicates differ."""
    whole = TrainingConfig.from_mapping(
        {key: value for key, value in config.items() if key not in _OF_A_SEED}
    )
    return {key: value for key, value in whole.to_mapping().items() if key not in _OF_A_SEED}


_OF_A_SEED = ("seed", "order_seed")


def _check_distinct(configs: Mapping[str, Config]) -> None:
    for label, config in configs.items():
        twin = next(other for other, own in configs.items() if own == config)
        if twin != label:
            raise ConfigurationError(
                f"Configs that are compared must differ in more than their seed, but {twin!r} and {label!r} do not."
            )
