"""``tuner import-space``: what it prints, writes, warns of and refuses."""

from pathlib import Path

import pytest
import yaml

from search_spaces import load_space, preset
from search_spaces.exchange.imported import Source
from search_spaces.exchange.importing import import_space
from tests.tuner.cli.conftest import Run
from tuner.training.config import TrainingConfig
from tuner.training.config_keys import config_keys, refused_values, unread_keys

SWEEP = """
program: train.py
method: random
run_cap: 12
metric: {name: val/loss, goal: minimize}
early_terminate: {type: hyperband, min_iter: 3}
parameters:
  lr: {distribution: log_uniform_values, min: 1e-4, max: 0.1}
  optimizer: {values: [Adam, SGD]}
  epochs: {value: 5}
  batch_size: {value: 64}
"""


@pytest.fixture
def sweep(tmp_path: Path) -> str:
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return "sweep.yaml"


def test_a_sweep_is_printed_as_a_space(run: Run, sweep: str, tmp_path: Path) -> None:
    """The space alone on stdout, every word about it on stderr."""
    ran = run("import-space", sweep)
    assert ran.code == 0
    (tmp_path / "out.yaml").write_text(ran.out)
    space = load_space(tmp_path / "out.yaml")
    assert space.names == ("learning_rate", "optimizer")
    assert space.fixed == {"batch_size": 64}
    for part in (
        "note: lr is learning_rate here",
        "not carried over: program: ",
        "not carried over: early_terminate's min_iter 3",
        "warning: parameters.lr.min: W&B's YAML takes 1e-4 for text",
        "settings of the search: --sampler random --pruner hyperband --metric validation_loss --direction minimize",
        " --trials 12 --epochs 5",
    ):
        assert part in ran.err
    assert run("import-space", sweep, "--quiet").err == ""


def test_a_written_space_can_be_searched_as_the_next_command_says(run: Run, sweep: str) -> None:
    """The file is whole, and the command that is printed runs, with the settings that came along."""
    ran = run("import-space", sweep, "--output", "spaces/mine.yaml")
    assert ran.code == 0
    assert "2 levers: learning_rate, optimizer" in ran.out
    assert "fixed: batch_size=64" in ran.out
    command = ran.out.split("Next\n")[1].strip()
    assert command.startswith("tuner search --space spaces/mine.yaml --sampler random --pruner hyperband")
    planned = run(*command.split()[1:], "--task", "digits", "--dry-run", "--json")
    assert planned.code == 0
    assert planned.json["trials"] == 12
    assert [path.name for path in Path("spaces").iterdir()] == ["mine.yaml"]


def test_json_holds_all_that_is_told(run: Run, sweep: str) -> None:
    """One JSON document with the space, the settings and every sentence."""
    told = run("import-space", sweep, "--json", "--to", "wandb", "--output", "again.yaml").json
    assert told["source"] == Source.WANDB
    assert told["settings"]["trials"] == 12
    assert [lever["name"] for lever in told["space"]["levers"]] == ["learning_rate", "optimizer"]
    assert told["data"]["parameters"]["batch_size"] == {"value": 64}
    assert any("program" in sentence for sentence in told["not_carried"])
    assert any("1e-4" in sentence for sentence in told["warnings"])
    assert (told["to"], told["written"]) == ("wandb", "again.yaml")
    assert import_space("again.yaml").settings.options() == import_space(sweep).settings.options()


@pytest.mark.parametrize("form", ["wandb", "optuna", "optuna-short"])
def test_a_preset_is_exported(run: Run, form: str) -> None:
    """A preset in another tool's form, which is read back; what is lost is named."""
    ran = run("import-space", "quick", "--to", form)
    assert ran.code == 0
    Path("exported").write_text(ran.out)
    assert import_space("exported").space.distributions() == preset("quick").distributions()
    assert "warning: one_minus_momentum exists only where optimizer is sgd" in ran.err
    written = run("import-space", "quick", "--to", form, "--output", "file")
    assert ("wandb sweep file" in written.out) == (form == "wandb")


def test_what_no_training_reads_is_told(run: Run, tmp_path: Path) -> None:
    """Own names and values that a training refuses are warned of, and no search is proposed."""
    (tmp_path / "own.yaml").write_text(
        "method: random\nrun_cap: 1\nparameters: {heads: {values: [2, 4]}, dropout: {values: [0.5, 1.0]}, "
        "optimizer: {values: [lion, adam]}, activation: {value: swish}}"
    )
    ran = run("import-space", "own.yaml", "--output", "out.yaml")
    assert "warning: heads: no training here reads that" in ran.err
    for part in ("dropout must be a number at least 0 and below 1, but got 1.0", "got 'lion'", "got 'swish'"):
        assert f"{part}" in ran.err
    assert "tuner search" not in ran.out
    assert "no training here reads" not in run("import-space", "own.yaml", "--to", "optuna").err


