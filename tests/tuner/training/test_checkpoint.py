import dataclasses
from pathlib import Path
from typing import IO, Any, Never

import numpy as np
import pytest
import torch

from search_spaces.errors import ConfigurationError
from studies.readings import CodeProbe, Counterfactual, EpochReadings, Telemetry
from studies.records import Outcome
from tests.problems import blobs, images, linear_model
from tuner.training.checkpoint import (
    load_checkpoint,
    load_trained,
    read_config,
    read_info,
    save_checkpoint,
    save_trained,
    write_whole,
)
from tuner.training.config import TrainingConfig
from tuner.training.datasets.splits import split_dataset
from tuner.training.loop import TrainingRun
from tuner.training.telemetry_state import telemetry_from_state, telemetry_to_state

TIMINGS = {"seconds": 0.0, "samples_per_second": 0.0}


def without_timings(telemetry: Telemetry) -> Telemetry:
    rows = tuple(dataclasses.replace(row, **TIMINGS) for row in telemetry.epochs)
    return dataclasses.replace(telemetry, epochs=rows)


def assert_same_telemetry(mine: Telemetry, theirs: Telemetry) -> None:
    """Equal to the bit, NaN where NaN, but for the clock."""
    mine, theirs = (telemetry_to_state(without_timings(each)) for each in (mine, theirs))
    assert str(mine["epochs"]) == str(theirs["epochs"])
    assert str(mine["step_zero"]) == str(theirs["step_zero"])
    assert str(mine["data"]) == str(theirs["data"])
    for a, b in zip(mine["steps"], theirs["steps"], strict=True):
        for name in ("train_loss", "learning_rate", "gradient_norm", "clipped"):
            np.testing.assert_array_equal(a[name].numpy(), b[name].numpy())


@pytest.mark.parametrize(
    "keys",
    [
        {"momentum": 0.9, "nesterov": True},
        {"optimizer": "adam", "learning_rate": 0.01, "clip_norm": 0.5},
        {"optimizer": "adamw", "learning_rate": 0.01, "normalization": "batch", "schedule": "one_cycle"},
        {"optimizer": "rmsprop", "learning_rate": 0.001, "momentum": 0.5, "schedule": "cosine"},
        {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.5, "warmup_steps": 7},
        {"patience": 4, "learning_rate": 0.5},
        {"schedule": "step", "step_size": 2, "step_gamma": 0.5, "warmup_steps": 7},
        {"schedule": "multistep", "milestones": (2, 4), "batch_lr_rule": "linear"},
        {"schedule": "restarts", "restart_period": 2, "weight_decay": 0.1, "weight_decay_kind": "decoupled"},
    ],
    ids=["nesterov", "adam", "adamw", "rmsprop", "plateau", "patience", "step", "multistep", "restarts"],
)
@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_resumed_equals_uninterrupted(tmp_path: Path, keys: dict[str, Any], stop_after: int) -> None:
    """A run resumed from any epoch's checkpoint ends with the same weights and telemetry, to the bit."""
    config = TrainingConfig(epochs=6, batch_size=16, width=12, dropout=0.3, **keys)
    splits = split_dataset(blobs(spread=1.2))
    whole = TrainingRun(config, splits)
    for row in whole.epochs():
        if row.epoch == stop_after:
            save_checkpoint(tmp_path / "checkpoint.pt", whole)
    torch.manual_seed(99)
    resumed = TrainingRun(config, splits)
    load_checkpoint(tmp_path / "checkpoint.pt", resumed)
    first = next(iter(row.epoch for row in resumed.epochs()))
    for _ in resumed.epochs():
        pass
    assert first == stop_after + 1
    assert resumed.outcome is whole.outcome
    assert resumed.best_epoch == whole.best_epoch
    assert_same_telemetry(resumed.telemetry(), whole.telemetry())
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor)
        assert torch.equal(resumed.best_weights[name], whole.best_weights[name])


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    """A checkpoint of the last epoch resumes to the same outcome, and trains nothing."""
    config = TrainingConfig(epochs=2)
    done = TrainingRun(config, blobs())
    list(done.epochs())
    save_checkpoint(tmp_path / "checkpoint.pt", done)
    resumed = TrainingRun(config, blobs())
    load_checkpoint(tmp_path / "checkpoint.pt", resumed)
    assert list(resumed.epochs()) == []
    assert resumed.outcome is Outcome.COMPLETED


def test_telemetry_state_is_lossless() -> None:
    """Telemetry comes back from its plain form as it was."""
    run = TrainingRun(TrainingConfig(epochs=2, batch_size=16), blobs())
    list(run.epochs())
    assert_same_telemetry(telemetry_from_state(telemetry_to_state(run.telemetry())), run.telemetry())


def test_what_was_added_to_telemetry_comes_back_too() -> None:
    """What other loops and continuations leave: code and counterfactuals."""
    telemetry = Telemetry(
        epochs=(EpochReadings(epoch=0, train_loss=1.0, class_accuracy=(0.5, 1.0)),),
        code=CodeProbe(n_layers_not_required=2),
        counterfactuals=(
            Counterfactual(
                change="any", n_steps=1, loss_before=2.0, loss_after=1.0, unchanged_loss_after=1.5
            ),
        ),
    )
    assert repr(telemetry_from_state(telemetry_to_state(telemetry))) == repr(telemetry)


