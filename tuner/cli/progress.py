"""How a search is seen while it runs: a bar with ETA on a terminal, a plain line a trial elsewhere."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuner.cli.output import metric_value, note
from tuner.searching.worker_count import counted

if TYPE_CHECKING:
    from studies.records import TrialRecord
    from tuner.prepared_search import Progress


@contextmanager
def showing_progress(*, quiet: bool) -> "Iterator[Callable[[Progress], None]]":
    """A callback for `tuner.search` that shows progress on stderr."""
    if quiet:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _Lines().show


@contextmanager
def _bar() -> "Iterator[Callable[[Progress], None]]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("search", total=None, state="starting")

        def show(progress: "Progress") -> None:
            bar.update(
                task,
                completed=progress.record.counts.counted,
                total=progress.n_trials,
                state=" · ".join(
                    part for part in (_counts(progress), _best(progress), _eta(progress)) if part
                ),
            )

        yield show


class _Lines:
    """One line for each trial that ended since the last call, and one for all that were lost or handed back."""

    def __init__(self) -> None:
        self._seen: set[int] | None = None

    def show(self, progress: "Progress") -> None:
        ended = [trial for trial in progress.record.trials if trial.state in _ENDED]
        if self._seen is None:
            self._seen = _there_before(ended, n_before=progress.n_before)
            if progress.n_before:
                note(f"{counted(progress.n_before, 'trial')} already there")
        new = [trial for trial in ended if trial.number not in self._seen]
        self._seen |= {trial.number for trial in new}
        for line in _lines_of(new, progress):
            note(line)


_ENDED = {"complete", "pruned", "fail"}


def _there_before(ended: "Sequence[TrialRecord]", *, n_before: int) -> set[int]:
    """The numbers of the trials that ended first, and of those that earlier searches lost or handed back."""
    first = sorted((trial for trial in ended if trial.is_counted), key=_when_ended)[:n_before]
    return {trial.number for trial in ended if not trial.is_counted} | {trial.number for trial in first}


def _when_ended(trial: "TrialRecord") -> tuple[float, int]:
    return (0.0 if trial.ended is None else trial.ended.timestamp(), trial.number)


def _lines_of(new: "Sequence[TrialRecord]", progress: "Progress") -> list[str]:
    """Those that count, numbered up to the present count, and how it stands after them; then how many others ended."""
    total, metric = progress.n_trials, progress.record.metric
    n_counted = progress.record.counts.counted
    told = [trial for trial in new if trial.is_counted]
    lines = [
        f"[{place}/{total}] trial {trial.number} {trial.outcome or trial.state} {metric_value(trial.value, metric)}"
        for place, trial in enumerate(told, n_counted - len(told) + 1)
    ]
    if lines:
        lines[-1] = " · ".join(part for part in (lines[-1], _best(progress), _eta(progress)) if part)
    n_handed_back = sum(trial.is_handed_back for trial in new)
    others = {"lost": len(new) - len(told) - n_handed_back, "handed back": n_handed_back}
    return lines + [f"[{n_counted}/{total}] {n} {kind}" for kind, n in others.items() if n]


def _counts(progress: "Progress") -> str:
    counts = progress.record.counts
    return f"{counts.complete} complete, {counts.pruned + counts.diverged} pruned, {counts.failed} failed"


def _best(progress: "Progress") -> str:
    best = progress.record.best
    return "no best yet" if best is None else f"best {metric_value(best.value, progress.record.metric)}"


def _eta(progress: "Progress") -> str:
    """Time left at the pace of this search's own trials; empty before the first of them has ended."""
    n_counted = progress.record.counts.counted
    n_left, n_done = progress.n_trials - n_counted, n_counted - progress.n_before
    if n_left <= 0:
        return "done"
    if n_done <= 0:
        return ""
    seconds = math.ceil(n_left * progress.seconds / n_done)
    return f"ETA {seconds // 60}:{seconds % 60:02d}"
