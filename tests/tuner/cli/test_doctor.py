"""``tuner doctor``: what it tells of a machine that is well, and of one where something is not in its place."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tuner.cli.conftest import Run
from tuner import checkup
from tuner.cli import app, doctoring
from tuner.searching import lane_probe
from tuner.second_core import SecondCore


@pytest.fixture(autouse=True)
def _short_and_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "SECONDS_PER_RATE", 0.002)
    # The second process has tests of its own, in test_second_core.py.
    monkeypatch.setattr(doctoring, "_beside", lambda _device: nullcontext())
    monkeypatch.setattr(lane_probe, "STEPS", 1)
    names = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    if "doctor" not in names:
        registered = list(app.registered_commands)
        monkeypatch.setattr(app, "registered_commands", registered)
        doctoring.add_to(app)


DOCTOR = ("doctor", "--task", "digits", "--quiet")


def test_all_that_decides_is_there_and_nothing_is_written(run: Run) -> None:
    """Versions, machine, data, storage, the rate of each kernel, and the measured table behind the choice."""
    found = run(*DOCTOR, "--json")
    assert found.code == 0
    assert found.err == ""
    told = found.json
    assert set(told) == {
        "versions", "machine", "data", "storage", "rates", "parallelism", "second_core", "problems"
    }  # fmt: skip
    assert {"symptune", "torch", "optuna", "python"} <= set(told["versions"])
    assert told["machine"]["cores"] >= 1
    assert told["data"]["task"] == "digits"
    assert told["storage"] == {"url": "sqlite:///runs/tuner.db", "n_studies": None, "is_writable": True}
    rates = {(rate["kernel"], rate["precision"]): rate["gflops"] for rate in told["rates"]}
    assert rates["torch.mm", "float32"] > 0
    chosen = told["parallelism"]
    assert chosen["workers"] * chosen["threads"] <= told["machine"]["cores"]
    assert chosen["lanes"] in {row["lanes"] for row in chosen["measured"]}
    assert all(row["seconds_per_lane_step"] > 0 for row in chosen["measured"])
    assert told["problems"] == []
    assert not Path("runs").exists()


def test_a_person_reads_the_choice_and_its_reason(run: Run) -> None:
    """And what was asked for is kept to."""
    found = run(*DOCTOR, "--workers", "3", "--lanes", "2")
    assert "3 x 1 x 2  (workers x threads x lanes, for digits, mlp, batch size 128)" in found.out
    assert "3 workers as asked for. 2 lanes as asked for." in found.out
    assert "tuner search --task digits" in found.out


def test_studies_are_counted(searched: Run) -> None:
    """In the database that the next command would take."""
    assert searched(*DOCTOR, "--json", "--lanes", "1").json["storage"]["n_studies"] == 1


def test_data_that_is_not_here_is_a_problem_with_a_way_out(run: Run, tmp_path: Path) -> None:
    """Exit code 5, and all the rest is told all the same."""
    found = run("doctor", "--task", "kmnist", "--data-dir", str(tmp_path), "--quiet")
    assert found.code == 5
    assert "Problem   The kmnist files are not in" in found.out
    assert "torch.mm" in found.out


def test_damaged_data_is_a_problem(run: Run, tmp_path: Path) -> None:
    """As a search would find it."""
    np.savez(tmp_path / "bad.npz", x=np.zeros((10, 3)), y=np.full(10, 0.5))
    found = run("doctor", "--task", f"npz:{tmp_path / 'bad.npz'}", "--quiet", "--json")
    assert found.code == 5
    assert "integers from 0" in found.json["problems"][0]
    assert found.json["parallelism"] is None


def test_a_database_that_cannot_be_written_is_a_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: the study could not be kept."""
    monkeypatch.setattr("tuner.checkup.os.access", lambda _path, mode: mode != os.W_OK)
    found = run(*DOCTOR, "--lanes", "1")
    assert found.code == 2
    assert "must be where one may write" in found.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lanes", "0"), "lanes"),
        (("--workers", "0"), "workers"),
        (("--set", "learning_rate"), "--set must be KEY=VALUE"),
        (("--device", "tpu"), "device must be one of"),
    ],
)
def test_a_mistake_is_one_sentence_and_exits_with_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """Before anything is measured."""
    found = run(*DOCTOR, *arguments)
    assert found.code == 2
    assert said in found.err
    assert "Traceback" not in found.err


def test_a_model_that_breaks_is_told_in_the_reason(run: Run) -> None:
    """A doctor that falls ill of it would be no help."""
    found = run(*DOCTOR, "--model", "tests.tuner.user_code:always_raises")
    assert found.code == 0
    assert "1 lane, since the probe of lanes ended with ValueError at user_code.py" in " ".join(
        found.out.split()
    )
    assert "Traceback" not in found.err


def test_a_second_core_is_timed_where_searches_use_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what follows from it."""
    timed = SecondCore(alone=1000.0, as_thread=1100.0, as_process=1900.0)
    monkeypatch.setattr(checkup, "_second_core", lambda *_args, **_more: timed)
    found = run(*DOCTOR, "--lanes", "1")
    assert (
        "A second core adds 90% as a process and 10% as a thread: one worker a core is right here."
        in found.out
    )
    assert "2 processes of 1 thread" in found.out
    assert run(*DOCTOR, "--lanes", "1", "--json").json["second_core"]["as_process"] == 1900.0


def test_a_second_core_that_is_busy_has_no_figures(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be the other work's; the sentence says why there are none."""
    timed = SecondCore(alone=1000.0, as_thread=100.0, as_process=950.0)
    monkeypatch.setattr(checkup, "_second_core", lambda *_args, **_more: timed)
    found = run(*DOCTOR, "--lanes", "1")
    assert "could not be measured, since other work has it now" in found.out
    assert "-90%" not in found.out
    assert "2 processes of 1 thread" not in found.out


def test_only_a_missing_product_has_no_rate() -> None:
    """Any other error of a product is told, not taken for a device without one."""

    def fails(error: Exception) -> Callable[[], None]:
        def multiply() -> None:
            raise error

        return multiply

    device = torch.device("cpu")
    assert checkup._gflops(fails(NotImplementedError("not for 'Half'")), 1, device) is None
    with pytest.raises(RuntimeError, match="out of memory"):
        checkup._gflops(fails(RuntimeError("out of memory")), 1, device)
