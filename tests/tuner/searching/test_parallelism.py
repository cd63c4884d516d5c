"""Workers, threads and lanes: the rules, and what a probe's answers lead to."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Lever, preset
from tuner.searching import parallelism
from tuner.searching.lane_probe import typical_config
from tuner.searching.objective import Objective
from tuner.searching.parallelism import (
    CLEAR_GAIN,
    MAX_LANES,
    PROBE_SECONDS,
    ROUNDS_TO_LEARN,
    USUAL_LANES,
    LaneChoice,
    choose_lanes,
    choose_parallelism,
)
from tuner.searching.worker_count import MAX_DEFAULT_WORKERS, WORKER_BYTES, choose_workers
from tuner.training.lanes.structure import structure_of

OBJECTIVE = Objective("quick", "digits", epochs=2)


def structure_searched(mark: Callable[[Lever], bool] = lambda lever: lever.structural) -> Objective:
    """Over a space with structural levers, as a file may mark them."""
    space = preset("mlp")
    levers = tuple(dataclasses.replace(lever, structural=mark(lever)) for lever in space)
    return Objective(dataclasses.replace(space, levers=levers), "digits", epochs=2)


every_mark = pytest.mark.parametrize(
    "mark", [lambda lever: lever.structural, lambda _lever: False, lambda lever: not lever.structural]
)
"""The catalog's, none, and all wrong: structural is what lanes must agree on, whatever a file of someone's own says."""


@dataclass
class FakeProbe:
    """Lanes whose steps take what ``seconds`` says; ``own`` times as long where each has its own data order."""

    seconds: Callable[[int], float]
    own: float = 1.0
    fits: int = 10**6
    asked: list[int] = field(default_factory=list)

    def seconds_per_lane_step(self, n_lanes: int, *, own_orders: bool = False) -> float:
        self.asked.append(n_lanes)
        if n_lanes > self.fits:
            raise RuntimeError("DefaultCPUAllocator: not enough memory")
        return self.seconds(n_lanes) * (self.own if own_orders else 1.0)

    def bytes_per_lane(self, n_lanes: int) -> int | None:  # noqa: ARG002
        return None


def chosen(
    probe: FakeProbe, *, n_trials: int = 1000, objective: Objective = OBJECTIVE, **asked: object
) -> LaneChoice:
    return choose_lanes(objective, n_trials=n_trials, n_workers=2, probe=probe, **asked)  # type: ignore[arg-type]


def shared(n_lanes: int) -> float:
    """A third of a lane's step is shared by all."""
    return 1e-4 * (2 + 1 / n_lanes)


def full_cache(n_lanes: int) -> float:
    """The weights of more than four lanes no longer fit."""
    return shared(n_lanes) * (1.5 if n_lanes > 4 else 1.0)


def test_lanes_are_doubled_while_that_pays() -> None:
    """Sharing a third: 2 lanes gain 17 %, 4 gain 10 %, 8 gain 5.6 %, 16 gain 2.9 %, which is nothing clear."""
    found = chosen(FakeProbe(shared))
    assert found.n_lanes == 8
    assert [n for n, _ in found.measured] == [1, 2, 4, 8, 16]
    assert found.reason.startswith("8 lanes a worker: ")


def test_lanes_stop_where_the_cache_is_full() -> None:
    """Small cohorts can beat large ones; after two doublings that lost no larger one is tried."""
    found = chosen(FakeProbe(full_cache))
    assert found.n_lanes == 4
    assert found.reason == (
        "4 lanes a worker: a step of a lane takes 300 us alone and 225 us among 4; "
        "more than 2 were less than 10% cheaper, if at all."
    )
    assert [n for n, _ in chosen(FakeProbe(lambda _n: 1.0)).measured] == [1, 2, 4]


def test_lanes_that_gain_nothing_train_alone() -> None:
    """As models that are one large product each."""
    assert chosen(FakeProbe(lambda _n: 1e-3)).n_lanes == 1


@settings(deadline=None)
@given(noise=st.lists(st.floats(0.98, 1.04), min_size=5, max_size=5))
def test_the_answer_does_not_hang_on_a_timings_noise(noise: list[float]) -> None:
    """The seconds measured for MNIST at batch 128: between 4, 8 and 16 lanes lies less than timings vary."""
    seconds = {1: 650e-6, 2: 470e-6, 4: 400e-6, 8: 385e-6, 16: 371e-6}
    noisy = {n: each * factor for (n, each), factor in zip(seconds.items(), noise, strict=True)}
    assert chosen(FakeProbe(lambda n: noisy[n])).n_lanes == USUAL_LANES["cpu"]


