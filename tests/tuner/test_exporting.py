"""`tuner.export`: the weights of a search's trial."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import tuner
from search_spaces.errors import ConfigurationError
from studies.encoding import to_json
from studies.readings import EpochReadings
from studies.recorded import delete_study, open_study
from tests.problems import linear_model
from tests.tuner.short_trainings import BLOBS, DIVERGING, FAST
from tests.tuner.user_code import other_blobs
from tuner.exporting import export
from tuner.training.checkpoint import load_trained, read_info


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
