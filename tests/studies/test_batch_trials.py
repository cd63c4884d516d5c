"""The trials of a batch: drawn beside each other, told to sampler and pruner, and kept with all their readings."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from studies import trial_tables
from studies.batch import Told
from studies.readings import DataProbe, EpochReadings, LayerReadings
from studies.trial_calls import TrialCalls
from tests.studies.batches import batch_of, completed, statuses, work
from tests.studies.plans import study


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
