"""A W&B sweep as a space and the settings of a search; whatever has no place in either is named."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution

from search_spaces.errors import unknown_name
from search_spaces.exchange.config_names import ConfigKey, metric_of
from search_spaces.exchange.imported import Choices, Imported, Remarks, Settings, Source
from search_spaces.exchange.parameters import Parameter, parts_of
from search_spaces.exchange.wandb.distributions import read_distribution
from search_spaces.lever import is_number
from search_spaces.space import Space

_SAMPLERS = {"grid": "grid", "random": "random", "bayes": "tpe"}
_METHODS = (*_SAMPLERS, "custom")
_GOALS = ("minimize", "maximize")
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
_AT_LEAST_1: tuple[str, Callable[[float], bool]] = ("a number of at least 1", lambda number: number >= 1)
_HYPERBAND_RULES = {
    **dict.fromkeys(("min_iter", "max_iter", "s"), _AT_LEAST_1),
    "eta": ("a number above 1", lambda number: number > 1),
}
_HYPERBAND_KEYS = ("type", *_HYPERBAND_RULES, "strict")

_SCRIPT = "a search here trains a task (--task) and a model (--model module:function), it runs no script"
_PLACE = "a study here has a name (--study) and a database (--storage)"
_FOR_WANDB = "it is for W&B's own programs"
_NOT_CARRIED = {
    "program": _SCRIPT,
    "command": _SCRIPT,
    "job": _SCRIPT,
    "image_uri": _SCRIPT,
    "entity": _PLACE,
    "project": _PLACE,
    "controller": "workers here share a database, and none controls",
    "scheduler": "a search space in Python code cannot be read",
    "metrics": "a study here has one metric (--metric)",
    "apiVersion": _FOR_WANDB,
    "kind": _FOR_WANDB,
}
"""Keys that have no place here -> why."""
TOP_KEYS = (
    "method", "parameters", "metric", "early_terminate", "run_cap", "name", "description", *_NOT_CARRIED,
)  # fmt: skip
"""All keys that a sweep may have."""


def read_sweep(
    data: Mapping[str, Any],
    keys: Mapping[str, ConfigKey],
    choices: Choices,
    remarks: Remarks,
    *,
    title: str,
    default_name: str,
) -> Imported:
    """What a sweep's data describes; ``remarks`` may hold those of reading its text.

    Raises:
        ConfigurationError: with all faults of the sweep.
    """
    _check_keys(data, remarks)
    method = _method(data, remarks)
    parameters = _parameters(data, method, choices, remarks)
    parts = parts_of(parameters, keys, remarks, rename=choices.rename)
    metric = _metric(data, method, remarks)
    pruner = _pruner(data, remarks)
    trials = _trials(data, remarks)
    space = parts.space(
        name=remarks.plain_name(_text(data, "name", remarks) or default_name),
        description=_text(data, "description", remarks),
        rule=f"{title} must be a W&B sweep",
        remarks=remarks,
    )
    if trials is None:
        trials = _grid_size(space, method, remarks)
    settings = Settings(
        sampler=_SAMPLERS.get(method),
        pruner=pruner,
        metric=metric.get("metric"),
        direction=metric.get("direction"),
        trials=trials,
        epochs=parts.settings.get("epochs"),
        seed=parts.settings.get("seed"),
    )
    return Imported(
        source=Source.WANDB,
        space=space,
        settings=settings,
        notes=tuple(remarks.notes),
        warnings=tuple(remarks.warnings),
        not_carried=tuple(remarks.not_carried),
    )


def _method(data: Mapping[str, Any], remarks: Remarks) -> str:
    method = data.get("method")
    if method not in _METHODS:
        got = "it has none" if "method" not in data else f"got {method!r}"
        remarks.faults.append(f"method must be one of {', '.join(_METHODS)}, but {got}")
    elif method == "custom":
        remarks.faults.append("method must be grid, random or bayes, but custom has its search in code")
    elif method == "bayes":
        remarks.notes.append("method bayes is the sampler tpe here (gp is nearer to W&B's Gaussian process)")
    return str(method)


def _check_keys(data: Mapping[str, Any], remarks: Remarks) -> None:
    """Unknown keys are faults; those without a place here, and those that W&B refuses together, are told."""
    remarks.faults += [
        str(unknown_name("a key of a sweep", key, TOP_KEYS)).removesuffix(".")
        for key in data
        if key not in TOP_KEYS
    ]
    remarks.not_carried += [f"{key}: {why}" for key, why in _NOT_CARRIED.items() if key in data]
    local = isinstance(data.get("controller"), Mapping) and data["controller"].get("type") == "local"
    together = [
        ("metric", "metrics", {"metric", "metrics"} <= {*data}),
        ("scheduler", "early_terminate", {"scheduler", "early_terminate"} <= {*data}),
        ("scheduler", "controller local", "scheduler" in data and local),
        ("metrics", f"method {data.get('method')}", "metrics" in data and data.get("method") != "custom"),
    ]
    remarks.warnings += [
        f"{one} and {other}: W&B refuses them together" for one, other, both in together if both
    ]


def _parameters(
    data: Mapping[str, Any], method: str, choices: Choices, remarks: Remarks
) -> dict[str, Parameter]:
    """Dotted name -> what the parameter is here, without those that are told as faults or not carried."""
    written = data.get("parameters")
    if not isinstance(written, Mapping) or not written:
        why = f"got {written!r}" if "parameters" in data else "it has none"
        remarks.faults.append(f"parameters must be a mapping of at least one parameter, but {why}")
        return {}
    parameters: dict[str, Parameter] = {}
    names = set()
    for name, fields in _flat(written, "", remarks):
        if name in names:
            remarks.faults.append(f"{name} must be there once, but is nested and dotted at once")
        names.add(name)
        read = read_distribution(name, fields, in_grid=method == "grid", choices=choices, remarks=remarks)
        if read is not None:
            parameters[name] = read
    return parameters


def _flat(
    written: Mapping[str, Any], prefix: str, remarks: Remarks
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parameters with dotted names; a nested group only groups names."""
    for key, fields in written.items():
        name = f"{prefix}{key}"
        if not _PARAMETER_NAME.fullmatch(key):
            remarks.faults.append(
                f"a parameter's name must be letters, digits, `_`, `.` or `-`, but got {key!r}"
            )
        elif isinstance(fields, Mapping) and "parameters" in fields:
            if len(fields) > 1 or not isinstance(fields["parameters"], Mapping) or not fields["parameters"]:
                remarks.faults.append(
                    f"{name}: a nested group must have parameters and nothing else, but got {dict(fields)!r}"
                )
            else:
                yield from _flat(fields["parameters"], f"{name}.", remarks)
        elif isinstance(fields, Mapping):
            yield name, fields
        else:
            key_for_it = "values" if isinstance(fields, list) else "value"
            remarks.faults.append(
                f"{name} must be a mapping, but got {fields!r} (write `{key_for_it}: {fields}`)"
            )


