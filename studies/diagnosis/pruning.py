"""Whether the pruner ends trials that would have been among the best: told by condemned trials that ran on.

A search spares a random few of the trials that its pruner condemns. What became of them is what would have become of
those that it ended (a late-bloomer reserve, as in olmo_core.hpo).
"""

import statistics
from dataclasses import dataclass

from studies.diagnosis import thresholds as limits
from studies.diagnosis.over_study import behind, noise_floor, value_of
from studies.proportions import wilson_bounds
from studies.records import Outcome, StudyRecord, TrialRecord


@dataclass(frozen=True, kw_only=True)
class PruningCheck:
    """How often the pruner was wrong, as far as the spared trials tell."""

    n_pruned: int
    """Trials that it ended."""
    n_spared: int
    """Trials that it condemned and that ran on to their end all the same."""
    n_false: int | None
    """Of the spared ones, those that ended among the best; None where the objective's noise is not known."""

    @property
    def rate(self) -> float | None:
        """The share of false ones; None where nothing can be said."""
        return self.n_false / self.n_spared if self.n_spared and self.n_false is not None else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Of the true share, 95% (Wilson); None where nothing can be said."""
        return (
            wilson_bounds(self.n_false, self.n_spared)
            if self.rate is not None and self.n_false is not None
            else None
        )

    @property
    def suffices(self) -> bool:
        """Whether the spared trials are enough to call the pruner eager or not."""
        return self.rate is not None and self.n_spared >= limits.SPARED_MIN.value

    @property
    def sentence(self) -> str:
        """For a person; empty where nothing was pruned or spared."""
        if not self.n_pruned and not self.n_spared:
            return ""
        pruned = f"{self.n_pruned} {'trial' if self.n_pruned == 1 else 'trials'} pruned"
        if not self.n_spared:
            return f"{pruned}; none was spared, so nobody knows how they would have ended."
        spared = f"{pruned}, {self.n_spared} condemned and spared to check the pruner"
        bounds = self.bounds
        if bounds is None:
            return f"{spared}; the noise of the objective is not known, so they cannot be judged."
        text = f"{spared}: {self.n_false} of {self.n_spared} ended among the best"
        if not self.suffices:
            return f"{text}; {self.n_spared} spared {'is' if self.n_spared == 1 else 'are'} too few to tell."
        return f"{text} (true share {bounds[0]:.0%} to {bounds[1]:.0%})."

    def to_json(self) -> dict[str, float | int | None]:
        low, high = self.bounds or (None, None)
        counts = {"n_pruned": self.n_pruned, "n_spared": self.n_spared, "n_false": self.n_false}
        return {**counts, "rate": self.rate, "low": low, "high": high}


def pruning_check(study: StudyRecord) -> PruningCheck:
    """Count what the pruner ended and what became of those that it would have ended.

    False is a spared trial that ends within two noise floors of the study's best and is better than the typical trial
    that the pruner let live: no search is poorer for one ordinary trial less.
    """
    spared = [trial for trial in study.trials if _ran_on(trial)]
    n_pruned = sum(trial.outcome is Outcome.PRUNED and trial.spared_at is None for trial in study.trials)
    return PruningCheck(n_pruned=n_pruned, n_spared=len(spared), n_false=_n_false(study, spared))


def _ran_on(trial: TrialRecord) -> bool:
    """Spared, and ended by its config rather than by a machine."""
    return trial.spared_at is not None and trial.state in {"complete", "pruned"}


def _n_false(study: StudyRecord, spared: list[TrialRecord]) -> int | None:
    floor, best = noise_floor(study), study.best
    if not spared:
        return 0
    if floor is None or best is None:
        return None
    alive = [trial for trial in study.complete_trials if trial.spared_at is None]
    if not alive:
        return None
    typical = statistics.median(map(value_of, alive))
    sign = 1.0 if study.is_maximized else -1.0
    return sum(
        trial.is_complete
        and behind(study, trial, best) <= limits.NOISE_FLOORS.value * floor.value
        and sign * (value_of(trial) - typical) > 0.0
        for trial in spared
    )
