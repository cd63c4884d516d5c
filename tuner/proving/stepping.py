"""Going on along a lever: a change that leaves the same cause was too small, so the next one of its kind is tried.

A rate of 30 is too high, and so is its tenth. A remedy goes on while its replicates show the same cause, and none does
once one is proven: what is left to find is not worth its trainings. Of a lever only its last step is judged, with an
interval for all steps that were taken. Looking after each step costs little of that: a remedy without effect is called
proven with 2.5% at the first look, and at later ones only among the new steps, 2.5% (1 + 1/2 + 1/3) < 5% in all.
"""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from search_spaces.edits import EditKind
from studies.diagnosis import Finding, Remedy, Severity, diagnose_record
from studies.records import StudyRecord, TrialRecord
from tuner.proving.contest import BASELINE, REFERENCE, Contest, edited, label_of
from tuner.replication import Config, seedless

MAX_STEPS = 3
"""The remedy itself and two more: three tenths of a rate span what people get wrong (own design)."""
TOO_DEAR = frozenset({"epochs"})
"""Levers of which each further step costs a multiple of the one before."""

Trials = Mapping[str, Sequence[TrialRecord]]
"""By label, one for each seed, in the order of the seeds."""
Train = Callable[[Mapping[str, Config], int], Trials]
"""Train configs by label, given which step of the proof it is, counted from 1."""
Settled = Callable[[Contest, Trials, StudyRecord], bool]
"""Whether a remedy is proven by what has been trained, so that no further step is needed."""


def trained_in_steps(
    contest: Contest, train: Train, empty: StudyRecord, *, is_settled: Settled, max_steps: int = MAX_STEPS
) -> tuple[Contest, Trials, StudyRecord]:
    """Train the contest, then further steps of those remedies that leave the cause in most of their replicates.

    Args:
        contest: who is trained first.
        train: trains.
        empty: of the replicates' study, without its trials.
        is_settled: asked before each further step.
        max_steps: of each lever, the first remedy among them.

    Returns:
        The contest with the last step of each lever as its remedy, the trials of all steps, and their record.
    """
    trials, record = _numbered(train(contest.configs, 1), empty)
    for step in range(2, max_steps + 1):
        if is_settled(contest, trials, record):
            break
        ahead = gone_on(contest, trials, record)
        new = {label: config for label, config in ahead.configs.items() if label not in trials}
        if (
            ahead.reference is not None and ahead.reference in new
        ):  # a step that comes to the healthy reference
            trials = {**trials, ahead.reference: trials[REFERENCE]}
            del new[ahead.reference]
        if ahead.remedies == contest.remedies:
            break
        contest = ahead
        kept = {label: row for label, row in trials.items() if label in contest.configs}
        trials, record = _numbered({**kept, **(train(new, step) if new else {})}, empty)
    return contest, trials, record


def gone_on(contest: Contest, trials: Trials, record: StudyRecord) -> Contest:
    """The contest with one more step in place of each remedy that leaves the cause; the same where none does."""
    found = contest
    for label in contest.remedies:
        remedy = _next(contest, label, trials, record)
        if remedy is not None:
            found = _stepped(found, label, remedy)
    return found


def _next(contest: Contest, label: str, trials: Trials, record: StudyRecord) -> Remedy | None:
    """The change of the same lever, further the same way, that most of its replicates ask for; None without one."""
    tried = contest.remedies[label]
    lever = _numeric_lever(tried)
    if lever is None or lever in TOO_DEAR:
        return None
    before = contest.configs[contest.steps.get(label, (BASELINE,))[-1]].get(lever)
    asked = [_asked(contest.finding, trial, record, lever) for trial in trials[label]]
    further = {
        _value(remedy, lever): remedy
        for remedy in asked
        if remedy is not None and _goes_on(before, _value(tried, lever), _value(remedy, lever))
    }
    values = [value for remedy in asked if remedy is not None and (value := _value(remedy, lever)) in further]
    return further[statistics.median_low(values)] if 2 * len(values) > len(asked) else None


def _asked(fault: Finding, trial: TrialRecord, record: StudyRecord, lever: str) -> Remedy | None:
    """The remedy by that lever of the replicate's worst fault, if that has the likeliest cause in common."""
    worst = next(iter(diagnose_record(record, trial.number)), None)
    if worst is None or worst.severity is Severity.NOTE or not worst.causes or not fault.causes:
        return None
    if worst.causes[0].name is not fault.causes[0].name:
        return None
    return next((remedy for remedy in worst.remedies if _numeric_lever(remedy) == lever), None)


def _stepped(contest: Contest, label: str, remedy: Remedy) -> Contest:
    """The contest with ``remedy`` on top of the one of that label; the same where its config is tried already."""
    changed = edited(contest.configs[label], remedy.edits)
    whole = None if changed is None else seedless(changed)
    is_reference = contest.reference == REFERENCE and whole == contest.configs[REFERENCE]
    if whole is None or (whole in contest.configs.values() and not is_reference):
        return contest
    edits = tuple({each.lever: each for each in (*contest.remedies[label].edits, *remedy.edits)}.values())
    name = label_of(edits)
    changed_further = Remedy(sentence=f"Set {name}, since {label} left the same cause.", edits=edits)
    configs = {key: each for key, each in contest.configs.items() if not (is_reference and key == REFERENCE)}
    return dataclasses.replace(
        contest,
        configs={**configs, name: whole},
        remedies={
            name if key == label else key: changed_further if key == label else each
            for key, each in contest.remedies.items()
        },
        reference=name if is_reference else contest.reference,
        steps={**contest.steps, name: (*contest.steps.get(label, ()), label)},
    )


def _numeric_lever(remedy: Remedy) -> str | None:
    """The one lever that the remedy sets to a number; None where there is none, or several."""
    levers = [
        edit.lever
        for edit in remedy.edits
        if edit.kind is EditKind.FIX
        and isinstance(edit.value, int | float)
        and not isinstance(edit.value, bool)
    ]
    return levers[0] if len(levers) == 1 else None


def _value(remedy: Remedy, lever: str) -> float:
    return next(float(edit.value) for edit in remedy.edits if edit.lever == lever)  # type: ignore[arg-type]


def _goes_on(before: object, tried: float, value: float) -> bool:
    """Whether ``value`` lies beyond what was tried, as that lay beyond what was there; any way from no number."""
    if not isinstance(before, int | float):
        return value != tried
    return (value - tried) * (tried - before) > 0.0


def _numbered(trials: Trials, empty: StudyRecord) -> tuple[Trials, StudyRecord]:
    """The trials under numbers of their own, which steps in studies of their own would share, and their record."""
    places = {label: sum(len(row) for row in list(trials.values())[:i]) for i, label in enumerate(trials)}
    own = {
        label: [dataclasses.replace(trial, number=places[label] + i) for i, trial in enumerate(row)]
        for label, row in trials.items()
    }
    return own, dataclasses.replace(empty, trials=tuple(trial for row in own.values() for trial in row))
