"""In which order trials whose points are known beforehand are trained, so that cohorts fill without any bias.

Lanes of a cohort must agree on the structural levers. Where a sampler does not learn, the order of its points is free:
a window of them is put in the order of structures, and neighbors can then be trained together. No point is changed,
left out or added (docs/decisions/0007).
"""

from collections.abc import Iterable, Mapping

from search_spaces import Space
from search_spaces.lever import Value
from tuner.training.lanes.structure import structural_levers

FIRST_WINDOW, LONGEST_WINDOW = 8, 64
"""Trials. Windows double from one to the other, so that a search that ends anywhere has had at least half of its
trials in whole windows; longer ones would fill no cohort that 64 do not."""

Point = Mapping[str, Value]
"""Lever names -> values."""


def window_of(number: int) -> range:
    """The trials among which the order is by structures: 0-7, 8-15, 16-31, 32-63, and then 64 each."""
    if number < FIRST_WINDOW:
        return range(FIRST_WINDOW)
    size = min(1 << (number.bit_length() - 1), LONGEST_WINDOW)
    start = number - number % size
    return range(start, start + size)


def by_structure(points: Iterable[Point], space: Space) -> list[Point]:
    """The points, those of one structure together; structures in the order of their first points."""
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        groups.setdefault(_structure(point, space), []).append(point)
    return [point for group in groups.values() for point in group]


def _structure(point: Point, space: Space) -> tuple[object, ...]:
    """The values of the structural levers; None for one that does not exist there."""
    config = space.config(point)  # without the levers whose condition does not hold
    return tuple(config.get(space[name].key) for name in structural_levers(space))
