import subprocess
import sys
from pathlib import Path

import pytest

from tests.tuner.cli.conftest import Run

FAST = (
    "--task",
    "digits",
    "--set",
    "width=8",
    "--set",
    "batch_size=64",
    "--steps",
    "60",
    "--hold-steps",
    "60",
)
KEYS = {
    "suggested",
    "steepest",
    "valley",
    "highest_stable",
    "low",
    "high",
    "reliable",
    "reason",
    "sweeps",
}


def test_json_has_the_documented_keys(run: Run) -> None:
    """DESIGN's keys; every sweep has its rates and losses, of one length."""
    ran = run("lr-range", *FAST, "--sweeps", "2", "--json", "--quiet")
    assert ran.code == 0
    found = ran.json
    assert found.keys() >= KEYS
    assert found["reliable"] is True, found["reason"]
    assert found["low"] <= found["suggested"] <= found["high"]
    assert found["suggested"] == pytest.approx(0.85 * found["highest_stable"])
    assert len(found["sweeps"]) == 2
    for sweep in found["sweeps"]:
        assert len(sweep["learning_rate"]) == len(sweep["loss"]) > 0
        assert {held["stable"] for held in sweep["held"]} == {True, False}
    assert Path(found["plot"]) == Path("runs/lr-range/digits-mlp-sgd.html")
    assert Path(found["plot"]).is_file()


def test_for_a_person(run: Run) -> None:
    """The answer, why, the marks, the ramp, the plot, and the command that trains with it; what was set stays."""
    ran = run("lr-range", *FAST, "--sweeps", "1", "--output", "plots/mine.html", "--set", "optimizer=adam")
    assert ran.code == 0
    assert "Learning rate" in ran.out
    assert "one sweep, so its spread is not known" in ran.out
    assert "highest stable" in ran.out
    assert "█" in ran.out
    assert "tuner train --task digits --set width=8 --set batch_size=64 --set optimizer=adam" in ran.out
    assert "--set learning_rate=" in ran.out
    assert Path("plots/mine.html").is_file()


def test_a_refusal_is_an_answer(run: Run) -> None:
    """Exit code 0, the reason, and the same test on a wider range as the next command."""
    ran = run("lr-range", *FAST, "--sweeps", "1", "--low", "1e-7", "--high", "1e-5", "--seed", "3")
    assert ran.code == 0
    assert "none to trust" in ran.out
    assert "Too flat: in 1 of 1 sweeps" in ran.out
    assert "tuner lr-range --task digits" in ran.out
    assert "--set seed=3 --low 1e-08 --high 0.0001" in ran.out


def test_progress_and_what_plays_no_part_go_to_stderr(run: Run) -> None:
    """Whoever sets the learning rate hears that it is what is tested."""
    ran = run("lr-range", *FAST, "--sweeps", "1", "--set", "learning_rate=3", "--json")
    assert "learning_rate=3 plays no part" in ran.err
    assert ran.json["suggested"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--low", "1", "--high", "0.1"),
            "0 < low < high must hold for the rates, but got low=1 and high=0.1.",
        ),
        (("--sweeps", "0"), "At least one sweep is needed, but got 0."),
        (("--steps", "5"), "at least 30 steps each, but got 5"),
        (("--low", "nan"), "0 < low < high must hold for the rates, but got low=nan and high=10."),
        (("--set", "learning_rat=1"), "learning_rat"),
        (("--task", "digit"), "Did you mean 'digits'?"),
        (("--output", "."), "--output must name a file that can be written, such as plot.html, but got '.'."),
        (("--output", "taken/plot.html"), "--output must name a file that can be written"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Run, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, no traceback, and nothing heavy is loaded for it."""
    Path("taken").touch()
    monkeypatch.setitem(sys.modules, "tuner.training.learning_rate_range", None)
    monkeypatch.setitem(sys.modules, "tuner.training.data", None)
    ran = run("lr-range", "--task", "digits", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_what_is_checked_first_loads_no_torch() -> None:
    """Names of tasks, plans of sweeps and what the batch-size finder is asked: told at once."""
    code = (
        "import sys, tuner.training.rate.plan, tuner.training.batching.asked, tuner.training.datasets.task_names; "
        "print('torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.strip() == "False"
