"""Step 6: is the winner really better? Fresh seeds, the test split once, and what each change gained on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studies.comparison import Interval, Verdict, interval
from tuner.confirmation import Confirmed, Replicates, confirm_configs, fresh_seeds, replicate
from tuner.guide.budget import MIN_SEEDS, final_trials, n_final_trials
from tuner.guide.checklist import Notes
from tuner.guide.session import Session, raise_unless_complete
from tuner.ladder import Ladder, changes_between, ladder

STEP = "seeds"
BASELINE, BEST = "baseline", "best"
NOTHING_TRIED = "Nothing was tried beside the baseline, so there is nothing to confirm."
NOTHING_FOUND = "Nothing was better than the baseline beyond the noise, so there is nothing to confirm."


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What fresh seeds say of the guide's best config."""

    study: str
    value: Interval
    """The best config's, over the fresh seeds."""
    test: Interval | None
    """Its accuracy on the test split; None for data without one."""
    baseline: Interval
    baseline_test: Interval | None
    confirmed: Confirmed | None
    """None where the best is the baseline itself."""
    ladder: Ladder | None
    """None where there is nothing to climb, or no budget for it."""
    verdict: str

    @property
    def is_confirmed(self) -> bool:
        """Whether the best config is told from the baseline, and is the better one."""
        return self.confirmed is not None and self.confirmed.confirmation.winner == BEST

    def rungs(self) -> list[dict[str, Any]]:
        """The ladder as JSON; one rung for all changes where there was no budget to tell them apart."""
        if self.ladder is not None:
            return self.ladder.to_json()
        if self.confirmed is None:
            return []
        comparisons = self.confirmed.confirmation.comparisons
        gain = comparisons[0].difference
        sign = 1.0 if comparisons[0].a == BEST else -1.0
        low, high = sorted((sign * gain.low, sign * gain.high))
        return [{"change": "all changes together", "gain": sign * gain.mean, "low": low, "high": high}]


def take(session: Session, notes: Notes) -> Verified:
    """Replicate the baseline, the best and, where the budget allows, every rung between them on fresh seeds."""
    configs = _rungs(session)
    n_changes = len(configs) - 1
    decided = session.ledger.decide("seeds.round", lambda: _decide(session, n_changes))
    if not decided["has_ladder"]:
        configs = {label: config for label, config in configs.items() if label in {BASELINE, BEST}}
    replicates = _replicate(session, configs, decided)
    if n_changes == 0:
        found = NOTHING_FOUND if session.n_rivals else NOTHING_TRIED
        return _of_baseline(notes, replicates, found)
    common = _common(session, decided) | {"known": replicates}
    confirmed = confirm_configs(
        {BASELINE: session.asked.baseline, BEST: session.incumbent},
        session.asked.task,
        searched={BEST: session.reached} if session.reached is not None else None,
        **common,
    )
    notes.done(f"confirm on {decided['n_seeds']} fresh seeds", confirmed.sentence)
    climbed = None
    if decided["has_ladder"]:
        climbed = ladder(
            session.asked.baseline, session.incumbent, session.asked.task, order=_order(session), **common
        )
        notes.done("climb the ladder", _told_apart(climbed))
    else:
        notes.skipped(
            "climb the ladder",
            f"The budget has no room for {n_changes + 1} configs on {MIN_SEEDS} seeds each.",
        )
    return Verified(
        study=decided["study"],
        value=confirmed.validation[BEST],
        test=confirmed.test.get(BEST),
        baseline=confirmed.validation[BASELINE],
        baseline_test=confirmed.test.get(BASELINE),
        confirmed=confirmed,
        ladder=climbed,
        verdict=confirmed.sentence,
    )


def _told_apart(climbed: Ladder) -> str:
    """Which changes matter by themselves."""
    told = [step.change.name for step in climbed.steps if step.comparison.verdict is Verdict.BETTER]
    rest = [step.change.name for step in climbed.steps if step.change.name not in told]
    said = f"Told from noise on its own rung: {', '.join(told) or 'none'}."
    return f"{said} Not told from noise, or worse: {', '.join(rest)}." if rest else said


def _decide(session: Session, n_changes: int) -> Mapping[str, Any]:
    affordable = n_final_trials(budget=session.asked.budget, spent=session.spent, pace=session.pace)
    final = final_trials(affordable, n_changes)
    n_configs = n_changes + 1 if final.has_ladder else min(n_changes, 1) + 1
    return {
        "study": session.free_name(STEP),
        "n_seeds": final.n_seeds,
        "seeds": list(fresh_seeds(final.n_seeds, seed=session.asked.seed)),
        "has_ladder": final.has_ladder,
        "n_trials": n_configs * final.n_seeds,
    }


def _rungs(session: Session) -> dict[str, Mapping[str, Any]]:
    """The baseline, then one more change each; the last one is the best. The baseline alone where nothing changed."""
    configs: dict[str, Mapping[str, Any]] = {BASELINE: session.asked.baseline}
    if session.config(session.incumbent) == session.config(session.asked.baseline):
        return configs
    config: Mapping[str, Any] = session.asked.baseline
    for change in changes_between(session.asked.baseline, session.incumbent, order=_order(session)):
        config = change.applied(config)
        configs[change.text] = config
    *rest, last = configs
    return {label: configs[label] for label in rest} | {BEST: configs[last]}


def _order(session: Session) -> list[str]:
    """Config keys in the order in which they were adopted."""
    return list(dict.fromkeys(key for change in session.changes for key in change.keys))


def _replicate(
    session: Session, configs: Mapping[str, Mapping[str, Any]], decided: Mapping[str, Any]
) -> Replicates:
    """Train what is left of the configs on the fresh seeds."""
    is_read_back = "seeds.ended" in session.ledger
    n_workers = 1 if is_read_back else session.workers_for(decided["n_trials"])
    if not is_read_back:
        session.asked.announce(f"seeds: {len(configs)} configs on {decided['n_seeds']} fresh seeds each")
    replicates = replicate(configs, session.asked.task, workers=n_workers, **_common(session, decided))
    if replicates.listed is not None:
        raise_unless_complete(replicates.listed)
    trials = [trial for row in replicates.trials.values() for trial in row if trial is not None]
    busy = sum(trial.seconds for trial in trials) / n_workers
    session.ledger.decide("seeds.ended", lambda: {"study": decided["study"], "seconds": busy})
    return replicates


def _common(session: Session, decided: Mapping[str, Any]) -> dict[str, Any]:
    asked = session.asked
    return {
        "study": decided["study"],
        "storage": session.storage,
        "seeds": decided["seeds"],
        "seed": asked.seed,
        "epochs": session.epochs,
        "metric": asked.metric,
        "direction": asked.direction,
        "model": asked.model,
        "device": asked.device,
        "data_dir": asked.data_dir,
        "grace": asked.grace,
        "on_progress": asked.on_progress,
    }


def _of_baseline(notes: Notes, replicates: Replicates, found: str) -> Verified:
    value, tested = interval(replicates.values(BASELINE)), interval(replicates.test_accuracies(BASELINE))
    test = tested if tested.n else None
    notes.skipped("confirm the best against the baseline", found)
    return Verified(
        study=replicates.study,
        value=value,
        test=test,
        baseline=value,
        baseline_test=test,
        confirmed=None,
        ladder=None,
        verdict=f"{found} The baseline reaches {value.text} over {value.n} fresh seeds.",
    )
