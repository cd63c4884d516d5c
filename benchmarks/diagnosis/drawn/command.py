"""Draws a part from a seed, shows that its trainings are sound, and writes its list.

    python -m benchmarks.diagnosis.drawn --draw 1 --workers 2
    python -m benchmarks.diagnosis --only drawn --draw 1 --workers 2 --stage telemetry --no-probes

Some 500 trainings, of half a second to two seconds. Nothing is diagnosed.
"""

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from benchmarks.diagnosis.case import Architecture
from benchmarks.diagnosis.drawn.drawing import N_HEALTHY, Candidate, drawn_part
from benchmarks.diagnosis.drawn.listing import FOLDER, write_drawn
from benchmarks.diagnosis.drawn.ranges import MODELS
from benchmarks.diagnosis.drawn.soundness import Soundness, checked, plain_accuracy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draw", type=int, required=True, help="1 or more: another part for each")
    parser.add_argument("--task", default="mnist", choices=("mnist", "fashion-mnist", "kmnist", "digits"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--healthy", type=int, default=N_HEALTHY, help="ordinary trainings, at least")
    parser.add_argument("--lists", type=Path, default=FOLDER, help="the folder that the list is written to")
    arguments = parser.parse_args()
    if arguments.draw < 1:
        parser.error(f"--draw must be 1 or more, but got {arguments.draw}.")
    with ProcessPoolExecutor(
        arguments.workers, mp_context=get_context("spawn"), initializer=_one_thread
    ) as pool:
        checking = _Checking(pool=pool, draw=arguments.draw, task=arguments.task, workers=arguments.workers)
        drawn = drawn_part(arguments.draw, checking.check, n_healthy=arguments.healthy)
        pool.shutdown(cancel_futures=True)
    path = write_drawn(drawn, arguments.lists)
    _say(
        f"{len(drawn.healthy)} sound trainings and {len(drawn.faulty)} faulty ones, of {checking.n_checked} "
        f"candidates, in {time.monotonic() - checking.started:.0f} s: {path}"
    )


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@dataclass(kw_only=True)
class _Checking:
    """Checks candidates on all workers, a few of them ahead of what is asked for."""

    pool: ProcessPoolExecutor
    draw: int
    task: str
    workers: int
    started: float = field(default_factory=time.monotonic)
    n_checked: int = 0
    plain: Mapping[Architecture, float] = field(init=False)

    def __post_init__(self) -> None:
        reached = partial(plain_accuracy, draw=self.draw, task=self.task)
        self.plain = dict(zip(MODELS, self.pool.map(reached, MODELS), strict=True))
        _say(f"plain trainings: {', '.join(f'{name} {value:.3f}' for name, value in self.plain.items())}")

    def check(self, candidates: Iterable[Candidate]) -> Iterator[Soundness]:
        """In the order of ``candidates``."""
        left = iter(candidates)
        ahead: deque[Future[Soundness]] = deque(self._asked(each) for each in islice(left, self.workers + 1))
        n_sound = 0
        try:
            while ahead:
                verdict = ahead.popleft().result()
                ahead.extend(self._asked(each) for each in islice(left, 1))
                self.n_checked += 1
                n_sound += verdict.is_sound
                _say(
                    f"[{time.monotonic() - self.started:.0f} s] {self.n_checked} checked, {n_sound} sound for this"
                    f" purpose: {verdict.reached}"
                )
                yield verdict
        finally:
            for future in ahead:
                future.cancel()

    def _asked(self, candidate: Candidate) -> "Future[Soundness]":
        training = candidate.training
        return self.pool.submit(
            checked,
            training,
            draw=self.draw,
            task=self.task,
            is_ordinary=candidate.is_ordinary,
            plain=self.plain[training.architecture],
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
