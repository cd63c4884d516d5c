"""What the trials of a study say together: the noise between replicates, and the best of them in order."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from studies.diagnosis import thresholds as limits
from studies.diagnosis.curves import robust_epoch_noise
from studies.diagnosis.reference import validation_error
from studies.records import StudyRecord, TrialRecord

SEED_KEYS = ("seed", "order_seed")
"""Config keys in which replicates differ."""
ACCURACY = "validation_accuracy"


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """By how much the objective differs between trainings of one config, in its unit: a standard deviation."""

    value: float
    quantity: str
    """replicate_sd, standard_error or late_epoch_sd: which reading it is."""
    sentence: str
    """Where it comes from, as a clause for a person."""


def in_order(study: StudyRecord) -> list[TrialRecord]:
    """The complete trials, the best first, the earliest of equals before the others."""
    sign = -1.0 if study.is_maximized else 1.0
    return sorted(study.complete_trials, key=lambda trial: (sign * value_of(trial), trial.number))


def value_of(trial: TrialRecord) -> float:
    """The objective's value of a trial that has one; NaN elsewhere."""
    return math.nan if trial.value is None else trial.value


def behind(study: StudyRecord, trial: TrialRecord, other: TrialRecord) -> float:
    """By how much ``trial`` is worse than ``other``, in the objective's unit; negative where it is better."""
    difference = value_of(other) - value_of(trial)
    return difference if study.is_maximized else -difference


def replicates(study: StudyRecord) -> list[tuple[TrialRecord, ...]]:
    """Complete trials that have one config and several seeds, a group for each such config.

    Results that were taken over are no trainings, and configs without a seed are not known to be the same.
    """
    trained = [trial for trial in study.complete_trials if trial.reuses is None and "seed" in trial.config]
    if len({_seeds(trial) for trial in trained}) < 2:
        return []  # as in nearly every search
    groups: dict[str, dict[Hashable, TrialRecord]] = {}
    for trial in trained:
        groups.setdefault(_seedless(trial), {}).setdefault(_seeds(trial), trial)
    return [tuple(by_seed.values()) for by_seed in groups.values() if len(by_seed) > 1]


def are_replicates(a: TrialRecord, b: TrialRecord) -> bool:
    """Whether two trials have one config, known with its seed, and different seeds."""
    known = "seed" in a.config and "seed" in b.config
    return known and _seeds(a) != _seeds(b) and _seedless(a) == _seedless(b)


def _seeds(trial: TrialRecord) -> Hashable:
    return tuple(trial.config.get(key) for key in SEED_KEYS)


def _seedless(trial: TrialRecord) -> str:
    return repr(sorted((key, value) for key, value in trial.config.items() if key not in SEED_KEYS))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What seeds do to the objective, over all groups of replicates."""

    sd: float
    """Pooled over the groups, each about its own mean."""
    df: int
    """Degrees of freedom: trials less groups."""


def spread_of(groups: Sequence[Sequence[TrialRecord]]) -> Spread | None:
    """None where the groups have fewer than ``SPREAD_DF`` degrees of freedom: a deviation of two says little."""
    df = sum(len(group) - 1 for group in groups)
    if df < limits.SPREAD_DF.value:
        return None
    squares = sum(float(np.var([value_of(trial) for trial in group])) * len(group) for group in groups)
    return Spread(sd=math.sqrt(squares / df), df=df)


def noise_floor(study: StudyRecord) -> NoiseFloor | None:
    """From replicates where the study has some; else the larger of what one training shows of it.

    That is the standard error of a validation accuracy, and the jitter of the best trial's late epochs: both are less
    than what another seed does. None where nothing is known of the noise.
    """
    spread = spread_of(replicates(study))
    if spread is not None:
        sentence = f"the deviation between seeds, from {spread.df} degrees of freedom"
        return NoiseFloor(value=spread.sd, quantity="replicate_sd", sentence=sentence)
    return max(_single_training_floors(study), key=lambda floor: floor.value, default=None)


def _single_training_floors(study: StudyRecord) -> list[NoiseFloor]:
    floors = []
    error = sampling_error(study)
    if error is not None:
        floors.append(
            NoiseFloor(
                value=error, quantity="standard_error", sentence="the standard error of a validation accuracy"
            )
        )
    jitter = _late_jitter(study)
    if jitter is not None and error is not None:  # a smooth curve alone is no proof of a quiet objective
        sentence = "the jitter of the best trial's last epochs"
        floors.append(NoiseFloor(value=jitter, quantity="late_epoch_sd", sentence=sentence))
    return floors


def sampling_error(study: StudyRecord) -> float | None:
    """SE_val at the best value; None unless the objective is a validation accuracy of known sample size."""
    best = study.best
    if best is None or best.telemetry is None or best.telemetry.data is None or study.metric != ACCURACY:
        return None
    value = value_of(best)
    return validation_error(best.telemetry, value) if 0.0 <= value <= 1.0 else None


def _late_jitter(study: StudyRecord) -> float | None:
    best = study.best
    if best is None:
        return None
    reported = [value for _, value in sorted(best.intermediate_values.items())]
    late = np.array(reported[len(reported) // 2 :], dtype=np.float64)
    jitter = robust_epoch_noise(late)  # NaN of fewer than four epochs
    return jitter if math.isfinite(jitter) else None
