"""What a guide would do within its budget, before it does it: rounds, trainings and time. Arithmetic only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuner.guide.budget import N_BASELINE, Budget, Pace, Spent, allot, final_trials, n_final_trials, shortage
from tuner.guide.plan import STEPS, PlannedRound, max_changes, step_of, wishes_from

DONE = "already done"
NO_ROOM = "the budget has no room for it"


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
    warning: str = ""
    """Why the budget will be exceeded; empty where it can be kept."""

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
    spent: Spent | None = None,
    decided: Mapping[str, Mapping[str, Any]] | None = None,
) -> Preview:
    """The plan if every training is as fast as the baseline's, and every step adopts a change.

    Args:
        planned: the rounds before the seeds.
        budget: of the whole guide.
        pace: of trainings of so many epochs.
        epochs: of each training.
        most_changes: what the ladder has rungs for; None is one for each round.
        spent: what a guide that has begun has used up, with all that it decided.
        decided: its ledger: what was decided is not planned again.
    """
    spent, decided, rounds = spent or Spent(), decided or {}, []
    for each in planned:
        known = (0, each.skipped) if each.skipped else _left_of(each, decided)
        if known is not None:
            n_trials, why_none = known
        else:
            wish, later = wishes_from(planned, each.name)
            allotted = allot(wish, later, budget=budget, spent=spent, pace=pace)
            n_trials = N_BASELINE if each.step == STEPS[0] else allotted.n_trials
            why_none = "" if n_trials else NO_ROOM
        line = _line(each.step, each.purpose, n_trials, pace, why_none)
        rounds.append(line)
        if known is None:
            spent = replace(spent, seconds=spent.seconds + line.seconds, trials=spent.trials + n_trials)
    n_changes = max_changes(planned) if most_changes is None else most_changes
    rounds.append(
        _line_of_seeds(n_final_trials(budget=budget, spent=spent, pace=pace), n_changes, pace, decided)
    )
    return Preview(
        rounds=tuple(rounds),
        epochs=epochs,
        n_workers=pace.n_workers,
        budget=budget.text,
        warning=shortage(budget, pace),
    )


def _left_of(planned: PlannedRound, decided: Mapping[str, Mapping[str, Any]]) -> tuple[int, str] | None:
    """The trainings left of a round that was decided, or why there are none; None where it was not."""
    is_behind = any(
        step_of(key) in STEPS and STEPS.index(step_of(key)) > STEPS.index(planned.step) for key in decided
    )
    if is_behind or f"{planned.name}.ended" in decided:
        return 0, DONE
    if f"{planned.name}.round" not in decided:
        return None
    n_trials = decided[f"{planned.name}.round"]["n_trials"]
    return n_trials, "" if n_trials else NO_ROOM


def _line(step: str, purpose: str, n_trials: int, pace: Pace, why_none: str) -> PreviewedRound:
    seconds = pace.seconds(n_trials) if n_trials else 0.0
    return PreviewedRound(step=step, purpose=purpose, n_trials=n_trials, seconds=seconds, skipped=why_none)


def _line_of_seeds(
    affordable: int, n_changes: int, pace: Pace, decided: Mapping[str, Mapping[str, Any]]
) -> PreviewedRound:
    if (known := decided.get("seeds.round")) is not None:
        n_seeds, has_ladder = known["n_seeds"], known["has_ladder"]
        n_trials = known["n_trials"]
        if "seeds.ended" in decided:  # only the rungs between the two can be left
            n_trials = 0 if "seeds.rungs.ended" in decided else max(n_trials - 2 * n_seeds, 0)
    else:
        final = final_trials(affordable, n_changes)
        n_seeds, has_ladder = final.n_seeds, final.has_ladder
        n_trials = n_seeds * (n_changes + 1 if has_ladder else 2)
    purpose = (
        f"baseline and best {'and every rung between them ' if has_ladder else ''}on {n_seeds} fresh seeds"
    )
    return _line("seeds", purpose, n_trials, pace, "" if n_trials else DONE)
