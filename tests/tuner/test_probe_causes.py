"""`--probe-causes`: a training whose findings leave their causes in doubt goes on for a moment, and is asked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tuner
from studies.diagnosis import Cause, CauseName, Finding, Severity
from studies.diagnosis.counterfactuals import Change, weighed
from studies.recorded import open_study
from studies.records import StudyRecord
from tests.problems import blobs
from tuner import one_training
from tuner.cli import app

CONFIG: dict[str, Any] = {"epochs": 3, "batch_size": 16, "width": 8, "learning_rate": 3.0}
IN_DOUBT = tuple(
    Cause(name=name, confidence=0.5)
    for name in (CauseName.LEARNING_RATE_TOO_LOW, CauseName.LEARNING_RATE_TOO_HIGH)
)


@pytest.fixture
def in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is trained shows a finding of two equal causes: which readings do is for the symptoms' tests."""

    def one_finding(_record: StudyRecord, _trial: int | None = None) -> list[Finding]:
        return [Finding(trial=0, symptom="plateau", severity=Severity.WARNING, sentence="", causes=IN_DOUBT)]

    monkeypatch.setattr(one_training, "diagnose_record", one_finding)


@pytest.mark.usefixtures("in_doubt")
class TestInDoubt:
    def test_the_answers_are_part_of_the_telemetry_and_kept_with_the_trial(self) -> None:
        """So that `tuner diagnose` weighs them as well."""
        training = tuner.train(CONFIG, blobs(spread=1.5), study="mine", probe_causes=True)
        answers = training.telemetry.counterfactuals
        assert [answer.change for answer in answers] == [
            Change.LOWER_RATE,
            Change.HIGHER_RATE,
            Change.LARGER_BATCH,
        ]
        (trial,) = open_study("mine").record().trials
        assert trial.telemetry is not None
        assert trial.telemetry.counterfactuals == answers
        assert weighed(IN_DOUBT, trial)[0].name is CauseName.LEARNING_RATE_TOO_HIGH

    def test_the_training_itself_is_the_same(self) -> None:
        """The best weights, the value and every reading are those of a training that was not asked."""
        data = blobs(spread=1.5)
        asked, not_asked = (tuner.train(CONFIG, data, probe_causes=probes) for probes in (True, False))
        assert not_asked.telemetry.counterfactuals == ()
        assert asked.value == not_asked.value
        assert [row.train_loss for row in asked.telemetry.epochs] == [
            row.train_loss for row in not_asked.telemetry.epochs
        ]
        weights = not_asked.model.state_dict()
        assert all(tensor.equal(weights[name]) for name, tensor in asked.model.state_dict().items())

    def test_a_training_that_diverged_is_not_asked(self) -> None:
        """There is nothing to go on from."""
        config = CONFIG | {"learning_rate": 1e30}
        assert tuner.train(config, blobs(), probe_causes=True).telemetry.counterfactuals == ()


def test_the_command_line_asks_where_it_is_told_to(tmp_path: Path) -> None:
    """A sound training has no causes in doubt, so it costs nothing."""
    arguments = ["train", "--task", "tests.problems:blob_arrays", "--epochs", "3", "--json", "--quiet"]
    ran = CliRunner().invoke(app, [*arguments, "--probe-causes", "--save", str(tmp_path / "saved")])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["outcome"] == "completed"


def told(arguments: list[str]) -> str:
    return " ".join(CliRunner().invoke(app, ["train", *arguments, "--quiet"]).stdout.split())


TASK = ["--task", "tests.problems:blob_arrays", "--epochs", "3"]


@pytest.mark.usefixtures("in_doubt")
def test_the_command_line_says_what_came_of_it() -> None:
    """The loss as it was and with each change, in one line."""
    said = told([*TASK, "--set", "learning_rate=1", "--set", "batch_size=16", "--probe-causes"])
    assert re.search(
        r"Probed in \d+ more steps the train loss went from \S+ to \S+ as it was, to \S+ with 0.1 times the last "
        r"learning rate, to \S+ with 3 times",
        said,
    )


def test_the_command_line_says_that_nothing_was_probed() -> None:
    """Why, and nothing of probes where nobody asked."""
    assert "Probed nothing, since the causes of its findings are not in doubt." in told(
        [*TASK, "--probe-causes"]
    )
    diverged = told([*TASK, "--set", "learning_rate=1e30", "--probe-causes"])
    assert "Probed nothing, since the training ended as diverged" in diverged
    assert "divergence in trial" not in diverged, "there is no study, so no trial"
    assert "Probed" not in told(TASK)


def test_next_commands_keep_what_was_typed() -> None:
    """The task and the settings; a search is not held to those of the levers that it searches."""
    said = told([*TASK, "--set", "learning_rate=0.2", "--set", "width=8"])
    own = "--task tests.problems:blob_arrays"
    assert f"tuner train --save runs/mine {own} --set learning_rate=0.2 --set width=8 --epochs 3" in said
    assert f"tuner search --space quick {own} --set width=8 --epochs 3" in said
