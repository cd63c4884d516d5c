"""W&B's 18 distributions, one entry each in ``FORMS``: their keys, their defaults, and what we make of them.

The facts are those of W&B's sweep schema (draft-07) and sampler: bounds of ``log_uniform``, ``q_log_uniform`` and
``inv_log_uniform`` are exponents of e; quantized values are round(x / q) * q; the default of q is the float 1.0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.errors import ConfigurationError, unknown_name
from search_spaces.exchange.imported import Choices, Remarks
from search_spaces.exchange.parameters import Constant, Parameter
from search_spaces.exchange.wandb import logarithmic, quantized, unbounded
from search_spaces.exchange.wandb.quantized import MAX_LISTED
from search_spaces.exchange.wandb.written import Refused, Written
from search_spaces.lever import Value, is_number, is_same, is_value

GRID_DISTRIBUTIONS = ("constant", "categorical", "int_uniform", "q_uniform")
"""What W&B allows in a grid."""
_SUM_TOLERANCE = 1e-6  # of probabilities, as they are written with some digits


def read_distribution(
    name: str, fields: Mapping[str, Any], *, in_grid: bool, choices: Choices, remarks: Remarks
) -> Parameter | None:
    """What a sweep's parameter is here, or None after its faults were noted."""
    distribution = _distribution(name, fields, remarks)
    if distribution is None:
        return None
    form = FORMS[distribution]
    allowed = ("distribution", *form.needs, *form.may)
    unknown = [key for key in fields if key not in allowed]
    missing = [key for key in form.needs if key not in fields]
    remarks.faults += [
        _clause(unknown_name(f"{name}: a key of {distribution}", key, allowed)) for key in unknown
    ]
    remarks.faults += [f"{name}: {distribution} must have {key}, but has none" for key in missing]
    if unknown or missing:
        return None
    written = Written(
        name=name, distribution=distribution, fields=fields, in_grid=in_grid, choices=choices, remarks=remarks
    )
    if in_grid and distribution not in GRID_DISTRIBUTIONS:
        written.warn(
            f"W&B refuses a grid over {distribution} (it takes {', '.join(GRID_DISTRIBUTIONS)}); "
            "here a grid has --resolution points of a range"
        )
    try:
        return form.read(written)
    except Refused:
        return None


def _distribution(name: str, fields: Mapping[str, Any], remarks: Remarks) -> str | None:
    """The distribution's name: written, or W&B's default for these keys."""
    if "distribution" in fields:
        if isinstance(fields["distribution"], str) and fields["distribution"] in FORMS:
            return str(fields["distribution"])
        remarks.faults.append(_clause(unknown_name(f"{name}: distribution", fields["distribution"], FORMS)))
        return None
    if "value" in fields:
        return "constant"
    if "values" in fields:
        return "categorical_w_probabilities" if "probabilities" in fields else "categorical"
    if {"min", "max"} <= {*fields}:
        whole = all(isinstance(fields[key], int) for key in ("min", "max"))
        if whole:
            _warn_of_whole_bounds(name, fields, remarks)
        return "int_uniform" if whole else "uniform"
    remarks.faults.append(
        f"{name} must have a value, values, min and max, or a distribution with its keys, "
        f"but has {', '.join(fields) or 'nothing'}"
    )
    return None


def _warn_of_whole_bounds(name: str, fields: Mapping[str, Any], remarks: Remarks) -> None:
    if (fields["min"], fields["max"]) == (0, 1):
        remarks.warnings.append(
            f"{name}: min and max are whole numbers, so W&B only ever draws 0 or 1, and so does this space; "
            "if you meant all between, write 0.0 or `distribution: uniform`"
        )


def _constant(written: Written) -> Constant | None:
    value = written.fields["value"]
    if is_value(value):
        return Constant(value=value)
    told = "null" if value is None else value
    written.remarks.not_carried.append(
        f"{written.name}: a fixed value must be a word, a finite number, true or false, but is {told}"
    )
    return None


