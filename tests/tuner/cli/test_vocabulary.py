import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.catalog import CONDITIONS, LEVERS
from search_spaces.files import load_space
from search_spaces.lever import Family
from search_spaces.presets import PRESETS, preset
from tests.tuner.cli.conftest import Run
from tuner.training.config import TrainingConfig


@pytest.fixture(autouse=True)
def _narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_the_catalog_is_a_table_by_family(run: Run) -> None:
    """Every lever on one line under its family, within 100 columns, none of them folded."""
    lines = run("levers").out.splitlines()
    assert max(map(len, lines)) <= 100
    heads = [line for line in lines if line in set(Family)]
    assert heads == list(Family)
    assert [
        line.split()[0] for line in lines if line.startswith(" ") and "──" not in line and line.strip()
    ] == [
        *(word for family in Family for word in ("lever", *names_of(family))),
        "tuner",
        "tuner",
    ]
    rows = {
        line.split()[0]: " ".join(line.split()[1:]) for line in lines if line.startswith(" ") and line.strip()
    }
    assert rows["learning_rate"] == "0.0001..1 log 0.1"
    assert rows["one_minus_momentum"] == "0.01..1 log 1 optimizer sgd"
    assert rows["weight_decay"] == "1e-06..0.1 log 0.01..0.1 0"
    assert rows["schedule"] == "constant step … (9) constant"
    assert rows["epsilon"] == "1e-10..0.01 log - optimizer adam adamw rmsprop"
    assert rows["clip_norm"] == "0.5..1 0 clipping on"


def names_of(family: Family) -> list[str]:
    return [lever.name for lever in LEVERS if lever.family is family]


@pytest.mark.parametrize("lever", LEVERS, ids=lambda lever: lever.name)
def test_every_lever_has_a_story(lever: object, run: Run) -> None:
    """Why, whence, where, and two commands to go on with: a config that a training takes, and a space that has it."""
    from search_spaces import Lever

    assert isinstance(lever, Lever)
    out = run("levers", lever.name).out
    assert out == run("levers", lever.key).out
    for text in (lever.reason, lever.source, lever.range_text, lever.family.value):
        assert text in out
    train, search = [line.strip() for line in out.split("Next\n")[1].splitlines()]
    settings = dict(setting.split("=") for setting in train.split(" --set ")[1:])
    config = TrainingConfig.from_mapping(settings)
    assert lever.contains(getattr(config, lever.key))
    if lever.name in CONDITIONS:
        assert CONDITIONS[lever.name].holds(config.to_mapping())
    name = search.removeprefix("tuner search --space ").split()[0]
    assert lever.name in preset(name) if name in PRESETS else f"`{lever.name}:` under `levers:`" in search


def test_a_suggested_command_shows_something(run: Run) -> None:
    """What does nothing alone comes with what it needs: another batch for the rule, momentum for Nesterov's."""
    assert (
        "tuner train --set batch_lr_rule=linear --set batch_size=512\n" in run("levers", "batch_lr_rule").out
    )
    assert "--set nesterov=on --set momentum=0.9\n" in run("levers", "nesterov").out
    config = TrainingConfig.from_mapping({"batch_lr_rule": "linear", "batch_size": 512})
    assert config.batch_size != config.base_batch_size


def test_a_story_says_what_is_special(run: Run) -> None:
    """Another scale, an anchor, a structural lever, a default that the training works out, and the presets."""
    momentum = run("levers", "momentum").out
    assert "searched as one_minus_momentum = 1 - momentum: 0.01..1 log" in momentum
    assert "only where  optimizer is sgd" in momentum
    assert "usual       0..0.3\n" in run("levers", "dropout").out
    assert "yes: trials that train together" in run("levers", "batch_size").out
    assert "default     worked out by the training" in run("levers", "step_size").out
    assert "presets     quick, mlp, cnn, dropout, regularization-grid, full\n" in run("levers", "dropout").out
    found = run("levers", "step_gamma", "--json").json
    assert (found["when"], found["presets"]) == ({"schedule": ["step", "multistep", "plateau"]}, ["full"])
    assert [lever["name"] for lever in run("levers", "--json").json] == [lever.name for lever in LEVERS]


def test_a_key_that_is_no_lever_is_told_so(run: Run) -> None:
    """In one sentence with its default; a word that is neither is an error with the name that was meant."""
    said = run("levers", "epochs")
    assert (
        said.out == "epochs is no lever: it is set, with --set epochs=..., and not searched (default: 10).\n"
    )
    assert said.code == 0
    assert "(default: worked out by the training)" in run("levers", "order_seed").out
    assert run("levers", "epochs", "--json").json == {"key": "epochs", "default": 10, "is_lever": False}
    wrong = run("levers", "momentm")
    assert wrong.code == 2
    assert "Did you mean 'momentum'" in wrong.err


def test_spaces_are_listed_with_their_levers_and_grids(run: Run) -> None:
    """One line a preset, within 100 columns."""
    out = run("spaces").out
    assert max(map(len, out.splitlines())) <= 100
    rows = {
        line.split()[0]: line.split()[1:]
        for line in out.splitlines()
        if line.startswith(" ") and line.strip()
    }
    assert rows["quick"] == ["learning_rate", "momentum", "weight_decay", "dropout", "625"]
    assert rows["full"][-3:] == ["…", "(28)", f"{preset('full').n_grid_points():.1e}"]
    assert set(PRESETS) <= set(rows)
    listed = run("spaces", "--json").json
    assert {space["name"]: space["n_grid_points"] for space in listed} == {
        name: space.n_grid_points() for name, space in PRESETS.items()
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_shown_space_can_be_saved_and_searched(name: str, run: Run, tmp_path: Path) -> None:
    """What `tuner spaces NAME` prints is the YAML of that space, whole; and shown again it is the same."""
    path = tmp_path / "mine.yaml"
    out = run("spaces", name).out
    path.write_text(out, encoding="utf-8")
    assert load_space(path) == preset(name)
    again = run("spaces", str(path)).out
    assert again.splitlines()[2:] == out.splitlines()[2:]
    assert run("spaces", name, "--json").json["name"] == name


def test_an_unknown_space_is_an_error(run: Run) -> None:
    """With the name that was meant."""
    wrong = run("spaces", "schedulrs")
    assert wrong.code == 2
    assert "Did you mean 'schedulers'" in wrong.err


@pytest.mark.parametrize("arguments", [["levers"], ["levers", "epochs"], ["spaces", "full"]])
def test_the_vocabulary_needs_no_torch(arguments: list[str]) -> None:
    """A look at what there is takes a moment."""
    code = (
        f"import sys; sys.argv = ['tuner', *{arguments}]\n"
        "from tuner.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('loaded', 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "loaded False"
