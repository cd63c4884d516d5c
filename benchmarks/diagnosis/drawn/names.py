"""What a drawn part is called, and its seeds, which no other part has."""

import re

PREFIX = "drawn"
SEEDS_OF_A_DRAW = 1000
"""Draw N has the seeds from N times as many on; the older parts end below the first."""
_FIRST_CHECK_SEED = 900
_N_CHECK_SEEDS = 2


def part_of(draw: int) -> str:
    """``drawn-N``."""
    return f"{PREFIX}-{draw}"


def draw_of(name: str) -> int | None:
    """The number of a drawn part, by its name or that of one of its cases; None for all others."""
    match = re.match(rf"{PREFIX}-([1-9]\d*)(/|$)", name)
    return int(match.group(1)) if match else None


def first_seed(draw: int) -> int:
    """Of the runs that are scored."""
    return SEEDS_OF_A_DRAW * draw


def check_seeds(draw: int) -> list[int]:
    """Of the trainings that show what is sound; none of them is scored."""
    first = first_seed(draw) + _FIRST_CHECK_SEED
    return list(range(first, first + _N_CHECK_SEEDS))
