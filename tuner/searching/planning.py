"""From what a user asks to a study's plan, and from a recorded plan back to the objective it describes."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from search_spaces import Space
from search_spaces.errors import ConfigurationError
from studies.plan import GRID_RESOLUTION, StudyPlan
from tuner.searching.names import is_importable, task_name
from tuner.searching.objective import Objective
from tuner.searching.points import check_grid
from tuner.searching.sparing import SPARED_SHARE
from tuner.searching.strategy import LISTED, check_strategy
from tuner.training.config import TrainingConfig

_NOT_IMPORTABLE = (
    "a function of a script, a notebook or another function, or an object that is called like one"
)


def plan_of(
    objective: Objective,
    *,
    sampler: str,
    pruner: str,
    resolution: int = GRID_RESOLUTION,
    configs: Sequence[Mapping[str, Any]] = (),
) -> StudyPlan:
    """The plan under which ``objective`` is searched. Loads the data, to record its hash and its splits.

    Raises:
        ConfigurationError: for an unknown sampler or pruner, and for a space too large for a grid.
        DataError: when the data cannot be had or used.
    """
    if sampler != LISTED:
        check_strategy(sampler, pruner)
    if sampler == "grid":
        check_grid(objective.space, resolution)
    config = objective.base_config
    return StudyPlan(
        task=objective.dataset.name if objective.task == "auto" else task_name(objective.task),
        model=task_name(objective.model) if objective.model is not None else config.model,
        space=objective.searched_space.to_json(),
        sampler=sampler,
        pruner=pruner,
        spared_share=0.0 if pruner == "none" else SPARED_SHARE,
        epochs=config.epochs,
        seed=objective.seed,
        metric=objective.metric,
        direction=objective.direction,
        fixed=objective.fixed,
        resolution=resolution,
        configs=configs,
        evaluates_test=objective.evaluates_test,
        defaults=config.to_mapping(),
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
    """The objective that a recorded plan describes, on the defaults that were recorded with it.

    A config key that is newer than the plan takes its default of today.

    Raises:
        ConfigurationError: when its task or model was a function that nothing can import, when it was recorded by a
            newer symptune, and when the data is not the one that the study was begun with.
        DataError: when the data cannot be had or used.
    """
    for name in (plan.task, plan.model):
        if not is_importable(name):
            raise ConfigurationError(
                f"{name!r} is {_NOT_IMPORTABLE}, which another process cannot import; "
                f"move it to a module, or go on in Python with workers=1."
            )
    unknown = [key for key in plan.defaults if key not in TrainingConfig().to_mapping()]
    if unknown:
        raise ConfigurationError(
            f"A study goes on with a symptune that knows its config keys, but this one does not know "
            f"{', '.join(unknown)}; it was begun with symptune {plan.versions.get('symptune', 'unknown')}."
        )
    model = {"model": plan.model} if Space.from_json(plan.space).find("model") is None else {}
    objective = Objective(
        Space.from_json(plan.space),
        plan.task,
        epochs=plan.epochs,
        metric=plan.metric,
        direction=plan.direction,
        fixed=dict(plan.fixed) | model,
        defaults=plan.defaults,
        evaluates_test=plan.evaluates_test,
        seed=plan.seed,
        device=device,
        data_dir=data_dir,
        announce=announce,
    )
    check_data(plan, objective)
    return objective


def check_data(plan: StudyPlan, objective: Objective) -> None:
    """Raise a ConfigurationError unless the data is the one that the study was begun with.

    The data itself may be sound; what is wrong is to go on with this study on it.
    """
    found = objective.dataset.content_hash
    if found != plan.data_hash:
        raise ConfigurationError(
            f"A study goes on with the data it was begun with (hash {plan.data_hash[:12]}), but {plan.task} now "
            f"has hash {found[:12]}; point --data-dir to the first data, or start another --study."
        )


def versions() -> dict[str, str]:
    """Of symptune, optuna and torch, for the reader of a study."""
    found = {}
    for name in ("symptune", "optuna", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout that was never installed
            found[name] = "unknown"
    return found
