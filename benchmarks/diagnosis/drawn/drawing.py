"""Draws a part: trainings until enough of them are sound, then every cause into two of them.

A draw is the same whatever the number of workers: candidates have numbers, are kept in the order of these, and the
first number at which there is enough ends it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from benchmarks.diagnosis.case import Case, Setup
from benchmarks.diagnosis.drawn.config_faults import CONFIG_WAYS, OWN_RANGES
from benchmarks.diagnosis.drawn.listing import DrawnList, base_case, faulty_case
from benchmarks.diagnosis.drawn.names import part_of
from benchmarks.diagnosis.drawn.other_faults import OTHER_WAYS
from benchmarks.diagnosis.drawn.planting import Way
from benchmarks.diagnosis.drawn.ranges import BROAD, Training, drawn_training
from benchmarks.diagnosis.drawn.soundness import Soundness
from search_spaces.errors import ConfigurationError
from studies.diagnosis import CauseName

WAYS: Mapping[CauseName, tuple[Way, ...]] = {**CONFIG_WAYS, **OTHER_WAYS}
"""Of every cause but seed noise, which is no fault of one training."""
N_OF_A_CAUSE = 2
N_HEALTHY = 60
MOST_CANDIDATES = 12 * N_HEALTHY
ORDINARY = "healthy"
"""In the place of a cause, where a training is drawn for none."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A training that may be kept."""

    draw: int
    purpose: str
    """`ORDINARY`, or the cause that it is drawn for."""
    number: int

    @property
    def training(self) -> Training:
        """The same for the same candidate."""
        random = Random(f"{self.draw}/{self.purpose}/{self.number}")  # noqa: S311 - no secret
        ranges = BROAD if self.is_ordinary else OWN_RANGES[CauseName(self.purpose)]
        return drawn_training(random, ranges)

    @property
    def is_ordinary(self) -> bool:
        return self.purpose == ORDINARY

    @property
    def case(self) -> Case:
        kind = ORDINARY if self.is_ordinary else f"twin/{self.purpose}"
        return base_case(f"{part_of(self.draw)}/{kind}/{self.number}", self.training)


Check = Callable[[Iterable[Candidate]], Iterator[Soundness]]
"""Of candidates, in their order; takes no more of them than it must."""


def candidates(draw: int, purpose: str) -> Iterator[Candidate]:
    """Without an end."""
    return (Candidate(draw=draw, purpose=purpose, number=number) for number in count())


def drawn_part(draw: int, check: Check, *, n_healthy: int = N_HEALTHY) -> DrawnList:
    """The part of a draw, by what ``check`` says is sound.

    Raises:
        ConfigurationError: too few candidates are sound.
    """
    reached: dict[str, Mapping[str, float]] = {}

    def is_enough(kept: Sequence[Case]) -> bool:
        return len(kept) >= n_healthy and not unplantable([case.setup for case in kept])

    ordinary = _kept(draw, ORDINARY, check, is_enough, reached)
    bases = [*ordinary]
    faulty: list[Case] = []
    used: Counter[str] = Counter()
    for cause, ways in WAYS.items():
        random = Random(f"{draw}/{cause}/faults")  # noqa: S311 - no secret
        suitable = ordinary
        if cause in OWN_RANGES:
            suitable = _kept(draw, cause, check, lambda kept: len(kept) >= N_OF_A_CAUSE, reached)
            bases += suitable
        for number, (base, setup) in enumerate(_planted(random, ways, suitable, used)):
            faulty.append(faulty_case(f"{part_of(draw)}/{cause}/{number}", cause, base, setup))
    return DrawnList(draw=draw, bases=tuple(bases), faulty=tuple(faulty), reached=reached)


def unplantable(setups: Sequence[Setup]) -> list[CauseName]:
    """The causes that cannot be planted into two different ones of ``setups``, and have no ranges of their own."""
    return [
        cause
        for cause, ways in WAYS.items()
        if cause not in OWN_RANGES
        and sum(any(way.suits(setup) for way in ways) for setup in setups) < N_OF_A_CAUSE
    ]


def _kept(
    draw: int,
    purpose: str,
    check: Check,
    is_enough: Callable[[Sequence[Case]], bool],
    reached: dict[str, Mapping[str, float]],
) -> list[Case]:
    kept: list[Case] = []
    verdicts = check(candidates(draw, purpose))
    for candidate, verdict in zip(candidates(draw, purpose), verdicts, strict=False):
        if candidate.number >= MOST_CANDIDATES:
            raise ConfigurationError(
                f"Of {MOST_CANDIDATES} trainings drawn for {purpose}, enough must be sound, but {len(kept)} are."
            )
        if verdict.is_sound:
            case = candidate.case
            kept.append(case)
            reached[case.name] = verdict.reached
            if is_enough(kept):
                break
    return kept


def _planted(
    random: Random, ways: Sequence[Way], bases: Sequence[Case], used: Counter[str]
) -> Iterator[tuple[Case, Setup]]:
    """Into two bases, in different ways where there are any, the least used bases first."""
    order = random.sample(ways, len(ways))
    left = list(bases)
    for number in range(N_OF_A_CAUSE):
        in_order = [order[(number + shift) % len(order)] for shift in range(len(order))]
        way = next(way for way in in_order if any(way.suits(base.setup) for base in left))
        suitable = [base for base in left if way.suits(base.setup)]
        least = min(used[base.name] for base in suitable)
        base = random.choice([each for each in suitable if used[each.name] == least])
        left.remove(base)
        used[base.name] += 1
        yield base, way.plant(random, base.setup)
