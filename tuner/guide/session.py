"""One run of the guide: where it stands, what it may still spend, and how it trains and judges a round."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from studies.recorded import RecordedStudy
from studies.records import TrialRecord
from tuner.guide import plan as planning
from tuner.guide.asked import Asked
from tuner.guide.budget import Pace, Spent, Wish, allot, duration, seconds_for
from tuner.guide.checklist import Notes
from tuner.guide.ledger import Ledger
from tuner.guide.rounds import INCUMBENT, Candidate, RateLimit, Round, Tried, best_beyond_noise, whole_groups
from tuner.listed import Listed, search_listed
from tuner.searching.ask_tell import Ending
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import Splits

SEEDS_APART = 10
"""Each round has seeds of its own: an incumbent that was lucky once is not lucky for ever."""
GENERATIONS_APART = 10_000
"""And seeds of its own each time that it is taken anew: above those of all rounds and of the seeds step."""
WIDER, FINER = ".wider", ".finer"
"""Behind the name of a round that goes on: beyond the edge of its ranges, and between what it tried."""
FOLLOW_UPS = (WIDER, FINER)


class InterruptedGuideError(KeyboardInterrupt):
    """A signal ended a round cleanly; the same command goes on from there."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change that was adopted."""

    step: str
    label: str
    keys: Mapping[str, Any]


