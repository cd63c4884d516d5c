"""A round and what follows from it: the four questions, answered by going on where the space and the budget allow."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from studies.diagnosis import Finding, Severity, diagnose_record
from tuner.guide import questions
from tuner.guide.checklist import Item, ItemState, Notes
from tuner.guide.plan import STEPS
from tuner.guide.remedying import try_remedy
from tuner.guide.rounds import Candidate, RateLimit, Round, Tried
from tuner.guide.session import FINER, WIDER, Session, label
from tuner.searching.equivalence import canonical

STEP_OF_LEVER = {
    "learning_rate": "rate",
    "batch_size": "batch",
    **dict.fromkeys(("weight_decay", "dropout", "label_smoothing", "augmentation"), "regularization"),
    **dict.fromkeys(("schedule", "warmup_fraction", "warmup_steps", "optimizer"), "schedule"),
}
"""Which step tries what a remedy edits."""
N_TOLD = 3
"""Findings of a round that its checklist names; all of them are the step's findings."""


def search_round(
    session: Session,
    notes: Notes,
    name: str,
    candidates: Sequence[Candidate],
    *,
    ranges: Sequence[str] = (),
) -> Round | None:
    """Train rivals beside the incumbent, adopt the best beyond noise, and ask the questions.

    ``ranges`` are the levers whose values have an order: where the best lies at the edge of one of them, the round
    goes on beyond it, once; where too few configs are near the best, it goes on between what was tried, once. None
    where the round was not worth its start.
    """
    round_ = session.round(notes, name, admissible(session, notes, candidates))
    if round_ is None:
        return None
    session.adopt(notes, round_, session.best_of(round_))
    narrow(session, notes, round_)
    wider = _go_beyond(session, notes, name, round_, ranges)
    finer = _go_between(session, notes, name, [round_] if wider is None else [round_, wider], ranges)
    last = finer or wider or round_
    notes.items.append(questions.still_improving(last))
    for each in (round_, wider, finer):
        if each is not None:
            note_findings(session, notes, each)
    try_remedy(session, notes, name, last)
    return round_


