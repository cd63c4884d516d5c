"""Every file under examples/ is run here, or at least read by the program it is for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run_example(name: str, *arguments: str) -> str:
    """What the example prints; it must end well, and warn of nothing."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_first_study() -> None:
    """Prints the best of 12 trials, and where the report is, which is there."""
    printed = run_example("first_study.py")
    best = re.search(r"Best of 12 trials: (0\.\d+) with \{'learning_rate'", printed)
    assert best is not None, printed
    assert float(best[1]) > 0.8
    report = re.search(r"^Report: (.+)$", printed, flags=re.MULTILINE)
    assert report is not None, printed
    assert Path(report[1]).stat().st_size > 1_000_000


def test_own_model() -> None:
    """The two moons are told apart, before saving and after loading."""
    printed = run_example("own_model.py")
    accuracy = re.search(r"Best validation accuracy: (\d\.\d+)", printed)
    assert accuracy is not None, printed
    assert float(accuracy[1]) > 0.95
    assert printed.rstrip().endswith("are [0, 1]")


def test_own_objective() -> None:
    """A study of Optuna's own, and telemetry as a pandas table of epochs 0 to 3."""
    printed = run_example("own_objective.py")
    assert re.search(r"Best: 0\.\d+ with \{'learning_rate'", printed), printed
    header, *rows = printed.splitlines()[1:]
    assert header.split() == ["epoch", "train_loss", "validation_loss", "gradient_norm"]
    assert [row.split()[1] for row in rows] == ["0", "1", "2", "3"]


def test_watched_loop() -> None:
    """A table of epochs 0 to 6, and the fault that the loop has."""
    printed = run_example("watched_loop.py")
    rows = printed.splitlines()[1:8]
    assert [row.split()[1] for row in rows] == ["0", "1", "2", "3", "4", "5", "6"]
    assert "cause: double_softmax" in printed


def test_watched_objective() -> None:
    """Optuna's best, and what is wrong with trials whose rate is out of the question."""
    printed = run_example("watched_objective.py")
    assert re.search(r"Best: 0\.\d+ with \{'n_layers'", printed), printed
    assert re.search(r"^Trial \d \(0\.\d+\): blocker: ", printed, flags=re.MULTILINE), printed


def test_load_weights(tmp_path: Path) -> None:
    """Loads the folder that a training saved, in another process."""
    import tuner

    tuner.train({"epochs": 1, "learning_rate": 0.25, "width": 8}, "digits", save=tmp_path / "saved")
    printed = run_example("load_weights.py", "saved")
    assert "TrainedModel(" in printed
    assert "trained with learning rate 0.25 for 1 epochs" in printed


def test_the_slurm_script_is_sound() -> None:
    """bash reads it, its options are Slurm's where Slurm looks for them, and its command is one of ours."""
    path = EXAMPLES / "slurm_array.sh"
    subprocess.run(["bash", "-n", str(path)], check=True)
    text = path.read_text(encoding="utf-8")
    head, body = text.split("set -euo pipefail")
    for option in ("--array=", "--requeue", "--open-mode=append"):
        assert f"\n#SBATCH {option}" in head
    command = body.replace("\\\n", " ").strip().splitlines()[-1].split()
    assert command[:3] == ["exec", "tuner", "search"]
    ran = subprocess.run(
        [sys.executable, "-m", "tuner", *command[2:], "--dry-run", "--task", "digits"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_slurm_script_needs_a_storage() -> None:
    """Without TUNER_STORAGE it says what it wants instead of starting a study for each node."""
    bash = shutil.which("bash")
    assert bash is not None
    ran = subprocess.run(
        [bash, str(EXAMPLES / "slurm_array.sh")], capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "must name a PostgreSQL database" in ran.stderr


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_has_a_test(path: Path) -> None:
    """A file that is added here without a test is told."""
    if path.name != "__pycache__":
        tests = Path(__file__).read_text(encoding="utf-8")
        assert f'"{path.name}"' in tests
