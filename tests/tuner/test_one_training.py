"""`tuner.train` and `export`: what comes back, what is recorded, what is written."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tuner
from search_spaces.errors import ConfigurationError
from studies.encoding import to_json
from studies.readings import EpochReadings
from studies.recorded import delete_study, open_study
from studies.records import Outcome, TrialRecord
from tests.problems import N_CLASSES, blobs, line, linear_model
from tests.tuner.user_code import explosive_model, other_blobs
from tuner.exporting import export
from tuner.training.checkpoint import load_trained, read_info
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.models import ModelBuilder

BLOBS = "tests.problems:blob_arrays"
FAST: dict[str, Any] = {"epochs": 3, "batch_size": 16, "width": 8}
DIVERGING: dict[str, Any] = FAST | {"learning_rate": 1e30}


def only_trial(study: str = "mine") -> TrialRecord:
    (trial,) = open_study(study).record(steps=True).trials
    return trial


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


class TestSaving:
    def test_what_was_saved_comes_back(self, tmp_path: Path) -> None:
        """load_trained gives the config, and the network whose accuracy was the value; info.json tells the rest."""
        data = blobs(spread=1.5)
        training = tuner.train(FAST, data, save=tmp_path / "saved")
        config, model = load_trained(tmp_path / "saved")
        assert config == training.config
        splits = split_dataset(data)
        accuracy = (model(splits.validation_x).argmax(1) == splits.validation_y).float().mean()
        assert float(accuracy) == pytest.approx(training.value)
        info = read_info(tmp_path / "saved")
        assert (info["task"], info["data_hash"]) == ("blobs", data.content_hash)
        assert (info["outcome"], info["metric"]) == ("completed", "validation_accuracy")
        assert (info["value"], info["best_epoch"]) == (training.value, training.best_epoch)

    def test_a_diverged_training_is_saved_without_a_value(self, tmp_path: Path) -> None:
        """info.json says what `Training` says."""
        tuner.train(DIVERGING, blobs(), save=tmp_path / "saved")
        info = read_info(tmp_path / "saved")
        assert (info["outcome"], info["value"]) == ("diverged", None)

    def test_a_model_function_is_saved_under_its_name(self, tmp_path: Path) -> None:
        """The config names the function that built the network, so it is loaded without being told."""
        training = tuner.train(FAST, blobs(), model=linear_model, save=tmp_path / "saved")
        assert training.config.model == "tests.problems:linear_model"
        _, model = load_trained(tmp_path / "saved")
        assert model(torch.zeros(2, 4)).shape == (2, N_CLASSES)

    def test_a_nameless_model_function_is_asked_for(self, tmp_path: Path) -> None:
        """What cannot be imported again must be given again."""

        def builder(*arguments: Any) -> torch.nn.Module:
            return linear_model(*arguments)

        tuner.train(FAST, blobs(), model=builder, save=tmp_path / "saved")
        with pytest.raises(ConfigurationError, match="needs a function"):
            load_trained(tmp_path / "saved")
        _, model = load_trained(tmp_path / "saved", model=linear_model)
        assert model(torch.zeros(2, 4)).shape == (2, N_CLASSES)


class TestCheckpoints:
    def test_an_interrupted_training_goes_on_where_it_was(self, tmp_path: Path) -> None:
        """The same call again ends with the same weights and readings as one that was never interrupted."""
        config = {"epochs": 5, "batch_size": 16, "dropout": 0.2, "momentum": 0.9, "seed": 3}
        whole = tuner.train(config, BLOBS, save=tmp_path / "whole")

        def interrupt(readings: EpochReadings) -> None:
            if readings.epoch == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        first = tuner.train(config, BLOBS, save=tmp_path / "parts", on_epoch=interrupt)
        assert first.outcome is Outcome.INTERRUPTED
        assert (tmp_path / "parts/checkpoint.pt").exists()
        said: list[str] = []
        second = tuner.train(config, BLOBS, save=tmp_path / "parts", announce=said.append, study="mine")
        assert said == [f"Going on after epoch 2, from {tmp_path / 'parts/checkpoint.pt'}."]
        assert not (tmp_path / "parts/checkpoint.pt").exists()
        for quantity in ("train_loss", "validation_loss", "gradient_norm"):
            assert repr(second.telemetry.series(quantity)) == repr(whole.telemetry.series(quantity))
        one, other = (load_trained(tmp_path / name)[1].state_dict() for name in ("whole", "parts"))
        assert all(torch.equal(one[name], other[name]) for name in one)
        (trial,) = open_study("mine").record(steps=True).trials
        assert [row.epoch for row in trial.telemetry.epochs] == [0, 1, 2, 3, 4, 5]
        assert [block.epoch for block in trial.telemetry.steps] == [1, 2, 3, 4, 5]
        assert list(trial.intermediate_values) == [1, 2, 3, 4, 5]

    def test_a_checkpoint_of_another_config_is_refused(self, tmp_path: Path) -> None:
        """It is not overwritten either: someone may still want it."""

        def interrupt(_readings: EpochReadings) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        tuner.train({"epochs": 3}, BLOBS, save=tmp_path, on_epoch=interrupt)
        before = (tmp_path / "checkpoint.pt").read_bytes()
        with pytest.raises(ConfigurationError, match="config"):
            tuner.train({"epochs": 3, "seed": 5}, BLOBS, save=tmp_path)
        assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.fixture
def searched() -> str:
    tuner.search(
        "quick",
        "tests.problems:hard_blobs",
        study="s",
        trials=4,
        epochs=3,
        sampler="random",
        pruner="none",
        workers=1,
        fixed={"width": 8, "batch_size": 16},
    )
    return "s"


def forget_weights() -> None:
    """As on a machine that did not run the search."""
    shutil.rmtree("runs/s/weights")


class TestExport:
    def test_kept_weights_are_those_of_training_again(self, searched: str, tmp_path: Path) -> None:
        """Bit for bit; without training where the search kept them, by training where it did not."""
        kept = export(searched, output=tmp_path / "kept")
        assert not kept.was_trained_again
        forget_weights()
        again = export(searched, output=tmp_path / "again")
        assert again.was_trained_again
        assert again.value == kept.value == kept.recorded_value
        one, other = (load_trained(tmp_path / name)[1].state_dict() for name in ("kept", "again"))
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_weights_of_a_former_study_of_that_name_do_not_count(self, searched: str, tmp_path: Path) -> None:
        """Its folder stays when a study is deleted; another config, value or data gives it away."""
        delete_study(open_study(searched))
        again = {"study": "s", "trials": 4, "epochs": 2, "sampler": "random", "workers": 1, "seed": 1}
        tuner.search("quick", "tests.problems:hard_blobs", pruner="none", fixed={"width": 4}, **again)
        for trial in open_study(searched).record().trials:
            exported = export(searched, trial=trial.number, output=tmp_path / str(trial.number))
            assert exported.value == trial.value
            config, _ = load_trained(exported.folder)
            assert config.width == 4

    def test_weights_that_are_half_written_do_not_count(self, searched: str) -> None:
        """The trial is trained again instead."""
        number = open_study(searched).record().best.number
        Path(f"runs/s/weights/trial-{number}/config.yaml").write_text("learning_rate: [")
        assert export(searched).was_trained_again

    def test_the_best_trial_again_has_the_recorded_value(self, searched: str) -> None:
        """Exactly, on the same machine; and what was written has that accuracy."""
        best = open_study(searched).record().best
        exported = export(searched)
        assert (exported.trial, exported.recorded_value) == (best.number, best.value)
        assert exported.value == best.value
        assert exported.folder.resolve() == Path("runs/s/best").resolve()
        config, _ = load_trained(exported.folder)
        assert json.loads(to_json(config.to_mapping())) == best.config
        info = read_info(exported.folder)
        assert (info["study"], info["trial"], info["value"]) == (searched, best.number, best.value)

    def test_any_finished_trial_can_be_had(self, searched: str, tmp_path: Path) -> None:
        """By its number, into its own folder or a named one."""
        record = open_study(searched).record()
        for trial in record.trials:
            exported = export(searched, trial=trial.number, output=tmp_path / str(trial.number))
            assert exported.value == trial.value
        assert export(searched, trial=1).folder.name == "trial-1"

    def test_a_direction_of_ones_own_is_kept(self) -> None:
        """A study that maximizes a loss exports the epoch with the highest one."""
        tuner.search(
            "quick",
            BLOBS,
            study="s",
            trials=1,
            epochs=3,
            metric="validation_loss",
            direction="maximize",
            workers=1,
        )
        exported = export("s")
        assert exported.value == exported.recorded_value

    def test_a_single_training_can_be_exported_too(self) -> None:
        """Its config is its own, not the study's, and so is its model."""
        tuner.train(FAST | {"epochs": 1}, BLOBS, study="mine")
        training = tuner.train(FAST, BLOBS, study="mine", model=linear_model)
        exported = export("mine", trial=1)
        assert exported.value == exported.recorded_value == training.value
        config, _ = load_trained(exported.folder)
        assert config == training.config
        with pytest.raises(ConfigurationError, match="must be one of 0, 1, but got 2"):
            export("mine", trial=2)

    def test_what_cannot_be_exported_is_one_sentence(self, searched: str) -> None:
        """An unknown number names the known ones; a study without a complete trial says so."""
        with pytest.raises(ConfigurationError, match=r"must be one of 0, 1, 2, 3, but got 77\."):
            export(searched, trial=77)
        tuner.train(DIVERGING, BLOBS, study="diverged")
        with pytest.raises(ConfigurationError, match="has no complete trial to export; choose a pruned one"):
            export("diverged")
        with pytest.raises(ConfigurationError, match="study's name must be one of"):
            export("nothing")

    def test_changed_data_is_refused(self, searched: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a search as of a single training: on other data the recorded value would mean nothing."""
        tuner.train(FAST, "tests.problems:hard_blobs", study="mine")
        monkeypatch.setattr("tests.problems.hard_blobs", other_blobs)
        forget_weights()
        for study in (searched, "mine"):
            with pytest.raises(ConfigurationError, match="with the data it was begun with"):
                export(study)

    def test_a_failed_trial_cannot_be_exported(self) -> None:
        """Nothing came of it, so nothing can come again."""

        def fail(_readings: EpochReadings) -> None:
            raise OverflowError("too much")

        with pytest.raises(OverflowError, match="too much"):
            tuner.train(FAST, BLOBS, study="mine", on_epoch=fail)
        with pytest.raises(ConfigurationError, match=r"has no complete trial to export\."):
            export("mine", trial=0)
