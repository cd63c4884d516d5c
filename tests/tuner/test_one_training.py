"""`tuner.train`: what comes back, and what is recorded."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tuner
from search_spaces.errors import ConfigurationError
from studies.encoding import to_json
from studies.readings import EpochReadings
from studies.recorded import open_study
from studies.records import Outcome
from tests.problems import blobs, line
from tests.tuner.short_trainings import BLOBS, DIVERGING, FAST, only_trial
from tests.tuner.user_code import explosive_model
from tuner.training.checkpoint import read_info
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.models import ModelBuilder


class TestTrain:
    def test_tells_every_epoch_and_the_best_value(self) -> None:
        """Each epoch's readings are handed on; value and weights are the best epoch's."""
        rows: list[EpochReadings] = []
        data, config = blobs(spread=1.5), TrainingConfig(**FAST | {"learning_rate": 3.0})
        training = tuner.train(config, data, on_epoch=rows.append)
        assert [row.epoch for row in rows] == [0, 1, 2, 3]
        assert training.telemetry.epochs == tuple(rows)
        assert training.outcome is Outcome.COMPLETED
        accuracies = [row.validation_accuracy for row in rows]
        assert training.value == max(accuracies[1:]) > accuracies[-1]
        assert training.best_epoch == accuracies.index(training.value, 1)
        splits = split_dataset(data)
        hits = training.model.eval()(splits.validation_x).argmax(1) == splits.validation_y
        assert float(hits.float().mean()) == pytest.approx(training.value)

    @pytest.mark.parametrize(
        ("config", "model"), [(DIVERGING, None), (FAST, explosive_model)], ids=["soon", "late"]
    )
    def test_a_diverged_training_is_an_answer(
        self, config: dict[str, Any], model: ModelBuilder | None
    ) -> None:
        """No exception, no value even after a sound epoch, all the telemetry, and a finding that names it."""
        training = tuner.train(config, blobs(), model=model)
        assert training.outcome is Outcome.DIVERGED
        assert training.value is None
        assert training.best_epoch == (None if model is None else 1)
        assert math.isnan(training.telemetry.epochs[-1].validation_loss)
        assert [finding.symptom for finding in training.findings] == ["divergence"]

    @pytest.mark.parametrize(
        ("metric", "data", "expected"),
        [
            (None, blobs(), "validation_accuracy"),
            (None, line(), "validation_loss"),
            ("train_loss", blobs(), "train_loss"),
            ("seconds", blobs(), "seconds"),
        ],
        ids=["classes", "regression", "named", "seconds"],
    )
    def test_the_value_is_the_metrics(self, metric: str | None, data: Any, expected: str) -> None:
        """Accuracy for classes, loss for regression, or what one asks for."""
        training = tuner.train(FAST, data, metric=metric)
        assert training.metric == expected
        rows = training.telemetry.epochs
        best = sum(row.seconds for row in rows)
        if expected != "seconds":
            choose = max if expected.endswith("accuracy") else min
            best = choose(getattr(row, expected) for row in rows[1:])
        assert training.value == pytest.approx(best)

    def test_wrong_names_are_errors_before_anything_is_written(self, tmp_path: Path) -> None:
        """A config key, a task, a metric: one sentence, and no study."""
        for config, task, metric, message in (
            ({"lr": 1}, BLOBS, None, "A config key must be one of"),
            (FAST, "mnits", None, "task must be one of"),
            (FAST, BLOBS, "f1", "metric must be one of"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                tuner.train(config, task, metric=metric, study="mine", save=tmp_path / "saved")
        assert list(tmp_path.iterdir()) == []

    def test_works_in_a_thread(self) -> None:
        """Signals belong to the main thread; a training in another one does without."""
        trained: list[tuner.Training] = []
        thread = threading.Thread(target=lambda: trained.append(tuner.train(FAST, blobs())))
        thread.start()
        thread.join()
        assert trained[0].outcome is Outcome.COMPLETED


class TestToJson:
    def test_has_the_public_shape(self) -> None:
        """outcome, value, config, telemetry with epoch 0 first, findings; NaN is null, and no enum remains."""
        training = tuner.train(FAST, blobs())
        shown = json.loads(to_json(training.to_json()))
        assert list(shown) == ["outcome", "value", "config", "telemetry", "findings"]
        assert shown["outcome"] == "completed"
        assert shown["value"] == training.value
        assert shown["config"] == TrainingConfig(**FAST).to_mapping() | {"milestones": []}
        assert [row["epoch"] for row in shown["telemetry"]] == [0, 1, 2, 3]
        assert {
            "train_loss",
            "train_accuracy",
            "validation_loss",
            "validation_accuracy",
            "learning_rate",
            "gradient_norm",
        } <= set(shown["telemetry"][0])
        assert shown["telemetry"][0]["learning_rate"] is None

    def test_shows_a_divergence_without_a_value(self) -> None:
        """value is null, and the finding has the keys that a finding has."""
        shown = json.loads(to_json(tuner.train(DIVERGING, blobs()).to_json()))
        assert (shown["outcome"], shown["value"]) == ("diverged", None)
        assert set(shown["findings"][0]) >= {
            "trial",
            "symptom",
            "severity",
            "causes",
            "evidence",
            "consequences",
            "remedies",
        }


class TestRecording:
    def test_a_training_is_a_trial_of_its_study(self) -> None:
        """Config, value, outcome, epochs, steps and probes are read back as they came."""
        training = tuner.train(FAST | {"clip_norm": 1.0}, BLOBS, study="mine")
        trial = only_trial()
        assert (trial.state, trial.outcome) == ("complete", Outcome.COMPLETED)
        assert trial.value == training.value
        assert trial.config == json.loads(to_json(training.config.to_mapping()))
        assert trial.intermediate_values[3] == training.telemetry.epochs[3].validation_accuracy
        assert str(trial.telemetry.epochs) == str(training.telemetry.epochs)
        assert (
            trial.telemetry.step_series("train_loss") == training.telemetry.step_series("train_loss")
        ).all()
        assert trial.telemetry.data == training.telemetry.data
        assert open_study("mine").study.trials[0].user_attrs["best_epoch"] == training.best_epoch

    def test_several_trainings_share_a_study(self) -> None:
        """Each with a config of its own; another task is refused."""
        for rate in (0.1, 0.01):
            tuner.train(FAST | {"learning_rate": rate}, BLOBS, study="mine")
        record = open_study("mine").record()
        assert [trial.config["learning_rate"] for trial in record.trials] == [0.1, 0.01]
        with pytest.raises(ConfigurationError, match="task was"):
            tuner.train(FAST, "tests.tuner.user_code:other_blobs", study="mine")

    def test_a_regression_is_minimized(self) -> None:
        """The study's metric and direction are the task's."""
        tuner.train(FAST, "tests.problems:line_task", study="mine")
        record = open_study("mine").record()
        assert (record.metric, record.direction) == ("validation_loss", "minimize")

    def test_a_diverged_training_has_no_value(self) -> None:
        """It is pruned for Optuna, diverged for us, and keeps its telemetry."""
        tuner.train(DIVERGING, BLOBS, study="mine")
        trial = only_trial()
        assert (trial.state, trial.outcome, trial.value) == ("pruned", Outcome.DIVERGED, None)
        assert len(trial.telemetry.epochs) == 2

    def test_an_exception_is_recorded_and_raised_again(self) -> None:
        """The trial failed, with the error's type, text and place, and the epochs it had."""

        def break_in_epoch_2(readings: EpochReadings) -> None:
            if readings.epoch == 2:
                raise OverflowError("too much")

        with pytest.raises(OverflowError, match="too much"):
            tuner.train(FAST, BLOBS, study="mine", on_epoch=break_in_epoch_2)
        trial = only_trial()
        assert (trial.state, trial.outcome) == ("fail", Outcome.FAILED)
        assert (trial.error.type, trial.error.message) == ("OverflowError", "too much")
        assert trial.error.where.startswith("test_one_training.py:")
        assert [row.epoch for row in trial.telemetry.epochs] == [0, 1, 2]

    def test_a_second_ctrl_c_is_an_interruption(self) -> None:
        """Whoever cannot wait for a clean end still gets a trial that did not fail by its own fault."""

        def press_ctrl_c_twice(_readings: EpochReadings) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            tuner.train(FAST, BLOBS, study="mine", on_epoch=press_ctrl_c_twice)
        assert only_trial().outcome is Outcome.INTERRUPTED
        assert only_trial().error is None


