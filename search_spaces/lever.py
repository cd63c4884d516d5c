"""One hyperparameter declared for tuning: its range, its default, its family, and why one tunes it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation, getcontext
from enum import StrEnum
from typing import Any, Self, TypeGuard, cast

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import BaseTrial

from search_spaces.errors import ConfigurationError

Value = bool | int | float | str

_DECIMALS = (
    12  # what `1 - value` keeps: finer than any rate needs, coarser than binary rounding noise (1 - 0.9)
)
_STEP_TOLERANCE = 1e-8  # in steps; how far off a step Optuna itself still accepts a value


class Family(StrEnum):
    """The bucket a lever belongs to."""

    OPTIMIZATION = "optimization"
    BATCHING = "batching"
    REGULARIZATION = "regularization"
    SCHEDULING = "scheduling"
    ARCHITECTURE = "architecture"


class Scale(StrEnum):
    """How the searched value becomes the config's."""

    IDENTITY = "identity"
    ONE_MINUS = "one_minus"


@dataclass(frozen=True, kw_only=True)
class Lever:
    """A hyperparameter with all that tuning must know of it.

    Raises:
        ConfigurationError: for a name, range, default or scale that do not fit each other; all at once.
    """

    name: str
    """Optuna's parameter name."""
    distribution: BaseDistribution
    """The range, in the lever's own scale."""
    default: Value | None
    """What rules while the lever is not searched, in the config's terms; it need not lie inside the range. None where
    the training works it out, as the config key says."""
    family: Family
    key: str = ""
    """The config key it sets; its name unless said otherwise."""
    scale: Scale = Scale.IDENTITY
    structural: bool = False
    """Whether it changes shapes or the program, so that lanes of one cohort must agree on it."""
    reason: str = ""
    """Why one tunes it, in one line."""
    source: str = ""
    """Where its range comes from."""
    anchor: tuple[Value, ...] = ()
    """Where one usually begins, in the lever's own scale: the ends of a range, or choices. Empty: with all of it.
    A narrowed lever keeps it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.key or self.name)
        object.__setattr__(self, "anchor", tuple(self.anchor))
        if faults := [*_name_faults(self), *_distribution_faults(self), *_anchor_faults(self)]:
            raise ConfigurationError(f"The lever {self.name!r} cannot be: {'; '.join(faults)}.")

    def to_config(self, value: Value) -> Value:
        """The config's value for a searched one."""
        return _one_minus(value) if self.scale is Scale.ONE_MINUS else value

    def from_config(self, value: Value) -> Value:
        """The searched value for the config's; the inverse of ``to_config``.

        Raises:
            ConfigurationError: for a value of another kind, not for a number outside the range.
        """
        typed = self._typed(value)
        if typed is None:
            raise ConfigurationError(f"{self.fault(value)}.")
        return _one_minus(typed) if self.scale is Scale.ONE_MINUS else typed

    def contains(self, value: object) -> bool:
        """Whether the search could come to ``value``, which is in the config's terms."""
        typed = self._typed(value)
        return typed is not None and _is_inside(self.distribution, self.from_config(typed))

    def fault(self, value: object) -> str:
        """What to say of a config value that the lever does not contain."""
        return f"{self.key} must be {self.range_text}, but got {value!r}"

    @property
    def range_text(self) -> str:
        """The range for a person, in the config's terms."""
        match self.distribution:
            case IntDistribution(low=low, high=high, step=step):
                every = f" in steps of {step}" if step > 1 else ""
                return f"a whole number in {low}..{high}{every}"
            case FloatDistribution(low=low, high=high, step=step):
                ends = sorted((float(self.to_config(low)), float(self.to_config(high))))
                every = f" in steps of {step:g}" if step else ""
                return f"a number in {ends[0]:g}..{ends[1]:g}{every}"
        return f"one of {', '.join(str(choice) for choice in choices_of(self.distribution))}"

    @property
    def anchor_text(self) -> str:
        """The anchor for a person, in the config's terms; empty where there is none."""
        values = [self.to_config(value) for value in self.anchor]
        if not values or choices_of(self.distribution):
            return ", ".join(map(str, values))
        low, high = sorted(map(float, values))
        return f"{low:g}..{high:g}"

    def suggest(self, trial: BaseTrial) -> Value:
        """The sampler's value for this trial, in the lever's own scale."""
        match self.distribution:
            case FloatDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_float(self.name, low, high, log=log, step=step)
            case IntDistribution(low=low, high=high, log=log, step=step):
                return trial.suggest_int(self.name, low, high, log=log, step=step)
        choice = trial.suggest_categorical(self.name, choices_of(self.distribution))
        return cast(Value, choice)  # Optuna's type allows None, our choices do not

    def grid(self, resolution: int) -> list[Value]:
        """At most ``resolution`` points of a range, ends included, log-spaced where it is; all choices."""
        distribution = self.distribution
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            return [*choices_of(distribution)]
        low, high, step = distribution.low, distribution.high, distribution.step
        points = _spread(low, high, resolution, log=distribution.log)
        if step is None:
            return [*points]
        return [*sorted({min(low + step * round((point - low) / step), high) for point in points})]

    def within(self, *, low: float | None = None, high: float | None = None) -> Self:
        """The lever on another range, in its own scale; a bound left out stays.

        Raises:
            ConfigurationError: for a categorical lever, or bounds that make no range.
        """
        old = self.distribution
        if not isinstance(old, FloatDistribution | IntDistribution):
            raise ConfigurationError(
                f"A range needs a lever of numbers, but {self.name} is {self.range_text} (give choices)."
            )
        new = number_range(
            low=old.low if low is None else low,
            high=old.high if high is None else high,
            log=old.log,
            step=old.step,
            whole=isinstance(old, IntDistribution),
        )
        return replace(self, distribution=new)

    def among(self, choices: Iterable[Value]) -> Self:
        """The lever with these choices, in its own scale, in place of its range."""
        choices, anchor = tuple(choices), self.anchor
        if anchor and not choices_of(self.distribution):
            low, high = map(float, anchor)
            anchor = tuple(choice for choice in choices if is_number(choice) and low <= choice <= high)
        return replace(self, distribution=CategoricalDistribution(choices), anchor=anchor)

    def anchored(self) -> Self:
        """The lever on that part of its range where one usually begins; itself where it has no anchor.

        Raises:
            ConfigurationError: when its anchor lies outside its range.
        """
        if not self.anchor:
            return self
        match self.distribution:
            case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
                low, high = max(low, float(self.anchor[0])), min(high, float(self.anchor[1]))
                if low <= high:
                    return self.within(low=low, high=high)
            case _:
                kept = [c for c in choices_of(self.distribution) if any(is_same(c, a) for a in self.anchor)]
                if kept:
                    return self.among(kept)
        raise ConfigurationError(
            f"The range of {self.name} must reach into its anchor, {self.anchor_text}, but is {self.range_text}."
        )

    def to_json(self) -> dict[str, Any]:
        """The lever as JSON's own types; the distribution in Optuna's form."""
        return {
            "name": self.name,
            "distribution": json.loads(distribution_to_json(self.distribution)),
            "default": self.default,
            "family": self.family.value,
            "key": self.key,
            "scale": self.scale.value,
            "structural": self.structural,
            "reason": self.reason,
            "source": self.source,
            "anchor": list(self.anchor),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The lever that ``to_json`` wrote."""
        return cls(
            **{
                **data,
                "distribution": json_to_distribution(json.dumps(data["distribution"])),
                "family": Family(data["family"]),
                "scale": Scale(data["scale"]),
                "anchor": tuple(data.get("anchor", ())),  # studies of symptune 0.1 have none
            }
        )

    def _typed(self, value: object) -> Value | None:
        """``value`` in the range's own type (1 is 1.0 for a float); None if of another kind or no choice."""
        match self.distribution:
            case IntDistribution():
                return value if isinstance(value, int) and not isinstance(value, bool) else None
            case FloatDistribution():
                return float(value) if is_number(value) else None
        return next((choice for choice in choices_of(self.distribution) if is_same(choice, value)), None)


def number_range(
    *, low: float, high: float, log: bool = False, step: float | None = None, whole: bool = False
) -> FloatDistribution | IntDistribution:
    """A range of numbers, checked: where a step does not divide the range, Optuna warns and changes it.

    Raises:
        ConfigurationError: for bounds, step or log that make no range.
    """
    numbers = [low, high] if step is None else [low, high, step]
    if not all(is_number(number) for number in numbers):
        raise ConfigurationError(
            f"A range must have finite numbers, but got low={low!r}, high={high!r}, {step=}."
        )
    if whole and any(number != int(number) for number in numbers):
        raise ConfigurationError(
            f"A range of whole numbers must have whole numbers, but got {low=}, {high=}, {step=}."
        )
    try:
        is_divided = step is None or step <= 0 or not (_decimal(high) - _decimal(low)) % _decimal(step)
        if is_divided and whole:
            return IntDistribution(int(low), int(high), log=log, step=1 if step is None else int(step))
        if is_divided:
            return FloatDistribution(low, high, log=log, step=step)
    except InvalidOperation as error:  # also from Optuna, which divides in decimals as we do
        raise ConfigurationError(
            f"A range must have fewer steps than can be counted in {getcontext().prec} digits, "
            f"but got {low=}, {high=}, {step=}."
        ) from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    raise ConfigurationError(f"`step` must divide `high - low`, but got {low=}, {high=}, {step=}.")


def choices_of(distribution: BaseDistribution) -> tuple[Value, ...]:
    """The choices of a categorical distribution; empty for a range of numbers."""
    if not isinstance(distribution, CategoricalDistribution):
        return ()
    return tuple(choice for choice in distribution.choices if choice is not None)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number; True and False are not numbers here, though Python says so."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def is_value(value: object) -> TypeGuard[Value]:
    """Whether a config may hold it."""
    return isinstance(value, bool | str) or is_number(value)


def is_same(one: object, other: object) -> bool:
    """Whether two config values are equal: 1 is 1.0, but True is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _one_minus(value: Value) -> float:
    return round(1.0 - float(value), _DECIMALS)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def _is_inside(distribution: BaseDistribution, value: Value) -> bool:
    """Whether a value of the right kind lies inside, the step considered."""
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        return True
    number = float(value)
    if not distribution.low <= number <= distribution.high:
        return False
    steps = 0.0 if distribution.step is None else (number - distribution.low) / distribution.step
    return abs(steps - round(steps)) < _STEP_TOLERANCE


def _spread(low: float, high: float, n_points: int, *, log: bool) -> list[float]:
    """``n_points`` from ``low`` to ``high``, both included exactly, in order, none twice."""
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    inner = [start + (end - start) * index / (n_points - 1) for index in range(1, n_points - 1)]
    inside = [min(max(math.exp(point) if log else point, low), high) for point in inner]
    return sorted({low, *inside, high})


def _name_faults(lever: Lever) -> list[str]:
    return [
        f"{what} must be a word without spaces or `=`, but got {word!r}"
        for what, word in {"its name": lever.name, "its key": lever.key}.items()
        if not word or "=" in word or len(word.split()) != 1
    ]


def _distribution_faults(lever: Lever) -> list[str]:
    faults = []
    match lever.distribution:
        case CategoricalDistribution(choices=choices):
            if not all(is_value(choice) for choice in choices):
                faults.append(f"a choice must be a word, a finite number, true or false, but got {choices}")
            if len(set(choices)) < len(choices):
                faults.append(f"its choices must differ (1, 1.0 and true are equal), but got {choices}")
            if lever.default is not None and not is_value(lever.default):
                faults.append(
                    f"its default must be a word, a finite number, true or false, but got {lever.default!r}"
                )
        case FloatDistribution() | IntDistribution():
            if lever.default is not None and not is_number(lever.default):
                faults.append(f"its default must be a finite number, but got {lever.default!r}")
        case other:
            faults.append(f"its distribution must be Optuna's Float, Int or Categorical, but got {other!r}")
    if lever.scale is Scale.ONE_MINUS and not _survives_one_minus(lever.distribution):
        faults.append(f"scale one_minus needs a float range of at most {_DECIMALS} decimals")
    return faults


def _anchor_faults(lever: Lever) -> list[str]:
    if not lever.anchor:
        return []
    if isinstance(lever.distribution, CategoricalDistribution):
        rule, is_sound = "words, finite numbers, true or false", all(map(is_value, lever.anchor))
    else:
        rule = "two finite numbers, the lower first"
        numbers = [float(end) for end in lever.anchor if is_number(end)]
        is_sound = len(numbers) == len(lever.anchor) == 2 and numbers[0] <= numbers[1]
    return [] if is_sound else [f"its anchor must be {rule}, but got {lever.anchor}"]


def _survives_one_minus(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, FloatDistribution) and all(
        _one_minus(_one_minus(bound)) == bound for bound in (distribution.low, distribution.high)
    )
