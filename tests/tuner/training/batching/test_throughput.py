"""Throughput and memory on a machine whose speed is known by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from search_spaces.errors import ConfigurationError
from tests.tuner.training.batching.fakes import FakeMachine, FakeMeter, FakeTraining, fake_candidates
from tuner.training.batching.candidates import Candidate, Verdict
from tuner.training.batching.throughput import Measured, measure_throughput, take_turns

SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def measured_on(
    machine: FakeMachine, meter: FakeMeter | None = None, *, sizes: tuple[int, ...] = SIZES, **chosen: float
) -> Measured:
    return measure_throughput(
        fake_candidates(*sizes),
        machine.start,  # type: ignore[arg-type]
        meter or FakeMeter(machine),
        at_least=int(chosen.get("at_least", 0)),
        budget_seconds=chosen.get("budget_seconds", 60.0),
        on_part=lambda _part: None,
    )


def test_throughput_is_that_of_the_machine() -> None:
    """Every candidate's samples per second are what the formula says."""
    machine = FakeMachine()
    for candidate in measured_on(machine).candidates:
        expected = candidate.batch_size / machine.seconds_per_step(candidate.batch_size)
        assert candidate.samples_per_second == pytest.approx(expected)


def test_a_busy_machine_changes_nothing() -> None:
    """Half of the stretches three times as slow, at random places: the faster quarter of the turns still tells."""
    is_slow = np.random.default_rng(0).random(10_000) < 0.5
    machine = FakeMachine(slowdown=lambda n: 3.0 if is_slow[n] else 1.0)
    for candidate in measured_on(machine).candidates:
        expected = candidate.batch_size / machine.seconds_per_step(candidate.batch_size)
        assert candidate.samples_per_second == pytest.approx(expected)


def test_the_knee_is_the_smallest_batch_with_nearly_the_highest_throughput() -> None:
    """With 1 ms overhead and 10 us a sample, 90% of batch 4096's speed takes 716 samples and more."""
    assert measured_on(FakeMachine()).knee == 1024
    assert measured_on(FakeMachine(overhead=0.0)).knee == 16


def test_only_candidates_near_the_knee_have_hope() -> None:
    """Up to four knees, and the config's own batch however large it is."""
    measured = measured_on(FakeMachine(overhead=2e-4))
    assert measured.knee == 256
    assert [c.batch_size for c in measured.hopeful(0)][-1] == 1024
    assert [c.batch_size for c in measured.hopeful(4096)][-1] == 4096


def test_out_of_memory_is_caught_and_backed_off_from() -> None:
    """The first size that does not fit is named, none above is tried, and those below are measured."""
    machine = FakeMachine(bytes_in_all=300_000)
    measured = measured_on(machine)
    assert [c.batch_size for c in measured.candidates] == [16, 32, 64, 128, 256, 512]
    assert measured.candidates[-1].verdict is Verdict.OUT_OF_MEMORY
    assert measured.candidates[-1].samples_per_second is None
    assert [c.batch_size for c in measured.hopeful(512)][-1] == 256
    assert measured.largest_that_fits == 256


def test_a_batch_that_the_memory_model_foretells_too_large_is_not_tried() -> None:
    """1000 bytes a sample, 800 kB that may be taken: 1024 is not even begun."""
    machine = FakeMachine()
    meter = FakeMeter(machine, available=1_000_000)
    measured = measured_on(machine, meter)
    assert measured.candidates[-1].verdict is Verdict.OUT_OF_MEMORY
    assert measured.candidates[-1].batch_size == 1024
    assert measured.candidates[-1].memory_bytes is None
    assert meter.started == 6
    assert measured.largest_that_fits == pytest.approx(800, abs=1)


def test_a_model_that_fits_at_no_batch_is_refused() -> None:
    """In a sentence that says what to do."""
    with pytest.raises(ConfigurationError, match="batch size 16 did not; take smaller batches"):
        measured_on(FakeMachine(bytes_in_all=10))


def test_memory_lost_after_the_scan_ends_a_candidate_only() -> None:
    """Another process may take it meanwhile."""
    machine = FakeMachine()

    def lose_memory(n: int) -> float:
        if n > 3 * len(SIZES):
            machine.bytes_in_all = 2_100_000
        return 1.0

    machine.slowdown = lose_memory
    by_size = {c.batch_size: c for c in measured_on(machine).candidates}
    assert by_size[4096].verdict is Verdict.OUT_OF_MEMORY
    assert by_size[4096].samples_per_second is None
    assert by_size[16].samples_per_second is not None


def test_other_errors_are_not_swallowed() -> None:
    """A fault of the model is no lack of memory."""

    def broken(_n: int) -> float:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        measured_on(FakeMachine(slowdown=broken))


def test_a_slow_model_is_measured_up_to_what_the_budget_allows() -> None:
    """At 1 ms a sample a batch of 4096 would take half a minute; the config's own batch is measured all the same."""
    slow = FakeMachine(per_sample=1e-3)
    assert [c.batch_size for c in measured_on(slow, budget_seconds=8.0).candidates][-1] == 128
    assert [c.batch_size for c in measured_on(slow, budget_seconds=8.0, at_least=512).candidates][-1] == 512


def test_turns_are_taken_in_lanes_and_memory_is_that_of_one() -> None:
    """Every candidate is first scanned alone."""
    machine = FakeMachine()
    started: list[tuple[int, int]] = []

    def start(candidate: Candidate, n_lanes: int) -> FakeTraining:
        started.append((candidate.batch_size, n_lanes))
        return machine.start(candidate)

    measure_throughput(
        fake_candidates(16, 32),
        start,  # type: ignore[arg-type]
        FakeMeter(machine),
        at_least=0,
        budget_seconds=60.0,
        on_part=lambda _part: None,
        n_lanes=4,
    )
    assert started[:2] == [(16, 1), (32, 1)]
    assert {n_lanes for _, n_lanes in started[2:]} == {4}


def test_lanes_that_do_not_fit_leave_one_that_does() -> None:
    """The candidate goes on alone, and its speed is that of a lane alone."""
    machine = FakeMachine()
    tried: list[int] = []

    def start(candidate: Candidate, n_lanes: int) -> FakeTraining:
        tried.append(n_lanes)
        if n_lanes * candidate.batch_size > 100:
            raise torch.OutOfMemoryError("CUDA out of memory (fake).")
        return machine.start(candidate)

    speeds = take_turns(
        timed_candidates(machine, 16, 64),
        start,  # type: ignore[arg-type]
        deadline=math.inf,
        on_part=lambda _part: None,
        n_lanes=4,
    )
    assert speeds == {size: pytest.approx(size / machine.seconds_per_step(size)) for size in (16, 64)}
    assert tried == [4, 4, 1] + [1, 4, 4, 1] * 11 + [1, 4]


def timed_candidates(machine: FakeMachine, *sizes: int) -> list[Candidate]:
    return [
        dataclasses.replace(c, samples_per_second=c.batch_size / machine.seconds_per_step(c.batch_size))
        for c in fake_candidates(*sizes)
    ]
