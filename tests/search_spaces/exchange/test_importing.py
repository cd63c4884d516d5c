"""What a file is, is told by what is in it; YAML's dialects; editors' schema line."""

from pathlib import Path

import pytest

from search_spaces.errors import ConfigurationError
from search_spaces.exchange.config_names import ConfigKey, catalog_keys, metric_of
from search_spaces.exchange.imported import Imported, Settings, Source
from search_spaces.exchange.importing import FORMS, export_space, import_space
from search_spaces.files import load_space, save_space
from search_spaces.presets import preset


def read(folder: Path, text: str, **options: object) -> Imported:
    path = folder / "file.txt"  # the suffix plays no part
    path.write_text(text, encoding="utf-8")
    return import_space(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("levers: {dropout: }", Source.SPACE),
        ("method: random\nparameters: {dropout: {min: 0.0, max: 0.5}}", Source.WANDB),
        ("method: random\nparameters: {type: {values: [a, b]}}", Source.WANDB),
        (
            '{"method": "random", "parameters": {"x": {"value": 1}, "dropout": {"min": 0.0, "max": 1.0}}}',
            Source.WANDB,
        ),
        ('{"method": {"type": "categorical", "choices": ["a"]}}', Source.OPTUNA),
        ("levers: {type: int, low: 1, high: 2}", Source.OPTUNA),
        ('{"x": {"name": "IntDistribution", "attributes": {"low": 1, "high": 2}}}', Source.OPTUNA),
    ],
)
def test_the_kind_is_told_by_the_content(text: str, source: Source, tmp_path: Path) -> None:
    """A parameter may be called method or type, a lever levers: it is the shape that tells."""
    assert read(tmp_path, text).source is source


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: 1\nb: 2", "{}", "just words"])
def test_a_file_of_no_known_kind_is_refused(text: str, tmp_path: Path) -> None:
    """The error says what the three kinds look like, and what the file has."""
    with pytest.raises(
        ConfigurationError, match=r"must be a W&B sweep .* or a space of ours .levers., but .* has "
    ):
        read(tmp_path, text)


def test_a_preset_and_a_file_of_ours_come_as_they_are(tmp_path: Path) -> None:
    """Nothing is renamed in what is ours already."""
    assert import_space("quick") == Imported(source=Source.SPACE, space=preset("quick"))
    save_space(preset("mlp"), tmp_path / "mine.yaml")
    assert import_space(tmp_path / "mine.yaml").space == preset("mlp")


def test_what_is_not_there_and_what_is_no_text(tmp_path: Path) -> None:
    """A missing file is answered with the presets, one of bytes with the reason."""
    with pytest.raises(
        ConfigurationError, match=r"A space to import must be one of quick, .* Did you mean 'quick'"
    ):
        import_space("quikc")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"must be YAML, but .*bytes is not: 'utf-8'"):
        import_space(tmp_path / "bytes")
    with pytest.raises(ConfigurationError, match=r"must be YAML, but .* is not: while parsing"):
        read(tmp_path, "{a: [1")


def test_every_form_is_written() -> None:
    """Each form gives text; another is refused."""
    assert all(export_space(preset("quick"), form).text for form in FORMS)
    with pytest.raises(
        ConfigurationError, match=r"The form to write must be one of space, .* Did you mean 'wandb'"
    ):
        export_space(preset("quick"), "wandbb")


def test_a_sweep_given_as_a_space_is_told_the_way(tmp_path: Path) -> None:
    """`tuner search --space sweep.yaml` says which command makes a space of it."""
    (tmp_path / "sweep.yaml").write_text("method: random\nparameters: {x: {value: 1}}")
    with pytest.raises(
        ConfigurationError, match=r"has `parameters`, as W&B sweeps do: `tuner import-space .*sweep"
    ):
        load_space(tmp_path / "sweep.yaml")


def test_keys_of_a_training_decide_what_is_renamed(tmp_path: Path) -> None:
    """A name becomes a config key only where a training has that key."""
    text = (
        "method: random\nrun_cap: 1\nparameters: {random_units: {value: 1}, hidden_size: {values: [8, 16]}}"
    )
    assert read(tmp_path, text).space.names == ("width",)
    assert read(tmp_path, text, keys={"depth": ConfigKey()}).space.names == ("hidden_size",)


def test_words_of_several_spellings(tmp_path: Path) -> None:
    """Words become ours by their letters or by the table; unknown ones stay."""
    text = """
    method: random
    run_cap: 1
    parameters:
      lr_scheduler: {values: [ReduceLROnPlateau, cosine-annealing, One Cycle, wild]}
      nonlinearity: {values: [LeakyReLU, GELU]}
      weight_init: {value: xavier}
    """
    space = read(tmp_path, text).space
    assert space["schedule"].distribution.choices == ("plateau", "cosine", "one_cycle", "wild")
    assert space["activation"].distribution.choices == ("leaky_relu", "gelu")
    assert space.fixed == {"initialization": "glorot"}


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("val/loss", "validation_loss"),
        ("Val Acc", "validation_accuracy"),
        ("eval-accuracy", "validation_accuracy"),
        ("train.loss", "train_loss"),
        ("loss", None),
        ("test_loss", None),
    ],
)
def test_metrics_of_other_names(name: str, metric: str | None) -> None:
    """Only where it is plain: a bare loss may be any, and a test loss is nothing to tune on."""
    assert metric_of(name) == metric


def test_the_catalogs_keys_know_whole_numbers_and_words() -> None:
    """Batch sizes are whole, rates are not, optimizers are words."""
    keys = catalog_keys()
    assert (keys["batch_size"].is_whole, keys["depth"].is_whole, keys["dropout"].is_whole) == (
        True,
        True,
        False,
    )
    assert "adamw" in keys["optimizer"].words
    assert "momentum" in keys


def test_a_schema_beside_a_file_is_named_in_it(tmp_path: Path) -> None:
    """Only where the schema lies there: a path that leads nowhere helps no editor."""
    save_space(preset("quick"), tmp_path / "alone.yaml")
    assert (tmp_path / "alone.yaml").read_text().startswith("name: quick")
    (tmp_path / "space.schema.json").write_text("{}")
    save_space(preset("quick"), tmp_path / "beside.yaml")
    assert (
        (tmp_path / "beside.yaml")
        .read_text()
        .startswith("# yaml-language-server: $schema=./space.schema.json\nname")
    )
    assert load_space(tmp_path / "beside.yaml") == preset("quick")


def test_settings_as_options() -> None:
    """What is not said is not an option."""
    assert Settings().options() == ""
    assert Settings(sampler="grid", trials=9, seed=0).options() == "--sampler grid --trials 9 --seed 0"