def test_a_checkpoint_from_before_a_reading_is_gone_on_with() -> None:
    """What it does not have was not read."""
    run = TrainingRun(TrainingConfig(epochs=1), blobs())
    next(run.epochs())
    state = run.state_dict()
    telemetry = state["telemetry"]
    for record, names in (
        (telemetry, ("code", "counterfactuals")),
        (telemetry["epochs"][0], ("confidence", "class_accuracy", "probe_loss")),
        (telemetry["step_zero"], ("output_low", "repeat_difference")),
        (telemetry["step_zero"]["layers"][0], ("twin_fraction", "is_trainable")),
        (telemetry["data"], ("overlap_fraction", "input_shift")),
    ):
        for name in names:
            del record[name]
    resumed = TrainingRun(TrainingConfig(epochs=1), blobs())
    resumed.load_state_dict(state)
    *_, row = resumed.epochs()
    assert row.epoch == 1
    assert np.isnan(resumed.telemetry().epochs[0].confidence)
    assert np.isnan(resumed.data_probe.overlap_fraction)


def test_another_config_is_refused(tmp_path: Path) -> None:
    """A checkpoint resumes only with its own config, and the error names the difference."""
    run = TrainingRun(TrainingConfig(epochs=1), blobs())
    next(run.epochs())
    save_checkpoint(tmp_path / "checkpoint.pt", run)
    other = TrainingRun(TrainingConfig(epochs=1, momentum=0.5), blobs())
    with pytest.raises(ConfigurationError, match=r"momentum was 0.0 and is now 0.5"):
        load_checkpoint(tmp_path / "checkpoint.pt", other)


def test_a_checkpoint_from_before_a_config_key_is_gone_on_with() -> None:
    """A key it does not know had its default's effect; any other value of it is another config."""
    run = TrainingRun(TrainingConfig(epochs=1), blobs())
    next(run.epochs())
    state = run.state_dict()
    del state["config"]["augmentation"]
    TrainingRun(TrainingConfig(epochs=1), blobs()).load_state_dict(state)
    del state["config"]["momentum"]
    with pytest.raises(ConfigurationError, match=r"momentum was 0.0 and is now 0.5"):
        TrainingRun(TrainingConfig(epochs=1, momentum=0.5), blobs()).load_state_dict(state)


def test_a_bad_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    """Missing, truncated, foreign and outdated files are ConfigurationErrors that name the file."""
    run = TrainingRun(TrainingConfig(epochs=1), blobs())
    next(run.epochs())
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(ConfigurationError, match="must exist"):
        load_checkpoint(path, run)
    save_checkpoint(path, run)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(ConfigurationError, match="truncated or damaged"):
            load_checkpoint(path, run)
    torch.save({"version": 0}, path)
    with pytest.raises(ConfigurationError, match="must be of version 1"):
        load_checkpoint(path, run)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """The old file stays whole, and no temporary file remains."""
    path = tmp_path / "file"
    write_whole(path, lambda file: file.write(b"old"))

    def fail(file: IO[bytes]) -> Never:
        file.write(b"ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_saved_predicts_from_raw_inputs(tmp_path: Path) -> None:
    """load_trained gives the best weights with the input scaling in front, in eval mode."""
    config = TrainingConfig(epochs=15, batch_size=8, input_scaling="standardize", dropout=0.2)
    run = TrainingRun(config, images(90))
    list(run.epochs())
    save_trained(tmp_path, config, run, {"outcome": run.outcome})
    loaded_config, model = load_trained(tmp_path)
    assert loaded_config == config
    assert not model.training
    accuracy = (model(run.splits.validation_x).argmax(1) == run.splits.validation_y).float().mean()
    assert float(accuracy) == pytest.approx(run.value("validation_accuracy"))
    assert read_info(tmp_path) == {"outcome": "completed"}


def test_an_own_model_is_loaded_with_its_function(tmp_path: Path) -> None:
    """A network whose config does not name its function is loaded by giving the function, and only so."""
    run = TrainingRun(TrainingConfig(epochs=1), blobs(), model=linear_model)
    list(run.epochs())
    save_trained(tmp_path, run.config, run)
    _, model = load_trained(tmp_path, model=linear_model)
    assert model(torch.zeros(2, 4)).shape == (2, 3)
    with pytest.raises(ConfigurationError, match="do not fit the model"):
        load_trained(tmp_path)


def test_a_config_file_is_checked(tmp_path: Path) -> None:
    """A missing file, no YAML, no mapping and wrong keys are told."""
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigurationError, match="there is none at"):
        read_config(path)
    for text, message in (
        ("a: [", "is no YAML"),
        ("- 1", "is a mapping"),
        ("momentum: 2", "momentum must be"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=message):
            read_config(path)
    path.write_text("learning_rate: 1e-3\n")
    assert read_config(path).learning_rate == 0.001
