"""Samples per second of every candidate, and from which batch on there is no more to gain.

A scan goes up the sizes as far as memory allows. Those that fit then take turns, a short stretch of real optimizer
steps each, and the faster quarter of the turns counts: another process on the machine only ever slows a stretch, and
slows all candidates alike.

What a search pays for a step is a lane's share of one that several lanes take together, and company helps small batches
more than large ones. So the turns may be taken by several lanes; memory is that of one.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from search_spaces.errors import ConfigurationError
from tuner.training.batching.candidates import Candidate, Verdict
from tuner.training.batching.memory import (
    HEADROOM,
    MemoryMeter,
    MemoryModel,
    fit_memory,
    unless_out_of_memory,
)
from tuner.training.batching.stepping import SteppedTraining, Stretch

STRETCH_SECONDS = 0.02
"""One turn of a candidate: long against a timer, short against a change of the machine's load."""
MIN_TURNS, N_TURNS = 4, 24
SCAN_PART = 0.15
"""Of this stage, roughly."""
LARGEST_PART = 0.25
"""Of the budget, which one candidate may take: a batch of seconds is past every knee."""
KNEE_SHARE = 0.9
"""Of the highest throughput, which the knee has at least."""
HOPEFUL_KNEES = 4
"""Batches beyond this many knees gain no throughput; and with none gained they gain nothing, since no rule for the
learning rate lets a larger batch get further with the same samples."""

StartTraining = Callable[[Candidate, int], SteppedTraining]
"""Makes an untrained training of a candidate, in so many lanes."""
OnPart = Callable[[float], None]
"""Takes the done fraction of a stage."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The candidates with their throughput and memory."""

    candidates: tuple[Candidate, ...]
    largest_that_fits: int | None
    """By the memory model; None where memory sets no limit that was seen."""

    @property
    def knee(self) -> int:
        """The smallest batch with nearly all of the highest throughput."""
        speeds = {
            c.batch_size: c.samples_per_second for c in self.candidates if c.samples_per_second is not None
        }
        highest = max(speeds.values())
        return min(size for size, speed in speeds.items() if speed >= KNEE_SHARE * highest)

    def hopeful(self, own: int) -> tuple[Candidate, ...]:
        """The candidates whose throughput gives them a chance, and the config's ``own`` batch."""
        limit = max(HOPEFUL_KNEES * self.knee, own)
        return tuple(c for c in self.candidates if c.samples_per_second is not None and c.batch_size <= limit)


def measure_throughput(
    candidates: Sequence[Candidate],
    start: StartTraining,
    meter: MemoryMeter,
    *,
    at_least: int,
    budget_seconds: float,
    on_part: OnPart,
    n_lanes: int = 1,
) -> Measured:
    """Scan, then let those that fit take turns.

    Args:
        candidates: smallest batch first.
        start: its learning rate should be small, so that nothing diverges while it is timed.
        meter: of the device that trains.
        at_least: the batch size that is measured whatever it costs; beyond it the budget also ends the scan.
        budget_seconds: about how long it may take.
        on_part: called with the done fraction.
        n_lanes: that are timed together.

    Raises:
        ConfigurationError: when not even the smallest batch fits into memory.
    """
    deadline = time.monotonic() + budget_seconds
    scan_seconds = budget_seconds / n_lanes  # a turn takes as many times as long
    scanned, largest = _scan(candidates, start, meter, at_least, scan_seconds)
    fitting = [candidate for candidate in scanned if candidate.verdict is not Verdict.OUT_OF_MEMORY]
    on_part(SCAN_PART)
    speeds = take_turns(
        fitting,
        start,
        deadline=deadline,
        on_part=lambda part: on_part(SCAN_PART + (1 - SCAN_PART) * part),
        n_lanes=n_lanes,
    )
    if not speeds:
        raise ConfigurationError(
            f"A training must fit into memory, but batch size {candidates[0].batch_size} did not; "
            "take smaller batches or a smaller model."
        )
    return Measured(candidates=tuple(_with_speed(c, speeds) for c in scanned), largest_that_fits=largest)


