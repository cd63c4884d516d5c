"""Where the telemetry of a watched loop goes, and what Optuna is told."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch import nn

import studies
import tuner
from search_spaces.errors import ConfigurationError
from studies.readings import EpochReadings
from studies.recorded import open_study
from studies.records import Outcome, TrialRecord
from tests.tuner.training.watching.loops import Loop, network, validation, watched
from tuner.training.watching.keeping import OwnTrial

ROOT = Path(__file__).parents[4]


def recorded(name: str, url: str) -> tuple[TrialRecord, ...]:
    return open_study(name, url).record(steps=True).trials


def test_a_study_is_made_and_gets_a_trial_a_loop(storage_url: str) -> None:
    """Completed, with the best epoch's validation accuracy, and everything that was read."""
    loops = [watched(Loop(), study="mine", storage=storage_url, validation=validation()) for _ in range(2)]
    trials = recorded("mine", storage_url)
    assert [trial.outcome for trial in trials] == [Outcome.COMPLETED] * 2
    for trial, watch in zip(trials, loops, strict=True):
        accuracies = watch.telemetry.series("validation_accuracy")[1:]
        assert trial.value == accuracies.max()
        assert trial.telemetry is not None
        for part in ("epochs", "step_zero", "data", "code"):  # as text: one NaN is not another
            assert repr(getattr(trial.telemetry, part)) == repr(getattr(watch.telemetry, part))
        assert (
            trial.telemetry.step_series("train_loss").tolist()
            == watch.telemetry.step_series("train_loss").tolist()
        )
        assert trial.intermediate_values == dict(enumerate(accuracies.tolist(), start=1))


def test_the_config_is_what_can_be_seen(sqlite_url: str) -> None:
    """Of the optimizer, the model and the minibatches, and what the user says of the rest."""
    watched(Loop(accumulation=2), study="mine", storage=sqlite_url, config={"clip_norm": 0.5})
    (trial,) = recorded("mine", sqlite_url)
    assert trial.config == {
        "optimizer": "sgd",
        "learning_rate": 0.2,
        "momentum": 0,
        "nesterov": False,
        "weight_decay": 0,
        "batch_size": 32,
        "accumulation_steps": 2,
        "dropout": 0.1,
        "normalization": "none",
        "activation": "relu",
        "depth": 1,
        "width": 32,
        "epochs": 2,
        "clip_norm": 0.5,
    }


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("theirs"), Outcome.FAILED),
        (KeyboardInterrupt(), Outcome.INTERRUPTED),
        (optuna.TrialPruned(), Outcome.PRUNED),
    ],
)
def test_a_loop_that_breaks_off_leaves_what_was_read(
    error: BaseException, outcome: Outcome, sqlite_url: str
) -> None:
    """The epochs that were over, the steps of the one that was not, and how it ended."""

    def order() -> torch.Tensor:
        orders.append(0)
        if len(orders) == 2:
            raise error
        return torch.arange(64)

    orders: list[int] = []
    with pytest.raises(type(error)):
        watched(Loop(order=order), study="mine", storage=sqlite_url)
    (trial,) = recorded("mine", sqlite_url)
    assert trial.outcome is outcome
    assert trial.telemetry is not None
    assert [row.epoch for row in trial.telemetry.epochs] == [0, 1]
    assert (trial.error is not None) == (outcome is Outcome.FAILED)
    if trial.error is not None:
        assert (trial.error.type, trial.error.message) == ("ValueError", "theirs")


def test_a_loop_that_breaks_off_at_once_is_a_failed_trial(sqlite_url: str) -> None:
    """Before anything was read."""
    with pytest.raises(ZeroDivisionError):
        watched(Loop(loss=lambda _outputs, _y: 1 / 0), study="mine", storage=sqlite_url)
    assert [trial.outcome for trial in recorded("mine", sqlite_url)] == [Outcome.FAILED]


def test_infinite_parameters_are_a_divergence(sqlite_url: str) -> None:
    """Told to Optuna as pruned; no value."""

    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=1e30)

    watched(Loop(optimizer=optimizer), study="mine", storage=sqlite_url)
    (trial,) = recorded("mine", sqlite_url)
    assert (trial.outcome, trial.state, trial.value) == (Outcome.DIVERGED, "pruned", None)


