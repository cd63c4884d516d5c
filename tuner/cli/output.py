"""What the commands print: data on stdout, everything else on stderr."""

import io
import json
import logging
import os
import shlex
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studies.diagnosis.finding import Evidence, Finding
    from studies.importance import Importances
    from studies.records import StudyRecord, TrialRecord

_given_storage: str | None = None
_BAR_CELLS = 24
_HANDLER = "tuner"
_MIN_TEXT_CELLS = 30
"""Narrower than this, wrapped text is harder to read than what the terminal breaks by itself."""


def print_json(value: Any) -> None:
    """``value`` as strict JSON on stdout, in letters that stdout's encoding has."""
    from studies.encoding import jsonable

    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"  # on Windows it may be cp1252
    text = json.dumps(jsonable(value), indent=2, allow_nan=False, ensure_ascii=not is_utf8)
    sys.stdout.write(text + "\n")


def say(text: str = "", *, head: str = "", style: str = "bold") -> None:
    """A line for a person, on stdout: ``head`` in ``style``, then ``text``, neither of which is read as markup.

    What a user named may hold brackets, which rich would take for markup.
    """
    from rich.text import Text

    _console().print(Text.assemble((head, style), text), soft_wrap=True)


def say_hanging(head: str, text: str, *, style: str = "", margin: int = 9) -> None:
    """``head`` in a margin and ``text`` beside it, wrapped to a terminal's width; one line where no terminal is."""
    console = _console()
    width = max(console.width - margin, _MIN_TEXT_CELLS)
    first, *rest = textwrap.wrap(text, width, break_on_hyphens=False) if console.is_terminal else [text]
    say(first, head=head.ljust(margin), style=style)
    for line in rest:
        say(" " * margin + line)


def note(text: str, *, quiet: bool = False) -> None:
    """A line about what goes on, on stderr."""
    from rich.text import Text

    if not quiet:
        _console(stderr=True).print(Text(text), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> None:
    """A table on stdout. ``right`` names the columns of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(Text(column), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    _console().print(drawn)


def next_commands(*commands: str) -> None:
    """What a person may type next: about a study, with the storage that this command was given."""
    say(head="\nNext")
    for command in commands:
        say(f"  {command}{_storage_option() if _is_about_a_study(command) else ''}")


def _is_about_a_study(command: str) -> bool:
    return command.split()[1] not in {"train", "search", "levers", "spaces"}


def _storage_option() -> str:
    """The ``--storage`` to repeat; empty where the next command finds it by itself."""
    if _given_storage is None or _given_storage == os.environ.get("TUNER_STORAGE"):
        return ""
    from studies.storage import shown_url

    return f" --storage {shlex.quote(shown_url(_given_storage))}"


def remember_storage(storage: str | None) -> str | None:
    """Keep this command's ``--storage`` for the next commands that it prints."""
    global _given_storage  # noqa: PLW0603 - one process runs one command
    _given_storage = storage
    return storage


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
    by_kind = {
        "complete": counts.complete,
        "pruned": counts.pruned,
        "diverged": counts.diverged,
        "failed": counts.failed,
        "lost": counts.lost - record.n_handed_back,
        "handed back": record.n_handed_back,
    }
    said = ", ".join(f"{count} {kind}" for kind, count in by_kind.items() if count)
    if record.n_reused:
        said += f" ({record.n_reused} took over the result of an equal config)"
    say(said or "none yet", head="Trials  ")


def show_best(record: "StudyRecord", best: "TrialRecord | None") -> None:
    if best is None:
        say("no trial completed", head="Best    ")
        return
    say(f"{metric_value(best.value, record.metric)} {record.metric} in trial {best.number}", head="Best    ")
    say(f"        {config_text(best.searched or best.config)}")


def show_importances(found: "Importances", *, limit: int | None = None, missing: Sequence[str] = ()) -> None:
    """Bars with intervals, the strongest first, of the first evaluator."""
    say("  share of the variation each lever explains, with a 95% interval", head="\nImportance")
    for evaluator, rows in list(found.evaluators.items())[:1]:
        for row in rows[:limit]:
            bar = "█" * round(_BAR_CELLS * min(1.0, max(0.0, row.importance)))
            mark = "" if row.significant else "  not told from noise"
            say(f"  {row.lever:22} {row.importance:5.2f}  [{row.low:.2f}, {row.high:.2f}]  {bar}{mark}")
        if not rows:
            say(f"  nothing to say by {evaluator}")
    say(f"  {found.verdict}")
    _show_missing(missing)


def show_findings(
    findings: Sequence["Finding"], *, missing: Sequence[str] = (), is_one_training: bool = False
) -> None:
    """The findings; those of one training without a trial's number, since there is no study."""
    if not findings:
        limit = " in what could be judged" if missing else ""
        say(f"  nothing wrong was found{limit}", head="\nFindings")
    for finding in findings:
        where = (
            "" if is_one_training else " in study" if finding.trial is None else f" in trial {finding.trial}"
        )
        color = {"blocker": "red", "warning": "yellow"}.get(finding.severity.value, "cyan")
        say(f" {finding.symptom}{where}", head=f"\n{finding.severity.value}", style=color)
        say_hanging("  ", finding.sentence, margin=2)
        if finding.causes:
            said = ", ".join(f"{cause.name} ({cause.confidence:.2g})" for cause in finding.causes)
            say_hanging("  cause", said)
        for evidence in finding.evidence:
            say_hanging("  seen", _seen(evidence))
        if finding.alternatives:
            say_hanging("  apart", finding.alternatives)
        if finding.consequences:
            say_hanging("  so", f"{', '.join(finding.consequences)}: what follows from it")
        for remedy in finding.remedies:
            say_hanging("  try", remedy.told)
    _show_missing(missing)


def _seen(evidence: "Evidence") -> str:
    from studies.diagnosis.thresholds.threshold import shortened

    where = f" in {evidence.place}" if evidence.place else ""
    limit = f"threshold {number(evidence.threshold)}; {shortened(evidence.source)}"
    return f"{evidence.quantity} = {number(evidence.value)}{where} ({limit})"


def _show_missing(missing: Sequence[str]) -> None:
    for sentence in missing:
        say(head=f"\nnot judged: {sentence}", style="dim")


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
    # Without any handler Python prints warnings and their tracebacks on stderr by itself.
    stderr = logging.NullHandler() if quiet else logging.StreamHandler()
    stderr.name = _HANDLER
    stderr.setLevel(logging.WARNING)
    stderr.setFormatter(_OneLine("%(message)s"))
    root.addHandler(stderr)
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(log_file, encoding="utf-8")
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

    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a bar or a name that Windows' cp1252 lacks ends no command
    return Console(stderr=stderr, highlight=False)
