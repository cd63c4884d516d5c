"""Workers x threads x lanes: how a search is spread over a machine, by rules and by a short probe.

On the CPU one single-thread worker a core (two threads of one process lose to two processes: docs/performance.md), and
in each worker as many lanes as still make a step cheaper: more lanes share more work, until their weights no longer fit
into the core's cache. On an accelerator one worker, and lanes until its memory or the gain ends.
"""

import contextlib
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from tuner.searching.lane_probe import LaneProbe, clock_of
from tuner.searching.objective import Objective
from tuner.searching.worker_count import WorkerChoice, choose_workers, counted
from tuner.training.batching.memory import HEADROOM, is_out_of_memory, memory_meter
from tuner.training.functions import error_record
from tuner.training.lanes.structure import structural_levers

PROBE_SECONDS = 0.4
"""What the probe of lanes may take of a CPU's time; a larger cohort is measured only if it fits."""
MAX_LANES = {"cpu": 16}
"""On a CPU's core; the caches have long been full then."""
MAX_ACCELERATOR_LANES = 256
USUAL_LANES = {"cpu": 8}
"""Taken unless others are clearly cheaper, so that a search asks in the same batches from run to run although timings
vary. More gained little on any network that was measured (docs/cohorts.md), and TPE learns from batches of eight as
from single trials (docs/decisions/0007)."""
CLEAR_GAIN = 0.10
"""Of a lane's step. Less may be a timing's noise (up to 8 % from run to run), and larger cohorts have a price: they
wait longer for each other, and a sampler learns from larger batches."""
FRUITLESS_DOUBLINGS = 2
"""In a row, after which no larger cohort is measured. One may be noise."""
ROUNDS_TO_LEARN = 5
"""Cohorts that a sampler which learns sees of each worker at least, so that it has something to learn from."""
_LEARNING = ("tpe", "gp", "cmaes", "nsga2")

_log = logging.getLogger(__name__)


class Probe(Protocol):
    """What `LaneProbe` does; tests have one that computes its answers."""

    def seconds_per_lane_step(self, n_lanes: int, *, own_orders: bool = False) -> float: ...

    def bytes_per_lane(self, n_lanes: int) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class LaneChoice:
    """How many lanes a worker's cohorts have, and why."""

    n_lanes: int
    refills: bool
    """Whether a lane that has ended is replaced at once by one with a data order of its own; else the cohort ends
    first."""
    reason: str
    measured: tuple[tuple[int, float], ...] = ()
    """Lanes, and the seconds that a step of one lane took among them."""
    error: str | None = None
    """What ended the probe, if something did."""


@dataclass(frozen=True, kw_only=True)
class Parallelism:
    """How a search is spread over a machine."""

    workers: int
    threads: int
    lanes: LaneChoice
    reason: str


def choose_parallelism(
    objective: Objective,
    *,
    n_trials: int,
    n_cores: int,
    workers: int | None = None,
    lanes: int | None = None,
    sampler: str = "random",
    pruner: str = "none",
    probe: Probe | None = None,
) -> Parallelism:
    """Workers, threads and lanes for a search of ``n_trials`` on this machine."""
    chosen = choose_workers(
        device=objective.splits.device.type,
        n_cores=n_cores,
        n_trials=n_trials,
        data_bytes=data_bytes(objective),
        available_bytes=memory_meter(objective.splits.device).available_bytes(),
        workers=workers,
    )
    with threads_of(chosen):
        choice = choose_lanes(
            objective,
            n_trials=n_trials,
            n_workers=chosen.n_workers,
            lanes=lanes,
            sampler=sampler,
            pruner=pruner,
            probe=probe,
        )
    return Parallelism(
        workers=chosen.n_workers,
        threads=chosen.n_threads,
        lanes=choice,
        reason=f"{chosen.reason} {choice.reason}",
    )


