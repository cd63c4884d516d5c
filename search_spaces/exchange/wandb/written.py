"""A parameter as a sweep writes it: its numbers read and checked, its faults and warnings told under its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.exchange.imported import LARGEST_NUMBER, Choices, Remarks
from search_spaces.lever import is_number


class Refused(Exception):  # noqa: N818 - it ends the reading of one parameter; its fault is noted
    """A parameter cannot be read; why is among the faults."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A parameter as the sweep writes it."""

    name: str
    distribution: str
    fields: Mapping[str, Any]
    in_grid: bool
    choices: Choices
    remarks: Remarks

    def warn(self, sentence: str) -> None:
        self.remarks.warnings.append(f"{self.name}: {sentence}")

    def refuse(self, sentence: str) -> Refused:
        """The error to raise, its fault noted."""
        self.remarks.faults.append(f"{self.name}: {sentence}")
        return Refused(sentence)

    def number(self, key: str, default: float | None = None, *, low: float | None = None) -> float:
        """A number; one in quotes is read as well, with a warning, as W&B refuses it."""
        value = self.fields.get(key, default)
        if isinstance(value, str):
            try:
                number = float(value)
            except ValueError:
                raise self.refuse(f"{key} must be a number, but got {value!r}") from None
            self.warn(f"W&B refuses {key} {value!r}, which is text; it is read as the number {number:g} here")
            value = number
        least = -LARGEST_NUMBER if low is None else low
        if not is_number(value) or not least <= value <= LARGEST_NUMBER:
            raise self.refuse(f"{key} must be a number in {least:g}..{LARGEST_NUMBER:g}, but got {value!r}")
        return value

    def bounds(self) -> tuple[float, float]:
        """Both ends, the first below the second."""
        low, high = self.number("min"), self.number("max")
        if low >= high:
            raise self.refuse(f"min must be below max, but got min {low:g} and max {high:g}")
        return low, high

    def positive_bounds(self) -> tuple[float, float]:
        """Both ends of a logarithmic range given by its values."""
        low, high = self.bounds()
        if low <= 0:
            raise self.refuse(f"min of {self.distribution} must be above 0, but got {low:g}")
        return low, high

    def quantum(self) -> float:
        """q, above 0."""
        q = self.number("q", 1.0)
        if q <= 0:
            raise self.refuse(f"q must be above 0, but got {q:g}")
        return q

    @property
    def is_whole(self) -> bool:
        """Whether quantized values are whole numbers: W&B returns ints for an int q, and floats otherwise."""
        return isinstance(self.fields.get("q", 1), int)

    def warn_of_default_q(self) -> None:
        if "q" not in self.fields:
            self.warn(
                "W&B's default q is the float 1.0, so that it draws 32.0; here it is the whole number 32"
            )
