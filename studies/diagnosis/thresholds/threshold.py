"""A number that decides, and where it comes from."""

from dataclasses import dataclass

BY_HAND = ", chosen by hand; benchmarks/diagnosis runs with it"
"""Of a rule on single trainings: its figures rest on this number, too, but no reading of healthy runs has set it."""
UNCALIBRATED = ", not yet calibrated on a benchmark"
"""Of a rule on whole studies: the benchmark diagnoses each training alone and never comes to it."""
OWN = f"own design{BY_HAND}"
OWN_OVER_TRIALS = f"own design{UNCALIBRATED}"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A number that decides, and why it is what it is."""

    value: float
    unit: str
    source: str


def shortened(source: str) -> str:
    """Without what docs/symptoms.md says of each threshold."""
    return source.replace(BY_HAND, "").replace(UNCALIBRATED, "")
