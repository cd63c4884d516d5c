"""From what a user asks to a study that is ready to run. All is checked before anything is written."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from studies.plan import GRID_RESOLUTION, StudyPlan
from studies.recorded import RecordedStudy, create_study, open_study
from tuner.prepared_search import PreparedSearch
from tuner.searching.objective import Objective, Task
from tuner.searching.planning import objective_of, plan_of
from tuner.searching.strategy import GUIDE, LISTED, check_strategy, n_possible_trials
from tuner.searching.suitability import check_data_suits, warmup_warnings
from tuner.training.config import TrainingConfig

_log = logging.getLogger(__name__)


def prepare_search(  # noqa: PLR0913 - as `search`
    space: Space | str | Path,
    task: Task,
    *,
    study: str | None = None,
    storage: str | None = None,
    trials: int = 50,
    sampler: str = "tpe",
    pruner: str = "median",
    resolution: int = GRID_RESOLUTION,
    device: str = "auto",
    enqueue: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
    **training: Any,
) -> PreparedSearch:
    """Check everything a user asked for, then create or join the study. Nothing is written before all is checked.

    Args are those of `search`; ``training`` are its epochs, seed, metric, direction, fixed, model, and announce,
    which takes what a person should know of the data.
    """
    objective, plan = _plan(
        space,
        task,
        trials=trials,
        sampler=sampler,
        pruner=pruner,
        resolution=resolution,
        device=device,
        data_dir=data_dir,
        **training,
    )
    enqueued = None if enqueue is None else objective.space.params(_typed(enqueue))
    recorded = create_study(
        study or f"{plain_name(plan.task)}-{objective.searched_space.name}", plan, storage
    )
    if enqueued is not None:
        _enqueue(recorded, enqueued, n_trials=trials)
    trials = n_possible_trials(
        trials,
        sampler=sampler,
        space=objective.space,
        resolution=plan.resolution,
        study=recorded.study,
        study_seed=plan.seed,
    )
    recorded.want_trials(trials)
    return PreparedSearch(
        recorded=recorded, objective=objective, n_trials=trials, device=device, data_dir=_path(data_dir)
    )


def _enqueue(recorded: RecordedStudy, params: Mapping[str, Any], *, n_trials: int) -> None:
    """Queue a config, unless the study has had it.

    Raises:
        ConfigurationError: when the study is full: the config would wait for ever.
    """
    trials = recorded.study.get_trials(deepcopy=False)
    has_had_it = any(
        trial.system_attrs.get("fixed_params", trial.params) == params or trial.params == params
        for trial in trials
    )
    if has_had_it:
        return
    n_counted = recorded.record(telemetry=False).counts.counted
    if n_counted >= n_trials:
        raise ConfigurationError(
            f"A config can be enqueued only while trials are left to do, but {recorded.name!r} has all its "
            f"{n_trials}; raise --trials."
        )
    recorded.study.enqueue_trial(dict(params))


def plan_search(
    space: Space | str | Path, task: Task, *, enqueue: Mapping[str, Any] | None = None, **asked: Any
) -> StudyPlan:
    """The plan that `prepare_search` would create a study under; checks the same and writes nothing."""
    ignored = {"study", "storage"}
    objective, plan = _plan(space, task, **{key: value for key, value in asked.items() if key not in ignored})
    if enqueue is not None:
        objective.space.params(_typed(enqueue))
    return plan


def _plan(  # noqa: PLR0913 - as `search`
    space: Space | str | Path,
    task: Task,
    *,
    trials: int,
    sampler: str = "tpe",
    pruner: str = "median",
    resolution: int = GRID_RESOLUTION,
    device: str = "auto",
    data_dir: str | Path | None = None,
    epochs: int = 10,
    seed: int = 0,
    metric: str = "validation_accuracy",
    direction: str | None = None,
    fixed: Mapping[str, Any] | None = None,
    model: str | Callable[..., Any] | None = None,
    announce: Callable[[str], None] | None = None,
) -> tuple[Objective, StudyPlan]:
    check_strategy(sampler, pruner)
    check_limits(trials=trials, epochs=epochs, seed=seed, resolution=resolution)
    _check_not_fixed_too(fixed or {}, "--set {key}={value}")
    objective = Objective(
        space,
        task,
        epochs=epochs,
        metric=metric,
        direction=direction,
        fixed=dict(fixed or {}) | ({"model": model} if isinstance(model, str) else {}),
        model=None if isinstance(model, str) else model,
        seed=seed,
        device=device,
        data_dir=_path(data_dir),
        announce=announce,
    )
    _check_not_fixed_too(objective.searched_space.fixed, "{key}: {value} under `fixed` of the space")
    if not objective.space.levers:
        raise ConfigurationError(
            "A search must have at least one lever that is not fixed, but got none; `tuner train` trains one config."
        )
    plan = plan_of(objective, sampler=sampler, pruner=pruner, resolution=resolution)
    check_data_suits(objective)
    for line in warmup_warnings(objective):
        (announce or _log.warning)(line)
    return objective, plan


def _check_not_fixed_too(fixed: Mapping[str, Any], said: str) -> None:
    for key in ("epochs", "seed"):
        if key in fixed:
            got = said.format(key=key, value=fixed[key])
            raise ConfigurationError(f"{key} is said by --{key} and cannot be fixed too, but got {got}.")


def prepare_listed(  # noqa: PLR0913 - as `search_listed`
    space: Space,
    configs: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    study: str,
    storage: str | None,
    epochs: int,
    seed: int,
    metric: str,
    direction: str | None,
    model: Callable[..., Any] | None,
    evaluates_test: bool,
    device: str,
    data_dir: str | Path | None,
    announce: Callable[[str], None] | None,
) -> PreparedSearch:
    """Create or join the study that trains these configs, each once, to its end; those that have failed, once more.

    Args are those of `search_listed`; ``configs`` by the levers of ``space``, which are choices. What is fixed is
    fixed in ``space``.
    """
    objective = Objective(
        space,
        task,
        epochs=epochs,
        metric=metric,
        direction=direction,
        evaluates_test=evaluates_test,
        model=model,
        seed=seed,
        device=device,
        data_dir=_path(data_dir),
        announce=announce,
    )
    recorded = create_study(
        study, plan_of(objective, sampler=LISTED, pruner="none", configs=configs), storage
    )
    total = _n_wanted_of_list(recorded, configs)
    recorded.want_trials(total)
    return PreparedSearch(
        recorded=recorded,
        objective=objective,
        n_trials=total,
        device=device,
        data_dir=_path(data_dir),
    )


def _n_wanted_of_list(recorded: RecordedStudy, configs: Sequence[Mapping[str, Any]]) -> int:
    """A trial for each config, and one more for each that has failed by its own exception: its code may be mended."""
    return len(configs) + recorded.record(telemetry=False).counts.failed


def prepare_resume(
    study: str,
    *,
    storage: str | None = None,
    trials: int | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    retries_failed: bool = True,
    announce: Callable[[str], None] | None = None,
) -> PreparedSearch:
    """Open a study and rebuild its objective from the plan.

    Args are those of `resume`; ``retries_failed`` says whether a listed study trains configs that have failed once
    more: one of many workers that start one after the other does not.
    """
    recorded = open_study(study, storage, writable=True)
    if recorded.plan is None:
        raise ConfigurationError(
            f"Study {study!r} was not made by symptune, so its task and space are unknown; "
            f"go on with it in the code that made it."
        )
    if recorded.plan.sampler == GUIDE:
        raise ConfigurationError(
            f"Study {study!r} is the guide's own and has no trials; the same `tuner tune` command goes on with it."
        )
    total = trials if trials is not None else recorded.n_trials_wanted()
    if trials is None and retries_failed and recorded.plan.sampler == LISTED:
        total = max(total or 0, _n_wanted_of_list(recorded, recorded.plan.configs))
    if total is None:
        raise ConfigurationError(f"No total was recorded for {study!r}; say --trials N.")
    check_limits(trials=total)
    objective = objective_of(recorded.plan, device=device, data_dir=_path(data_dir), announce=announce)
    total = n_possible_trials(
        total,
        sampler=recorded.plan.sampler,
        space=objective.space,
        resolution=recorded.plan.resolution,
        study=recorded.study,
        study_seed=recorded.plan.seed,
    )
    if trials is not None or recorded.plan.sampler == LISTED:
        recorded.want_trials(total)
    return PreparedSearch(
        recorded=recorded, objective=objective, n_trials=total, device=device, data_dir=_path(data_dir)
    )


def check_limits(**limits: float | None) -> None:
    """Raise a ConfigurationError for a limit that makes no sense; each is given as the command line calls it."""
    lowest = {"trials": 1, "epochs": 1, "workers": 1, "lanes": 1, "seed": 0, "resolution": 2}
    for name, value in limits.items():
        if value is None:
            continue
        if name in lowest and value < lowest[name]:
            raise ConfigurationError(f"{name} must be at least {lowest[name]}, but got {value}.")
        if name not in lowest and value <= 0:
            raise ConfigurationError(f"{name} must be more than 0 seconds, but got {value}.")


def _typed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that ``config`` names, read as the config reads them: "1e-4" in a file is a number."""
    whole = TrainingConfig.from_mapping(config)
    return {key: getattr(whole, key) for key in config}


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)


def plain_name(name: str) -> str:
    """A task's name as part of a study's: ``npz:data/mine.npz`` is ``mine``, ``module:function`` is ``function``.

    Raises:
        ConfigurationError: for a function that has no name.
    """
    stem = Path(name.rsplit(":", maxsplit=1)[-1]).stem
    if "lambda>" in stem or stem.startswith("<"):
        raise ConfigurationError(
            f"A study must have a name, but {name} has none to give it; say --study NAME."
        )
    return stem
