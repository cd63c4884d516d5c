"""Many trials at once: one transaction each for asking, an epoch and telling, and nothing doubled, mixed up or lost."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from studies import tables
from studies.batch import Told
from studies.leases import REPLACES, Lease, Leases, Refusal
from studies.machine import Process
from studies.outages import ServerStorage
from studies.readings import EpochReadings
from studies.recorded import RecordedStudy, open_study
from tests.studies.batches import batch_of, completed, counted_commits, held, statuses, steps, told_of, work
from tests.studies.plans import study

ELSEWHERE = Process(machine="another-node", process_id=1, process_started=0.0)


class TestEveryStorage:
    """What holds on SQLite and on PostgreSQL alike."""

    def test_a_cohort_leaves_what_single_trials_leave(self, storage_url: str) -> None:
        """Told in a batch or one by one through Optuna, the study's record is the same but for the times."""
        batched, single = study(storage_url, "batched"), study(storage_url, "single")
        work(batch_of(batched), 3)
        single.study.sampler = optuna.samplers.RandomSampler(seed=0)
        leases = Leases(single.storage, single.study)
        pairs = []
        for _ in range(3):
            lease = leases.take(None)
            assert isinstance(lease, Lease)
            trial = single.study.ask()
            pairs.append((leases.bind(lease, trial._trial_id), trial))
        for _, trial in pairs:
            trial.suggest_float("x", 0, 1)
        for lease, trial in pairs:
            for epoch in range(2):
                readings = EpochReadings(epoch=epoch, train_loss=1.0)
                single.telemetry.save_epoch(trial._trial_id, readings, steps(epoch))
                trial.report(epoch / 10, epoch)
            trial.set_user_attr("outcome", "completed")
            single.study.tell(trial, 0.5)
            leases.release(lease)
        assert [told_of(trial) for trial in batched.record(steps=True).trials] == [
            told_of(trial) for trial in single.record(steps=True).trials
        ]
        with batched.storage.engine.begin() as connection:
            query = sa.select(tables.leases.c.study_id, tables.leases.c.ordinal, tables.leases.c.status)
            rows = {tuple(row) for row in connection.execute(query)}
        expected = [(ordinal, "done") for ordinal in (1, 2, 3)]
        for recorded in (batched, single):
            assert sorted((o, s) for study_id, o, s in rows if study_id == recorded.study_id) == expected

    def test_each_part_is_one_transaction(self, storage_url: str) -> None:
        """Leases, asking, parameters, an epoch with telemetry and readings, telling: one commit for all lanes."""
        recorded = study(storage_url)
        batch = batch_of(recorded)
        parts: dict[str, Callable[[], Any]] = {}
        taken: dict[str, Any] = {}
        parts["take"] = lambda: taken.update(leases=batch.leases.take_many(16, 100))
        parts["ask"] = lambda: taken.update(held=batch.ask_under(taken["leases"]))
        parts["suggest"] = lambda: [trial.suggest_float("x", 0, 1) for _, trial in taken["held"]]
        parts["flush"] = batch.flush
        parts["report"] = lambda: [trial.report(0.5, 1) for _, trial in taken["held"]]
        parts["epoch"] = batch.flush
        parts["tell"] = lambda: batch.tell([completed(trial, lease) for lease, trial in taken["held"]])
        n_commits = {}
        for name, part in parts.items():
            with counted_commits(recorded) as commits:
                part()
            n_commits[name] = len(commits)
        # Suggesting reads other workers' trials once, for the distributions' sake.
        assert n_commits == {
            "take": 1,
            "ask": 1,
            "suggest": 1,
            "flush": 1,
            "report": 0,
            "epoch": 1,
            "tell": 1,
        }

    def test_the_total_is_shared_among_batches(self, storage_url: str) -> None:
        """A batch gets what the total leaves, then nothing while others hold the rest, then the end."""
        recorded = study(storage_url)
        first, second = batch_of(recorded), batch_of(recorded)
        mine = held(first, 3, 5)
        rest = held(second, 3, 5)
        assert [len(mine), len(rest)] == [3, 2]
        assert first.leases.take_many(3, 5) is Refusal.REST_IS_HELD
        first.tell([completed(trial, lease) for lease, trial in mine])
        second.tell([completed(trial, lease) for lease, trial in rest])
        assert first.leases.take_many(3, 5) is Refusal.BUDGET_SPENT
        assert [lease.ordinal for lease, _ in mine + rest] == [1, 2, 3, 4, 5]

    def test_a_lease_that_was_taken_away_gets_no_trial(self, storage_url: str) -> None:
        """A worker that slept between taking and asking leaves no trial without an owner."""
        recorded = study(storage_url)
        asleep = batch_of(recorded, me=ELSEWHERE)
        leases = asleep.leases.take_many(3, None)
        assert not isinstance(leases, Refusal)
        with recorded.storage.engine.begin() as connection:
            mine = sa.update(tables.leases).where(tables.leases.c.lease_id == leases[1].lease_id)
            connection.execute(mine.values(status="reclaiming"))
        trials = asleep.ask_under(leases)
        assert [lease.lease_id for lease, _ in trials] == [leases[0].lease_id, leases[2].lease_id]
        assert [trial.number for _, trial in trials] == [0, 1]
        assert len(recorded.study.trials) == 2
        assert [lease.trial_id for lease, _ in trials] == [trial._trial_id for _, trial in trials]

    def test_pruned_and_failed_trials_are_told_with_the_others(self, storage_url: str) -> None:
        """A pruned trial's value is its last reading, as with Optuna; a failed one has none."""
        recorded = study(storage_url)
        batch = batch_of(recorded)
        first, second, third = batch.ask(3)
        second.report(0.25, 1)
        second.report(0.75, 2)
        lost = batch.tell(
            [
                completed(first),
                Told(trial=second, state=TrialState.PRUNED, attributes={"outcome": "pruned"}),
                Told(trial=third, state=TrialState.FAIL),
            ]
        )
        told = [(trial.state.name, trial.value) for trial in recorded.study.trials]
        assert (lost, told) == (frozenset(), [("COMPLETE", 0.5), ("PRUNED", 0.75), ("FAIL", None)])
        assert recorded.study.trials[1].intermediate_values == {1: 0.25, 2: 0.75}

    def test_a_trial_that_was_taken_over_is_lost_alone(self, storage_url: str) -> None:
        """Neither its result nor its telemetry is written, its new owner's state stands, and the others are told."""
        recorded = study(storage_url)
        batch = batch_of(recorded)
        (taken, first), (lease, second) = held(batch, 2)
        for trial in (first, second):
            batch.save_epoch(trial._trial_id, EpochReadings(epoch=1, train_loss=1.0), None)
            trial.report(0.5, 1)
        Leases(recorded.storage, recorded.study).hand_back(taken)
        assert batch.tell([completed(first, taken), completed(second, lease)]) == {first._trial_id}
        states = [trial.state.name for trial in recorded.study.trials]
        assert states == ["FAIL", "COMPLETE", "WAITING"]
        assert list(recorded.telemetry.read()) == [second._trial_id]
        assert statuses(recorded) == ["reclaimed", "done"]
        assert batch.tell([completed(first, taken)]) == frozenset()  # passed over, and reported before

    def test_handing_back_queues_every_config(self, storage_url: str) -> None:
        """A stopped worker's lanes cost nothing of the total, keep what they read, and are asked again first."""
        recorded = study(storage_url)
        batch = batch_of(recorded)
        trials = held(batch, 3)
        params = [trial.suggest_float("x", 0, 1) for _, trial in trials]
        for _, trial in trials:
            trial.report(0.5, 1)
        assert batch.hand_back([lease for lease, _ in trials]) == frozenset()
        states = [trial.state.name for trial in batch.study.get_trials()]
        assert states == ["FAIL"] * 3 + ["WAITING"] * 3
        assert batch.flush() == frozenset()
        assert batch.leases.n_counted() == 0
        again = held(batch, 4, 4)
        assert [trial.user_attrs.get(REPLACES) for _, trial in again] == [0, 1, 2, None]
        assert [trial.suggest_float("x", 0, 1) for _, trial in again][:3] == params
        assert recorded.study.trials[0].intermediate_values == {1: 0.5}

    def test_what_is_found_lost_at_handing_back_is_said(self, storage_url: str) -> None:
        """Of the trials that stay in hand as well: nothing more may be set on those."""
        recorded = study(storage_url)
        batch = batch_of(recorded)
        (lease, _), (taken, stays) = held(batch, 2)
        Leases(recorded.storage, recorded.study).hand_back(taken)
        assert batch.hand_back([lease]) == {stays._trial_id}

    def test_many_processes_share_one_total_and_one_queue(self, storage_url: str) -> None:
        """Two processes that work in batches train each enqueued config once, and exactly the wanted number."""
        recorded = study(storage_url)
        for index in range(20):
            recorded.study.enqueue_trial({"x": index / 100})
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=_work, args=(storage_url, 30)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
        trials = recorded.study.trials
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 30
        assert [trial.number for trial in trials] == list(range(30))
        assert [trial.params["x"] for trial in trials[:20]] == [index / 100 for index in range(20)]
        assert all(trial.values == [trial.params["x"]] for trial in trials)
        assert all(trial.intermediate_values == {0: 0.0, 1: 1.0} for trial in trials)


