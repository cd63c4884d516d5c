"""Many trials at once: one transaction each for asking, an epoch and telling, and nothing doubled, mixed up or lost."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from studies import tables, trial_tables
from studies.batch import Batch, Told
from studies.leases import REPLACES, Lease, Leases, Refusal
from studies.machine import Process
from studies.outages import ServerStorage
from studies.readings import DataProbe, EpochReadings, LayerReadings, StepReadings
from studies.recorded import RecordedStudy, open_study
from studies.trial_calls import TrialCalls
from tests.studies.plans import study

ELSEWHERE = Process(machine="another-node", process_id=1, process_started=0.0)


def batch_of(recorded: RecordedStudy, *, me: Process | None = None) -> Batch:
    batch = Batch(recorded, leases=Leases(recorded.storage, recorded.study, me=me))
    batch.study.sampler = optuna.samplers.RandomSampler(seed=0)
    return batch


def held(batch: Batch, n: int, n_wanted: int | None = None) -> list[tuple[Lease, optuna.Trial]]:
    leases = batch.leases.take_many(n, n_wanted)
    assert not isinstance(leases, Refusal)
    return batch.ask_under(leases)


def completed(trial: optuna.Trial, lease: Lease | None = None, value: float = 0.5) -> Told:
    attributes = {"outcome": "completed"}
    return Told(trial=trial, state=TrialState.COMPLETE, value=value, attributes=attributes, lease=lease)


def statuses(recorded: RecordedStudy) -> list[str]:
    with recorded.storage.engine.begin() as connection:
        query = sa.select(tables.leases.c.status).order_by(tables.leases.c.ordinal)
        return list(connection.scalars(query))


def steps(epoch: int) -> StepReadings:
    ones = np.ones(4, dtype=np.float32)
    return StepReadings(
        epoch=epoch, train_loss=ones, learning_rate=ones, gradient_norm=ones, clipped=ones > 2
    )


@contextmanager
def counted_commits(recorded: RecordedStudy) -> Iterator[list[int]]:
    """Counts into the list while the body runs."""
    commits: list[int] = []

    def note(_connection: sa.Connection) -> None:
        commits.append(1)

    sa.event.listen(recorded.storage.engine, "commit", note)
    yield commits
    sa.event.remove(recorded.storage.engine, "commit", note)


def work(batch: Batch, n: int, *, n_epochs: int = 2) -> list[int]:
    """What a worker does with a cohort, from the leases to the last result; the trials' numbers."""
    trials = held(batch, n)
    for _, trial in trials:
        trial.suggest_float("x", 0, 1)
    batch.flush()
    for epoch in range(n_epochs):
        for _, trial in trials:
            batch.save_epoch(trial._trial_id, EpochReadings(epoch=epoch, train_loss=1.0), steps(epoch))
            trial.report(epoch / 10, epoch)
        assert batch.flush() == frozenset()
    assert batch.tell([completed(trial, lease) for lease, trial in trials]) == frozenset()
    return [trial.number for _, trial in trials]


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


def told_of(trial: Any) -> dict[str, Any]:
    telemetry = trial.telemetry
    return {
        "number": trial.number,
        "state": trial.state,
        "outcome": trial.outcome,
        "value": trial.value,
        "params": trial.params,
        "intermediate_values": trial.intermediate_values,
        "epochs": [(row.epoch, row.train_loss) for row in telemetry.epochs],
        "steps": [block.train_loss.tolist() for block in telemetry.steps],
    }


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
        "from tests.studies.test_batch import batch_of, held, open_study\n"
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


