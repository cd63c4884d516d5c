"""Leases: the budget is exact, dead workers' trials come back, and a worker that was only asleep is fenced."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from studies import leases as leases_module
from studies.leases import MAX_LOSSES, N_LOSSES, REPLACES, Lease, LeaseLost, Refusal
from studies.machine import Process
from studies.recorded import open_study
from studies.records import Outcome
from tests.studies.held_leases import ELSEWHERE, begin_trial, leases_of, silence, taken
from tests.studies.plans import study


def test_a_trial_told_between_the_two_counts_is_not_overlooked(postgresql_url: str) -> None:
    """PostgreSQL lets another worker tell and release while the budget is read; it is refused, not exceeded."""
    recorded = study(postgresql_url)
    other, mine = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
    lease = taken(other)
    trial = recorded.study.ask()
    lease = other.bind(lease, trial._trial_id)
    rows = mine._rows
    real = {"n_held": rows.n_held, "n_counted": rows.n_counted}
    n_calls = 0

    def then_the_other_finishes(name: str) -> Callable[[sa.Connection], int]:
        def count(connection: sa.Connection) -> int:
            nonlocal n_calls
            counted = real[name](connection)
            n_calls += 1
            if n_calls == 1:
                recorded.study.tell(trial, 1.0)
                other.release(lease)
            return counted

        return count

    for name in real:
        setattr(rows, name, then_the_other_finishes(name))
    assert mine.take(1) in set(Refusal)
    assert n_calls == 2


class TestEveryStorage:
    """What holds on SQLite and on PostgreSQL alike."""

    def test_finished_and_held_never_exceed_the_total(self, storage_url: str) -> None:
        """With a total of 2, a third lease is refused until one comes back, and for good when both are done."""
        recorded = study(storage_url)
        leases = leases_of(recorded)
        first, second = taken(leases, 2), taken(leases, 2)
        assert leases.take(2) is Refusal.REST_IS_HELD
        leases.release(first)  # no trial came of it
        third = taken(leases, 2)
        for lease in (second, third):
            trial = recorded.study.ask()
            bound = leases.bind(lease, trial._trial_id)
            recorded.study.tell(trial, 1.0)
            leases.release(bound)
        assert leases.take(2) is Refusal.BUDGET_SPENT
        assert leases.n_counted() == 2

    def test_a_silent_workers_config_is_queued_as_a_new_trial(self, storage_url: str) -> None:
        """After the grace time the trial is FAIL and lost, not counted, and its parameters are asked again."""
        recorded = study(storage_url)
        dead, alive = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
        _, number = begin_trial(recorded, dead, x=0.25)
        assert alive.reclaim_stale() == []  # it beat a moment ago
        silence(recorded, 61)
        assert alive.reclaim_stale() == [number]
        assert alive.reclaim_stale() == []
        trials = recorded.study.trials
        assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.WAITING]
        assert trials[1].user_attrs[REPLACES] == number
        assert trials[1].system_attrs["fixed_params"] == {"x": 0.25}
        assert alive.n_counted() == 0
        assert recorded.record().trials[0].outcome is Outcome.LOST
        assert recorded.record().counts.lost == 1

    def test_a_worker_that_was_asleep_is_fenced(self, storage_url: str) -> None:
        """When its trial was given to another, its beat says so, its reports raise, and its release changes nothing."""
        recorded = study(storage_url)
        asleep, other = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
        lease = taken(asleep)
        trial = recorded.study.ask()
        lease = asleep.bind(lease, trial._trial_id)
        silence(recorded, 61)
        other.reclaim_stale()
        assert not asleep.beat(lease)
        with pytest.raises(UpdateFinishedTrialError):
            trial.report(0.5, 1)
        asleep.release(lease)
        assert other.n_counted() == 0

    def test_a_result_told_at_the_last_moment_stands(self, storage_url: str) -> None:
        """A trial that was told between death and reclaim is counted and not run again."""
        recorded = study(storage_url)
        dead, alive = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
        _, number = begin_trial(recorded, dead)
        recorded.study.tell(number, 1.0)
        silence(recorded, 61)
        assert alive.reclaim_stale() == []
        assert [trial.state for trial in recorded.study.trials] == [TrialState.COMPLETE]
        assert alive.n_counted() == 1

    def test_a_reclaim_that_died_half_way_is_finished_by_the_next(self, storage_url: str) -> None:
        """Whether it died before or after the config was queued: one copy, never two, never none."""
        for has_queued in (False, True):
            recorded = study(storage_url, name=f"queued-{has_queued}")
            dead, alive = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
            lease, number = begin_trial(recorded, dead)
            dead._rows.update(lease.lease_id, "held", status="reclaiming")
            trial = dead._reclaimer.end_as_not_counted(recorded.study.trials[0]._trial_id, was_lost=True)
            if has_queued:
                dead._reclaimer.queue_again(trial, was_lost=True)
            assert alive.take(1) is Refusal.REST_IS_HELD  # nobody takes the place of the copy
            silence(recorded, 61)
            assert alive.reclaim_stale() == [number]
            copies = [trial for trial in recorded.study.trials if trial.state is TrialState.WAITING]
            assert len(copies) == 1

    def test_a_trial_asked_for_but_not_yet_bound_comes_back(self, storage_url: str) -> None:
        """A worker killed between asking and binding leaves no RUNNING trial behind."""
        recorded = study(storage_url)
        dead, alive = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
        recorded.study.enqueue_trial({"x": 0.125})
        taken(dead)
        number = recorded.study.ask().number
        silence(recorded, 61)
        assert alive.reclaim_stale() == [number]
        waiting = recorded.study.get_trials(states=(TrialState.WAITING,))
        assert [trial.system_attrs["fixed_params"] for trial in waiting] == [{"x": 0.125}]

    def test_an_unbound_trial_is_left_alone_while_a_live_worker_may_own_it(self, storage_url: str) -> None:
        """A live worker between asking and binding keeps its trial when another worker died in the same state."""
        recorded = study(storage_url)
        dead, alive, third = (leases_of(recorded, me=me) for me in (ELSEWHERE, None, None))
        taken(dead)
        silence(recorded, 61)
        held = taken(alive)
        trial = recorded.study.ask()
        assert third.reclaim_stale() == []
        alive.bind(held, trial._trial_id)
        assert third.reclaim_stale() == []
        assert recorded.study.trials[0].state is TrialState.RUNNING

    def test_a_trial_that_nobody_owns_comes_back_after_the_grace_time(self, storage_url: str) -> None:
        """The answer to an ask was lost in an outage: no lease names the trial, and no dead worker is missed."""
        recorded = study(storage_url)
        leases = leases_of(recorded, grace=0.2)
        number = recorded.study.ask().number
        assert leases.reclaim_stale() == []
        time.sleep(0.3)
        assert leases.reclaim_stale() == [number]
        assert leases.n_counted() == 0

    def test_handing_back_queues_the_config_and_does_not_count(self, storage_url: str) -> None:
        """An interrupted trial costs nothing of the total, and its config is the next to be asked."""
        recorded = study(storage_url)
        leases = leases_of(recorded)
        lease, number = begin_trial(recorded, leases, x=0.75)
        assert leases.hand_back(lease) == number
        assert leases.n_counted() == 0
        trial = recorded.study.ask()
        assert trial.suggest_float("x", 0, 1) == 0.75
        assert trial.user_attrs == {REPLACES: number, N_LOSSES: 0}

    def test_a_config_that_kills_its_workers_is_given_up(self, storage_url: str) -> None:
        """After `MAX_LOSSES` dead workers it counts as failed, with the reason, and is not queued again."""
        recorded = study(storage_url)
        alive = leases_of(recorded)
        begin_trial(recorded, leases_of(recorded, me=ELSEWHERE))
        for _ in range(MAX_LOSSES - 1):
            silence(recorded, 61)
            alive.reclaim_stale()
            dead = leases_of(recorded, me=ELSEWHERE)
            lease = taken(dead)
            dead.bind(lease, recorded.study.ask()._trial_id)
        silence(recorded, 61)
        assert alive.reclaim_stale() == []
        record = recorded.record()
        assert record.counts.lost == MAX_LOSSES - 1
        assert record.counts.failed == 1
        assert record.trials[-1].error is not None
        assert record.trials[-1].error.type == "WorkerDied"
        assert not recorded.study.get_trials(states=(TrialState.WAITING,))

    def test_a_trial_that_failed_by_itself_counts(self, storage_url: str) -> None:
        """Its own exception is an answer: counted, and not queued again when its worker dies before releasing."""
        recorded = study(storage_url)
        dead, alive = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
        lease = taken(dead)
        trial = recorded.study.ask()
        dead.bind(lease, trial._trial_id)
        trial.set_user_attr("outcome", "failed")
        recorded.study.tell(trial, state=TrialState.FAIL)
        silence(recorded, 61)
        assert alive.reclaim_stale() == []
        assert alive.n_counted() == 1

    def test_ordinals_are_never_given_twice(self, storage_url: str) -> None:
        """They seed the samplers' streams, across workers and resumptions."""
        recorded = study(storage_url)
        ordinals = []
        for _ in range(4):
            leases = leases_of(recorded)
            lease = taken(leases)
            ordinals.append(lease.ordinal)
            trial = recorded.study.ask()
            lease = leases.bind(lease, trial._trial_id)
            recorded.study.tell(trial, 1.0)
            leases.release(lease)
        assert ordinals == [1, 2, 3, 4]

    def test_a_lease_lost_before_it_was_bound_gives_the_trial_back(self, storage_url: str) -> None:
        """A worker that slept between asking and binding trains nothing, and the trial it asked for comes again."""
        recorded = study(storage_url)
        asleep, other = leases_of(recorded, me=ELSEWHERE), leases_of(recorded)
        recorded.study.enqueue_trial({"x": 0.25})
        lease = taken(asleep)
        silence(recorded, 61)
        assert other.reclaim_stale() == []  # nothing was asked for yet: the lease is simply gone
        trial = recorded.study.ask()
        with pytest.raises(LeaseLost):
            asleep.bind(lease, trial._trial_id)
        assert [trial.state for trial in recorded.study.trials] == [TrialState.FAIL, TrialState.WAITING]
        assert recorded.study.trials[1].system_attrs["fixed_params"] == {"x": 0.25}
        assert other.n_counted() == 0
        assert isinstance(other.take(1), Lease)

    def test_a_lease_that_a_broken_loop_left_behind_comes_back(self, storage_url: str) -> None:
        """In a notebook the process lives on after an exception: its next search must not wait for itself."""
        recorded = study(storage_url)
        first = leases_of(recorded)
        _, number = begin_trial(recorded, first)
        assert leases_of(recorded).reclaim_stale() == []  # someone in this process may be at work on it
        leases_module._ours.clear()
        assert leases_of(recorded).reclaim_stale() == [number]

    def test_many_processes_share_one_total_exactly(self, storage_url: str) -> None:
        """Four processes that take as fast as they can end with exactly the wanted number of trials."""
        study(storage_url)
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_work, args=(storage_url, 25)) for _ in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        trials = open_study("first", storage_url).study.trials
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 25
        assert all(process.exitcode == 0 for process in processes)

    def test_the_heartbeat_beats_and_says_when_the_lease_is_gone(self, storage_url: str) -> None:
        """While the body runs the lease stays fresh; after another reclaimed it, ``on_loss`` is called once."""
        recorded = study(storage_url)
        leases = leases_of(recorded, me=ELSEWHERE, grace=0.3)
        observer = leases_of(recorded, grace=0.3)
        lease, _ = begin_trial(recorded, leases)
        calls: list[int] = []
        with leases.beating(lease, on_loss=lambda: calls.append(1)):
            time.sleep(0.8)
            assert observer.reclaim_stale() == []
            leases._rows.update(lease.lease_id, "held", status="reclaimed")
            time.sleep(0.4)
        assert calls == [1]


