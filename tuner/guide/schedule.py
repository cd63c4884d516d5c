"""Step 5: how the rate falls and whether it warms up, how long; then SGD against AdamW on an equal budget."""

import math
from typing import Any

from tuner.guide.checklist import Notes
from tuner.guide.follow_ups import search_round
from tuner.guide.optimizers import compare_optimizers
from tuner.guide.rounds import Candidate
from tuner.guide.session import Session, label
from tuner.training.config import TrainingConfig
from tuner.training.schedules import effective_batch_size, warmup_steps

STEP = "schedule"
WARMUP = 0.05
"""Of all steps; the Deep Learning Tuning Playbook stays under a tenth."""
WARMUPS = (0.05, 0.02, 0.1)
"""What the best schedule's warmup is refined to, the most promising first."""
SHAPES: tuple[tuple[str, bool], ...] = (
    ("cosine", False),
    ("one_cycle", False),
    ("linear", False),
    ("cosine", True),
    ("exponential", False),
    ("step", False),
    ("constant", True),
    ("constant", False),
)
"""Schedule and whether it warms up, the most promising first. one_cycle has a rise of its own."""


def take(session: Session, notes: Notes) -> None:
    """Three rounds: schedules, the best one's warmup, then optimizers."""
    for planned in session.planned:
        if planned.step != STEP:
            continue
        if planned.skipped:
            notes.skipped(planned.purpose, f"Nothing changes: {planned.skipped}.")
        elif planned.name == "schedule.shapes":
            search_round(session, notes, planned.name, shapes(session))
        elif planned.name == "schedule.warmup":
            _refine_warmup(session, notes, planned.name)
        else:
            compare_optimizers(session, notes, planned.name)


def shapes(session: Session) -> list[Candidate]:
    """Schedules, some with warmup; those that the space or what is fixed leaves out are not among them.

    Each says its warmup, none included: a present config may have one of its own.
    """
    candidates = []
    for schedule, warms_up in SHAPES:
        changes = _changes(session, schedule=schedule, warmup=WARMUP if warms_up else 0.0)
        if changes and session.asked.levers.allows(changes):
            said = f"{schedule} with warmup" if warms_up else schedule
            candidates.append(Candidate(label=said, changes=changes))
    return candidates


def warmups(session: Session) -> list[Candidate]:
    """Other lengths of warmup that come to other numbers of steps; none at all, where there is one."""
    current = session.current
    seen = {_n_warmup(session, current)}
    candidates = []
    for fraction in session.asked.levers.values("warmup_fraction", (*WARMUPS, 0.0)):
        changes = _changes(session, schedule=current.schedule, warmup=fraction)
        n_steps = _n_warmup(session, session.config({**session.incumbent, **changes}, epochs=session.epochs))
        if n_steps not in seen and session.asked.levers.allows(changes):
            seen.add(n_steps)
            candidates.append(Candidate(label=label("warmup_fraction", fraction), changes=changes))
    return candidates


def _refine_warmup(session: Session, notes: Notes, name: str) -> None:
    candidates = warmups(session)
    if candidates:
        search_round(session, notes, name, candidates, ranges=("warmup_fraction",))
    else:
        notes.skipped("refine the warmup", "No other length comes to another number of steps.")


def _changes(session: Session, *, schedule: str, warmup: float) -> dict[str, Any]:
    """From the incumbent's schedule and warmup to these, both kinds of warmup told; only what differs."""
    whole = session.current.to_mapping()
    wanted = {"schedule": schedule, "warmup_fraction": warmup, "warmup_steps": 0}
    return {key: value for key, value in wanted.items() if value != whole[key]}


def _n_warmup(session: Session, config: TrainingConfig) -> int:
    """Optimizer steps of a config's warmup."""
    n_train = len(session.splits.train_x)
    n_steps = math.ceil(n_train / effective_batch_size(config, n_train)) * config.epochs
    return warmup_steps(n_steps, config)
