"""Which cases thresholds may be chosen by, and which nobody looks at before the end.

    python -m benchmarks.diagnosis.parts      writes all lists anew: only before any tuning

Of every cause, calibration has two severities of one network; the third severity and the other network are blind. Of
every kind of healthy training some configs are calibration's and the others are blind; no config is in both. The fresh
part came when the blind one had been looked at: all cases of `fresh`, whose networks, strengths and ways of planting
neither of the others has. When that had been looked at too, `drawn` came: a part for each seed, so that there always is
one that nobody saw. The parts share neither seeds nor images.
"""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.diagnosis.case import ARCHITECTURES, Case
from benchmarks.diagnosis.causes import FAULTS, FRESH_CASES
from benchmarks.diagnosis.drawn.listing import read_drawn
from benchmarks.diagnosis.drawn.names import PREFIX, draw_of, first_seed, part_of
from benchmarks.diagnosis.healthy import HEALTHY
from search_spaces.errors import ConfigurationError

FOLDER = Path(__file__).parent / "lists"
PARTS = ("calibration", "blind", "fresh")
CHOICES = (*PARTS, PREFIX)
"""What a command may be about; a drawn part also has a number."""
SEED = 2026
FIRST_SEEDS: Mapping[str, int] = {"calibration": 0, "blind": 100, "fresh": 200}
N_SEEDS = 5
"""Of every fault: the admission test needs so many."""
N_MORE_SEEDS = 10
"""Of a fault that looks harmful, of which so few seeds cannot be sure: see `admission`. They are not diagnosed."""
FIRST_OF_MORE = 50
"""From the first seed of the part: behind those of the repairs."""
N_HEALTHY_SEEDS = 3
CALIBRATION_SHARE = 0.4
"""Of the healthy configs of a kind."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The cases of a part."""

    part: str
    faulty: tuple[str, ...]
    healthy: tuple[str, ...]

    @property
    def first_seed(self) -> int:
        draw = draw_of(self.part)
        return FIRST_SEEDS[self.part] if draw is None else first_seed(draw)

    def seeds(self, n: int) -> list[int]:
        """The first ``n`` seeds of the part."""
        return list(range(self.first_seed, self.first_seed + n))

    def more_seeds(self) -> list[int]:
        """Those by which an undecided fault is admitted or not."""
        first = self.first_seed + FIRST_OF_MORE
        return list(range(first, first + N_MORE_SEEDS))


def drawn_lists(seed: int = SEED) -> tuple[Listed, Listed]:
    """Calibration and blind, the same for the same ``seed``."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    chosen: list[str] = []
    left: list[str] = []
    for fault in FAULTS:
        cases = fault.cases()
        architecture = draw.choice([each for each in ARCHITECTURES if each in fault.setups])
        blind_severity = draw.choice([case.severity for case in cases if case.architecture == architecture])
        for case in cases:
            is_seen = case.architecture == architecture and case.severity != blind_severity
            (chosen if is_seen else left).append(case.name)
    healthy_chosen, healthy_left = _healthy(draw, HEALTHY)
    return (
        Listed(part="calibration", faulty=tuple(chosen), healthy=tuple(healthy_chosen)),
        Listed(part="blind", faulty=tuple(left), healthy=tuple(healthy_left)),
    )


def fresh_list() -> Listed:
    """All cases of the fresh part: there is nothing to draw."""
    return Listed(
        part="fresh",
        faulty=tuple(case.name for case in FRESH_CASES if case.cause is not None),
        healthy=tuple(sorted(case.name for case in FRESH_CASES if case.cause is None)),
    )


def _healthy(draw: random.Random, cases: Sequence[Case]) -> tuple[list[str], list[str]]:
    chosen: list[str] = []
    left: list[str] = []
    for _kind, group in groupby(cases, key=lambda case: case.name.split("/")[1]):
        names = [case.name for case in group]
        draw.shuffle(names)
        n = round(CALIBRATION_SHARE * len(names))
        chosen += names[:n]
        left += names[n:]
    return sorted(chosen), sorted(left)


def read_list(part: str) -> Listed:
    """The committed list of ``part``, or that of a drawn one.

    Raises:
        ConfigurationError: for another part, and for a draw that was not drawn yet.
    """
    draw = draw_of(part)
    if draw is not None:
        drawn = read_drawn(draw)
        return Listed(
            part=part,
            faulty=tuple(case.name for case in drawn.faulty),
            healthy=tuple(case.name for case in drawn.healthy),
        )
    if part not in PARTS:
        raise ConfigurationError(f"A part must be one of {', '.join(PARTS)}, but got {part!r}.")
    read = json.loads((FOLDER / f"{part}.json").read_text(encoding="utf-8"))
    return Listed(part=part, faulty=tuple(read["faulty"]), healthy=tuple(read["healthy"]))


def add_part_arguments(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """``--only`` and ``--draw``, which `part_asked_for` reads."""
    parser.add_argument("--only", choices=CHOICES, default=default)
    parser.add_argument("--draw", type=int, help="which part --only drawn is about: 1 or more")


def part_asked_for(only: str | None, draw: int | None) -> str | None:
    """The part that a command is about; None is all.

    Raises:
        ConfigurationError: for a drawn part without a number, or a number with another part.
    """
    if (only == PREFIX) != (draw is not None):
        raise ConfigurationError(
            f"--draw must be with --only {PREFIX}, and that with it, but got --only {only} --draw {draw}."
        )
    if draw is None:
        return only
    if draw < 1:
        raise ConfigurationError(f"--draw must be 1 or more, but got {draw}.")
    return part_of(draw)


def write_lists() -> None:
    """Draw calibration and blind, and write them and the fresh part."""
    for listed in drawn_lists():
        _write(listed, drawn_with_seed=SEED)
    _write(fresh_list())


def _write(listed: Listed, **about: int) -> None:
    body = {**about, "faulty": listed.faulty, "healthy": listed.healthy}
    (FOLDER / f"{listed.part}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_lists()
