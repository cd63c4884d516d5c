"""Step 2: the learning rate, of all levers the one that matters most: a range test, then trainings around it."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuner.guide.checklist import Notes
from tuner.guide.follow_ups import search_round
from tuner.guide.rounds import Candidate
from tuner.guide.session import Session, label
from tuner.training.config import TrainingConfig
from tuner.training.learning_rate_range import learning_rate_range
from tuner.training.rate.plan import HOLD_STEPS, N_STEPS, N_SWEEPS
from tuner.training.rate.progress import EXPECTED_HELD_RATES

STEP, ROUND = "rate", "rate.around"
AROUND_SUGGESTED = (1.0, 10 ** (-1 / 3), 10 ** (-2 / 3), 10 ** (1 / 3), 0.1)
"""Factors of the suggested rate, the most promising first. It lies near the largest stable one, so most are below."""
AROUND_PRESENT = (10**-0.5, 10**0.5, 0.1, 10.0, 10**-1.5)
"""Factors of the incumbent's rate, where the range test would not suggest one."""
SHARE_OF_ROUND = 0.5
"""Of a round's time that a range test may take."""
SAME_RATE = 1.1
"""Rates nearer to each other than this factor are one."""


def take(session: Session, notes: Notes) -> None:
    """Test the range, then train rates around what it suggests."""
    if why := session.asked.levers.why_not("learning_rate"):
        notes.skipped("learning rate", f"It stays: {why}.")
        return
    found = range_test(session, notes, "rate.range_test", session.current, of_round=ROUND)
    present = session.current.learning_rate
    suggested = found["suggested"]
    wanted = (
        [present * factor for factor in AROUND_PRESENT]
        if suggested is None
        else [suggested * factor for factor in AROUND_SUGGESTED]
    )
    rates = distinct_rates(session.asked.levers.values("learning_rate", rounded(wanted)), present)
    candidates = [
        Candidate(label=label("learning_rate", rate), changes={"learning_rate": rate}) for rate in rates
    ]
    search_round(session, notes, ROUND, candidates, ranges=("learning_rate",))


def range_test(
    session: Session,
    notes: Notes,
    name: str,
    config: TrainingConfig,
    *,
    of_round: str,
    share: float = SHARE_OF_ROUND,
) -> dict[str, Any]:
    """What a range test says of ``config``, decided once under ``name``; it has a share of the round's time."""
    found = session.ledger.decide(name, lambda: _run_range_test(session, config, of_round, share))
    what = f"range test of {config.optimizer}"
    if found["suggested"] is None:
        notes.warned(what, f"It suggests nothing: {found['reason']}", **found)
    else:
        notes.done(
            what,
            f"Up to {found['highest_stable']:.3g} is stable; {found['suggested']:.3g} is suggested.",
            **found,
        )
    return found


def _run_range_test(
    session: Session, config: TrainingConfig, of_round: str, share: float
) -> Mapping[str, Any]:
    n_sweeps = _n_sweeps(session, of_round, share)
    if not n_sweeps:
        return {"suggested": None, "reason": "the budget has no room for it."}
    session.asked.announce(f"range test of {config.optimizer}, {n_sweeps} sweeps")
    found = learning_rate_range(
        config, session.splits, model=session.asked.model, seed=session.asked.seed, n_sweeps=n_sweeps
    )
    return {
        **{mark: getattr(found, mark) for mark in ("highest_stable", "steepest", "valley", "low", "high")},
        "suggested": found.suggested if found.reliable else None,
        "reason": found.reason,
        "n_sweeps": n_sweeps,
    }


def _n_sweeps(session: Session, of_round: str, share: float) -> int:
    """As many sweeps as a share of the round's time has room for, at the speed of the baseline's epoch."""
    if not session.has_room(of_round):
        return 0
    batch = session.config(session.asked.baseline).batch_size
    n_train = len(session.splits.train_x)
    n_steps = 1 if batch == "full" else max(n_train // batch, 1)
    per_step = session.ledger.read("baseline.epochs")["seconds_per_epoch"] / n_steps
    seconds = (N_STEPS + EXPECTED_HELD_RATES * HOLD_STEPS) * per_step
    room = share * session.seconds_for(of_round) / seconds
    return N_SWEEPS if room >= N_SWEEPS else int(room)


def rounded(rates: Sequence[float]) -> list[float]:
    """To 3 digits: a rate is a number that people type."""
    return [float(f"{rate:.3g}") for rate in rates]


def distinct_rates(rates: Sequence[float], present: float) -> list[float]:
    """Those that differ from the present one and from those before them."""
    kept: list[float] = []
    for rate in rates:
        if all(max(rate / other, other / rate) >= SAME_RATE for other in (present, *kept)):
            kept.append(rate)
    return kept
