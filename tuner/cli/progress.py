"""How a search is seen while it runs: a bar with ETA on a terminal, a plain line a trial elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tuner.cli.output import metric_value, note

if TYPE_CHECKING:
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
                state=f"{_counts(progress)} · {_best(progress)} · {_eta(progress, bar.tasks[0].elapsed)}",
            )

        yield show


class _Lines:
    """One line for each trial that ended since the last call."""

    def __init__(self) -> None:
        self._seen: set[int] | None = None
        self._first_seconds = 0.0

    def show(self, progress: "Progress") -> None:
        ended = {trial.number: trial for trial in progress.record.trials if trial.state in _ENDED}
        new = sorted(ended.keys() - (self._seen or set()))
        if self._seen is None and progress.seconds > 0 and len(new) > 1:
            note(f"{len(new)} trials were there already")
            new = []
        for number in new:
            trial = ended[number]
            value = metric_value(trial.value, progress.record.metric)
            outcome = trial.outcome.value if trial.outcome else trial.state
            done = f"{progress.record.counts.counted}/{progress.n_trials}"
            note(
                f"[{done}] trial {number} {outcome} {value} · {_best(progress)} · {_eta(progress, progress.seconds)}"
            )
        self._seen = set(ended)


_ENDED = {"complete", "pruned", "fail"}


def _counts(progress: "Progress") -> str:
    counts = progress.record.counts
    return f"{counts.complete} complete, {counts.pruned + counts.diverged} pruned, {counts.failed} failed"


def _best(progress: "Progress") -> str:
    best = progress.record.best
    return "no best yet" if best is None else f"best {metric_value(best.value, progress.record.metric)}"


def _eta(progress: "Progress", elapsed: float | None) -> str:
    """Time left at the pace of this run's own trials."""
    ended = [trial for trial in progress.record.trials if trial.state in _ENDED and trial.ended is not None]
    left = progress.n_trials - progress.record.counts.counted
    durations = [trial.seconds for trial in ended[-20:] if trial.seconds == trial.seconds]
    if not durations or left <= 0 or elapsed is None:
        return "done" if left <= 0 else "ETA unknown"
    n_running = max(1, sum(trial.state == "running" for trial in progress.record.trials))
    seconds = left * (sum(durations) / len(durations)) / n_running
    return f"ETA {int(seconds // 60)}:{int(seconds % 60):02d}"
