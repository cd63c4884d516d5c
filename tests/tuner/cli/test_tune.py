"""`tuner tune` as it is typed: one whole guide on digits with its real instruments, and what is refused."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.tuner.cli.conftest import Run
from tuner.cli.guiding import waterfall
from tuner.guide.session import InterruptedGuideError

TUNE = ("tune", "--task", "digits", "--workers", "1", "--epochs", "2", "--study", "g", "--budget", "25trials")
SPACE = """
name: two
levers: {learning_rate: {}}
fixed: {width: 16, depth: 1, batch_size: 64, optimizer: adam}
"""


@pytest.fixture
def space(tmp_path: Path) -> str:
    path = tmp_path / "two.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return str(path)


def test_a_guide_says_its_plan_its_checklist_its_ladder_and_its_verdict(run: Run, space: str) -> None:
    """The range test finds a far better rate than 1e-3 for two epochs, and eight fresh seeds agree: exit code 0."""
    tuned = run(*TUNE, "--space", space)
    assert tuned.code == 0
    assert "Plan: " in tuned.err
    assert "range test of adam" in tuned.err
    for head in (
        "baseline",
        "rate",
        "batch",
        "regularization",
        "schedule",
        "seeds",
        "Ladder",
        "Verdict",
        "Next",
    ):
        assert f"\n{head}" in tuned.out
    assert "done    adopt learning_rate" in tuned.out
    first, rung, last = tuned.out.partition("95% interval\n")[2].splitlines()[:3]
    assert re.fullmatch(r"  baseline +\d+\.\d+%?", first)
    assert re.fullmatch(r"  .*learning_rate.* +\+\d+\.\d+  \[\+\d+\.\d+, \+\d+\.\d+\]  █{28}", rung)
    assert re.fullmatch(r"  in all +\d+\.\d+%?", last)
    assert "skipped batch size: It stays: the space fixes batch_size at 64." in tuned.out
    assert "tuner train --config g/best.yaml --task digits" in tuned.out.replace("runs/", "")
    best = next(Path.cwd().rglob("best.yaml"))
    assert yaml.safe_load(best.read_text(encoding="utf-8"))["width"] == 16

    again = run(*TUNE, "--space", space, "--json", "--quiet")
    assert again.code == 0
    assert again.err == ""
    assert [step["name"] for step in again.json["steps"]][-1] == "seeds"
    assert again.json["ladder"][0]["low"] > 0
    assert run("train", "--task", "digits", "--config", str(best), "--quiet").code == 0


def test_a_winner_that_is_not_confirmed_ends_with_code_4(run: Run) -> None:
    """With a budget for nothing but the least nothing else is tried: the verdict says so."""
    tuned = run(*TUNE, "--budget", "19trials", "--set", "width=8")
    assert tuned.code == 4
    assert "Nothing was tried beside the baseline, so there is nothing to confirm." in tuned.out
    assert "Ladder" not in tuned.out


def test_a_goal_that_is_reached_on_fresh_seeds_ends_with_code_0(run: Run) -> None:
    """With a sentence of its own, although the baseline is the best there is."""
    tuned = run(*TUNE, "--goal", "0.1", "--set", "width=8")
    assert tuned.code == 0
    assert "The goal, 10.00%, is reached on fresh seeds: the best config has" in tuned.out
    assert "on the test split" in tuned.out


def test_an_interrupted_guide_ends_with_code_130_and_says_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a shell expects it after Ctrl-C."""

    def interrupted(*_args: object, **_more: object) -> None:
        raise InterruptedGuideError(130)

    monkeypatch.setattr("tuner.workflow.tune", interrupted)
    tuned = run(*TUNE)
    assert tuned.code == 130
    assert "the same command, without --from, goes on" in tuned.err


def test_a_dry_run_says_when_the_budget_will_be_exceeded(run: Run) -> None:
    """And refuses a step that there is none of."""
    planned = run(*TUNE[:-2], "--budget", "0.01s", "--dry-run")
    assert planned.code == 0
    assert "will be exceeded: 3 baselines and 2 configs on 8 seeds" in planned.out
    refused = run(*TUNE, "--from", "ladder", "--dry-run")
    assert refused.code == 2
    assert "must be one of baseline, rate" in refused.err


def test_a_dry_run_writes_nothing(run: Run) -> None:
    """The plan as a table, or as JSON; no database and no folder."""
    planned = run(*TUNE, "--dry-run")
    assert planned.code == 0
    assert "nothing was written" in planned.out
    assert run(*TUNE, "--dry-run", "--json").json["rounds"][0]["n_trials"] == 3
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget", "soon"), "like 20m, 90s, 1.5h or 50trials"),
        (("--from", "ladder"), "must be one of baseline, rate"),
        (("--set", "lerning_rate=1"), "Did you mean 'learning_rate'?"),
        (("--space", "quik"), "Did you mean 'quick'?"),
        (("--direction", "sideways"), "must be one of maximize, minimize, but got 'sideways'"),
        (("--goal", "inf"), "A goal must be a finite number, but got inf"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(run: Run, arguments: tuple[str, str], message: str) -> None:
    """Before anything is written."""
    refused = run(*TUNE[:-2], *arguments)
    assert refused.code == 2
    assert message in refused.err
    assert list(Path.cwd().iterdir()) == []


def test_data_that_leaks_ends_with_code_5(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tuned on data whose validation has been seen."""
    (tmp_path / "leaking_user_task.py").write_text(
        "import numpy as np\n"
        "def task():\n"
        "    x = np.random.default_rng(0).standard_normal((50, 4))\n"
        "    return np.concatenate([x, x]), np.arange(100) % 2\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    refused = run("tune", "--task", "leaking_user_task:task", "--study", "g", "--quiet")
    assert refused.code == 5
    assert "The data must pass its checks" in refused.err
    assert "are in train, too" in refused.err
    sys.modules.pop("leaking_user_task", None)


def test_a_waterfalls_bars_begin_where_the_one_before_ended() -> None:
    """Gains go right, losses come back; nothing at all is still one cell."""
    assert waterfall([2.0, -1.0, 1.0], 4) == ["████", "  ▒▒", "  ██"]
    assert waterfall([0.0, 1.0], 2) == ["█ ", "██"]
    assert waterfall([], 4) == []
