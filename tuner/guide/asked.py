"""What a guide was asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.leases import GRACE_SECONDS
from tuner.guide.budget import Budget, Pace
from tuner.guide.levers import Levers
from tuner.guide.preview import Preview
from tuner.launchers.cores import available_cores
from tuner.prepared_search import ProgressCallback
from tuner.searching.names import is_importable
from tuner.searching.objective import Task
from tuner.searching.worker_count import MAX_DEFAULT_WORKERS
from tuner.training.devices import resolve_device

SECONDS_TO_START_WORKERS = 6.0
"""Loading torch and the data in new processes, on this project's 2-core machine."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a guide was asked for, checked and with its defaults filled in."""

    task: Task
    study: str
    levers: Levers
    baseline: Mapping[str, Any]
    budget: Budget
    metric: str
    direction: str
    storage: str | None = None
    seed: int = 0
    epochs: int | None = None
    """Of every training; None lets the budget decide."""
    goal: float | None = None
    model: Callable[..., Any] | None = None
    workers: int | None = None
    lanes: int | None = None
    device: str = "auto"
    data_dir: Path | None = None
    grace: float = GRACE_SECONDS
    announce: Callable[[str], None] = lambda _line: None
    on_plan: Callable[[Preview], None] = lambda _preview: None
    """Told once the speed of a training is known."""
    on_progress: ProgressCallback = lambda _progress: None

    @property
    def sign(self) -> float:
        """What makes the higher value the better one."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def n_workers(self) -> int:
        """As `tuner.search` would start them, at most: short rounds start none (`Pace.workers_for`)."""
        if self.workers is not None:
            return self.workers
        if not all(is_importable(part) for part in (self.task, self.model or "")):
            return 1
        if resolve_device(self.device).type != "cpu":
            return 1
        return min(available_cores(), MAX_DEFAULT_WORKERS)

    def pace(self, seconds_per_trial: float) -> Pace:
        """How fast rounds end in which one training takes so long."""
        return Pace(
            seconds_per_trial=max(seconds_per_trial, 1e-3),
            n_workers=self.n_workers,
            seconds_per_start=SECONDS_TO_START_WORKERS if self.n_workers > 1 else 0.0,
        )

    @property
    def is_accuracy(self) -> bool:
        return self.metric.endswith("_accuracy")

    def shown(self, value: float | None) -> str:
        """A value of the metric for a person."""
        if value is None:
            return "nothing (it diverged)"
        return f"{100 * value:.2f}%" if self.is_accuracy else f"{value:.4g}"

    def shown_difference(self, value: float) -> str:
        """A difference of two values for a person."""
        return f"{100 * value:.2f} points" if self.is_accuracy else f"{value:.3g}"