def _scan(
    candidates: Sequence[Candidate],
    start: StartTraining,
    meter: MemoryMeter,
    at_least: int,
    budget_seconds: float,
) -> tuple[list[Candidate], int | None]:
    """The candidates up to the first that does not fit, with a reading of memory and a rough one of speed.

    And the largest batch that would fit, where a limit was met or can be foretold.
    """
    scanned: list[Candidate] = []
    for candidate in candidates:
        available = meter.available_bytes()
        model = _memory_model(scanned)
        if model is not None and model.bytes_at(candidate.batch_size) > available * HEADROOM:
            return [*scanned, _without_memory(candidate)], model.largest_batch(available)
        if (
            candidate.batch_size > at_least
            and _foretold_seconds(candidate, scanned) > budget_seconds * LARGEST_PART
        ):
            break
        read = _first_reading(candidate, start, meter)
        if read is None:
            return [*scanned, _without_memory(candidate)], max((c.batch_size for c in scanned), default=None)
        scanned.append(read)
    model = _memory_model(scanned)
    return scanned, None if model is None else model.largest_batch(meter.available_bytes())


def _foretold_seconds(candidate: Candidate, scanned: Sequence[Candidate]) -> float:
    """What the fewest turns of ``candidate`` would take at the throughput of the one before."""
    if not scanned or scanned[-1].samples_per_second is None:
        return 0.0
    return 2 * MIN_TURNS * candidate.effective_batch_size / scanned[-1].samples_per_second


def _first_reading(candidate: Candidate, start: StartTraining, meter: MemoryMeter) -> Candidate | None:
    """The candidate with its memory and a first throughput; None when it does not fit."""
    meter.start()
    stretch = unless_out_of_memory(lambda: _first_stretch(start(candidate, 1)))
    memory = meter.peak_bytes()
    if stretch is None:
        return None
    speed = stretch.n_samples / stretch.seconds
    return dataclasses.replace(candidate, memory_bytes=memory, samples_per_second=speed)


def _first_stretch(training: SteppedTraining) -> Stretch:
    training.train(1)  # builds what the first step builds
    one = training.train(1)
    return training.train(_steps_for(one.seconds))


def take_turns(
    candidates: Sequence[Candidate],
    start: StartTraining,
    *,
    deadline: float,
    on_part: OnPart,
    n_lanes: int = 1,
) -> dict[int, float]:
    """Samples per second of a lane by batch size, without those that ran out of memory after all.

    A training lives for its turn only, so that memory holds one at a time. Where it does not hold ``n_lanes``, a
    candidate goes on alone. ``deadline`` is on the monotonic clock.
    """
    lanes = {candidate.batch_size: n_lanes for candidate in candidates}
    speeds: dict[int, list[float]] = {candidate.batch_size: [] for candidate in candidates}
    for turn in range(N_TURNS):
        if turn >= MIN_TURNS and time.monotonic() > deadline:
            break
        for candidate in candidates[:: -1 if turn % 2 else 1]:
            size = candidate.batch_size
            if size not in speeds:
                continue
            stretch = unless_out_of_memory(partial(_one_turn, start, candidate, lanes[size]))
            if stretch is None and lanes[size] > 1:
                lanes[size], speeds[size] = 1, []
                stretch = unless_out_of_memory(partial(_one_turn, start, candidate, 1))
            if stretch is None:
                del speeds[size]
            else:
                speeds[size].append(stretch.n_samples / stretch.seconds)
        on_part((turn + 1) / N_TURNS)
    return {size: statistics.quantiles(read, n=4, method="inclusive")[2] for size, read in speeds.items()}


def _one_turn(start: StartTraining, candidate: Candidate, n_lanes: int) -> Stretch:
    training = start(candidate, n_lanes)
    training.train(1)  # builds what the first step builds
    return training.train(_steps_for(candidate.seconds_per_step * n_lanes))


def _steps_for(seconds_per_step: float) -> int:
    """Optimizer steps of one stretch."""
    return max(1, round(STRETCH_SECONDS / seconds_per_step))


def _memory_model(scanned: Sequence[Candidate]) -> MemoryModel | None:
    read = [(c.batch_size, c.memory_bytes) for c in scanned if c.memory_bytes is not None]
    return fit_memory([size for size, _ in read], [n_bytes for _, n_bytes in read])


def _with_speed(candidate: Candidate, speeds: Mapping[int, float]) -> Candidate:
    if candidate.batch_size not in speeds:
        return _without_memory(candidate)
    return dataclasses.replace(candidate, samples_per_second=speeds[candidate.batch_size])


def _without_memory(candidate: Candidate) -> Candidate:
    return dataclasses.replace(candidate, verdict=Verdict.OUT_OF_MEMORY, samples_per_second=None)
