"""``tuner batch-size`` on the digits."""

import re
import shlex
import sys
import types

import pytest

from tests.tuner.cli.conftest import Run
from tuner.cli import measuring_batch

FAST = ("batch-size", "--task", "digits", "--set", "epochs=3", "--budget", "0.5")


def test_a_table_a_pick_and_what_to_do_next(run: Run) -> None:
    """The answer on stdout, progress with an estimate on stderr."""
    ran = run(*FAST)
    assert ran.code == 0
    assert "Batch size  " in ran.out
    assert re.search(r"> \d+ .* reached", ran.out)
    assert "Noise scale" in ran.out
    assert re.search(
        r"tuner train --task digits --set epochs=3 --set batch_size=\d+ --set learning_rate=[\d.]+", ran.out
    )
    assert re.search(r"training +\d+% · ETA \d+:\d\d", ran.err)


def test_json_is_as_the_design_says(run: Run) -> None:
    """Nothing but JSON on stdout, and nothing on stderr with --quiet."""
    ran = run(*FAST, "--no-recheck", "--rule", "sqrt", "--json", "--quiet")
    assert ran.err == ""
    assert {"batch_size", "accumulation_steps", "learning_rate", "candidates"} <= set(ran.json)
    assert ran.json["rule"] == "sqrt"
    assert ran.json["recheck"] is None


def test_an_effective_batch_is_shown_as_a_product(run: Run) -> None:
    """And the next command accumulates it."""
    ran = run(*FAST, "--effective", "256", "--no-recheck")
    found = re.search(r"Batch size  (\d+) x (\d+) at", ran.out)
    single = re.search(r"Batch size  256 at", ran.out)
    assert found or single
    if found:
        assert int(found[1]) * int(found[2]) == 256
        assert f"--set accumulation_steps={found[1]}" in ran.out


def test_what_was_set_is_set_again_and_the_pick_replaces_the_rest(run: Run) -> None:
    """One batch_size and one learning_rate in the next command."""
    ran = run(*FAST, "--set", "batch_size=64", "--set", "learning_rate=0.2", "--seed", "3", "--no-recheck")
    command = next(line for line in ran.out.splitlines() if "tuner train" in line)
    assert command.count("batch_size=") == 1
    assert command.count("learning_rate=") == 1
    assert "seed=3" in command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rule", "cubic"), "batch_lr_rule must be"),
        (("--effective", "1"), "effective must be 2 to"),
        (("--target-loss", "50"), "target_loss must be below"),
        (("--set", "learning_rte=1"), "Did you mean 'learning_rate'"),
        (("--budget", "0"), "budget_seconds must be more than 0, but got 0"),
        (
            ("--target-loss", "-1"),
            "target_loss must be more than 0, which no validation loss falls below, but got -1",
        ),
        (("--target-loss", "nan"), "target_loss must be more than 0"),
        (("--task", "digit"), "Did you mean 'digits'?"),
        (("--set", "learning_rate=1e-30"), "must learn before batch sizes are compared"),
    ],
)
def test_a_mistake_is_one_sentence_and_exits_with_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """No traceback, nothing on stdout."""
    ran = run(*FAST, "--quiet", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rule", "cubic"),
        ("--effective", "1"),
        ("--target-loss", "-1"),
        ("--budget", "0"),
        ("--task", "digit"),
    ],
)
def test_what_needs_no_data_is_checked_before_anything_heavy_is_loaded(
    run: Run, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds earlier."""
    for module in ("tuner.training.batch_size", "tuner.training.data"):
        monkeypatch.setitem(sys.modules, module, None)
    assert run("batch-size", "--task", "digits", *arguments).code == 2


def test_the_next_commands_can_be_pasted_into_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a file, a function or a setting is called."""
    choice = types.SimpleNamespace(batch_size=64, accumulation_steps=2, learning_rate=0.1)
    measuring_batch._show_next(choice, "npz:my data.npz", ["milestones=3, 5"], "my models:small")  # type: ignore[arg-type]
    command = next(line for line in capsys.readouterr().out.splitlines() if "tuner train" in line)
    words = shlex.split(command[command.index("tuner train") :])
    assert words[2:6] == ["--task", "npz:my data.npz", "--model", "my models:small"]
    assert words[6:8] == ["--set", "milestones=3, 5"]
    assert words[-2:] == ["--set", "accumulation_steps=2"]
