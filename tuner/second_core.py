"""What a second core gains: as a second thread of a process, and as a second process, timed on lanes of a search.

The second process is started before torch is loaded here, loads it meanwhile, and trains when it is told to.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.searching.lane_probe import LanePace
    from tuner.searching.objective import Objective

SECONDS = 0.5
"""Of each of the three timings."""
LEAST_WHEN_FREE = 0.2
"""What a core that nobody else uses adds at least, in one of the two ways; two processes gained 90 % and more."""
N_EPOCHS = 10_000
"""More than any machine trains in `SECONDS`."""


@dataclass(frozen=True, kw_only=True)
class SecondCore:
    """Optimizer steps of lanes a second."""

    alone: float
    """One process of one thread."""
    as_thread: float
    """One process of two threads."""
    as_process: float
    """Two processes of one thread each, at once."""

    @property
    def was_free(self) -> bool:
        """Whether the figures are the machine's own, and not those of other work that had the core meanwhile."""
        return max(self.as_process, self.as_thread) >= (1 + LEAST_WHEN_FREE) * self.alone

    @property
    def sentence(self) -> str:
        """Which way is faster, and what follows where it is not the way that a search takes."""
        if not self.was_free:
            return (
                "What a second core adds could not be measured, since other work has it now; "
                "ask again when the machine is quiet."
            )
        by_process, by_thread = self.as_process / self.alone - 1, self.as_thread / self.alone - 1
        said = f"A second core adds {by_process:.0%} as a process and {by_thread:.0%} as a thread"
        if self.as_process >= self.as_thread:
            return f"{said}: one worker a core is right here."
        return f"{said}: half as many --workers, each of two threads, may be faster here."


class SecondProcessError(Exception):
    """The second process has ended before it answered."""


class SecondProcess:
    """A process that trains lanes at the same time as this one."""

    def __init__(self) -> None:
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            # A user's module:function is found where this process finds it.
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuner.second_core"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def prepare(self, objective: "Objective", n_lanes: int, *, data_dir: Path | None) -> None:
        """Let it load the data and take the first steps; returns when it is ready."""
        asked = {"space": objective.space.name, "task": objective.task, "fixed": objective.fixed}
        self._say({**asked, "data_dir": None if data_dir is None else str(data_dir), "n_lanes": n_lanes})
        self._hear()

    def begin(self) -> None:
        """Let it train for `SECONDS`, from now on."""
        self._say("go")

    def lane_steps_per_second(self) -> float:
        """What it reached."""
        return float(self._hear())

    def dismiss(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def _say(self, what: object) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(BrokenPipeError):  # `_hear` finds out
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()

    def _hear(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - as above
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        _, said = self._process.communicate()
        last = said.strip().splitlines()[-1] if said.strip() else "it wrote nothing"
        raise SecondProcessError(f"A second process beside this one ended while it trained: {last}")


@contextlib.contextmanager
def second_process() -> Iterator[SecondProcess]:
    """One that is gone when the body ends."""
    process = SecondProcess()
    try:
        yield process
    finally:
        process.dismiss()


def time_second_core(
    objective: "Objective", n_lanes: int, other: SecondProcess, *, data_dir: Path | None
) -> SecondCore:
    """Train lanes for three moments: on one thread, on two, and beside the second process.

    Raises:
        SecondProcessError: when the second process ends early.
    """
    import torch

    from tuner.searching.lane_probe import LanePace

    other.prepare(objective, n_lanes, data_dir=data_dir)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        pace = LanePace(objective, n_lanes, n_epochs=N_EPOCHS)
        alone = _lane_steps_per_second(pace)
        torch.set_num_threads(2)
        as_thread = _lane_steps_per_second(pace)
        torch.set_num_threads(1)
        other.begin()
        here = _lane_steps_per_second(pace)
    finally:
        torch.set_num_threads(before)
    return SecondCore(alone=alone, as_thread=as_thread, as_process=here + other.lane_steps_per_second())


def _lane_steps_per_second(pace: "LanePace") -> float:
    """Of the epochs that go into `SECONDS`, each as short as `LanePace` makes it."""
    ends, seconds, n_epochs = time.perf_counter() + SECONDS, 0.0, 0
    while not n_epochs or time.perf_counter() < ends:
        seconds += pace.seconds_per_lane_step()
        n_epochs += 1
    return n_epochs / seconds


def main() -> None:
    """Be the second process: prepare what one line says, say so, and train when the next one comes."""
    import torch

    from tuner.searching.lane_probe import LanePace
    from tuner.searching.objective import Objective

    torch.set_num_threads(1)
    asked = json.loads(sys.stdin.readline())
    data_dir = None if asked["data_dir"] is None else Path(asked["data_dir"])
    objective = Objective(
        asked["space"], asked["task"], fixed=asked["fixed"], device="cpu", data_dir=data_dir
    )
    pace = LanePace(objective, asked["n_lanes"], n_epochs=N_EPOCHS)
    _answer("ready")
    if sys.stdin.readline():
        _answer(_lane_steps_per_second(pace))


def _answer(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
