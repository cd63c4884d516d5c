"""Step 3: the largest batch that trains as well in less time; the learning rate is scaled with it and checked again."""

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import ConfigurationError
from tuner.guide import questions
from tuner.guide.checklist import Notes
from tuner.guide.follow_ups import admissible, narrow, note_findings
from tuner.guide.rounds import Candidate, Round, fastest_of_the_same
from tuner.guide.session import Session
from tuner.training.batch_size import find_batch_size

STEP = "batch"
FINDER_SECONDS = 30.0
"""What the batch-size finder may take, at most."""
FINDER_SHARE = 0.4
"""Of what the step may take, where the budget counts time."""
LEAST_FINDER_SECONDS = 4.0
"""Below, its timings are worth nothing, and it is left out."""
NEIGHBORS = (1.0, 2.0, 0.5)
"""Of the finder's pick: what is trained beside the incumbent, the most promising first."""


def take(session: Session, notes: Notes) -> None:
    """Measure, then train the finder's pick and its neighbors beside the incumbent."""
    levers = session.asked.levers
    if why := levers.why_not("batch_size"):
        notes.skipped("batch size", f"It stays: {why}.")
        return
    if session.current.batch_size == "full":
        notes.skipped(
            "batch size", "It stays: the config trains on the full batch, whose rate scales with nothing."
        )
        return
    found = session.ledger.decide("batch.finder", lambda: _find(session))
    if not found["sizes"]:
        notes.skipped("batch size", found["reason"])
        return
    notes.done("find the batch size", found["reason"], **found)
    candidates = admissible(session, notes, _candidates(session, found))
    if not levers.may_change("learning_rate"):
        notes.skipped("scale the learning rate", f"It stays: {levers.why_not('learning_rate')}.")
    round_ = session.round(notes, "batch.sizes", candidates)
    if round_ is None:
        return
    chosen = session.ledger.decide("batch.chosen", lambda: _choose(session, round_))["place"]
    session.adopt(notes, round_, chosen, why=_why(session, round_, chosen))
    narrow(session, notes, round_)
    notes.items += [
        questions.edge_item(
            questions.edge_of(round_, ("batch_size",)),
            why_not="the finder timed the sizes beyond it, and they were slower to the target",
        ),
        questions.near_the_best(round_, noise_floor=session.noise_floor),
        questions.still_improving(round_),
    ]
    note_findings(session, notes, round_)


def _find(session: Session) -> Mapping[str, Any]:
    seconds = FINDER_SECONDS
    if session.seconds_left is not None:
        seconds = min(seconds, FINDER_SHARE * session.seconds_for("batch.sizes"))
    if seconds < LEAST_FINDER_SECONDS or not session.has_room("batch.sizes"):
        return {"sizes": [], "reason": "It stays: the budget has no room to time other sizes."}
    session.asked.announce("batch-size finder")
    try:
        choice = find_batch_size(
            session.current, session.splits, model=session.asked.model, budget_seconds=seconds
        )
    except ConfigurationError as error:  # a config that hardly learns cannot be timed to a target
        return {"sizes": [], "reason": f"It stays: {error}"}
    rates = {each.batch_size: each.learning_rate for each in choice.candidates}
    sizes = [round(choice.batch_size * factor) for factor in NEIGHBORS]
    return {
        "sizes": [[size, rates[size]] for size in sizes if size in rates],
        "rule": choice.rule.rule,
        "knee": choice.knee,
        "noise_scale": choice.to_json()["noise_scale"],
        "candidates": choice.to_json()["candidates"],
        "reason": choice.reason,
    }


def _candidates(session: Session, found: Mapping[str, Any]) -> list[Candidate]:
    levers = session.asked.levers
    may_scale = levers.may_change("learning_rate")
    candidates = []
    for size, rate in found["sizes"]:
        scaled = float(f"{rate:.3g}")
        changes = {"batch_size": size, **({"learning_rate": scaled} if may_scale else {})}
        if size == session.current.batch_size or not levers.allows({"batch_size": size}):
            continue
        said = f"batch_size {size} at rate {scaled:g}" if may_scale else f"batch_size {size}"
        candidates.append(Candidate(label=said, changes=changes))
    return candidates


def _choose(session: Session, round_: Round) -> Mapping[str, int]:
    seconds = [each.seconds for each in round_.tried]
    place = fastest_of_the_same(
        round_.scores, seconds, noise_floor=session.noise_floor, n_seeds=round_.n_seeds
    )
    return {"place": place}


def _why(session: Session, round_: Round, chosen: int) -> str:
    """In words, where it is speed that decided; empty where it was the value."""
    best = session.best_of(round_)
    if chosen in {0, best}:
        return ""
    before, after = round_.tried[0], round_.tried[chosen]
    return (
        f"It is as good within the noise ({after.value:.4f} against {before.value:.4f}) and trains in "
        f"{after.seconds:.1f} s instead of {before.seconds:.1f} s."
    )