def _metric(data: Mapping[str, Any], method: str, remarks: Remarks) -> dict[str, str]:
    """The settings metric and direction, where the sweep has a metric of ours."""
    if "metric" not in data:
        if method == "bayes" or "early_terminate" in data:
            remarks.warnings.append("W&B needs a metric for this; a search here has validation_accuracy")
        return {}
    written = data["metric"]
    if not isinstance(written, Mapping) or not isinstance(written.get("name"), str):
        remarks.faults.append(f"metric must be a mapping with a name, but got {written!r}")
        return {}
    for key in written:
        if key not in _METRIC_KEYS:
            remarks.faults.append(str(unknown_name("a key of metric", key, _METRIC_KEYS)).removesuffix("."))
    if "target" in written:
        remarks.not_carried.append(
            f"metric.target {written['target']}: a search here ends at --trials or --timeout"
        )
    remarks.not_carried += [
        f"metric.{key}: trials that fail are missing here, never bad values"
        for key in ("impute", "impute_while_running")
        if key in written
    ]
    return _metric_and_direction(written, remarks)


def _metric_and_direction(written: Mapping[str, Any], remarks: Remarks) -> dict[str, str]:
    name, goal = written["name"], written.get("goal")
    if goal is not None and goal not in _GOALS:
        fault = unknown_name("metric.goal", goal, _GOALS)
        remarks.faults.append(f"{str(fault).removesuffix('.')} (W&B may take it for minimize without a word)")
        return {}
    metric = metric_of(name)
    if metric is None:
        remarks.not_carried.append(
            f"metric {name}: it is none of ours (`tuner search --help`); a search here has validation_accuracy"
        )
        return {}
    if metric != name:
        remarks.notes.append(f"metric {name} is {metric} here")
    own = "maximize" if metric.endswith("_accuracy") else "minimize"
    if goal is None and own == "maximize":
        remarks.warnings.append(f"metric {name} has no goal, so that W&B minimizes it; it is maximized here")
    if goal is not None and goal != own:
        remarks.warnings.append(f"metric {name} is to {goal}, as the sweep says; one would {own} it")
    return {"metric": metric, "direction": goal or own}


def _pruner(data: Mapping[str, Any], remarks: Remarks) -> str:
    """W&B's only early termination is hyperband; without it every run goes to its end."""
    if "early_terminate" not in data:
        return "none"
    written = data["early_terminate"]
    if not isinstance(written, Mapping) or written.get("type") != "hyperband":
        remarks.faults.append(f"early_terminate must be a mapping of type hyperband, but got {written!r}")
        return "none"
    faults = [
        str(unknown_name("a key of early_terminate", key, _HYPERBAND_KEYS)).removesuffix(".")
        for key in written
        if key not in _HYPERBAND_KEYS
    ]
    faults += [
        f"early_terminate.{key} must be {rule}, but got {written[key]!r}"
        for key, (rule, is_valid) in _HYPERBAND_RULES.items()
        if key in written and not (is_number(written[key]) and is_valid(written[key]))
    ]
    if "min_iter" not in written and not {"max_iter", "s"} <= {*written}:
        faults.append("early_terminate must have min_iter, or max_iter and s, but has neither")
    remarks.faults += faults
    details = ", ".join(f"{key} {str(value).lower()}" for key, value in written.items() if key != "type")
    remarks.not_carried.append(
        f"early_terminate's {details}: the pruner hyperband here has rungs of its own, in epochs; "
        "W&B counts logged values of the metric"
    )
    return "hyperband"


def _trials(data: Mapping[str, Any], remarks: Remarks) -> int | None:
    run_cap = data.get("run_cap")
    if "run_cap" in data and (not isinstance(run_cap, int) or isinstance(run_cap, bool) or run_cap < 1):
        remarks.faults.append(f"run_cap must be a whole number above 0, but got {run_cap!r}")
        return None
    return run_cap


def _grid_size(space: Space, method: str, remarks: Remarks) -> int | None:
    """The trials of a sweep without run_cap: a grid ends by itself, nothing else does."""
    if method != "grid":
        remarks.warnings.append("without run_cap W&B never ends a sweep; a search here ends at --trials")
        return None
    if not all(isinstance(lever.distribution, CategoricalDistribution) for lever in space):
        return None
    return space.n_grid_points()


def _text(data: Mapping[str, Any], key: str, remarks: Remarks) -> str:
    value = data.get(key) or ""
    if not isinstance(value, str):
        remarks.faults.append(f"{key} must be text, but got {value!r}")
    return str(value)
