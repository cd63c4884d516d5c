"""A space as a W&B sweep; whatever W&B cannot express is named."""

import re
from decimal import Decimal
from typing import Any

import yaml
from optuna.distributions import FloatDistribution, IntDistribution

from search_spaces.errors import ConfigurationError
from search_spaces.exchange.imported import Exported, Settings, listed
from search_spaces.exchange.losses import losses
from search_spaces.exchange.wandb.distributions import GRID_DISTRIBUTIONS
from search_spaces.lever import Lever, choices_of
from search_spaces.space import Space
from search_spaces.yaml_dialects import Yaml11Dumper

_METRIC = "validation_accuracy"
# Our own hyperband's (tuner.searching.strategy): its first rung is one epoch, each rung keeps a third.
_HYPERBAND = {"type": "hyperband", "min_iter": 1, "eta": 3}


def write_sweep(space: Space, settings: Settings) -> Exported:
    """The space and settings as a sweep.

    Raises:
        ConfigurationError: for names that W&B does not take.
    """
    names = [*space.names, *space.fixed]
    faults = [
        f"{name!r} must be letters, digits, `_`, `.` or `-`, and not begin with a digit"
        for name in names
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name)
    ]
    faults += [f"{name} is a lever's name and a fixed key" for name in space.fixed if name in space.names]
    if faults or not names:
        told = listed(faults or ["there are neither levers nor fixed keys"])
        raise ConfigurationError(f"A sweep must have parameters with names that W&B takes, but:\n{told}")
    warnings: list[str] = []
    parameters = {lever.name: _parameter(lever, warnings) for lever in space}
    parameters |= {key: {"value": value} for key, value in space.fixed.items()}
    parameters |= {
        key: {"value": value}
        for key, value in (("epochs", settings.epochs), ("seed", settings.seed))
        if value is not None
    }
    data = {**_head(space, settings, warnings), "parameters": parameters}
    if data["method"] == "grid":
        warnings += _not_for_a_grid(parameters)
    warnings.append("program: a sweep must name the script that it runs; add it")
    text = yaml.dump(data, Dumper=Yaml11Dumper, sort_keys=False, width=110, allow_unicode=True)
    return Exported(data=data, text=text, warnings=(*losses(space, "W&B"), *warnings))


def _head(space: Space, settings: Settings, warnings: list[str]) -> dict[str, Any]:
    metric = settings.metric or _METRIC
    own = "maximize" if metric.endswith("_accuracy") else "minimize"
    data: dict[str, Any] = {"name": space.name}
    if space.description:
        data["description"] = space.description
    data["method"] = _method(settings.sampler, warnings)
    data["metric"] = {"name": metric, "goal": settings.direction or own}
    if settings.pruner in {"hyperband", "asha"}:
        data["early_terminate"] = dict(_HYPERBAND)
        warnings.append("early_terminate: W&B counts logged values of the metric; log it once an epoch")
    elif settings.pruner not in {None, "none"}:
        warnings.append(f"pruner {settings.pruner}: W&B has hyperband only; left out")
    if settings.trials is not None:
        data["run_cap"] = settings.trials
    return data


def _method(sampler: str | None, warnings: list[str]) -> str:
    if sampler in {"grid", "random"}:
        return str(sampler)
    if sampler not in {None, "tpe", "gp"}:
        warnings.append(f"sampler {sampler}: W&B has grid, random and bayes; bayes is taken")
    return "bayes"


def _parameter(lever: Lever, warnings: list[str]) -> dict[str, Any]:
    distribution = lever.distribution
    if isinstance(distribution, FloatDistribution | IntDistribution):
        if distribution.low == distribution.high:
            warnings.append(f"{lever.name}: W&B has no range of one value; it becomes a constant")
            return {"value": distribution.low}
        if _is_off_multiples(distribution):
            warnings.append(
                f"{lever.name}: W&B's steps are multiples of q; its values become choices, unordered"
            )
            n_points = round((distribution.high - distribution.low) / (distribution.step or 1)) + 1
            return {"distribution": "categorical", "values": lever.grid(n_points)}
        return _range(distribution)
    return {"distribution": "categorical", "values": [*choices_of(distribution)]}


def _range(distribution: FloatDistribution | IntDistribution) -> dict[str, Any]:
    bounds = {"min": distribution.low, "max": distribution.high}
    if isinstance(distribution, IntDistribution):
        if distribution.log:
            return {"distribution": "q_log_uniform_values", **bounds, "q": 1}
        if distribution.step == 1:
            return {"distribution": "int_uniform", **bounds}
        return {"distribution": "q_uniform", **bounds, "q": distribution.step}
    if distribution.step is not None:
        return {"distribution": "q_uniform", **bounds, "q": distribution.step}
    return {"distribution": "log_uniform_values" if distribution.log else "uniform", **bounds}


def _is_off_multiples(distribution: FloatDistribution | IntDistribution) -> bool:
    """Whether the range's points are not multiples of its step."""
    step = distribution.step
    if step is None or distribution.log:
        return False
    return bool(Decimal(repr(distribution.low)) % Decimal(repr(step)))


def _not_for_a_grid(parameters: dict[str, dict[str, Any]]) -> list[str]:
    return [
        f"{name}: W&B refuses a grid over {fields['distribution']} (change method or give it values)"
        for name, fields in parameters.items()
        if fields.get("distribution", "categorical") not in GRID_DISTRIBUTIONS
    ]