def test_the_metric_is_what_the_loop_has(sqlite_url: str) -> None:
    """Without an accuracy the loss, which is to be minimized."""
    x, y = torch.randn(64, 5), torch.randn(64, 1)
    model = nn.Linear(5, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with tuner.watch(model, optimizer, study="numbers", storage=sqlite_url, validation=(x, y)) as watch:
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            watch.step(loss, x, y)
            watch.epoch()
    record = open_study("numbers", sqlite_url).record()
    assert record.direction == "minimize"
    assert record.trials[0].value == min(row.validation_loss for row in watch.telemetry.epochs[1:])


def test_the_first_of_two_loops_at_once_says_what_the_values_are(sqlite_url: str) -> None:
    """Both found no study; the second one has another metric, and takes the first one's, whose direction it is."""
    first, second = (OwnTrial("mine", sqlite_url) for _ in range(2))
    by_loss = EpochReadings(epoch=1, train_loss=0.3, validation_loss=0.4)
    first.keep_epoch(by_loss, None)
    both = EpochReadings(epoch=1, train_loss=0.2, validation_loss=0.6, validation_accuracy=0.9)
    second.keep_epoch(both, None)
    for loop, rows in ((first, [by_loss]), (second, [both])):
        loop.end(Outcome.COMPLETED, rows, None)
    record = open_study("mine", sqlite_url).record()
    assert (record.metric, record.direction) == ("validation_loss", "minimize")
    assert [trial.value for trial in record.trials] == [0.4, 0.6]


def test_a_users_trial_stays_the_users(sqlite_url: str) -> None:
    """Telemetry is kept with it; its value, its state and its reports are theirs."""
    study = optuna.create_study(storage=sqlite_url, study_name="theirs", direction="maximize")

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("dropout", 0.2, 0.3)
        watched(Loop(), trial=trial)
        return 0.5

    study.optimize(objective, n_trials=1)
    (trial,) = recorded("theirs", sqlite_url)
    assert (trial.state, trial.value, trial.intermediate_values) == ("complete", 0.5, {})
    assert trial.telemetry is not None
    assert len(trial.telemetry.epochs) == 3
    assert trial.config["learning_rate"] == 0.2
    assert trial.config["dropout"] == trial.params["dropout"]  # what Optuna suggested goes first


def test_a_trial_in_memory_is_watched_in_memory() -> None:
    """There is nowhere else to put it."""
    study = optuna.create_study()
    found = []
    study.optimize(lambda trial: found.append(watched(Loop(), trial=trial).findings()) or 1.0, n_trials=1)  # type: ignore[func-returns-value]
    assert found == [[]]
    assert watched(Loop(), trial=optuna.trial.FixedTrial({})).telemetry.epochs


def test_arguments_that_do_not_fit_are_refused(sqlite_url: str) -> None:
    """In one sentence each."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trial = optuna.create_study().ask()
    with pytest.raises(ConfigurationError, match=r"either study= .* or trial="):
        tuner.watch(model, optimizer, study="mine", trial=trial)
    with pytest.raises(ConfigurationError, match="storage= needs study="):
        tuner.watch(model, optimizer, storage=sqlite_url)
    with pytest.raises(ConfigurationError, match=r"torch\.nn\.Module, but got a type"):
        tuner.watch(Loop, optimizer)
    with pytest.raises(ConfigurationError, match=r"torch\.optim\.Optimizer, but got a Sequential"):
        tuner.watch(model, model)
    with pytest.raises(ConfigurationError, match="a target for each sample, but got 3 and 2"):
        tuner.watch(model, optimizer, validation=(torch.zeros(3, 64), torch.zeros(2)))
    with pytest.raises(ConfigurationError, match="tensors or arrays, or a DataLoader, but got a int"):
        tuner.watch(model, optimizer, validation=7)
    with pytest.raises(ConfigurationError, match="trial= must be the trial that Optuna gave, but got a str"):
        tuner.watch(model, optimizer, trial="mine")
    tuner.search("quick", "digits", study="planned", storage=sqlite_url, trials=1, epochs=1, workers=1)
    with pytest.raises(ConfigurationError, match="'planned' was planned by symptune for digits"):
        tuner.watch(model, optimizer, study="planned", storage=sqlite_url)


def test_the_commands_work_on_it(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`tuner diagnose` finds what the watch finds; the report and the table of trials are there."""
    loop = Loop(model=lambda: network(nn.Softmax(1)), epochs=4)
    watch = watched(loop, study="mine", storage=sqlite_url, validation=validation())
    assert capsys.readouterr().err == f"Next: tuner diagnose mine --storage {sqlite_url}\n"
    command = [sys.executable, "-m", "tuner", "diagnose", "mine", "--json", "--storage", sqlite_url]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    printed = [finding["symptom"] for finding in json.loads(ran.stdout)["findings"]]
    assert [finding.symptom for finding in watch.findings()] == ["saturating_loss"]
    assert "saturating_loss" in printed
    assert studies.report("mine", storage=sqlite_url).exists()


def test_quiet_is_quiet(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on either stream."""
    watched(Loop(), study="mine", storage=sqlite_url, quiet=True)
    assert capsys.readouterr() == ("", "")
