"""Numbers, edits and evidence in words: what the page and the dashboard's note say alike."""

import math
import shlex
from collections.abc import Mapping
from typing import Any

from search_spaces.catalog import LEVERS
from search_spaces.edits import Edit, EditKind
from studies.diagnosis import Finding, Remedy
from studies.encoding import jsonable
from studies.proofs import TriedRecord
from studies.records import StudyRecord, TrialRecord
from studies.reports.axes import ACCURACIES
from studies.reports.figures import outcome_counts

ABSENT = "\N{EN DASH}"


def number(value: float | None) -> str:
    """Four digits; a dash for what is not there."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:.4g}"


def metric_value(value: float | None, metric: str) -> str:
    """An accuracy as a percentage, anything else with four digits."""
    if value is not None and metric in ACCURACIES and math.isfinite(value):
        return f"{100.0 * value:.2f} %"
    return number(value)


def gain(value: float | None, metric: str) -> str:
    """A difference of two values: of accuracies in percent points."""
    return number(100.0 * value) if value is not None and metric in ACCURACIES else number(value)


def recovered(tried: TriedRecord) -> str:
    """The share of the gap to the healthy reference, with its bounds where there are any."""
    if tried.recovered is None:
        return ABSENT
    if tried.recovered_low is None or tried.recovered_high is None:
        return f"{tried.recovered:.0%}"
    return f"{tried.recovered:.0%} ({tried.recovered_low:.0%} to {tried.recovered_high:.0%})"


def duration(seconds: float) -> str:
    """In the unit a person would choose; a dash when it is not known."""
    if not math.isfinite(seconds):
        return ABSENT
    if seconds < 90.0:
        return f"{seconds:.1f} s" if seconds < 10.0 else f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"


def counts(record: StudyRecord) -> str:
    """``24 trials: 14 complete, 9 pruned, 1 diverged``."""
    n = len(record.trials)
    by_kind = outcome_counts(record)
    if record.n_handed_back:
        by_kind = by_kind | {
            "lost": by_kind["lost"] - record.n_handed_back,
            "handed back": record.n_handed_back,
        }
    kinds = ", ".join(f"{count} {kind}" for kind, count in by_kind.items() if count)
    reused = f"; {record.n_reused} took over the result of an equal config" if record.n_reused else ""
    return f"{n} trial{'' if n == 1 else 's'}: {kinds}{reused}" if n else "no trials yet"


def verdict(record: StudyRecord) -> str:
    """The study in one sentence."""
    best = record.best
    if not record.trials:
        return "This study has no trials yet."
    if best is None:
        return f"No trial has completed ({counts(record)})."
    name = record.metric.replace("_", " ")
    return (
        f"The best {name} is {metric_value(best.value, record.metric)}, reached by trial {best.number} "
        f"({counts(record)})."
    )


def chosen(trial: TrialRecord) -> Mapping[str, object]:
    """What the search chose, by config key; by lever name where the keys are not known."""
    return trial.searched or trial.params


def brief(params: Mapping[str, object]) -> str:
    """``with learning_rate 0.0963, dropout 0.24``: what the search chose; empty for nothing."""
    said = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in params.items()
    ]
    return f"with {', '.join(said)}" if said else ""


def headline(finding: Finding) -> str:
    """``Dead units in trial 7``, and of the study where no trial is meant."""
    name = finding.symptom.replace("_", " ").capitalize()
    return name if finding.trial is None else f"{name} in trial {finding.trial}"


def setting(edit: Edit) -> str:
    """The edit as a flag of ``tuner train`` and ``tuner search`` if it fixes a lever, else as a sentence."""
    if edit.kind is EditKind.FIX:
        return set_flag(edit.lever, edit.value)
    return edit.sentence()


def settings(remedy: Remedy) -> list[str]:
    return [setting(edit) for edit in remedy.edits]


def set_flag(key: str, value: object) -> str:
    plain = jsonable(value)
    text = str(plain).lower() if isinstance(plain, bool) else str(plain)
    return f"--set {shlex.quote(f'{key}={text}')}"


_DEFAULTS = {lever.key: lever.to_config(lever.default) for lever in LEVERS if lever.default is not None}


def _unusual(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a whole config says beside the levers' defaults; the model is a flag of its own."""
    usual = {"model": config["model"], **_DEFAULTS}
    return {
        key: value
        for key, value in config.items()
        if value not in (None, [], ()) and (key not in usual or value != usual[key])
    }


def train_command(record: StudyRecord, trial: TrialRecord) -> str:
    """The command that trains the trial's config again, one flag a line; empty for a study that is not ours."""
    if record.plan is None:
        return ""
    model, config = record.plan.model, {"epochs": record.plan.epochs, **record.plan.fixed, **chosen(trial)}
    if (
        not record.plan.epochs
    ):  # single trainings: each trial has a model and epochs of its own, and searched nothing
        model, config = str(trial.config["model"]), _unusual(trial.config)
    start = f"tuner train --task {shlex.quote(record.plan.task)} --model {shlex.quote(model)}"
    return " \\\n  ".join([start, *(set_flag(key, value) for key, value in config.items())])
