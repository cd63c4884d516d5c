"""A number that decides, and where it comes from."""

from dataclasses import dataclass

UNCALIBRATED = ", not yet calibrated on a benchmark"
OWN = f"own design{UNCALIBRATED}"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A number that decides, and why it is what it is."""

    value: float
    unit: str
    source: str
