"""What a guide would do within its budget, before it does it: rounds, trainings and time. Arithmetic only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tuner.guide.budget import N_BASELINE, Budget, Pace, Spent, allot, final_trials, n_final_trials
from tuner.guide.plan import STEPS, PlannedRound, max_changes, wishes_from


@dataclass(frozen=True, kw_only=True)
class PreviewedRound:
    """One line of the plan."""

    step: str
    purpose: str
    n_trials: int
    seconds: float
    skipped: str = ""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The whole plan. The real one may do less where nothing is found, and fewer configs where trainings are slower."""

    rounds: tuple[PreviewedRound, ...]
    epochs: int
    n_workers: int
    budget: str

    @property
    def n_trials(self) -> int:
        return sum(each.n_trials for each in self.rounds)

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.rounds)


def preview(
    planned: Sequence[PlannedRound],
    *,
    budget: Budget,
    pace: Pace,
    epochs: int,
    most_changes: int | None = None,
) -> Preview:
    """The plan if every training is as fast as the baseline's, and every step adopts a change."""
    spent, rounds = Spent(), []
    for each in planned:
        if each.skipped:
            rounds.append(
                PreviewedRound(
                    step=each.step, purpose=each.purpose, n_trials=0, seconds=0.0, skipped=each.skipped
                )
            )
            continue
        wish, later = wishes_from(planned, each.name)
        allotted = allot(wish, later, budget=budget, spent=spent, pace=pace)
        n_trials = N_BASELINE if each.step == STEPS[0] else allotted.n_trials
        seconds = pace.seconds(n_trials) if n_trials else 0.0
        rounds.append(
            PreviewedRound(
                step=each.step,
                purpose=each.purpose,
                n_trials=n_trials,
                seconds=seconds,
                skipped="" if n_trials else "the budget has no room for it",
            )
        )
        spent = replace(spent, seconds=spent.seconds + seconds, trials=spent.trials + n_trials)
    n_changes = max_changes(planned) if most_changes is None else most_changes
    final = final_trials(n_final_trials(budget=budget, spent=spent, pace=pace), n_changes)
    n_final = final.n_seeds * (n_changes + 1 if final.has_ladder else 2)
    rungs = "and every rung between them " if final.has_ladder else ""
    rounds.append(
        PreviewedRound(
            step="seeds",
            purpose=f"baseline and best {rungs}on {final.n_seeds} fresh seeds",
            n_trials=n_final,
            seconds=pace.seconds(n_final),
        )
    )
    return Preview(rounds=tuple(rounds), epochs=epochs, n_workers=pace.n_workers, budget=budget.text)
