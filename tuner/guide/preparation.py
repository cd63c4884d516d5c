"""From what a person asks to a guide that may begin: everything checked, nothing written."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from search_spaces import Space, load_space
from search_spaces.errors import ConfigurationError, unknown_name
from studies.plan import StudyPlan
from studies.recorded import check_joinable, open_study
from studies.storage import open_storage, resolve_url, sqlite_path
from tuner.guide.asked import Asked
from tuner.guide.budget import Budget
from tuner.guide.ledger import Ledger
from tuner.guide.levers import Levers
from tuner.guide.plan import IMAGE_DIMENSIONS, STEPS, PlannedRound, baseline_config, planned_rounds
from tuner.preparing import plain_name
from tuner.searching.names import task_name
from tuner.searching.objective import Task, checked_direction
from tuner.searching.planning import versions
from tuner.searching.strategy import GUIDE
from tuner.training.config import TrainingConfig
from tuner.training.datasets.dataset import Dataset
from tuner.training.datasets.splits import Splits, split_dataset

DEFAULT_BUDGET = "20m"


def checked_request(  # noqa: PLR0913 - as `tune`
    task: Task,
    dataset: Dataset,
    *,
    space: Space | str | Path | None = None,
    budget: str | Budget | None = None,
    study: str | None = None,
    present: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    goal: float | None = None,
    model: str | Callable[..., Any] | None = None,
    metric: str | None = None,
    direction: str | None = None,
    **running: Any,
) -> Asked:
    """What was asked for, checked, with its defaults.

    Raises:
        ConfigurationError: for keys, names and values that cannot be.
    """
    loaded = load_space(space) if isinstance(space, str | Path) else space
    _check_said_once(loaded, fixed or {})
    typed = TrainingConfig.from_mapping(fixed or {}).to_mapping()
    named = {} if model is None else {"model": task_name(model)}
    levers = Levers(
        space=loaded,
        fixed={key: typed[key] for key in fixed or {}} | named,
    )
    metric = metric or ("validation_loss" if dataset.kind == "regression" else "validation_accuracy")
    start = baseline_config(levers, present)
    epochs = epochs if epochs is not None else _epochs_of(present)
    return Asked(
        task=task,
        study=study or f"{plain_name(dataset.name if task == 'auto' else task_name(task))}-tune",
        levers=levers,
        baseline={key: value for key, value in start.items() if key not in {"epochs", "seed"}},
        budget=budget if isinstance(budget, Budget) else Budget.parse(budget or DEFAULT_BUDGET),
        metric=metric,
        direction=checked_direction(direction, metric),
        epochs=epochs,
        goal=_checked_goal(goal),
        model=None if isinstance(model, str) else model,
        **running,
    )


def _check_said_once(space: Space | None, fixed: Mapping[str, Any]) -> None:
    """All trainings of a guide are equally long and share a split, and each round has seeds of its own."""
    in_space = () if space is None else (*space.fixed, *(lever.key for lever in space))
    for key in ("epochs", "seed"):
        if key in fixed:
            raise ConfigurationError(
                f"{key} is said by --{key} and cannot be fixed too, but got --set {key}=..."
            )
        if space is not None and key in in_space:
            raise ConfigurationError(
                f"{key} is said by --{key} and cannot be part of the space too, but {space.name} has it."
            )


def _checked_goal(goal: float | None) -> float | None:
    if goal is not None and not math.isfinite(goal):
        raise ConfigurationError(f"A goal must be a finite number, but got {goal}.")
    return goal


def _epochs_of(present: Mapping[str, Any] | None) -> int | None:
    """Of a present config that names them: its value is known for that length of training."""
    if present is None or "epochs" not in present:
        return None
    return TrainingConfig.from_mapping({"epochs": present["epochs"]}).epochs


def rounds_of(asked: Asked, dataset: Dataset) -> tuple[PlannedRound, ...]:
    return planned_rounds(
        asked.levers,
        is_image=len(dataset.input_shape) == IMAGE_DIMENSIONS,
        is_regression=dataset.kind == "regression",
    )


def plan_of_guide(asked: Asked, dataset: Dataset) -> StudyPlan:
    """The guide's own study: it has no trials, and refuses to go on with other data, another baseline or space."""
    space = asked.levers.space or Space(name="guide", levers=())
    for key, value in asked.levers.fixed.items():
        space = space.fix(key, value)
    return StudyPlan(
        task=dataset.name if asked.task == "auto" else task_name(asked.task),
        model=str(asked.baseline.get("model", "mlp")),
        space=space.to_json(),
        sampler=GUIDE,
        pruner="none",
        epochs=asked.epochs or 0,
        seed=asked.seed,
        metric=asked.metric,
        direction=asked.direction,
        fixed=asked.baseline,
        data_hash=dataset.content_hash,
        versions=versions(),
    )


def ledger_of(asked: Asked, dataset: Dataset, *, without: Sequence[str]) -> Ledger | None:
    """What a guide of that name has decided, but for the steps ``without``; None where none was begun.

    Raises:
        ConfigurationError: when it was begun differently.
    """
    url = resolve_url(asked.storage)
    path = sqlite_path(url)
    if path is not None and not path.exists():
        return None
    if asked.study not in optuna.get_all_study_names(open_storage(url, writable=False)):
        return None
    recorded = open_study(asked.study, url)
    check_joinable(recorded.name, recorded.plan, plan_of_guide(asked, dataset))
    return Ledger(recorded, without=without)


def checked_step(start_from: str | None) -> str | None:
    """The step to start from.

    Raises:
        ConfigurationError: when it is none.
    """
    if start_from is not None and start_from not in STEPS:
        raise unknown_name("A step to start from", start_from, STEPS)
    return start_from


def steps_from(start_from: str | None) -> tuple[str, ...]:
    """The step and those after it; none without one."""
    return () if start_from is None else STEPS[STEPS.index(start_from) :]


def split_of(asked: Asked, dataset: Dataset) -> Splits:
    """The data as the baseline's config and the guide's seed split it."""
    config = TrainingConfig.from_mapping(asked.baseline)
    return split_dataset(
        dataset,
        split=config.split,
        validation_fraction=config.validation_fraction,
        seed=asked.seed,
        device=asked.device,
    )


def folder(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
