"""Step 6: is the winner really better? Fresh seeds, the test split once, and what each change gained on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studies.comparison import Interval, Verdict, interval
from tuner.confirmation import Confirmed, Replicates, confirm_configs, fresh_seeds, replicate
from tuner.guide.asked import Asked
from tuner.guide.budget import MIN_SEEDS, final_trials, n_final_trials
from tuner.guide.checklist import Notes
from tuner.guide.session import Session, raise_unless_complete
from tuner.ladder import Ladder, changes_between, ladder

STEP = "seeds"
BASELINE, BEST = "baseline", "best"
RUNGS = "-rungs"
"""Behind the name of the step's study: the rungs have one of their own, which never sees the test split."""
NEARLY = 0.6
"""Of the trainings that a ladder needs: with so many affordable by the estimate, it waits for the ends' own pace."""
NOTHING_TRIED = "Nothing was tried beside the baseline, so there is nothing to confirm."
NOTHING_FOUND = "Nothing was better than the baseline beyond the noise, so there is nothing to confirm."


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What fresh seeds say of the guide's best config."""

    studies: tuple[str, ...]
    """Of the baseline and the best, then of the rungs between them where there are any."""
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
    def study(self) -> str:
        """Of the baseline and the best."""
        return self.studies[0]

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


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What was aimed at, judged on the fresh seeds: that a round reached it on seeds of its own may be luck."""

    value: float
    is_reached: bool
    sentence: str


def judged_goal(asked: Asked, verified: Verified) -> Goal | None:
    """Whether the best config's mean over the fresh seeds reaches the goal; None without a goal."""
    goal, reached = asked.goal, verified.value
    if goal is None:
        return None
    is_reached = asked.sign * reached.mean >= asked.sign * goal
    return Goal(
        value=goal,
        is_reached=is_reached,
        sentence=f"The goal, {asked.shown(goal)}, is {'' if is_reached else 'not '}reached on fresh seeds: the best "
        f"config has {reached.text} over {reached.n} of them.",
    )


def take(session: Session, notes: Notes) -> Verified:
    """Replicate the baseline, the best and, where the budget allows, every rung between them on fresh seeds."""
    configs = _rungs(session)
    n_changes = len(configs) - 1
    decided = session.ledger.decide("seeds.round", lambda: _decide(session, n_changes))
    ends = _train_ends(session, configs, decided)
    if n_changes == 0:
        found = NOTHING_FOUND if session.n_rivals else NOTHING_TRIED
        return _of_baseline(notes, ends, found)
    common = _common(session, decided) | {"study": decided["study"], "known": ends}
    confirmed = confirm_configs(
        {BASELINE: session.asked.baseline, BEST: session.incumbent},
        session.asked.task,
        searched={BEST: session.reached} if session.reached is not None else None,
        **common,
    )
    notes.done(f"confirm on {decided['n_seeds']} fresh seeds", confirmed.sentence)
    climbed, studies = None, [decided["study"]]
    if _has_ladder(session, decided, ends, n_rungs=n_changes - 1):
        rungs = _train_rungs(session, configs, decided, ends)
        studies += [] if rungs.listed is None else [rungs.study]
        common["known"] = rungs
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
        studies=tuple(studies),
        value=confirmed.validation[BEST],
        test=confirmed.test.get(BEST),
        baseline=confirmed.validation[BASELINE],
        baseline_test=confirmed.test.get(BASELINE),
        confirmed=confirmed,
        ladder=climbed,
        verdict=_verdict(session.asked, confirmed),
    )


def _verdict(asked: Asked, confirmed: Confirmed) -> str:
    """The gain over the baseline in the metric's own terms; what could not be told as the confirmation says it."""
    found = confirmed.confirmation
    if found.winner is None or not found.comparisons:
        return confirmed.sentence
    gain, other = found.comparisons[0].difference, BASELINE if found.winner == BEST else BEST
    by, low, high = (asked.shown_difference(each) for each in (gain.mean, gain.low, gain.high))
    return (
        f"The {found.winner} config beats the {other} one by {by} ({gain.confidence:.0%} interval {low} to {high}) "
        f"over {found.n_seeds} fresh seeds that both were trained with."
    )


def _told_apart(climbed: Ladder) -> str:
    """Which changes matter by themselves."""
    told = [step.change.name for step in climbed.steps if step.comparison.verdict is Verdict.BETTER]
    rest = [step.change.name for step in climbed.steps if step.change.name not in told]
    said = f"Told from noise on its own rung: {', '.join(told) or 'none'}."
    return f"{said} Not told from noise, or worse: {', '.join(rest)}." if rest else said


