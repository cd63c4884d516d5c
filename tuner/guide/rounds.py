"""One round: the incumbent and its rivals, trained side by side on the same seeds, and which of them goes on."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studies.records import StudyRecord, TrialRecord
from tuner.training.config import TrainingConfig

LEAST_ADOPTION_FLOORS = 2.0
"""Noise floors by which a rival must beat the incumbent on one seed, at least. Own design."""
SINGLE_RIVAL_FLOORS, FLOORS_PER_DOUBLING = 1.3, 0.6
"""What the best of several rivals must beat it by: the best of many is lucky, and the noise floor comes from three
seeds only. Fitted to simulations such that a round without any true difference changes something in at most one case
out of four, with a noise floor that is estimated as the guide estimates it (2 floors would be 35% with five rivals,
43% with nine). A false change costs nothing on average, and the last step confirms."""
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
    group: str = ""
    """Neighbors of one group are trained together or not at all; empty is a group of its own."""


@dataclass(frozen=True, kw_only=True)
class RateLimit:
    """Above this rate half of a round diverged; it says nothing of other optimizers, nor of larger batches."""

    optimizer: str
    batch_size: int | str
    rate: float

    def excludes(self, config: TrainingConfig) -> bool:
        """Whether the config's rate is above, with the optimizer and at most the batch size that it was seen at."""
        is_alike = config.optimizer == self.optimizer and _size(config.batch_size) <= _size(self.batch_size)
        return is_alike and config.learning_rate > self.rate


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


def adoption_floors(n_rivals: int) -> float:
    """Noise floors by which the best of so many rivals must beat the incumbent on one seed."""
    return max(LEAST_ADOPTION_FLOORS, SINGLE_RIVAL_FLOORS + FLOORS_PER_DOUBLING * math.log2(max(n_rivals, 1)))


def whole_groups(candidates: Sequence[Candidate], n: int) -> list[Candidate]:
    """The first ``n`` candidates, without the start of a group whose rest is left out."""
    kept = list(candidates[:n])
    cut = candidates[n].group if n < len(candidates) else ""
    while cut and kept and kept[-1].group == cut:
        kept.pop()
    return kept


def best_beyond_noise(scores: Sequence[float], *, noise_floor: float, n_seeds: int) -> int:
    """The best score's place if it beats the first, the incumbent's, by more than noise; else 0."""
    best = max(range(len(scores)), key=lambda place: (scores[place], -place))
    n_rivals = sum(math.isfinite(score) for score in scores[1:])
    margin = adoption_floors(n_rivals) * noise_floor / math.sqrt(n_seeds)
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


def _size(batch_size: int | str) -> float:
    return math.inf if isinstance(batch_size, str) else float(batch_size)