def admissible(session: Session, notes: Notes, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that train something new, below the rates at which half of an earlier round diverged.

    A list of configs must be distinct: this comes before a round is recorded, since afterwards it is for good.
    """
    seen = [canonical(session.current)]
    kept = []
    for each in candidates:
        config = session.config({**session.incumbent, **each.changes}, epochs=session.epochs)
        config = dataclasses.replace(config, seed=session.asked.seed)
        whole = canonical(config)
        limit = next((limit for limit in session.rate_limits if limit.excludes(config)), None)
        if limit is not None:
            notes.skipped(
                each.label,
                f"Its rate of {config.learning_rate:.4g} lies above {limit.rate:.4g}, the largest that trained where "
                f"half of a round diverged.",
            )
        elif whole not in seen:
            seen.append(whole)
            kept.append(each)
    return kept


def narrow(session: Session, notes: Notes, round_: Round) -> None:
    """Ask how many configs diverged; what follows stays at or below the largest rate that trained, if half did."""
    item = questions.infeasible_share(round_)
    notes.items.append(item)
    for edit in item.edits:
        if edit.high is None:
            continue
        trained = next(
            each for each in round_.tried if each.value is not None and each.config[edit.lever] == edit.high
        )
        session.rate_limits.append(
            RateLimit(
                optimizer=trained.config["optimizer"],
                batch_size=trained.config["batch_size"],
                rate=edit.high,
            )
        )


def note_findings(session: Session, notes: Notes, round_: Round) -> None:
    """What the diagnosis of the round found, and whether a step tries what it advises."""
    found = [each for each in diagnose_record(round_.record) if each.severity.rank >= Severity.WARNING.rank]
    name = f"What did the diagnosis of {round_.study} find?"
    if not found:
        notes.items.append(Item(name=name, state=ItemState.DONE, why="Nothing that is worth a warning."))
        return
    symptoms: dict[str, list[Finding]] = {}
    for each in found:
        symptoms.setdefault(each.symptom, []).append(each)
    told = [_advice(session, notes.step, group) for group in list(symptoms.values())[:N_TOLD]]
    more = len(symptoms) - len(told)
    why = "; ".join(told) + (f"; and {more} more, see `tuner show {round_.study}`." if more > 0 else ".")
    notes.items.append(Item(name=name, state=ItemState.WARNING, why=why, numbers={"n_findings": len(found)}))


def _advice(session: Session, step: str, findings: Sequence[Finding]) -> str:
    """``vanishing_gradients (3 times): <the first remedy>; <who tries it>``."""
    times = f" ({len(findings)} times)" if len(findings) > 1 else ""
    remedy = next(iter(findings[0].remedies), None)
    if remedy is None:
        return f"{findings[0].symptom}{times}, for which there is no remedy"
    keys = [edit.lever for edit in remedy.edits]
    return f"{findings[0].symptom}{times}: {remedy.sentence.rstrip('.')} ({_who_tries(session, step, keys)})"


def _who_tries(session: Session, step: str, keys: Sequence[str]) -> str:
    steps = [STEP_OF_LEVER.get(key) for key in keys]
    tried_in = steps[0] if steps else None
    if tried_in is None:
        return "no step of the guide tries it"
    if why := session.asked.levers.why_not(keys[0]):
        return f"not tried: {why}"
    if tried_in == step:
        return "this step tries that lever"
    if STEPS.index(tried_in) > STEPS.index(step):
        return f"the {tried_in} step, which follows, tries that lever"
    return f"the {tried_in} step, which is over, tried that lever"


def _go_beyond(
    session: Session, notes: Notes, name: str, round_: Round, ranges: Sequence[str]
) -> Round | None:
    """The round once more beyond the edge at which its best lies; None where it does not go on."""
    if not ranges:
        notes.items.append(questions.no_edge_item("What was tried has no order"))
        return None
    edge = questions.edge_of(round_, ranges)
    if isinstance(edge, questions.NoEdge):
        notes.items.append(questions.edge_item(edge))
        return None
    best = round_.tried[round_.best]
    wider = admissible(session, notes, _with_values(session, best, edge.key, edge.beyond))
    again = session.round(notes, name + WIDER, wider) if wider else None
    why_not = "the budget does not allow it" if wider else "the space, or what diverged, does not allow it"
    notes.items.append(questions.edge_item(edge, is_widened=again is not None, why_not=why_not))
    if again is not None:
        session.adopt(notes, again, session.best_of(again))
        narrow(session, notes, again)
    return again


def _go_between(
    session: Session, notes: Notes, name: str, rounds: Sequence[Round], ranges: Sequence[str]
) -> Round | None:
    """The round once more between the best and its neighbors, where too few configs are near the best."""
    last = rounds[-1]
    item = questions.near_the_best(last, noise_floor=session.noise_floor)
    best = last.tried[last.best]
    again = None
    if item.state is ItemState.WARNING and best.value is not None:
        tried = [each for round_ in rounds for each in round_.tried]
        finer = [
            candidate
            for key in ranges
            for candidate in _with_values(session, best, key, questions.between(tried, key, best.config[key]))
        ]
        finer = admissible(session, notes, finer)
        again = session.round(notes, name + FINER, finer) if finer else None
        item = dataclasses.replace(item, why=f"{item.why} {_next_points(finer, again)}")
    notes.items.append(item)
    if again is not None:
        session.adopt(notes, again, session.best_of(again))
        narrow(session, notes, again)
    return again


def _next_points(finer: Sequence[Candidate], again: Round | None) -> str:
    if not finer:
        return "Nothing lies between what was tried."
    if again is None:
        return "The budget does not allow points in between."
    return f"Next come {', '.join(each.label for each in again.tried[1:])}."


def _with_values(session: Session, best: Tried, key: str, values: Sequence[float]) -> list[Candidate]:
    """The best config with other values of one lever, as changes of the incumbent."""
    rest: dict[str, Any] = {other: value for other, value in best.changes.items() if other != key}
    return [
        Candidate(label=label(key, value), changes={**rest, key: value})
        for value in values
        if session.asked.levers.allows({key: value})
    ]
