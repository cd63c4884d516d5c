"""Where the time of a worker goes: seconds by activity, each moment counted once."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ACTIVITIES = ("startup", "training", "data", "evaluation", "telemetry", "sampler", "storage", "idle")
"""startup: imports, reading the data set, probes of the machine. data: gathering and scaling minibatches. idle: waiting
for other workers."""


@dataclass(kw_only=True)
class Stopwatch:
    """Adds up seconds by activity. Inside ``on(activity)`` time counts for it, but for what an inner ``on`` takes.

    Belongs to one thread.
    """

    clock: Callable[[], float] = time.perf_counter
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ACTIVITIES, 0.0))
    _running: list[str] = field(default_factory=list)
    _since: float = 0.0

    @contextlib.contextmanager
    def on(self, activity: str) -> Iterator[None]:
        """Count the body's time as ``activity``."""
        self._turn()
        self._running.append(activity)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def add(self, activity: str, seconds: float) -> None:
        """Count time that passed before the stopwatch was there, such as that of imports."""
        self.seconds[activity] += seconds

    def _turn(self) -> None:
        now = self.clock()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
