"""What the commands print: data on stdout, everything else on stderr."""

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studies.diagnosis.finding import Finding
    from studies.importance import Importances
    from studies.records import StudyRecord, TrialRecord

_BAR_CELLS = 24
_HANDLER = "tuner"


def print_json(value: Any) -> None:
    """``value`` as JSON on stdout."""
    from studies.encoding import to_json

    sys.stdout.write(to_json(value, indent=2) + "\n")


def say(text: str = "") -> None:
    """A line for a person, on stdout; markup of rich is allowed."""
    _console().print(text, highlight=False, soft_wrap=True)


def note(text: str, *, quiet: bool = False) -> None:
    """A line about what goes on, on stderr."""
    if not quiet:
        _console(stderr=True).print(text, highlight=False, soft_wrap=True, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """A table on stdout. ``right`` names the columns of numbers."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(str(cell)) for cell in row))
    _console().print(drawn)


def next_commands(*commands: str) -> None:
    """What a person may type next."""
    say("\n[bold]Next[/bold]")
    for command in commands:
        say(f"  {command}")


def number(value: float | None, digits: int = 4) -> str:
    """A number for a person; a dash where there is none."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "-"
    return f"{value:.{digits}g}"


def metric_value(value: float | None, metric: str) -> str:
    """A metric's value for a person: accuracies in percent."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "-"
    return f"{100 * value:.2f}%" if metric.endswith("accuracy") else f"{value:.4g}"


def config_text(config: Mapping[str, Any]) -> str:
    """A config on one line, as one would ``--set`` it."""
    return "  ".join(f"{key}={setting(value)}" for key, value in config.items())


def setting(value: Any) -> str:
    """A config value as text: 4 significant digits are enough for a person."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show_trials_line(record: "StudyRecord") -> None:
    counts = record.counts
    kinds = ("complete", "pruned", "diverged", "failed", "lost")
    said = ", ".join(f"{getattr(counts, kind)} {kind}" for kind in kinds if getattr(counts, kind))
    say(f"[bold]Trials[/bold]  {said or 'none yet'}")


def show_best(record: "StudyRecord", best: "TrialRecord | None") -> None:
    if best is None:
        say("[bold]Best[/bold]    no trial completed")
        return
    say(
        f"[bold]Best[/bold]    {metric_value(best.value, record.metric)} {record.metric} in trial {best.number}"
    )
    say(f"        {config_text(best.searched or best.config)}")


def show_importances(found: "Importances", *, limit: int | None = None) -> None:
    """Bars with intervals, the strongest first, of the first evaluator."""
    say("\n[bold]Importance[/bold]  share of the variation each lever explains, with a 95% interval")
    for evaluator, rows in list(found.evaluators.items())[:1]:
        for row in rows[:limit]:
            bar = "█" * round(_BAR_CELLS * min(1.0, max(0.0, row.importance)))
            mark = "" if row.significant else "  not told from noise"
            say(
                f"  {row.lever:22} {row.importance:5.2f}  [{row.low:.2f}, {row.high:.2f}]  {bar}{mark}".replace(
                    "[0", r"\[0"
                ).replace("[1", r"\[1")
            )
        if not rows:
            say(f"  nothing to say by {evaluator}")
    say(f"  {found.verdict}")


def show_findings(findings: Sequence["Finding"], *, missing: Sequence[str] = ()) -> None:
    from rich.markup import escape

    if not findings:
        say("\n[bold]Findings[/bold]  nothing wrong was found")
    for finding in findings:
        where = "study" if finding.trial is None else f"trial {finding.trial}"
        color = {"blocker": "red", "warning": "yellow"}.get(finding.severity.value, "cyan")
        say(f"\n[{color}]{finding.severity.value}[/{color}] [bold]{finding.symptom}[/bold] in {where}")
        say(f"  {escape(finding.sentence)}")
        for evidence in finding.evidence:
            value, threshold = number(evidence.value), number(evidence.threshold)
            say(f"  seen  {evidence.quantity} = {value} (threshold {threshold}; {escape(evidence.source)})")
        for remedy in finding.remedies[:3]:
            say(f"  try   {escape(remedy.sentence)}")
    for sentence in missing:
        say(f"\n[dim]not judged: {escape(sentence)}[/dim]")


def set_up_logging(*, quiet: bool, log_file: Path | None) -> None:
    """Warnings in one line on stderr; everything, with tracebacks, in the log file."""
    import optuna

    optuna.logging.set_verbosity(
        optuna.logging.WARNING
    )  # it announces every study and trial; we show progress
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in [handler for handler in root.handlers if handler.name == _HANDLER]:
        root.removeHandler(handler)  # a second command in one process
        handler.close()
    if not quiet:
        stderr = logging.StreamHandler()
        stderr.name = _HANDLER
        stderr.setLevel(logging.WARNING)
        stderr.setFormatter(_OneLine("%(message)s"))
        root.addHandler(stderr)
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log_file)
        file.name = _HANDLER
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(file)


class _OneLine(logging.Formatter):
    """The exception's type and text, without the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        return text if error is None else f"{text} {type(error).__name__}: {error}"


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    return Console(stderr=stderr)