class Session:
    """Where a guide stands. Its steps read and change `incumbent`, `changes` and `noise_floor`, and train rounds."""

    def __init__(
        self,
        asked: Asked,
        splits: Splits,
        planned: Sequence[planning.PlannedRound],
        recorded: RecordedStudy,
        ledger: Ledger | None = None,
    ) -> None:
        self.asked = asked
        self.splits = splits
        """All rounds share them."""
        self.planned = tuple(planned)
        self.storage = recorded.url
        self.ledger = Ledger(recorded) if ledger is None else ledger
        self.incumbent: dict[str, Any] = dict(asked.baseline)
        self.changes: list[Change] = []
        self.n_rivals = 0
        """Configs that were trained beside an incumbent."""
        self.noise_floor = 0.0
        self.reached: float | None = None
        """The incumbent's value in the last round that it was part of."""
        self.trial_seconds = 0.0
        """Of one training of the incumbent; 0 before anything was timed."""
        self.rate_limits: list[RateLimit] = []
        """What rounds in which half diverged leave to those after them."""
        self._studies = recorded.storage

    @property
    def epochs(self) -> int:
        """Of every training; decided in the first step."""
        return int(self.ledger.read("baseline.epochs")["epochs"])

    def config(self, keys: Mapping[str, Any], **more: Any) -> TrainingConfig:
        """The whole config of a few keys."""
        return TrainingConfig.from_mapping({**keys, **more})

    @property
    def current(self) -> TrainingConfig:
        """The incumbent, as it would be trained with the guide's own seed."""
        return self.config(self.incumbent, epochs=self.epochs, seed=self.asked.seed)

    def has_reached_goal(self) -> bool:
        goal, reached, sign = self.asked.goal, self.reached, self.asked.sign
        return goal is not None and reached is not None and sign * reached >= sign * goal

    # -- the budget --

    @property
    def spent(self) -> Spent:
        return self.ledger.spent

    @property
    def pace(self) -> Pace:
        return self.asked.pace(self.trial_seconds)

    @property
    def seconds_left(self) -> float | None:
        """Of the budget; None where it counts trials."""
        budget = self.asked.budget.seconds
        return None if budget is None else max(budget - self.spent.seconds, 0.0)

    def seconds_for(self, name: str) -> float:
        """What a round and its instruments may take; infinite where the budget counts trials."""
        wish, later = planning.wishes_from(self.planned, name)
        return seconds_for(wish, later, budget=self.asked.budget, spent=self.spent, pace=self.pace)

    def has_room(self, name: str) -> bool:
        """Whether the round would be worth its start, so that its instruments are."""
        wish, later = planning.wishes_from(self.planned, name)
        allotted = allot(wish, later, budget=self.asked.budget, spent=self.spent, pace=self.pace)
        return allotted.n_configs > 0

    def workers_for(self, n_trials: int) -> int:
        """Processes for so many trainings, by the rule that the budget was split by."""
        return self.pace.workers_for(n_trials)

    # -- rounds --

    def round(self, notes: Notes, name: str, candidates: Sequence[Candidate]) -> Round | None:
        """Train the incumbent and as many candidates as the budget allows, in their order; None below the least."""
        decided = self.ledger.decide(
            f"{name}.round", lambda: self._decide_round(notes.step, name, candidates)
        )
        if left_out := decided["left_out"]:
            n = len(left_out)
            notes.skipped(
                f"{n} of {n + max(len(decided['candidates']) - 1, 0)} configs",
                f"The budget has no room for {'; '.join(left_out)}.",
            )
        return self.run(notes, name, decided) if decided["configs"] else None

    def run(self, notes: Notes, name: str, decided: Mapping[str, Any]) -> Round:
        """Train a round as it was decided, or read it back; what it took is recorded when it has ended."""
        configs, ended = decided["configs"], f"{name}.ended"
        is_read_back = ended in self.ledger
        n_workers = 1 if is_read_back else self.workers_for(len(configs))
        if not is_read_back:
            self.asked.announce(self._round_line(notes.step, decided))
        started = time.monotonic()
        listed = self._train(configs, decided["study"], n_workers=n_workers, is_quiet=is_read_back)
        trials = [trial for trial in listed.trials if trial is not None]
        # Trainings of a run that was interrupted count too: their time was spent.
        busy = sum(trial.seconds for trial in trials) / n_workers
        passed = time.monotonic() - started
        self.ledger.decide(ended, lambda: {"study": decided["study"], "seconds": max(busy, passed)})
        round_ = Round(
            study=decided["study"], tried=_tried(decided, trials), record=listed.search.record(steps=True)
        )
        notes.rounds.append(round_)
        self.n_rivals += len(round_.tried) - 1
        return round_

    def best_of(self, round_: Round) -> int:
        """The place of the candidate to adopt; 0 keeps the incumbent."""
        return best_beyond_noise(round_.scores, noise_floor=self.noise_floor, n_seeds=round_.n_seeds)

    def adopt(self, notes: Notes, round_: Round, chosen: int, why: str = "") -> None:
        """Make the chosen candidate the incumbent, and say why: by default that it is better beyond noise, or not."""
        asked, before, after = self.asked, round_.tried[0], round_.tried[chosen]
        self.reached, self.trial_seconds = after.value, after.seconds
        n_seeds = f"{round_.n_seeds} seed{'s' if round_.n_seeds > 1 else ''}"
        noise = f"noise floor {asked.shown_difference(self.noise_floor)}, {n_seeds}"
        if chosen == 0:
            rival = round_.tried[max(range(1, len(round_.tried)), key=lambda place: round_.scores[place])]
            said = (
                f"No winner: the best rival, {rival.label}, reaches {asked.shown(rival.value)} against "
                f"{asked.shown(before.value)} ({noise})."
            )
            notes.done("keep the incumbent", why or said)
            return
        self.incumbent = {**self.incumbent, **after.changes}
        self.changes.append(Change(step=notes.step, label=after.label, keys=dict(after.changes)))
        said = f"It reaches {asked.shown(after.value)} against {asked.shown(before.value)} ({noise})."
        notes.done(f"adopt {after.label}", why or said, **after.changes)

    def free_name(self, step: str) -> str:
        """``<name>-2-rate``, or with the next letter where that is taken: no study is ever written over."""
        stem = f"{self.asked.study}-{planning.STEPS.index(step) + 1}-{step}"
        taken = set(optuna.get_all_study_names(self._studies))
        letters = ["", *(f"-{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")]
        numbers = [f"-{number}" for number in range(27, 28 + len(taken))]
        return next(stem + end for end in letters + numbers if stem + end not in taken)

    def seeds_of(self, name: str, n_seeds: int) -> list[int]:
        """The seeds of a round, which no other round has."""
        names = [each.name for each in self.planned]
        round_name, part = _parts(name)
        place = (1 + len(FOLLOW_UPS)) * names.index(round_name) + part
        first = self.first_seed(planning.step_of(name)) + SEEDS_APART * place
        return [first + number for number in range(n_seeds)]

    def first_seed(self, step: str) -> int:
        """What a step's seeds are counted from: none comes again when it is taken anew."""
        return self.asked.seed + GENERATIONS_APART * self.ledger.generation(step)

    def decision(
        self, step: str, entrants: Sequence[Candidate], seeds: Sequence[int], *, left_out: Sequence[str] = ()
    ) -> dict[str, Any]:
        """A round as the ledger keeps it: these changes of the incumbent, on these seeds."""
        configs = [{**self.incumbent, **each.changes, "seed": seed} for each in entrants for seed in seeds]
        return {
            "study": self.free_name(step) if entrants else None,
            "candidates": [{"label": each.label, "changes": dict(each.changes)} for each in entrants],
            "seeds": list(seeds),
            "configs": configs,
            "n_trials": len(configs),
            "left_out": list(left_out),
        }

    def _decide_round(self, step: str, name: str, candidates: Sequence[Candidate]) -> dict[str, Any]:
        round_name, part = _parts(name)
        wish, later = planning.wishes_from(self.planned, round_name)
        if part and candidates:
            wish = Wish(n=len(candidates) + 1, least=2)
        allotted = allot(wish, later, budget=self.asked.budget, spent=self.spent, pace=self.pace)
        kept = whole_groups(candidates, max(allotted.n_configs - 1, 0))
        return self.decision(
            step,
            [Candidate(label=INCUMBENT), *kept] if kept else [],
            self.seeds_of(name, allotted.n_seeds),
            left_out=[each.label for each in candidates[len(kept) :]],
        )

    def _train(
        self, configs: Sequence[Mapping[str, Any]], study: str, *, n_workers: int, is_quiet: bool
    ) -> Listed:
        asked = self.asked
        listed = search_listed(
            configs,
            asked.task,
            study=study,
            storage=self.storage,
            name=study,
            epochs=self.epochs,
            seed=asked.seed,
            metric=asked.metric,
            direction=asked.direction,
            model=asked.model,
            workers=n_workers,
            lanes=asked.lanes,
            device=asked.device,
            data_dir=asked.data_dir,
            grace=asked.grace,
            on_progress=(lambda _progress: None) if is_quiet else asked.on_progress,
        )
        raise_unless_complete(listed)
        return listed

    def _round_line(self, step: str, decided: Mapping[str, Any]) -> str:
        n, n_seeds = len(decided["configs"]), len(decided["seeds"])
        left = "" if self.seconds_left is None else f"; {duration(self.seconds_left)} of the budget left"
        seeds = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"
        return f"{step}: {n} trainings on {seeds}, about {duration(self.pace.seconds(n))}{left}"