def test_a_process_first_steps_say_nothing_of_how_long_more_lanes_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They take longer by the choice of kernels; a model that is slow anyway is not probed further."""
    now = 0.0

    def slow_at_first(seconds: float) -> FakeProbe:
        def of(n_lanes: int) -> float:
            nonlocal now
            now += seconds if len(probe.asked) == 1 else 0.001 * n_lanes
            return shared(n_lanes)

        probe = FakeProbe(of)
        return probe

    monkeypatch.setattr(parallelism, "clock_of", lambda _device: lambda: now)
    assert chosen(slow_at_first(0.9 * PROBE_SECONDS)).n_lanes == USUAL_LANES["cpu"]
    slow = chosen(slow_at_first(1.1 * PROBE_SECONDS))
    assert (slow.n_lanes, len(slow.measured)) == (1, 1)
    assert "took longer than 0.4 s" in slow.reason


def test_what_was_measured_before_the_time_was_over_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is not what was chosen: as a model of a user's own, of which two lanes gain nothing."""
    now = 0.0

    def of(n_lanes: int) -> float:
        nonlocal now
        now += 0.4 * PROBE_SECONDS if n_lanes == 2 else 0.0
        return 1e-3

    monkeypatch.setattr(parallelism, "clock_of", lambda _device: lambda: now)
    found = chosen(FakeProbe(of))
    assert found.measured == ((1, 1e-3), (2, 1e-3))
    assert found.reason == (
        "1 lane a worker: a step of a lane takes 1,000 us alone and 1,000 us among 2; "
        "more than 2 were not measured within 0.4 s."
    )


def test_larger_cohorts_than_usual_are_taken_where_they_are_clearly_cheaper() -> None:
    """As for a network of many small operations."""
    assert chosen(FakeProbe(lambda n: 1e-3 / n)).n_lanes == 16