def _work(url: str, total: int) -> None:
    batch = batch_of(open_study("first", url, writable=True))
    while True:
        leases = batch.leases.take_many(4, total)
        if leases is Refusal.BUDGET_SPENT:
            return
        if isinstance(leases, Refusal):
            time.sleep(0.01)
            continue
        trials = batch.ask_under(leases)
        values = [trial.suggest_float("x", 0, 1) for _, trial in trials]
        for epoch in (0, 1):
            for _, trial in trials:
                trial.report(float(epoch), epoch)
            batch.flush()
        results = [
            completed(trial, lease, value) for (lease, trial), value in zip(trials, values, strict=True)
        ]
        batch.tell(results)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_worker_loses_an_epoch_s_readings_and_no_config(sqlite_url: str) -> None:
    """Killed between two flushes: its trials come back with their parameters, and keep what was flushed."""
    recorded = study(sqlite_url)
    code = (
        "import sys, time\n"
        "from studies.recorded import open_study\n"
        "from tests.studies.batches import batch_of, held\n"
        "batch = batch_of(open_study('first', sys.argv[1], writable=True))\n"
        "trials = held(batch, 3)\n"
        "[trial.suggest_float('x', index / 10, index / 10) for index, (_, trial) in enumerate(trials)]\n"
        "[trial.report(0.5, 1) for _, trial in trials]\n"
        "batch.flush()\n"
        "[trial.report(0.75, 2) for _, trial in trials]\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    root = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", code, sqlite_url],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    batch = batch_of(recorded)
    assert batch.leases.reclaim_stale() == [0, 1, 2]
    again = held(batch, 3)
    assert [trial.suggest_float("x", 0, 1) for _, trial in again] == [0.0, 0.1, 0.2]
    lost = [trial for trial in recorded.study.trials if trial.state is TrialState.FAIL]
    assert [trial.intermediate_values for trial in lost] == [{1: 0.5}] * 3


class TestRepeated:
    """Every transaction made twice, as after an answer that was lost in an outage."""

    def test_nothing_is_doubled(self, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leases, trials, parameters, readings, telemetry and results are there once, and none counts as lost."""
        recorded = study(sqlite_url)
        server = ServerStorage(sqlite_url)
        monkeypatch.setattr(server, "ride_out", lambda call: (call(), call())[1])
        batch = batch_of(_on(recorded, server))
        assert work(batch, 3) == [0, 1, 2]
        monkeypatch.undo()
        trials = recorded.study.trials
        assert [trial.values for trial in trials] == [[0.5]] * 3
        assert [trial.intermediate_values for trial in trials] == [{0: 0.0, 1: 0.1}] * 3
        assert statuses(recorded) == ["done"] * 3
        assert len(recorded.telemetry.epochs_frame()) == 6
        server.engine.dispose()


def _on(recorded: RecordedStudy, storage: ServerStorage) -> RecordedStudy:
    return RecordedStudy(
        name=recorded.name, url=recorded.url, storage=storage, study=recorded.study, plan=recorded.plan
    )
