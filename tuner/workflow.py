"""The guide: baseline, rate, batch, regularization, schedule, seeds - each step a round, each decision written down."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from search_spaces import Space
from studies.comparison import Interval
from studies.diagnosis import Finding
from studies.encoding import jsonable
from studies.leases import GRACE_SECONDS
from studies.paths import StudyPaths
from studies.recorded import create_study
from studies.storage import shown_url
from tuner.guide import baseline, batch, rate, regularization, schedule, seeds
from tuner.guide.asked import Asked
from tuner.guide.budget import Budget
from tuner.guide.checklist import Item, Notes
from tuner.guide.holding import held
from tuner.guide.ledger import Ledger
from tuner.guide.preparation import (
    DEFAULT_BUDGET,
    checked_request,
    checked_step,
    folder,
    ledger_of,
    plan_of_guide,
    rounds_of,
    split_of,
    steps_from,
)
from tuner.guide.preview import Preview, preview
from tuner.guide.seeds import Goal, Verified
from tuner.guide.session import InterruptedGuideError, Session
from tuner.prepared_search import ProgressCallback
from tuner.preparing import check_limits
from tuner.proving import Proof
from tuner.searching.names import task_name
from tuner.searching.objective import Task
from tuner.training.checkpoint import write_whole
from tuner.training.data import load_dataset
from tuner.training.datasets.dataset import Dataset

__all__ = ["DEFAULT_BUDGET", "InterruptedGuideError", "StepTaken", "Tuning", "plan_tune", "tune"]

SEARCHING_STEPS: tuple[ModuleType, ...] = (baseline, rate, batch, regularization, schedule)
"""Each changes the incumbent, and is left out once the goal is reached; `seeds` verifies what they found."""


@dataclass(frozen=True, kw_only=True)
class StepTaken:
    """A step of the guide after it was taken."""

    name: str
    studies: tuple[str, ...]
    """Of its rounds, in their order; empty where nothing was trained."""
    checklist: tuple[Item, ...]
    findings: tuple[Finding, ...]
    config: Mapping[str, Any]
    """The incumbent when it ended."""
    proofs: tuple[Proof, ...] = ()
    """Of remedies that were tried between its rounds."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "study": self.studies[0] if self.studies else None,
            "studies": list(self.studies),
            "checklist": [item.to_json() for item in self.checklist],
            "findings": [finding.to_json() for finding in self.findings],
            "proofs": [proof.to_json() for proof in self.proofs],
            "config": jsonable(self.config),
        }


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What the guide did and found."""

    study: str
    """Of the guide itself: it keeps the decisions; the steps' studies are named after it."""
    storage: str
    task: str
    metric: str
    steps: tuple[StepTaken, ...]
    baseline: Mapping[str, Any]
    """The config that it began with: the keys that differ from the defaults, and the epochs."""
    best: Mapping[str, Any]
    """The config to use, likewise: what the steps ended with, where fresh seeds bear it out; else the baseline."""
    candidate: Mapping[str, Any]
    """What the steps ended with, borne out or not."""
    verified: Verified
    goal: Goal | None
    """None where none was asked for."""
    seconds: float
    """Over all runs."""

    @property
    def is_confirmed(self) -> bool:
        """Whether the best config beats the baseline on fresh seeds."""
        return self.verified.is_confirmed

    @property
    def has_succeeded(self) -> bool:
        """Whether the best config is confirmed, or reaches the goal on fresh seeds."""
        return self.is_confirmed or (self.goal is not None and self.goal.is_reached)

    @property
    def best_value(self) -> Interval:
        """The metric of ``best`` over the fresh seeds."""
        return self.verified.value if self.has_succeeded else self.verified.baseline

    @property
    def best_test(self) -> Interval | None:
        """Its accuracy on the test split; None for data without one."""
        return self.verified.test if self.has_succeeded else self.verified.baseline_test

    @property
    def verdict(self) -> str:
        return self.verified.verdict

    @property
    def best_file(self) -> Path:
        """Where the best config lies as YAML."""
        return StudyPaths.of(self.study, self.storage).best_config

    def to_json(self) -> dict[str, Any]:
        """As `tuner tune --json` prints it (DESIGN §3)."""
        verified = self.verified
        return {
            "study": self.study,
            "storage": shown_url(self.storage),
            "steps": [step.to_json() for step in self.steps],
            "baseline": _result(self.baseline, verified.baseline, verified.baseline_test),
            "best": _result(self.best, self.best_value, self.best_test),
            "candidate": _result(self.candidate, verified.value, verified.test),
            "ladder": verified.rungs(),
            "is_confirmed": self.is_confirmed,
            "verdict": self.verdict,
            "goal": None if self.goal is None else jsonable(self.goal),
            "seconds": self.seconds,
        }