@pytest.mark.parametrize(
    "error", [ValueError("no\nsuch layer"), SystemExit(0), RuntimeError("out of memory")]
)
def test_a_model_that_breaks_is_left_to_its_trials(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """What was asked for is kept; the reason and the log say what happened, in one line."""

    def breaks(_n_lanes: int) -> float:
        raise error

    found = chosen(FakeProbe(breaks))
    assert (found.n_lanes, found.refills, found.measured) == (1, False, ())
    assert found.reason.startswith(
        f"1 lane, since the probe of lanes ended with {type(error).__name__} at test_"
    )
    assert caplog.messages == [found.reason]
    assert "\n" not in found.reason
    assert chosen(FakeProbe(breaks), lanes=3, pruner="median").n_lanes == 3


def test_what_does_not_fit_is_not_taken() -> None:
    """The memory decides before the gain does."""
    found = chosen(FakeProbe(shared, fits=2))
    assert found.n_lanes == 2
    assert "4 did not fit into memory" in found.reason


@settings(deadline=None)
@given(
    gains=st.lists(st.floats(0.2, 1.3), min_size=5, max_size=5),
    n_trials=st.integers(1, 400),
    n_workers=st.integers(1, 8),
)
def test_no_cohort_is_larger_than_a_workers_share_or_than_what_was_measured(
    gains: list[float], n_trials: int, n_workers: int
) -> None:
    """Whatever the machine is like; and nothing that was measured is clearly cheaper."""
    seconds = {1: 1e-3}
    for place, gain in enumerate(gains):
        seconds[2 ** (place + 1)] = seconds[2**place] * gain
    probe = FakeProbe(lambda n: seconds.get(n, 1e-3))
    found = choose_lanes(OBJECTIVE, n_trials=n_trials, n_workers=n_workers, probe=probe)
    assert 1 <= found.n_lanes <= min(-(-n_trials // n_workers), MAX_LANES["cpu"])
    if found.measured:
        cheapest = min(seconds for _, seconds in found.measured)
        nearly = [n for n, seconds in found.measured if (1 - CLEAR_GAIN) * seconds <= cheapest]
        assert found.n_lanes <= max(nearly[0], min(USUAL_LANES["cpu"], nearly[-1]))


def test_cohorts_of_a_worker_are_of_one_size() -> None:
    """25 trials a worker in cohorts of 8 would leave one trial alone: 4 cohorts of up to 7 take as long."""
    assert chosen(FakeProbe(shared), n_trials=50).n_lanes == 7


def test_a_sampler_that_learns_gets_smaller_cohorts() -> None:
    """TPE must have seen something before it can propose: random search need not."""
    n_trials = 2 * 4 * ROUNDS_TO_LEARN
    learning = chosen(FakeProbe(shared), n_trials=n_trials, sampler="tpe")
    assert learning.n_lanes == 4
    assert "tpe learns" in learning.reason
    assert chosen(FakeProbe(shared), n_trials=n_trials, sampler="random").n_lanes > 4


@every_mark
def test_where_structures_are_searched_nothing_is_refilled_or_probed_for_it(
    mark: Callable[[Lever], bool],
) -> None:
    """What was asked for would wait for a cohort of its own; the number of lanes is what it is without them."""
    objective = structure_searched(mark)
    found = chosen(FakeProbe(shared, own=1.01), objective=objective, pruner="median")
    assert (found.n_lanes, found.refills) == (8, False)
    assert "refilled" not in found.reason


@every_mark
def test_the_probe_trains_the_default_structure(mark: Callable[[Lever], bool]) -> None:
    """With rates and decay in the middle of their ranges."""
    objective = structure_searched(mark)
    config = typical_config(objective)
    assert config == typical_config(structure_searched())
    assert structure_of(config) == structure_of(objective.base_config)
    assert config.weight_decay != objective.base_config.weight_decay


def test_one_trial_is_not_probed() -> None:
    """There is nothing to choose."""
    probe = FakeProbe(shared)
    assert chosen(probe, n_trials=2).n_lanes == 1
    assert probe.asked == []


def test_who_asks_for_lanes_gets_them() -> None:
    """Unprobed."""
    probe = FakeProbe(shared)
    found = chosen(probe, lanes=5)
    assert (found.n_lanes, found.reason, probe.asked) == (5, "5 lanes as asked for.", [])


@pytest.mark.parametrize(("own", "refills"), [(1.01, True), (1.3, False)])
def test_lanes_are_refilled_where_their_own_data_order_costs_less_than_a_half_empty_cohort(
    own: float, refills: bool
) -> None:
    """Only where lanes end before their cohort."""
    found = chosen(FakeProbe(shared, own=own), pruner="median")
    assert found.refills is refills
    assert "us with a data order of its own, and 225 us in a cohort of 4." in found.reason
    assert not chosen(FakeProbe(shared, own=own), pruner="none").refills


def test_the_cpu_gets_a_worker_a_core_with_one_thread() -> None:
    """Two threads of one process lose to two processes."""
    found = choose_workers(device="cpu", n_cores=6, n_trials=50)
    assert (found.n_workers, found.n_threads) == (6, 1)
    assert choose_workers(device="cpu", n_cores=200, n_trials=500).n_workers == MAX_DEFAULT_WORKERS


def test_no_more_workers_than_trials_and_memory() -> None:
    """Each worker has its own copy of the data; cores that are left over become threads."""
    assert choose_workers(device="cpu", n_cores=8, n_trials=3).n_workers == 3
    assert choose_workers(device="cpu", n_cores=8, n_trials=0).n_workers == 1
    found = choose_workers(
        device="cpu", n_cores=8, n_trials=50, data_bytes=2**30, available_bytes=2 * (WORKER_BYTES + 3 * 2**30)
    )
    assert (found.n_workers, found.n_threads) == (1, 8)
    assert "memory" in found.reason
    assert choose_workers(device="cpu", n_cores=1, n_trials=5, available_bytes=0).n_workers == 1


def test_an_accelerator_gets_one_worker_and_a_person_what_they_ask_for() -> None:
    """Even more than there are cores."""
    assert choose_workers(device="cuda", n_cores=16, n_trials=50).n_workers == 1
    found = choose_workers(device="cpu", n_cores=2, n_trials=50, workers=5)
    assert (found.n_workers, found.n_threads) == (5, 1)


def test_all_three_are_chosen_together() -> None:
    """The reason tells both parts."""
    found = choose_parallelism(OBJECTIVE, n_trials=1000, n_cores=2, probe=FakeProbe(full_cache))
    assert (found.workers, found.threads, found.lanes.n_lanes) == (2, 1, 4)
    assert "2 workers of 1 thread" in found.reason
    assert "4 lanes a worker" in found.reason