@contextlib.contextmanager
def threads_of(choice: WorkerChoice) -> Iterator[None]:
    """Torch with as many threads as each of the workers has; one that works alone keeps what it has."""
    own = torch.get_num_threads()
    if choice.n_workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(choice.n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(own)


def data_bytes(objective: Objective) -> int:
    """Of the data set as it lies in memory."""
    dataset = objective.dataset
    parts = (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test)
    return sum(part.numel() * part.element_size() for part in parts if part is not None)


def choose_lanes(
    objective: Objective,
    *,
    n_trials: int | None,
    n_workers: int,
    lanes: int | None = None,
    sampler: str = "random",
    pruner: str = "none",
    probe: Probe | None = None,
) -> LaneChoice:
    """How many lanes a worker's cohorts have: as many as still make a step cheaper, within what the search allows.

    A model that the probe cannot train is no error here: its trials tell what is wrong with it.

    Args:
        objective: its splits and its base config are what the probe trains, for a fraction of a second.
        n_trials: that are left to all workers; None where nobody has said.
        n_workers: of this machine.
        lanes: what a person asked for; nothing is probed then, but for ``refills``.
        sampler: its name: one that learns wants small batches.
        pruner: its name; without one lanes end together, and refilling is no question.
        probe: of the machine.
    """
    most, why_most = _most_lanes(objective, n_trials=n_trials, n_workers=n_workers, sampler=sampler)
    measuring = probe or LaneProbe(objective=objective)
    measured: tuple[tuple[int, float], ...] = ()
    try:
        if lanes is not None:
            n_lanes, reason = lanes, f"{counted(lanes, 'lane')} as asked for."
        elif most == 1:
            n_lanes, reason = 1, f"1 lane: {why_most}."
        else:
            measured, why_last = _measured(measuring, objective, most=most, why_most=why_most)
            best = _chosen_of(measured, usual=USUAL_LANES.get(objective.splits.device.type))
            n_lanes = _evened(best, n_trials=n_trials, n_workers=n_workers)
            reason = f"{counted(n_lanes, 'lane')} a worker: {_steps_text(measured, best)}; {why_last}."
        refills, why_refills = _refills(measuring, n_lanes, measured, objective=objective, pruner=pruner)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's model raises
        return _unprobed(lanes or 1, error)
    return LaneChoice(n_lanes=n_lanes, refills=refills, reason=f"{reason}{why_refills}", measured=measured)


def _steps_text(measured: Sequence[tuple[int, float]], best: int) -> str:
    """What a lane's step takes alone, and among those that were chosen, or that were measured and not chosen."""
    seconds = dict(measured)
    others = best if best > 1 else measured[-1][0]
    among = f" and {seconds[others] * 1e6:,.0f} us among {others}" if others > 1 else ""
    return f"a step of a lane takes {seconds[1] * 1e6:,.0f} us alone{among}"


def _unprobed(n_lanes: int, error: BaseException) -> LaneChoice:
    found = error_record(error)
    what = f"{found.type} at {found.where}: {found.message.splitlines()[0]}"
    reason = f"{counted(n_lanes, 'lane')}, since the probe of lanes ended with {what}"
    _log.warning("%s", reason)
    return LaneChoice(n_lanes=n_lanes, refills=False, reason=reason, error=what)


def _most_lanes(
    objective: Objective, *, n_trials: int | None, n_workers: int, sampler: str
) -> tuple[int, str]:
    """The largest cohort that the search makes sense with, and why."""
    device = objective.splits.device.type
    most = MAX_LANES.get(device, MAX_ACCELERATOR_LANES)
    limits = {f"{most} is the most that is tried on {device}": most}
    if n_trials is not None:
        share = math.ceil(n_trials / n_workers)
        limits[f"a worker's share is {counted(share, 'trial')}"] = share
        if sampler in _LEARNING:
            limits[
                f"{sampler} learns between cohorts, and should see at least {ROUNDS_TO_LEARN} of each worker"
            ] = max(1, share // ROUNDS_TO_LEARN)
    why, least = min(limits.items(), key=lambda limit: limit[1])
    return least, why


def _measured(
    probe: Probe,
    objective: Objective,
    *,
    most: int,
    why_most: str,
) -> tuple[tuple[tuple[int, float], ...], str]:
    """The seconds a lane-step of 1, 2, 4, ... lanes, until a limit is met; and which one it was."""
    clock = clock_of(objective.splits.device)
    is_cpu = objective.splits.device.type == "cpu"
    budget_seconds = PROBE_SECONDS if is_cpu else math.inf
    available_bytes = None if is_cpu else memory_meter(objective.splits.device).available_bytes()
    measured: list[tuple[int, float]] = []
    before = clock()
    alone = probe.seconds_per_lane_step(1)
    if clock() - before > budget_seconds:
        why = f"more than 1 were not measured, since that took longer than {budget_seconds:g} s"
        return ((1, alone),), why
    # Not counted: a process' first steps choose their kernels, which says nothing of how long the next ones take.
    began = clock()
    n_lanes = 1
    while True:
        before = clock()
        try:
            seconds = probe.seconds_per_lane_step(n_lanes)
        except RuntimeError as error:
            if not (is_out_of_memory(error) and measured):
                raise
            return tuple(measured), f"{n_lanes} did not fit into memory"
        measured.append((n_lanes, seconds))
        if len(measured) - 1 - _nearly_cheapest(measured)[0] >= FRUITLESS_DOUBLINGS:
            fewest = measured[_nearly_cheapest(measured)[0]][0]
            return tuple(measured), f"more than {fewest} were less than {CLEAR_GAIN:.0%} cheaper, if at all"
        if n_lanes == most:
            return tuple(measured), why_most
        took, n_lanes = clock() - before, min(2 * n_lanes, most)
        of_each = probe.bytes_per_lane(measured[-1][0])
        if available_bytes is not None and of_each and n_lanes * of_each > HEADROOM * available_bytes:
            return tuple(measured), f"{n_lanes} would not fit into memory at {of_each / 2**20:,.1f} MiB each"
        if clock() - began + 2 * took > budget_seconds:
            most_measured = measured[-1][0]
            return tuple(measured), f"more than {most_measured} were not measured within {budget_seconds:g} s"


def _chosen_of(measured: Sequence[tuple[int, float]], *, usual: int | None) -> int:
    """One lane where more gain nothing clear; else, of those that nothing is clearly cheaper than, the usual number."""
    near = [measured[place][0] for place in _nearly_cheapest(measured)]
    if usual is None or near[0] == 1:
        return near[0]
    return max((n_lanes for n_lanes in near if n_lanes <= usual), default=near[0])


def _nearly_cheapest(measured: Sequence[tuple[int, float]]) -> list[int]:
    """The places of those that nothing measured is clearly cheaper than."""
    cheapest = min(seconds for _, seconds in measured)
    return [place for place, (_, seconds) in enumerate(measured) if (1 - CLEAR_GAIN) * seconds <= cheapest]


def _evened(n_lanes: int, *, n_trials: int | None, n_workers: int) -> int:
    """No more lanes than cohorts of equal size need: 25 trials in cohorts of 8 are 4 cohorts, for which 7 do."""
    if n_trials is None:
        return n_lanes
    share = math.ceil(n_trials / n_workers)
    return math.ceil(share / math.ceil(share / n_lanes))


def _refills(
    probe: Probe,
    n_lanes: int,
    measured: tuple[tuple[int, float], ...],
    *,
    objective: Objective,
    pruner: str,
) -> tuple[bool, str]:
    """Whether lanes with data orders of their own cost less than a cohort that shrinks until it has ended.

    Such a cohort has about half its lanes on average: that is what the others are compared with. Where structures are
    searched nothing is refilled (docs/decisions/0007).
    """
    ends_early = pruner != "none" or objective.base_config.patience > 0
    if n_lanes < 2 or not ends_early or structural_levers(objective.space):
        return False, ""
    known: Mapping[int, float] = dict(measured)
    half = max(n_lanes // 2, 1)
    shrinking = known[half] if half in known else probe.seconds_per_lane_step(half)
    own = probe.seconds_per_lane_step(n_lanes, own_orders=True)
    is_cheaper = own < shrinking
    among = "alone" if half == 1 else f"in a cohort of {half}"
    verb = "are refilled" if is_cheaper else "wait for their cohort"
    return is_cheaper, (
        f" Lanes that end early {verb}: a step of a lane takes {own * 1e6:,.0f} us with a data order of its "
        f"own, and {shrinking * 1e6:,.0f} us {among}."
    )
