"""`tuner.train`: what is saved, and going on from it."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import tuner
from search_spaces.errors import ConfigurationError
from studies.readings import EpochReadings
from studies.recorded import open_study
from studies.records import Outcome
from tests.problems import N_CLASSES, blobs, linear_model
from tests.tuner.short_trainings import BLOBS, DIVERGING, FAST
from tuner.training.checkpoint import load_trained, read_info
from tuner.training.datasets.splits import split_dataset


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
