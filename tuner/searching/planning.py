"""From what a user asks to a study's plan, and from a recorded plan back to the objective it describes."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from studies.records import StudyPlan
from tuner.searching.objective import Objective, Task
from tuner.searching.strategy import check_strategy


def plan_of(objective: Objective, *, sampler: str, pruner: str) -> StudyPlan:
    """The plan under which ``objective`` is searched. Loads the data, to record its hash and its splits."""
    check_strategy(sampler, pruner)
    config = objective.base_config
    return StudyPlan(
        task=objective.dataset.name if objective.task == "auto" else task_name(objective.task),
        model=task_name(objective.model) if objective.model is not None else config.model,
        space=objective.searched_space.to_json(),
        sampler=sampler,
        pruner=pruner,
        epochs=config.epochs,
        seed=config.seed,
        metric=objective.metric,
        direction=objective.direction,
        fixed=objective.fixed,
        defaults=objective.config(objective.space.fixed).to_mapping(),
        split=objective.splits.describe(),
        data_hash=objective.dataset.content_hash,
        versions=versions(),
    )


def objective_of(
    plan: StudyPlan,
    *,
    device: str = "auto",
    data_dir: Path | None = None,
    announce: Callable[[str], None] | None = None,
) -> Objective:
    """The objective that a recorded plan describes.

    Raises:
        ConfigurationError: when its task or model was a function of a script or notebook, which nothing can import.
        DataError: when the data is not what the study was begun with.
    """
    for name in (plan.task, plan.model):
        if name.startswith("__main__:"):
            raise ConfigurationError(
                f"{name!r} is a function of a script or notebook, which another process cannot import; "
                f"move it to a module, or go on in Python with workers=1."
            )
    model = {"model": plan.model} if Space.from_json(plan.space).find("model") is None else {}
    objective = Objective(
        Space.from_json(plan.space),
        plan.task,
        epochs=plan.epochs,
        metric=plan.metric,
        direction=plan.direction,
        fixed=dict(plan.fixed) | model,
        seed=plan.seed,
        device=device,
        data_dir=data_dir,
        announce=announce,
    )
    check_data(plan, objective)
    return objective


def check_data(plan: StudyPlan, objective: Objective) -> None:
    """Raise a ConfigurationError unless the data is the one that the study was begun with."""
    found = objective.dataset.content_hash
    if found != plan.data_hash:
        raise ConfigurationError(
            f"A study goes on with the data it was begun with (hash {plan.data_hash[:12]}), but {plan.task} now "
            f"has hash {found[:12]}; point --data-dir to the first data, or start another --study."
        )


def task_name(task: Task | Callable[..., Any]) -> str:
    """A task as text: its name, or ``module:function``."""
    return task if isinstance(task, str) else f"{task.__module__}:{task.__qualname__}"


def is_importable(task: Task | Callable[..., Any]) -> bool:
    """Whether another process can find the task by its name."""
    name = task_name(task)
    return not name.startswith("__main__:") and "<" not in name


def versions() -> dict[str, str]:
    """Of symptune, optuna and torch, for the reader of a study."""
    found = {}
    for name in ("symptune", "optuna", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that was never installed
            found[name] = "unknown"
    return found