def _decide(session: Session, n_changes: int) -> Mapping[str, Any]:
    budget = session.asked.budget
    affordable = n_final_trials(budget=budget, spent=session.spent, pace=session.pace)
    final = final_trials(affordable, n_changes)
    n_configs = n_changes + 1 if final.has_ladder else min(n_changes, 1) + 1
    # Until the ends are trained it is an estimate: what more seeds for them would cost may yet pay for the rungs.
    may_have_ladder = budget.seconds is not None and affordable >= NEARLY * (n_changes + 1) * MIN_SEEDS
    n_seeds = MIN_SEEDS if may_have_ladder and not final.has_ladder else final.n_seeds
    return {
        "study": session.free_name(STEP),
        "n_seeds": n_seeds,
        "seeds": list(fresh_seeds(n_seeds, seed=session.first_seed(STEP))),
        "has_ladder": final.has_ladder,
        "n_trials": n_configs * n_seeds,
    }


def _has_ladder(session: Session, decided: Mapping[str, Any], ends: Replicates, *, n_rungs: int) -> bool:
    """Whether the rungs are trained: decided before the ends were, or now that these have shown how long it takes."""
    if decided["has_ladder"] or n_rungs == 0 or session.seconds_left is None:
        return bool(decided["has_ladder"]) or n_rungs == 0

    def decide() -> Mapping[str, Any]:
        ended = [trial.seconds for trials in ends.trials.values() for trial in trials if trial is not None]
        # The rungs lie between the two ends, in what they cost too.
        pace = session.asked.pace(sum(ended) / len(ended))
        return {"has_room": pace.seconds(n_rungs * decided["n_seeds"]) <= (session.seconds_left or 0.0)}

    return bool(session.ledger.decide("seeds.ladder", decide)["has_room"])


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


def _train_ends(
    session: Session, configs: Mapping[str, Mapping[str, Any]], decided: Mapping[str, Any]
) -> Replicates:
    """Train what is left of the baseline and the best, and read the test split off: of no other config, and once."""
    ends = {label: config for label, config in configs.items() if label in {BASELINE, BEST}}
    return _replicate(session, ends, decided, study=decided["study"], key="seeds", evaluates_test=True)


def _train_rungs(
    session: Session,
    configs: Mapping[str, Mapping[str, Any]],
    decided: Mapping[str, Any],
    ends: Replicates,
) -> Replicates:
    """Train what is left of the rungs between the two; the whole ladder."""
    study = decided["study"] + RUNGS
    return _replicate(session, configs, decided, study=study, key="seeds.rungs", known=ends)


def _replicate(
    session: Session,
    configs: Mapping[str, Mapping[str, Any]],
    decided: Mapping[str, Any],
    *,
    study: str,
    key: str,
    **more: Any,
) -> Replicates:
    """Train what is left of the configs on the fresh seeds; what that took is recorded when all have ended.

    Raises:
        InterruptedGuideError: after a signal.
        RuntimeError: when trainings failed: on part of the seeds nothing is judged.
    """
    is_read_back = f"{key}.ended" in session.ledger
    n_known = len(more["known"].configs) if "known" in more else 0
    n_configs, n_seeds = len(configs) - n_known, decided["n_seeds"]
    n_workers = 1 if is_read_back else session.workers_for(n_configs * n_seeds)
    if not is_read_back and n_configs:
        session.asked.announce(f"seeds: {n_configs} configs on {n_seeds} fresh seeds each")
    common = _common(session, decided) | more
    replicates = replicate(
        configs, session.asked.task, study=study, workers=n_workers, lanes=session.asked.lanes, **common
    )
    if replicates.listed is None:
        return replicates
    raise_unless_complete(replicates.listed)
    trials = [trial for trial in replicates.listed.trials if trial is not None]
    busy = sum(trial.seconds for trial in trials) / n_workers
    session.ledger.decide(f"{key}.ended", lambda: {"study": study, "seconds": busy})
    return replicates


def _common(session: Session, decided: Mapping[str, Any]) -> dict[str, Any]:
    asked = session.asked
    return {
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
        studies=(replicates.study,),
        value=value,
        test=test,
        baseline=value,
        baseline_test=test,
        confirmed=None,
        ladder=None,
        verdict=f"{found} The baseline reaches {value.text} over {value.n} fresh seeds.",
    )