def _categorical(written: Written) -> BaseDistribution:
    values = written.fields["values"]
    if not isinstance(values, list) or not values:
        raise written.refuse(f"values must be a list of at least one value, but got {values!r}")
    if wrong := [value for value in values if not is_value(value)]:
        told = ", ".join("null" if value is None else repr(value) for value in wrong)
        raise written.refuse(
            f"values must be words, finite numbers, true or false, but {told} is not "
            "(give it a name, such as none, and let your model read that)"
        )
    distinct: list[Value] = []
    for value in values:
        if any(is_same(value, other) for other in distinct):
            written.warn(f"{value} is there twice, so that W&B draws it more often; here it is one choice")
        else:
            distinct.append(value)
    return CategoricalDistribution(distinct)


def _categorical_w_probabilities(written: Written) -> BaseDistribution:
    distribution = _categorical(written)
    values, probabilities = written.fields["values"], written.fields["probabilities"]
    if not isinstance(probabilities, list) or not all(
        is_number(each) and each >= 0 for each in probabilities
    ):
        raise written.refuse(f"probabilities must be numbers of at least 0, but got {probabilities!r}")
    if len(probabilities) != len(values) or abs(sum(probabilities) - 1) > _SUM_TOLERANCE:
        raise written.refuse(
            f"probabilities must be as many as the values ({len(values)}) and add up to 1, "
            f"but {len(probabilities)} add up to {sum(probabilities):g}"
        )
    written.warn(
        f"the probabilities {probabilities} are lost: all choices are equal at first, then the sampler learns"
    )
    return distribution


def _int_uniform(written: Written) -> BaseDistribution:
    low, high = written.bounds()
    if low != int(low) or high != int(high):
        raise written.refuse(f"int_uniform must have whole bounds, but got {low:g} and {high:g}")
    points = range(int(low), int(high) + 1)
    if written.in_grid and len(points) <= MAX_LISTED:
        return CategoricalDistribution([*points])
    if written.in_grid:
        written.warn(
            f"W&B's grid has all {len(points)} whole numbers; here a grid has --resolution points of them"
        )
    return IntDistribution(points[0], points[-1])


def _uniform(written: Written) -> BaseDistribution:
    return FloatDistribution(*written.bounds())


def _clause(error: ConfigurationError) -> str:
    return str(error).removesuffix(".")


@dataclass(frozen=True, kw_only=True)
class Form:
    """One distribution: the keys it must have, those it may have, and its reading."""

    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    read: Callable[[Written], Parameter | None]


_BOUNDS = ("min", "max")
FORMS = {
    "constant": Form(needs=("value",), read=_constant),
    "categorical": Form(needs=("values",), read=_categorical),
    "categorical_w_probabilities": Form(needs=("values", "probabilities"), read=_categorical_w_probabilities),
    "int_uniform": Form(needs=_BOUNDS, read=_int_uniform),
    "uniform": Form(needs=_BOUNDS, read=_uniform),
    "q_uniform": Form(needs=_BOUNDS, may=("q",), read=quantized.q_uniform),
    "log_uniform": Form(needs=_BOUNDS, read=logarithmic.log_uniform),
    "log_uniform_values": Form(needs=_BOUNDS, read=logarithmic.log_uniform_values),
    "q_log_uniform": Form(needs=_BOUNDS, may=("q",), read=logarithmic.q_log_uniform),
    "q_log_uniform_values": Form(needs=_BOUNDS, may=("q",), read=logarithmic.q_log_uniform_values),
    "inv_log_uniform": Form(needs=_BOUNDS, read=logarithmic.inv_log_uniform),
    "inv_log_uniform_values": Form(needs=_BOUNDS, read=logarithmic.inv_log_uniform_values),
    "normal": Form(may=("mu", "sigma"), read=unbounded.normal),
    "q_normal": Form(may=("mu", "sigma", "q"), read=unbounded.q_normal),
    "log_normal": Form(may=("mu", "sigma"), read=unbounded.log_normal),
    "q_log_normal": Form(may=("mu", "sigma", "q"), read=unbounded.q_log_normal),
    "beta": Form(may=("a", "b"), read=unbounded.beta),
    "q_beta": Form(may=("a", "b", "q"), read=unbounded.q_beta),
}
"""W&B's distributions by name."""
