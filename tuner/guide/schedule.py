"""Step 5: how the rate falls and whether it warms up; then SGD against AdamW on an equal budget."""

import dataclasses
import math
from typing import Any

from tuner.guide.checklist import Notes
from tuner.guide.rate import range_test, rounded
from tuner.guide.rounds import Candidate, Round, Tried
from tuner.guide.session import Session

STEP = "schedule"
WARMUP = 0.05
"""Of all steps; the Deep Learning Tuning Playbook stays under a tenth."""
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
SGD_MOMENTUM = 0.9
SGD_DECAY = 5e-4
"""L2, in place of a decay that was tuned for AdamW: He et al. 2016 use 1e-4, Krizhevsky et al. 2012 5e-4."""
ADAMW_DECAY = 0.01
"""torch's default."""
OWN_RATES = (1.0, 1 / 3)
"""Of what the range test suggests for the other optimizer."""


def take(session: Session, notes: Notes) -> None:
    """Two rounds: schedules, then optimizers."""
    for planned in session.planned:
        if planned.step != STEP:
            continue
        if planned.skipped:
            notes.skipped(planned.purpose, f"Nothing changes: {planned.skipped}.")
        elif planned.name == "schedule.shapes":
            session.search_round(notes, planned.name, shapes(session))
        else:
            _compare_optimizers(session, notes, planned.name)


def shapes(session: Session) -> list[Candidate]:
    """Schedules, some with warmup; those that the space or what is fixed leaves out are not among them."""
    levers, current = session.asked.levers, session.current
    candidates = []
    for schedule, warms_up in SHAPES:
        changes: dict[str, Any] = {}
        if schedule != current.schedule:
            changes["schedule"] = schedule
        if warms_up:
            changes["warmup_fraction"] = WARMUP
            if current.warmup_steps:
                changes["warmup_steps"] = 0  # the two exclude each other
        if changes and levers.allows(changes):
            said = f"{schedule} with warmup" if warms_up else schedule
            candidates.append(Candidate(label=said, changes=changes))
    return candidates


def _compare_optimizers(session: Session, notes: Notes, name: str) -> None:
    candidates = [*_sgd(session, notes), *_adamw(session, notes)]
    if not candidates:
        notes.skipped("SGD against AdamW", "The incumbent is the only one that the space allows.")
        return
    round_ = session.search_round(notes, name, candidates)
    if round_ is not None:
        _note_curves(notes, round_)


def _sgd(session: Session, notes: Notes) -> list[Candidate]:
    """SGD with Nesterov momentum at rates of its own."""
    current = session.current
    if current.optimizer == "sgd":
        return []
    changes: dict[str, Any] = {"optimizer": "sgd", "momentum": SGD_MOMENTUM, "nesterov": True}
    if current.weight_decay:
        changes |= {"weight_decay": SGD_DECAY, "weight_decay_kind": "auto"}
    return _at_own_rates(session, notes, changes)


def _adamw(session: Session, notes: Notes) -> list[Candidate]:
    """AdamW; where the incumbent is Adam it keeps the rate, since the decay is all that differs."""
    current = session.current
    changes: dict[str, Any] = {"optimizer": "adamw", "weight_decay_kind": "auto"}
    if current.optimizer in {"adam", "adamw"}:
        is_adamw = current.weight_decay > 0 and (
            current.optimizer == "adamw" or current.weight_decay_kind == "decoupled"
        )
        if is_adamw or not session.asked.levers.allows({"weight_decay": ADAMW_DECAY}):
            return []
        changes = {**_allowed(session, changes), "weight_decay": ADAMW_DECAY}
        allowed = session.asked.levers.allows({"optimizer": "adamw"})
        return [Candidate(label="adamw", changes=changes)] if allowed else []
    if current.weight_decay:
        changes["weight_decay"] = ADAMW_DECAY
    return _at_own_rates(session, notes, changes)


def _at_own_rates(session: Session, notes: Notes, changes: dict[str, Any]) -> list[Candidate]:
    """The optimizer that ``changes`` name at the rates that a range test suggests for it."""
    optimizer = changes["optimizer"]
    if not session.asked.levers.allows({"optimizer": optimizer}):
        notes.skipped(optimizer, "It is not among the optimizers that may be tried.")
        return []
    changes = _allowed(session, changes)
    found = range_test(
        session,
        notes,
        f"{STEP}.range_test_{optimizer}",
        dataclasses.replace(session.current, **changes),
        of_round="schedule.optimizers",
    )
    if found["suggested"] is None:
        return []
    wanted = rounded([found["suggested"] * factor for factor in OWN_RATES])
    return [
        Candidate(label=f"{optimizer} at rate {rate:g}", changes={**changes, "learning_rate": rate})
        for rate in session.asked.levers.values("learning_rate", wanted)[: len(OWN_RATES)]
    ]


def _allowed(session: Session, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes without those of keys that must stay, the optimizer aside."""
    return {key: value for key, value in changes.items() if session.asked.levers.allows({key: value})}


def _note_curves(notes: Notes, round_: Round) -> None:
    """Curves and calibration side by side: an optimizer that wins by accuracy may be the worse calibrated one."""
    read = {each.label: _readings(each) for each in round_.tried}
    known = {
        label: each["calibration_error"]
        for label, each in read.items()
        if each["calibration_error"] is not None
    }
    said = "; ".join(f"{label} {error:.3f}" for label, error in known.items())
    why = f"Calibration error at the best epoch: {said}." if known else "The task has no calibration error."
    notes.done("compare curves and calibration", why, **read)


def _readings(tried: Tried) -> dict[str, Any]:
    """Of the first seed: the validation curves, and the calibration error at the epoch with the least loss."""
    telemetry = tried.trials[0].telemetry
    rows = [row for row in (() if telemetry is None else telemetry.epochs) if row.epoch > 0]
    losses = [row.validation_loss for row in rows]
    best = min(rows, key=lambda row: row.validation_loss, default=None)
    error = math.nan if best is None else best.calibration_error
    return {
        "value": tried.value,
        "calibration_error": error if math.isfinite(error) else None,
        "validation_loss": losses,
        "validation_accuracy": [row.validation_accuracy for row in rows],
    }
