"""A round whose best config shows a fault: its first remedy is proven, or not, before the guide goes on."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.edits import EditKind
from studies.diagnosis import Finding, Severity, diagnose_record
from studies.proofs import save_proof
from studies.recorded import open_study
from studies.records import TrialRecord
from tuner.guide import plan as planning
from tuner.guide.budget import Wish, allot
from tuner.guide.checklist import Notes
from tuner.guide.rounds import Round
from tuner.guide.session import Change, InterruptedGuideError, Session
from tuner.proving import InterruptedProofError, Proof, prove
from tuner.proving.judging import MIN_SEEDS
from tuner.proving.proof import mean_of
from tuner.proving.replicated import N_SEEDS
from tuner.replication import seedless

REMEDY = ".remedy"
"""Behind the name of the round that showed the fault."""
FIRST_SEED = 500
"""Above the seeds of all rounds, below those of the seeds step."""
N_CONFIGS = 2
"""The incumbent, and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Advised:
    """A fault of the incumbent with the one remedy that is tried."""

    finding: Finding
    """With no other remedy."""
    trial: TrialRecord
    changes: Mapping[str, Any]


def try_remedy(session: Session, notes: Notes, name: str, round_: Round) -> None:
    """Prove the first remedy that the guide may try of the incumbent's worst fault, and adopt it if that succeeds."""
    advised = advised_for(session, round_)
    if advised is None:
        return
    finding, key = advised.finding, name + REMEDY
    item = f"prove a remedy against {finding.symptom}"
    decided = session.ledger.decide(key, lambda: _decided(session, notes.step, name))
    if not decided["seeds"]:
        notes.skipped(
            item, f"The budget has no room for {N_CONFIGS} configs on {MIN_SEEDS} seeds: {_said(finding)}"
        )
        return
    proof = _prove(session, advised, decided, key)
    save_proof(
        open_study(round_.study, session.storage, writable=True).study, advised.trial.number, proof.to_json()
    )
    notes.proofs.append(proof)
    session.n_rivals += 1
    if proof.best is None:
        notes.warned(item, f"{_said(finding)} {proof.remedies[0].why}")
        return
    _adopt(session, notes, advised, proof)


def advised_for(session: Session, round_: Round) -> Advised | None:
    """The incumbent's worst fault in the round, with its first remedy that the guide may and can try."""
    trial = round_.tried[session.best_of(round_)].trials[0]
    for finding in diagnose_record(round_.record):
        if finding.trial != trial.number or finding.severity.rank < Severity.WARNING.rank:
            continue
        for remedy in finding.remedies:
            fixes = all(edit.kind is EditKind.FIX for edit in remedy.edits)
            changes = {edit.lever: edit.value for edit in remedy.edits}
            if remedy.edits and fixes and _may_try(session, changes):
                alone = dataclasses.replace(finding, remedies=(remedy,))
                return Advised(finding=alone, trial=trial, changes=changes)
    return None


def _may_try(session: Session, changes: Mapping[str, Any]) -> bool:
    """The epochs stay: all configs of a guide are compared at one length."""
    if "epochs" in changes or not session.asked.levers.allows(changes):
        return False
    config = session.config({**session.incumbent, **changes}, epochs=session.epochs)
    return not any(limit.excludes(config) for limit in session.rate_limits)


def _decided(session: Session, step: str, name: str) -> dict[str, Any]:
    """On which seeds, and in which study; none where the budget has no room."""
    wish, later = planning.wishes_from(session.planned, name)
    wish = Wish(n=N_CONFIGS * N_SEEDS, least=N_CONFIGS * MIN_SEEDS)
    allotted = allot(wish, later, budget=session.asked.budget, spent=session.spent, pace=session.pace)
    n_seeds = allotted.n_configs // N_CONFIGS
    place = [each.name for each in session.planned].index(name)
    first = session.first_seed(step) + FIRST_SEED + N_SEEDS * place
    return {
        "study": session.free_name(step) if n_seeds else None,
        "seeds": list(range(first, first + n_seeds)),
        "n_trials": N_CONFIGS * n_seeds,
    }


def _prove(session: Session, advised: Advised, decided: Mapping[str, Any], key: str) -> Proof:
    asked, ended, seeds = session.asked, f"{key}.ended", decided["seeds"]
    is_read_back = ended in session.ledger
    n_workers = 1 if is_read_back else session.workers_for(N_CONFIGS * len(seeds))
    if not is_read_back:
        asked.announce(f"{_said(advised.finding)} Its remedy is tried on {len(seeds)} fresh seeds.")
    try:
        proof = prove(
            advised.finding,
            seedless(session.current.to_mapping()),
            asked.task,
            study=decided["study"],
            seeds=seeds,
            metric=asked.metric,
            direction=asked.direction,
            storage=session.storage,
            seed=asked.seed,
            model=asked.model,
            max_steps=1,  # what the budget was asked for
            workers=n_workers,
            lanes=asked.lanes,
            device=asked.device,
            data_dir=asked.data_dir,
            grace=asked.grace,
            on_progress=(lambda _progress: None) if is_read_back else asked.on_progress,
        )
    except InterruptedProofError as stopped:
        raise InterruptedGuideError(stopped.exit_code) from stopped
    trials: Sequence[TrialRecord] = (
        open_study(decided["study"], session.storage).record(telemetry=False).trials
    )
    busy = sum(trial.seconds for trial in trials if trial.is_counted) / n_workers
    session.ledger.decide(ended, lambda: {"study": decided["study"], "seconds": busy})
    return proof


def _adopt(session: Session, notes: Notes, advised: Advised, proof: Proof) -> None:
    best = proof.best
    if best is None:
        raise ValueError("Only a proven remedy is adopted.")
    session.incumbent = {**session.incumbent, **advised.changes}
    session.changes.append(Change(step=notes.step, label=best.label, keys=dict(advised.changes)))
    if proof.metric == session.asked.metric:
        session.reached = mean_of(best.values)
    notes.done(f"adopt {best.label}", f"{_said(advised.finding)} {best.why}", **advised.changes)


def _said(finding: Finding) -> str:
    return f"The incumbent shows {finding.symptom.replace('_', ' ')}."