def tune(  # noqa: PLR0913 - the signature is the map (DESIGN §5.1): one keyword per concern
    task: Task,
    *,
    space: Space | str | Path | None = None,
    budget: str | Budget | None = None,
    goal: float | None = None,
    study: str | None = None,
    storage: str | None = None,
    present: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seed: int = 0,
    model: str | Callable[..., Any] | None = None,
    metric: str | None = None,
    direction: str | None = None,
    start_from: str | None = None,
    workers: int | None = None,
    lanes: int | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    grace: float = GRACE_SECONDS,
    announce: Callable[[str], None] = lambda _line: None,
    on_plan: Callable[[Preview], None] = lambda _preview: None,
    on_step: Callable[[StepTaken], None] = lambda _step: None,
    on_progress: ProgressCallback = lambda _progress: None,
) -> Tuning:
    """Take the guide's steps, one lever family after another, and verify what they found on fresh seeds.

    The same call again goes on where an earlier one ended, and ends as that would have.

    Args:
        task: as for `tuner.search`.
        space: only its levers are changed, within their ranges; None leaves the guide all that it knows.
        budget: ``20m``, ``1.5h`` or ``50trials``, split over the steps; None is the one that was given before, else
            20 minutes.
        goal: a value of the metric at which no further lever is tried: what there is, is verified, and the goal is
            judged by the mean over the fresh seeds.
        study: the guide's name; default ``<task>-tune``. The steps' studies are named ``<study>-2-rate`` and so on.
        storage: a database URL, as for `tuner.search`.
        present: the config to begin with; None is Adam at 1e-3, batch 64, and an mlp of 2 x 128.
        fixed: config keys that stay, in the baseline too.
        epochs: of every training; None chooses as many as let all steps fit into the budget.
        seed: of the split, and what the rounds' seeds are counted from.
        model: as for `tuner.search`; it is not changed.
        metric: what is tuned; None is validation_accuracy, or validation_loss for a regression.
        direction: of the metric; None takes its own.
        start_from: take this step and those after it once more, in new studies; earlier ones are read back.
        workers: processes on this machine at most; None takes one a core, and 1 on an accelerator. A round that ends
            as soon in this process starts no others.
        lanes: trials that a worker trains together, as for `tuner.search`.
        device: ``auto``, ``cpu``, ``cuda``, ...
        data_dir: where the data lies.
        grace: seconds of silence after which a worker counts as dead.
        announce: takes what goes on, a line at a time.
        on_plan: takes the plan, once it is known how fast trainings are.
        on_step: takes each step when it has ended.
        on_progress: called now and then while trainings run.

    Raises:
        ConfigurationError: for what cannot be asked, for a guide that was begun differently, and for one that
            another process works on.
        DataError: for data that cannot be had, or that fails a check: nothing is trained on it.
        InterruptedGuideError: after a signal, when everything was handed back.
        RuntimeError: when trainings fail.
    """
    check_limits(workers=workers, lanes=lanes, grace=grace, epochs=epochs, seed=seed)
    checked_step(start_from)
    dataset = load_dataset(task, data_dir=folder(data_dir), announce=announce)
    asked = checked_request(
        task,
        dataset,
        space=space,
        budget=budget,
        goal=goal,
        study=study,
        storage=storage,
        present=present,
        fixed=fixed,
        epochs=epochs,
        seed=seed,
        model=model,
        metric=metric,
        direction=direction,
        workers=workers,
        lanes=lanes,
        device=device,
        data_dir=folder(data_dir),
        grace=grace,
        announce=announce,
        on_plan=on_plan,
        on_progress=on_progress,
    )
    return _guided(asked, dataset, start_from, on_step, is_budget_given=budget is not None)


def plan_tune(task: Task, *, budget: str | Budget | None = None, **asked_for: Any) -> Preview:
    """What `tune` would do with the same arguments, or what is left of it; it writes nothing.

    Of a guide that has not begun it times one epoch of the baseline.
    """
    ignored = {"grace", "on_step", "on_progress", "on_plan", "announce"}
    kept = {key: value for key, value in asked_for.items() if key not in ignored}
    kept["data_dir"] = folder(kept.get("data_dir"))
    check_limits(
        workers=kept.get("workers"), lanes=kept.get("lanes"), epochs=kept.get("epochs"), seed=kept.get("seed")
    )
    start_from = checked_step(kept.pop("start_from", None))
    dataset = load_dataset(task, data_dir=kept["data_dir"], announce=asked_for.get("announce"))
    asked = checked_request(task, dataset, budget=budget, **kept)
    planned, splits = rounds_of(asked, dataset), split_of(asked, dataset)
    ledger = ledger_of(asked, dataset, without=steps_from(start_from))
    if ledger is not None:
        asked = _with_budget_of(ledger, asked, is_given=budget is not None)
    baseline.checked(asked, splits)
    timed = (
        ledger.read("baseline.epochs")
        if ledger is not None and "baseline.epochs" in ledger
        else baseline.timed_epochs(asked, splits, planned)
    )
    return preview(
        planned,
        budget=asked.budget,
        pace=asked.pace(timed["epochs"] * timed["seconds_per_epoch"]),
        epochs=int(timed["epochs"]),
        spent=None if ledger is None else ledger.spent,
        decided=None if ledger is None else ledger.items(),
    )