def test_an_unknown_schema_is_worked_on_call_by_call(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, and the study ends as it does elsewhere."""
    monkeypatch.setattr(trial_tables, "KNOWN_SCHEMA", "v9")
    recorded = study(sqlite_url)
    with caplog.at_level(logging.WARNING, logger="studies.batch"):
        batch = batch_of(recorded)
    assert "Trials are written one by one, which is slower" in caplog.text
    assert isinstance(batch._storage._store, TrialCalls)
    recorded.study.enqueue_trial({"x": 0.125})
    assert work(batch, 3) == [0, 1, 2]
    assert recorded.study.trials[0].params == {"x": 0.125}
    assert [trial.values for trial in recorded.study.trials] == [[0.5]] * 3
    assert statuses(recorded) == ["done"] * 3


def test_the_engine_of_servers_is_not_loaded_for_sqlite() -> None:
    """It takes a tenth of a second, in each worker."""
    code = "import sys, studies.batch; sys.exit('sqlalchemy.dialects.postgresql' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode
        == 0
    )


def test_samplers_and_pruners_see_the_batch(sqlite_url: str) -> None:
    """TPE draws each trial beside those just drawn, and a pruner decides on readings that are not written yet."""
    recorded = study(sqlite_url)
    batch = batch_of(recorded)
    batch.study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=2)
    batch.study.pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    good = batch.ask(4)
    for trial in good:
        trial.suggest_float("x", 0, 1)
        trial.report(0.9, 1)
    batch.tell([completed(trial, value=trial.params["x"]) for trial in good])
    later = batch.ask(4)
    values = [trial.suggest_float("x", 0, 1) for trial in later]
    assert len(set(values)) == 4
    later[0].report(0.1, 1)
    later[1].report(0.95, 1)
    assert [trial.should_prune() for trial in later[:2]] == [True, False]
    assert all("tpe:relative_params:0" in trial.system_attrs for trial in batch.study.get_trials()[4:])


def test_a_batch_s_trials_are_drawn_beside_each_other(sqlite_url: str) -> None:
    """All are asked for before the first is suggested, and yet each suggestion sees those before it."""
    n_seen: list[int] = []

    class Looking(optuna.samplers.RandomSampler):
        def sample_independent(self, study: Any, *arguments: Any) -> Any:
            running = study._get_trials(deepcopy=False, states=(TrialState.RUNNING,), use_cache=True)
            n_seen.append(sum(bool(trial.params) for trial in running))
            return super().sample_independent(study, *arguments)

    batch = batch_of(study(sqlite_url))
    batch.study.sampler = Looking()
    for trial in batch.ask(4):
        trial.suggest_float("x", 0, 1)
    assert n_seen == [0, 1, 2, 3]


def test_the_sampler_is_told_of_each_result(sqlite_url: str) -> None:
    """Once a trial, with its state and values, as by `optuna.Study.tell`."""
    calls: list[tuple[int, TrialState, Any]] = []

    class Watching(optuna.samplers.RandomSampler):
        def after_trial(self, _study: Any, trial: Any, state: TrialState, values: Any) -> None:
            calls.append((trial.number, state, values))

    batch = batch_of(study(sqlite_url))
    batch.study.sampler = Watching()
    first, second = batch.ask(2)
    batch.tell([completed(first), Told(trial=second, state=TrialState.FAIL)])
    assert calls == [(0, TrialState.COMPLETE, [0.5]), (1, TrialState.FAIL, None)]


def test_a_result_is_told_with_a_value_or_without() -> None:
    """Only a complete trial has one; the rest is a mistake of the caller's."""
    with pytest.raises(ValueError, match="must have a value and others none, but got PRUNED with"):
        Told(trial=None, state=TrialState.PRUNED, value=0.5)  # type: ignore[arg-type] - not looked at
    with pytest.raises(ValueError, match="got COMPLETE with None"):
        Told(trial=None, state=TrialState.COMPLETE)  # type: ignore[arg-type]


def test_probes_and_layers_are_kept(sqlite_url: str) -> None:
    """What is probed before the first step, and each layer's readings, go the same way as through the tables."""
    recorded = study(sqlite_url)
    batch = batch_of(recorded)
    (trial,) = batch.ask(1)
    probe = DataProbe(
        n_train=2, n_validation=1, n_test=0, input_min=0.0, input_max=1.0, input_mean=0.5, input_std=0.5
    )
    layer = LayerReadings(name="0", gradient_norm=0.5)
    batch.save_probes(trial._trial_id, None, probe)
    batch.save_epoch(trial._trial_id, EpochReadings(epoch=0, train_loss=1.0, layers=(layer,)), None)
    assert recorded.telemetry.read() == {}
    batch.flush()
    telemetry = recorded.telemetry.read()[trial._trial_id]
    assert telemetry.data == probe
    assert telemetry.epochs[0].layers[0].gradient_norm == 0.5
