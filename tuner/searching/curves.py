"""What pruners look at: the values of trials by epoch, all made so that smaller is better and NaN is worst."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

REFRESH_SECONDS = 1.0
"""How old what other workers found may be. Reading a thousand trials takes some milliseconds, an epoch may take ten."""
_WITH_CURVES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
"""What failed says nothing of its config."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The reported values of one trial."""

    number: int
    """The trial's."""
    losses: Mapping[int, float]
    """Epoch -> value, turned so that smaller is better; infinite where nothing finite was read."""

    @property
    def epoch(self) -> int:
        """The last epoch with a value."""
        return max(self.losses)

    def best_until(self, epoch: int) -> float:
        """The best value of the epochs up to this one; infinite before the first."""
        return min((loss for at, loss in self.losses.items() if at <= epoch), default=math.inf)


def curve_of(trial: FrozenTrial, direction: StudyDirection) -> Curve:
    """The curve of a trial of a study of that direction."""
    return Curve(number=trial.number, losses=losses_of(trial.intermediate_values, direction))


def losses_of(values: Mapping[int, float | None], direction: StudyDirection) -> dict[int, float]:
    """Values by epoch, turned so that smaller is better; None and what is not finite become infinite."""
    sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
    return {
        epoch: sign * value if value is not None and math.isfinite(value) else math.inf
        for epoch, value in values.items()
    }


class CurveHistory:
    """The curves of a study's trials, kept in memory; what other workers report meanwhile is read now and then."""

    def __init__(self, study: optuna.Study, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._study = study
        self._clock = clock
        self._finished: dict[int, Curve] = {}
        self._running: dict[int, Curve] = {}
        self._read_at: float | None = None

    def others(self, numbers: Iterable[int]) -> list[Curve]:
        """All curves but those of the trials with these numbers, in the order of numbers.

        Not older than `REFRESH_SECONDS`, and complete in what this process has told before `forget_age` was called.
        """
        now = self._clock()
        if self._read_at is None or now - self._read_at >= REFRESH_SECONDS:
            self._read()
            self._read_at = now
        left_out = set(numbers)
        both = {**self._running, **self._finished}
        return [both[number] for number in sorted(both) if number not in left_out]

    def forget_age(self) -> None:
        """Read anew at the next look: this process has told something."""
        self._read_at = None

    def _read(self) -> None:
        self._running = {}
        direction = self._study.direction
        for trial in trials_with_curves(self._study):
            if trial.number in self._finished:
                continue
            kept = self._finished if trial.state.is_finished() else self._running
            kept[trial.number] = curve_of(trial, direction)


def trials_with_curves(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The trials that have reported something."""
    trials = study.get_trials(deepcopy=False, states=_WITH_CURVES)
    return [trial for trial in trials if trial.intermediate_values]