def test_the_users_choices(run: Run, tmp_path: Path) -> None:
    """--keep-names, --truncate and --log-uniform-as decide what a file leaves open."""
    (tmp_path / "s.yaml").write_text(
        "method: random\nrun_cap: 1\nparameters: {lr: {distribution: log_uniform, min: 0.001, max: 0.1}, "
        "dropout: {distribution: beta}}"
    )
    refused = run("import-space", "s.yaml")
    assert refused.code == 2
    assert "--log-uniform-as values" in refused.err
    assert "--truncate" in refused.err
    ran = run("import-space", "s.yaml", "--keep-names", "--truncate", "--log-uniform-as", "values")
    assert yaml.safe_load(ran.out)["levers"]["lr"]["high"] == 0.1
    assert run("import-space", "s.yaml", "--log-uniform-as", "both").code == 2


def test_the_schema_is_printed(run: Run) -> None:
    """`--schema` needs no file."""
    ran = run("import-space", "--schema")
    assert ran.json["title"] == "A search space of symptune"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "import-space must have a FILE, a preset's name or --schema, but got none."),
        (("sweep.yaml", "--output", "./sweep.yaml"), "--output must be another file than the one to read"),
        (
            ("sweep.yaml", "--to", "yaml"),
            "The form to write must be one of space, wandb, optuna, optuna-short",
        ),
        (("nothing.yaml",), "A space to import must be one of quick"),
    ],
)
def test_mistakes_are_one_sentence(run: Run, sweep: str, arguments: tuple[str, ...], sentence: str) -> None:
    """With exit code 2."""
    assert sweep
    ran = run("import-space", *arguments)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {sentence}")


@pytest.mark.parametrize(
    "text",
    [
        "name: 2024-02-30\nmethod: random\nparameters: {x: {value: 1}}",
        "method: random\nparameters: {x: {value: !!float x}}",
        "method: random\nparameters: &all {x: {value: 1}, y: *all}",
        '{"levers": ' + '{"a":' * 3000 + "1" + "}" * 3001,
        '{"method": "random", "parameters": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "method: random\nrun_cap: 1\nparameters: {x: {min: 1, max: 1" + "0" * 400 + "}}",
        '{"x": {"type": "int", "low": 1, "high": 1' + "0" * 400 + "}}",
        '{"x": {"type": "int", "low": 1, "high": 1' + "0" * 5000 + "}}",
    ],
    ids=["date", "float", "alias", "deep", "deeper", "sweep-digits", "optuna-digits", "digits"],
)
def test_odd_files_are_one_sentence(run: Run, tmp_path: Path, text: str) -> None:
    """With exit code 2, whether they are imported or searched."""
    (tmp_path / "odd").write_text(text)
    for command in (("import-space", "odd"), ("search", "--space", "odd", "--dry-run")):
        ran = run(*command)
        assert ran.code == 2
        assert ran.err.startswith("error: ")
        assert "Traceback" not in ran.err
        assert ran.out == ""


def test_output_where_no_file_can_be(run: Run, sweep: str, tmp_path: Path) -> None:
    """A folder, or a place below a file, is a mistake of the command; nothing is left behind."""
    before = sorted(path.name for path in tmp_path.iterdir())
    for to in ("space", "wandb"):
        for output, fault in (
            (str(tmp_path), "must not be a folder"),
            (f"{sweep}/x", "must lie in a folder"),
        ):
            ran = run("import-space", sweep, "--to", to, "--output", output, "--quiet")
            assert (ran.code, fault in ran.err) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_file_name_with_a_space_gives_a_plain_name(run: Run, tmp_path: Path) -> None:
    """The space's name is part of the study's, which printed commands hold, whatever the kind of file."""
    for text in (
        '{"x": {"type": "int", "low": 1, "high": 2}}',
        "method: grid\nparameters: {x: {values: [1, 2]}}",
    ):
        (tmp_path / "my dists.json").write_text(text)
        ran = run("import-space", "my dists.json", "--json")
        assert ran.json["space"]["name"] == "my-dists"
        assert "note: name 'my dists' is my-dists here" in ran.err


def test_config_keys_are_those_of_a_training() -> None:
    """Names, words and whole numbers as `TrainingConfig` reads them."""
    keys = config_keys()
    assert list(keys) == list(TrainingConfig().to_mapping())
    assert keys["optimizer"].words == ("sgd", "adam", "adamw", "rmsprop")
    assert (keys["batch_size"].is_whole, keys["batch_size"].words) == (True, ("full",))
    assert [
        key for key in ("warmup_steps", "restart_period", "epsilon", "nesterov") if keys[key].is_whole
    ] == [
        "warmup_steps",
        "restart_period",
    ]


def test_presets_are_read_and_accepted_by_a_training() -> None:
    """The checks find nothing where nothing is."""
    assert unread_keys(preset("mlp")) == []
    assert refused_values(preset("mlp")) == []
