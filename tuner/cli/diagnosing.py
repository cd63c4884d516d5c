"""``tuner diagnose``: how the best trial is, what is wrong, why, and what to type next. It never loads torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli import options
from tuner.cli.output import metric_value, next_commands, print_json, say_hanging, show_findings

if TYPE_CHECKING:
    from studies.diagnosis import Finding
    from studies.records import StudyRecord


def add_to(app: typer.Typer) -> None:
    app.command()(diagnose)


def diagnose(
    study: options.StudyArgument,
    trial: Annotated[int | None, typer.Option(help="One trial, by its number.")] = None,
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """What is wrong, how it shows, and what to change. "Nothing wrong" is an answer."""
    from studies.diagnosis import diagnose_record, missing_evidence
    from studies.diagnosis.pruning import pruning_check
    from studies.recorded import open_study

    record = open_study(study, storage).record(steps=True)
    findings = diagnose_record(record, trial)
    pruning = pruning_check(record)
    if as_json:
        told = [finding.to_json() for finding in findings]
        print_json({"study": study, "findings": told, "pruning": pruning.to_json()})
        return
    missing = missing_evidence(record)
    n_trials = len(record.trials)
    say_hanging("Study", f"{study}, {n_trials} {'trial' if n_trials == 1 else 'trials'}", style="bold")
    if trial is not None:
        say_hanging("Trial", _trial_line(record, trial), style="bold")
    elif record.trials:
        say_hanging("Best", _best_line(record, findings, is_partial=bool(missing)), style="bold")
        if pruning.sentence:
            say_hanging("Pruning", pruning.sentence, style="bold")
    show_findings(findings, missing=missing)
    next_commands(*_proving(record, findings), f"tuner report {study}", *_importance(record))


def _importance(record: "StudyRecord") -> list[str]:
    """The command that tells which lever mattered; none where no two trials can differ in one."""
    return [f"tuner importance {record.name}"] if len(record.complete_trials) > 1 else []


def _best_line(record: "StudyRecord", findings: Sequence["Finding"], *, is_partial: bool) -> str:
    from studies.diagnosis.verdict import best_in_words

    shown = "" if record.best is None else metric_value(record.best.value, record.metric)
    return best_in_words(record, findings, shown_value=shown, is_partial=is_partial)


def _trial_line(record: "StudyRecord", number: int) -> str:
    """How one trial ended, and where it stands among the complete ones."""
    from studies.diagnosis.over_study import in_order

    trial = next(each for each in record.trials if each.number == number)
    ended = trial.outcome.value.replace("_", " ") if trial.outcome is not None else trial.state
    if not trial.is_complete:
        return f"{number}, {ended}"
    place = 1 + [each.number for each in in_order(record)].index(number)
    value = f"{metric_value(trial.value, record.metric)} {record.metric}"
    return f"{number}, {ended}: {value}, number {place} of {len(record.complete_trials)} complete trials"


def _proving(record: "StudyRecord", findings: Sequence["Finding"]) -> list[str]:
    """The command that proves remedies of the worst fault that a lever can mend; none where nothing can be trained."""
    from studies.diagnosis import Severity

    mendable = [
        finding.trial
        for finding in findings
        if finding.trial is not None
        and finding.severity is not Severity.NOTE
        and any(remedy.edits for remedy in finding.remedies)
    ]
    return [f"tuner fix {record.name} --trial {mendable[0]}"] if mendable and record.plan is not None else []
