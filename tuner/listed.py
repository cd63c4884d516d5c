"""Train exactly these configs, as the trials of one study: with workers, leases and telemetry, as a search has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution

from search_spaces import Lever, Space
from search_spaces.catalog import LEVERS
from search_spaces.errors import ConfigurationError
from search_spaces.lever import Family, Value, is_same, is_value
from studies.leases import GRACE_SECONDS
from studies.records import TrialRecord
from tuner.prepared_search import PreparedSearch, ProgressCallback, Search
from tuner.preparing import check_limits, prepare_listed
from tuner.searching.objective import OF_THE_SPLIT, Task
from tuner.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A study of given configs after its trainings, and how they ended."""

    search: Search
    configs: tuple[Mapping[str, Any], ...]
    """As they were asked for."""
    trials: tuple[TrialRecord | None, ...]
    """The ended trial of each config, in their order; None where none ended well or diverged."""

    @property
    def is_complete(self) -> bool:
        """Whether every config has its trial."""
        return all(trial is not None for trial in self.trials)

    def values(self) -> list[float | None]:
        """The metric of each config; None where the training diverged or did not end."""
        return [None if trial is None else trial.value for trial in self.trials]


def search_listed(  # noqa: PLR0913, D417 - as `tuner.search`: one keyword per concern
    configs: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    study: str,
    storage: str | None = None,
    name: str = "listed",
    epochs: int = 10,
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
    metric: str = "validation_accuracy",
    direction: str | None = None,
    model: str | Callable[..., Any] | None = None,
    evaluates_test: bool = False,
    workers: int | None = None,
    lanes: int | None = None,
    timeout: float | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    grace: float = GRACE_SECONDS,
    on_progress: ProgressCallback = lambda _progress: None,
    announce: Callable[[str], None] | None = None,
) -> Listed:
    """Train each config once, to its end; on a study that exists, those that are left, and those that failed again.

    Args:
        configs: config keys -> values, ``seed`` and ``epochs`` among them where they differ. What a config leaves
            out is ``fixed``'s, else the default.
        name: of the space that the study seems to search, for people.
        seed: of the split, which all configs share, and of every training that names none.
        evaluates_test: whether each trial also records what its best weights reach on the test split.
        announce: takes what a person should know of the data.

    The others are those of `tuner.search`.

    Raises:
        ConfigurationError: for configs that cannot be, or that are the same; and as `tuner.search`.
        DataError: for data that cannot be had or used.

    Interruption, a timeout and a halted search are no exceptions here: see ``Listed.search``.
    """
    check_limits(workers=workers, lanes=lanes, timeout=timeout, grace=grace, epochs=epochs, seed=seed)
    given = {**(fixed or {}), **({"model": model} if isinstance(model, str) else {})}
    space, rows = listed_space(configs, name=name, fixed=given, defaults={"seed": seed, "epochs": epochs})
    prepared = prepare_listed(
        space,
        rows,
        task,
        study=study,
        storage=storage,
        epochs=epochs,
        seed=seed,
        metric=metric,
        direction=direction,
        model=None if isinstance(model, str) else model,
        evaluates_test=evaluates_test,
        device=device,
        data_dir=data_dir,
        announce=announce,
    )
    found = prepared.run(workers=workers, lanes=lanes, timeout=timeout, grace=grace, on_progress=on_progress)
    return Listed(search=found, configs=tuple(configs), trials=_ended_trials(prepared, rows))


def listed_space(
    configs: Sequence[Mapping[str, Any]],
    *,
    name: str,
    fixed: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> tuple[Space, list[dict[str, Value]]]:
    """The space of choices that holds these configs, and each config as the keys in which they differ.

    Args:
        configs: as given.
        name: of the space.
        fixed: what rules where a config says nothing; the space fixes what is left of it.
        defaults: what rules where neither does.

    Raises:
        ConfigurationError: for a config that is none, or that is there twice, and for configs on different splits.
    """
    if not configs:
        raise ConfigurationError("A list of configs must have at least one, but got none.")
    whole = [TrainingConfig.from_mapping({**defaults, **fixed, **config}).to_mapping() for config in configs]
    _check_distinct(whole)
    keys = [key for key in whole[0] if any(row[key] != whole[0][key] for row in whole)]
    _check_same_split(whole, keys)
    # A single config differs in nothing; its seed is what a study of one can be said to try.
    keys = keys or ["seed"]
    rows = [{key: _as_choice(value) for key, value in row.items()} for row in whole]
    levers = tuple(_lever(key, [row[key] for row in rows]) for key in keys)
    said = {key for config in (fixed, *configs) for key in config} - {*keys}
    same = {key: value for key, value in rows[0].items() if key in said}
    return Space(name=name, levers=levers, fixed=same), [{key: row[key] for key in keys} for row in rows]


def _as_choice(value: Any) -> Value:
    """A config's value as a space may hold it: none and lists (milestones) as the text that configs read them from."""
    if is_value(value):
        return value
    return "none" if value is None else ",".join(map(str, value))


def _check_distinct(whole: list[dict[str, Any]]) -> None:
    for place, row in enumerate(whole):
        if row in whole[:place]:
            raise ConfigurationError(
                f"The configs of a list must differ, but numbers {whole.index(row) + 1} and {place + 1} are the same."
            )


def _check_same_split(whole: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    for key in keys:
        if key in OF_THE_SPLIT:
            found = " and ".join(dict.fromkeys(str(row[key]) for row in whole))
            raise ConfigurationError(
                f"All configs of a list are compared on one split, but for {key} got {found}; make a study of each."
            )


def _lever(key: str, values: Sequence[Value]) -> Lever:
    """A choice among the values in the order of their first use, with what the catalog knows of the key."""
    choices: list[Value] = []
    for value in values:
        if not any(is_same(value, choice) for choice in choices):
            choices.append(value)
    known = next((lever for lever in LEVERS if lever.key == key), None)
    return Lever(
        name=key,
        distribution=CategoricalDistribution(tuple(choices)),
        default=choices[0],
        family=Family.OPTIMIZATION if known is None else known.family,
        structural=known is not None and known.structural,
        reason="" if known is None else known.reason,
    )


def _ended_trials(
    prepared: PreparedSearch, rows: Sequence[Mapping[str, Value]]
) -> tuple[TrialRecord | None, ...]:
    ended = [
        trial
        for trial in prepared.recorded.record().trials
        if trial.state in {"complete", "pruned"} and trial.outcome is not None
    ]
    return tuple(next((trial for trial in ended if _is_of(trial, row)), None) for row in rows)


def _is_of(trial: TrialRecord, row: Mapping[str, Value]) -> bool:
    return all(key in trial.params and is_same(trial.params[key], value) for key, value in row.items())
