"""One round: the incumbent and its rivals, trained side by side on the same seeds, and which of them goes on."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studies.records import StudyRecord, TrialRecord

ADOPTION_FLOORS = 2.0
"""Noise floors by which a rival must beat the incumbent on one seed. The difference of two trainings has a deviation
of 1.4 noise floors, and the best of several rivals is picked: at 2, one round in four without any true difference
still changes something (24% with five rivals, by simulation). That costs nothing on average, and the last step
confirms; at 3, changes worth a point in ten would be passed over. Own design."""
SAME_FLOORS = 1.0
"""Noise floors by which a faster rival may be worse on one seed and still count as the same."""
FASTER = 1.25
"""How much faster it must be to be worth a change; timings of single trainings differ by some 10%."""
SAVED_SECONDS = 1.0
"""And how much of a training's time it must save: below, clocks and starting up decide."""
INCUMBENT = "incumbent"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A change of the incumbent; an empty one is the incumbent itself."""

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A candidate after its trainings: one trial a seed."""

    label: str
    changes: Mapping[str, Any]
    config: Mapping[str, Any]
    """Every key."""
    trials: tuple[TrialRecord, ...]

    @property
    def value(self) -> float | None:
        """The mean over the seeds; None where any of them diverged."""
        values = [trial.value for trial in self.trials]
        if any(value is None or not math.isfinite(value) for value in values):
            return None
        return statistics.fmean(value for value in values if value is not None)

    @property
    def seconds(self) -> float:
        """Of one training: the median of the seeds."""
        return statistics.median(trial.seconds for trial in self.trials)


@dataclass(frozen=True, kw_only=True)
class Round:
    """A round that has ended. The first of ``tried`` is the incumbent that the others were compared with."""

    study: str
    tried: tuple[Tried, ...]
    record: StudyRecord

    @property
    def n_seeds(self) -> int:
        return len(self.tried[0].trials)

    @property
    def scores(self) -> list[float]:
        """The higher the better, in the metric's unit; minus infinity for what diverged."""
        sign = 1.0 if self.record.is_maximized else -1.0
        return [-math.inf if each.value is None else sign * each.value for each in self.tried]

    @property
    def best(self) -> int:
        """The place of the highest score, the earliest of equals."""
        return self.scores.index(max(self.scores))


def best_beyond_noise(scores: Sequence[float], *, noise_floor: float, n_seeds: int) -> int:
    """The best score's place if it beats the first, the incumbent's, by more than noise; else 0."""
    best = max(range(len(scores)), key=lambda place: (scores[place], -place))
    margin = ADOPTION_FLOORS * noise_floor / math.sqrt(n_seeds)
    return best if scores[best] > scores[0] + margin else 0


def fastest_of_the_same(
    scores: Sequence[float], seconds: Sequence[float], *, noise_floor: float, n_seeds: int
) -> int:
    """The best by more than noise, if there is one; else the clearly fastest that is no worse than noise; else 0."""
    better = best_beyond_noise(scores, noise_floor=noise_floor, n_seeds=n_seeds)
    if better or not math.isfinite(scores[0]):
        return better
    least = scores[0] - SAME_FLOORS * noise_floor / math.sqrt(n_seeds)
    same = [place for place, score in enumerate(scores) if score >= least]
    fastest = min(same, key=lambda place: seconds[place])
    is_faster = seconds[0] >= FASTER * seconds[fastest] and seconds[0] - seconds[fastest] >= SAVED_SECONDS
    return fastest if is_faster else 0


def noise_floor_of(values: Sequence[float | None], *, least: float) -> float:
    """The deviation between replicates, and no less than ``least``: three seeds may agree by luck."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return max(statistics.stdev(finite) if len(finite) > 1 else 0.0, least)