INTERRUPTED_TRAINING = """
import tuner
training = tuner.train(
    {"epochs": 100_000, "batch_size": 16},
    "tests.problems:blob_arrays",
    study="mine",
    save="saved",
    on_epoch=lambda row: print(row.epoch, flush=True),
)
print(training.outcome.value, training.interrupted_by, training.value is not None, flush=True)
"""


@pytest.fixture
def training_process() -> Iterator[subprocess.Popen[str]]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED_TRAINING],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    with process:
        yield process
        process.kill()


def test_sigterm_ends_a_training_cleanly(training_process: subprocess.Popen[str]) -> None:
    """Outcome interrupted, exit code 143 to pass on, the trial told and not counted, the weights so far saved."""
    assert training_process.stdout is not None
    while training_process.stdout.readline() != "2\n":
        pass
    training_process.send_signal(signal.SIGTERM)
    rest, _ = training_process.communicate(timeout=30)
    assert rest.splitlines()[-1] == "interrupted 143 True"
    assert training_process.returncode == 0
    trial = only_trial()
    assert (trial.state, trial.outcome, trial.value) == ("fail", Outcome.INTERRUPTED, None)
    assert open_study("mine").record().counts.counted == 0
    assert read_info(Path("saved"))["outcome"] == "interrupted"