def _guided(
    asked: Asked,
    dataset: Dataset,
    start_from: str | None,
    on_step: Callable[[StepTaken], None],
    *,
    is_budget_given: bool,
) -> Tuning:
    """The guide, held against a second one, from the first decision that its ledger does not know."""
    splits = split_of(asked, dataset)
    baseline.checked(asked, splits)  # before anything is written
    recorded = create_study(asked.study, plan_of_guide(asked, dataset), asked.storage)
    with held(recorded, grace=asked.grace) as check:
        ledger = Ledger(recorded, check=check)
        asked = _with_budget_of(ledger, asked, is_given=is_budget_given)
        ledger.remember("guide.budget", dataclasses.asdict(asked.budget))
        if start_from is not None:
            ledger.forget(steps_from(start_from))
        session = Session(asked, splits, rounds_of(asked, dataset), recorded, ledger)
        return _steps_taken(session, on_step)


def _steps_taken(session: Session, on_step: Callable[[StepTaken], None]) -> Tuning:
    steps = [_take(step, session, on_step) for step in SEARCHING_STEPS]
    notes = Notes(step=seeds.STEP)
    verified = seeds.take(session, notes)
    goal = seeds.judged_goal(session.asked, verified)
    if goal is not None:
        notes.done("reach the goal", goal.sentence)
    steps.append(_taken(session, notes, on_step, studies=verified.studies))
    return _ended(session, steps, verified, goal)


def _with_budget_of(ledger: Ledger, asked: Asked, *, is_given: bool) -> Asked:
    """The budget as given now, else as given before; it may change from run to run, as `--trials` may."""
    if is_given or "guide.budget" not in ledger:
        return asked
    return dataclasses.replace(asked, budget=Budget(**ledger.read("guide.budget")))


def _take(step: ModuleType, session: Session, on_step: Callable[[StepTaken], None]) -> StepTaken:
    notes = Notes(step=step.STEP)
    if session.has_reached_goal():
        notes.skipped(step.STEP, f"The goal, {session.asked.shown(session.asked.goal)}, is reached.")
    else:
        step.take(session, notes)
    return _taken(session, notes, on_step)


def _taken(
    session: Session,
    notes: Notes,
    on_step: Callable[[StepTaken], None],
    *,
    studies: tuple[str, ...] | None = None,
) -> StepTaken:
    replicates = tuple(proof.replicates for proof in notes.proofs)
    taken = StepTaken(
        name=notes.step,
        studies=studies or tuple(each.study for each in notes.rounds) + replicates,
        checklist=tuple(notes.items),
        findings=tuple(notes.findings),
        config=dict(session.incumbent),
        proofs=tuple(notes.proofs),
    )
    on_step(taken)
    return taken


def _ended(session: Session, steps: list[StepTaken], verified: Verified, goal: Goal | None) -> Tuning:
    asked, length = session.asked, {"epochs": session.epochs}
    is_borne_out = verified.is_confirmed or (goal is not None and goal.is_reached)
    tuning = Tuning(
        study=asked.study,
        storage=session.storage,
        task=task_name(asked.task),
        metric=asked.metric,
        steps=tuple(steps),
        baseline={**asked.baseline, **length},
        best={**(session.incumbent if is_borne_out else asked.baseline), **length},
        candidate={**session.incumbent, **length},
        verified=verified,
        goal=goal,
        seconds=session.spent.seconds,
    )
    text = yaml.safe_dump(jsonable(tuning.best), sort_keys=False)
    tuning.best_file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(tuning.best_file, lambda file: file.write(text.encode()))
    return tuning


def _result(config: Mapping[str, Any], value: Interval, test: Interval | None) -> dict[str, Any]:
    return {
        "config": jsonable(config),
        **{name: jsonable(getattr(value, name)) for name in ("mean", "low", "high")},
        "n_seeds": value.n,
        "test": None if test is None else jsonable(test.mean),
        "test_low": None if test is None else jsonable(test.low),
        "test_high": None if test is None else jsonable(test.high),
    }