def raise_unless_complete(listed: Listed) -> None:
    """Pass on what ended a listed study before its end.

    Raises:
        InterruptedGuideError: after a signal.
        RuntimeError: when trainings failed.
    """
    found = listed.search
    if found.ending is Ending.INTERRUPTED:
        raise InterruptedGuideError(found.interrupted_by or 130)
    if found.error is not None:
        raise RuntimeError(
            f"The round {found.study!r} ended early: {found.error.type}: {found.error.message}"
        )
    if not listed.is_complete:
        raise RuntimeError(
            f"The round {found.study!r} has trainings that failed; see `tuner show {found.study}`."
        )


def _parts(name: str) -> tuple[str, int]:
    """The planned round that a round belongs to, and its place there: 0 is the planned one itself."""
    for place, follow_up in enumerate(FOLLOW_UPS, start=1):
        if name.endswith(follow_up):
            return name.removesuffix(follow_up), place
    return name, 0


def label(key: str, value: Any) -> str:
    """``learning_rate 0.003``."""
    return f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"


def _tried(decided: Mapping[str, Any], trials: Sequence[TrialRecord]) -> tuple[Tried, ...]:
    n_seeds = len(decided["seeds"])
    return tuple(
        Tried(
            label=each["label"],
            changes=each["changes"],
            config=trials[place * n_seeds].config,
            trials=tuple(trials[place * n_seeds : (place + 1) * n_seeds]),
        )
        for place, each in enumerate(decided["candidates"])
    )