def _work(url: str, total: int) -> None:
    recorded = open_study("first", url, writable=True)
    leases = leases_of(recorded)
    while True:
        lease = leases.take(total)
        if lease is Refusal.BUDGET_SPENT:
            return
        if isinstance(lease, Refusal):
            time.sleep(0.01)
            continue
        trial = recorded.study.ask()
        lease = leases.bind(lease, trial._trial_id)
        recorded.study.tell(trial, 1.0)
        leases.release(lease)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_dead_process_of_this_machine_is_seen_at_once(sqlite_url: str) -> None:
    """No grace time passes before the trial of a killed local process comes back."""
    recorded = study(sqlite_url)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    holder = Process.of(child.pid)
    _, number = begin_trial(recorded, leases_of(recorded, me=holder))
    mine = leases_of(recorded)
    assert mine.reclaim_stale() == []
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert mine.reclaim_stale() == [number]


def test_a_reused_process_id_is_another_process() -> None:
    """The start time tells a process from a later one that was given its id."""
    me = Process.current()
    assert not me.sees_dead(me)
    assert me.sees_dead(dataclasses.replace(me, process_started=me.process_started - 1000))
    assert me.sees_dead(dataclasses.replace(me, process_id=2**22 + 1))
    assert not me.sees_dead(ELSEWHERE)
