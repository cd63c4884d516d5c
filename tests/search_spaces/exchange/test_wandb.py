"""W&B sweeps: 50 and more files of all kinds and traps, W&B's own sampling as an oracle, and round trips."""

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.catalog import lever as catalog_lever
from search_spaces.errors import ConfigurationError
from search_spaces.exchange.config_names import METRIC_NAMES, catalog_keys
from search_spaces.exchange.imported import Choices, Imported, Remarks, Settings, Source
from search_spaces.exchange.importing import export_space, import_space
from search_spaces.exchange.parameters import short_form
from search_spaces.exchange.wandb.distributions import FORMS
from search_spaces.exchange.wandb.sweep import TOP_KEYS, read_sweep
from search_spaces.fields import from_fields
from search_spaces.lever import Family, Value
from search_spaces.presets import PRESETS, preset
from search_spaces.space import Space
from tests.strategies import spaces

SWEEPS = Path(__file__).parent / "sweeps"


@dataclass(frozen=True, kw_only=True)
class Reads:
    """What a sweep becomes. Of each sentence, a part; as many parts as sentences."""

    levers: dict[str, BaseDistribution]
    fixed: dict[str, Value] = field(default_factory=dict)
    options: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_carried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A part of each fault; as many parts as faults."""

    faults: tuple[str, ...]


def f(low: float, high: float, *, log: bool = False, step: float | None = None) -> FloatDistribution:
    return FloatDistribution(low, high, log=log, step=step)


def i(low: int, high: int, *, log: bool = False, step: int = 1) -> IntDistribution:
    return IntDistribution(low, high, log=log, step=step)


def c(*choices: Value) -> CategoricalDistribution:
    return CategoricalDistribution(choices)


DROPOUT = {"dropout": f(0, 0.5)}
RANDOM_5 = "--sampler random --pruner none --trials 5"
TPE = "method bayes is the sampler tpe here"
NO_SCRIPT = "it runs no script"
CASES: dict[str, Reads | Refused] = {
    "all_plain_forms.yaml": Reads(
        levers={
            "learning_rate": f(1e-4, 0.1, log=True),
            "dropout": f(0, 0.5),
            "label_smoothing": f(0, 0.1),
            "depth": i(1, 4),
            "plateau_patience": i(2, 6),
            "optimizer": c("sgd", "adam"),
            "activation": c("relu", "gelu"),
        },
        fixed={"batch_size": 64, "schedule": "cosine"},
        options="--sampler random --pruner none --metric validation_loss --direction minimize --trials 30",
    ),
    "anchors_and_merges.yaml": Reads(
        levers={
            "weight_decay": f(1e-5, 0.01, log=True),
            "learning_rate": f(1e-5, 0.1, log=True),
            "width": c(64, 128),
            "batch_size": c(64, 128),
        },
        options=RANDOM_5,
    ),
    "bayes_tutorial.yaml": Reads(
        levers={
            "learning_rate": f(1e-4, 0.1),
            "optimizer": c("adam", "sgd"),
            "width": c(128, 256, 512),
            "dropout": c(0.3, 0.4, 0.5),
        },
        options="--sampler tpe --pruner none --metric validation_loss --direction minimize --epochs 15",
        notes=(
            TPE,
            "lr is learning_rate",
            "fc_layer_size is width",
            "Adam is adam",
            "SGD is sgd",
            "val_loss is validation_loss",
        ),
        warnings=("epochs was searched up to 15", "without run_cap W&B never ends a sweep"),
        not_carried=(NO_SCRIPT, "entity: a study here", "project: a study here"),
    ),
    "beta.yaml": Refused(("dropout: Optuna has no beta: its shape",)),
    "categorical_weights.yaml": Reads(
        levers={"activation": c("relu", "tanh", "gelu"), "optimizer": c("sgd", "adam")},
        options=RANDOM_5,
        warnings=(
            "activation: the probabilities [0.5, 0.25, 0.25] are lost",
            "optimizer: the probabilities [0.9",
        ),
    ),
    "categorical_weights_wrong.yaml": Refused(
        (
            "activation: probabilities must be as many as the values (2) and add up to 1, but 2 add up to 0.7",
            "optimizer: probabilities must be as many as the values (2) and add up to 1, but 1 add up to 1",
            "schedule: probabilities must be numbers of at least 0, but got ['half'",
        )
    ),
    "choices_that_are_no_values.yaml": Refused(
        (
            "schedule: values must be words, finite numbers, true or false, but null is not (give it a name",
            "layers: values must be words, finite numbers, true or false, but [64, 64], [128] is not",
            "widths: values must be a list of at least one value, but got []",
        )
    ),
    "constants_of_all_kinds.yaml": Reads(
        levers=DROPOUT,
        fixed={"nesterov": True, "optimizer": "adamw", "momentum": 0.9},
        options=f"{RANDOM_5} --epochs 12 --seed 7",
        notes=("max_epochs is epochs", "AdamW is adamw"),
        not_carried=("betas: a fixed value must be", "checkpoint: a fixed value must be"),
    ),
    "custom_method.yaml": Refused(("method must be grid, random or bayes, but custom",)),
    "date_and_octal.yaml": Reads(
        levers={"width": c(8, 64), "restart_period": c(90, 5), "nesterov": c(True, False)},
        fixed={"data_version": "2024-01-01"},
        options=RANDOM_5,
        warnings=(
            "width.values: W&B's YAML takes 10 for 8",
            "takes 1:30 for 90",
            "takes on for true",
            "takes off for false",
        ),
    ),
    "dotted_and_nested.yaml": Refused(("model.width must be there once, but is nested and dotted",)),
    "duplicate_choices.yaml": Reads(
        levers={"batch_size": c(64, 128), "optimizer": c("adam")},
        options=RANDOM_5,
        notes=("Adam is adam here, which is a choice already",),
        warnings=("batch_size: 64 is there twice",),
    ),
    "duplicate_key.yaml": Refused(("the key 'lr' is there twice",)),
    "empty_parameters.yaml": Refused(("parameters must be a mapping of at least one parameter, but got {}",)),
    "exponents.yaml": Reads(
        levers={
            "learning_rate": f(1e-4, 0.1, log=True),
            "width": i(32, 256, log=True),
            "weight_decay": f(1e-5, 0.01, log=True),
        },
        options="--sampler random --pruner none --trials 20",
        warnings=(
            "learning_rate: W&B takes min -9.21034 and max -2.30259 of log_uniform for exponents of e, 0.0001..0.1",
            "width: W&B takes min 3.4657 and max 5.5452 of q_log_uniform for exponents of e, 31.9989..256.006",
            "weight_decay: W&B takes min 4.60517 and max 11.5129 of inv_log_uniform for exponents of e, 1e-05..0.01",
        ),
    ),
    "exponents_overflow.yaml": Refused(("learning_rate: W&B takes min -800 and max -2 of log_uniform for",)),
    "exponents_that_are_values.yaml": Refused(
        (
            "log_uniform for exponents of e, 1.00001..1.10517, but they look like the values themselves: say what you",
            "batch_size: W&B takes min 16 and max 256 of q_log_uniform for exponents",
            "weight_decay: W&B takes min 0.01 and max 10 of inv_log_uniform for exponents",
        )
    ),
    "exponents_within_reach.yaml": Reads(
        levers={"gain": f(2.71828182846, 20.0855369232, log=True)},
        options=RANDOM_5,
        warnings=(
            "gain: W&B takes min 1 and max 3 of log_uniform for exponents of e, 2.71828..20.0855; so does",
        ),
    ),
    "float_as_quoted_text.yaml": Reads(
        levers={"learning_rate": f(1e-4, 0.1, log=True), "kernel": c("3", "5")},
        options=RANDOM_5,
        warnings=("learning_rate: W&B refuses min '1e-4', which is text; it is read as the number 0.0001",),
    ),
    "floats_as_text.yaml": Reads(
        levers={"learning_rate": f(1e-5, 0.1, log=True), "weight_decay": c(0, 1e-4, 1e-3)},
        fixed={"epsilon": 1e-8},
        options=RANDOM_5,
        warnings=(
            "learning_rate.min: W&B's YAML takes 1e-5 for text",
            "learning_rate.max: W&B's YAML takes 1e-1 for text",
            "weight_decay.values: W&B's YAML takes 1e-4 for text",
            "epsilon.value: W&B's YAML takes 1e-8 for text",
        ),
    ),
    "flow_style.yaml": Reads(levers=DROPOUT, options=RANDOM_5),
    "goal_missing.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner none --metric validation_accuracy --direction maximize --trials 5",
        notes=("val/accuracy is validation_accuracy",),
        warnings=("val/accuracy has no goal, so that W&B minimizes it; it is maximized here",),
    ),
    "goal_misspelled.yaml": Refused(
        ("metric.goal must be one of minimize, maximize, but got 'maximise'. Did you",)
    ),
    "goal_odd.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner none --metric validation_accuracy --direction minimize --trials 5",
        notes=("accuracy is validation_accuracy",),
        warnings=("accuracy is to minimize, as the sweep says; one would maximize it",),
    ),
    "grid.yaml": Reads(
        levers={"learning_rate": c(0.01, 0.1, 1.0), "depth": c(1, 2, 3)},
        fixed={"optimizer": "sgd"},
        options="--sampler grid --pruner none --metric validation_accuracy --direction maximize --trials 9",
        notes=("val_acc is validation_accuracy",),
    ),
    "grid_capped.yaml": Reads(
        levers={"width": c(32, 64, 128), "activation": c("relu", "tanh")},
        options="--sampler grid --pruner none --trials 4",
    ),
    "grid_over_quantized.yaml": Reads(
        levers={"width": c(16, 32, 48), "dropout": c(0.05, 0.15)},
        options="--sampler grid --pruner none --trials 6",
        warnings=(
            "width: W&B's grid goes from min in steps of q and leaves max out: 16 to 48",
            "0.05 to 0.15",
        ),
    ),
    "grid_over_uniform.yaml": Reads(
        levers=DROPOUT,
        options="--sampler grid --pruner none",
        warnings=("dropout: W&B refuses a grid over uniform",),
    ),
    "grid_too_long.yaml": Reads(
        levers={"width": i(1, 5000)},
        options="--sampler grid --pruner none",
        warnings=("width: W&B's grid has all 5000 whole numbers",),
    ),
    "hyperband.yaml": Reads(
        levers={"learning_rate": f(1e-3, 1, log=True)},
        options="--sampler tpe --pruner hyperband --metric validation_accuracy --direction maximize --trials 50",
        notes=(TPE, "val_accuracy is validation_accuracy"),
        not_carried=(
            "target 0.99: a search here ends at",
            "impute: trials that fail",
            "min_iter 3, eta 2, strict true:",
        ),
    ),
    "hyperband_max_iter.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner hyperband --metric validation_accuracy --direction maximize --trials 50",
        notes=("val_accuracy is validation_accuracy",),
        not_carried=("early_terminate's max_iter 27, s 2: the pruner hyperband here has rungs of its own",),
    ),
    "hyperband_wrong.yaml": Refused(
        (
            "a key of early_terminate must be one of type, min_iter, max_iter, s, eta, strict, but got 'etaa'. Did",
            "early_terminate.eta must be a number above 1, but got 'three'",
            "early_terminate must have min_iter, or max_iter and s, but has neither",
        )
    ),
    "inverse_values.yaml": Reads(
        levers={"learning_rate": f(1e-3, 0.1, log=True)},
        options=RANDOM_5,
        warnings=("learning_rate: in spite of its name W&B draws log-uniformly from min to max",),
    ),
    "launch_job.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner none --trials 3",
        notes=("name 'My first sweep!' is My-first-sweep",),
        not_carried=("command: ", "job: ", "image_uri: ", "controller: ", "apiVersion: ", "kind: "),
    ),
    "log_normal.yaml": Refused(
        ("learning_rate: Optuna has no log_normal: it has no bounds", "no q_log_normal:")
    ),
    "many_faults.yaml": Refused(
        (
            "but got 'metod'. Did you mean 'method'?",
            "but got 'parametrs'. Did you mean 'parameters'?",
            "method must be one of grid, random, bayes, custom, but got 'baies'",
            "lr: min must be below max, but got min 0.1 and max 0.01",
            "bs must be a mapping, but got 64 (write `value: 64`)",
            "sizes must be a mapping, but got [1, 2] (write `values: [1, 2]`)",
            "a parameter's name must be letters, digits, `_`, `.` or `-`, but got 'bad name'",
            "but got 'log_uniform_value'. Did you mean 'log_uniform_values'?",
            "dropout: a key of uniform must be one of distribution, min, max, but got 'minn'. Did you mean 'min'?",
            "dropout: uniform must have min, but has none",
            "depth: int_uniform must have whole bounds, but got 1 and 2.5",
            "gain: a key of uniform must be one of distribution, min, max, but got 'q'",
            "group: a nested group must have parameters and nothing else",
            "noise must have a value, values, min and max, or a distribution with its keys, but has mu, sigma",
            "rate: min of log_uniform_values must be above 0, but got 0",
            "step: q must be above 0, but got 0",
            "high: max must be a number in -1e+15..1e+15, but got inf",
            "metric must be a mapping with a name, but got {'nam': 'loss'}",
            "run_cap must be a whole number above 0, but got 'none'",
        )
    ),
    "metric_of_another.yaml": Reads(
        levers=DROPOUT, options=RANDOM_5, not_carried=("metric eval/f1: it is none of ours",)
    ),
    "missing_method.yaml": Refused(("method must be one of grid, random, bayes, custom, but it has none",)),
    "multi_objective.yaml": Refused(("method must be grid, random or bayes, but custom",)),
    "nested.yaml": Reads(
        levers={
            "optimizer": c("adamw", "rmsprop"),
            "learning_rate": f(1e-4, 0.01, log=True),
            "encoder.dropout": f(0, 0.5),
            "encoder.heads": c(2, 4),
            "decoder.dropout": f(0, 0.3),
        },
        options=RANDOM_5,
        notes=(
            "optimizer.name is optimizer",
            "optimizer.lr is learning_rate",
            "AdamW is adamw",
            "RMSProp is rmsprop",
        ),
        warnings=(
            "encoder.dropout stays as it is: it could be dropout, but so could decoder.dropout",
            "decoder.dropout stays as it is: it could be dropout, but so could encoder.dropout",
        ),
    ),
    "normal.yaml": Refused(
        (
            "gain: Optuna has no normal: it has no bounds, and mu plus or minus 3 sigma is 0.7..1.3; `--truncate`",
            "noise: Optuna has no normal: it has no bounds, and mu plus or minus 3 sigma is -3..3",
            "units: Optuna has no q_normal: it has no bounds, and mu plus or minus 3 sigma is 16..112",
            "share: Optuna has no q_beta: its shape a, b has no counterpart, and all of it lies in 0..1",
        )
    ),
    "own_names.yaml": Reads(
        levers={
            "learning_rate": f(1e-3, 0.1),
            "lr": f(0.01, 0.1),
            "weight_decay": f(0, 0.1),
            "warmup": f(0, 0.1),
        },
        options=RANDOM_5,
        notes=("Weight-Decay is weight_decay",),
        warnings=("lr stays as it is: it could be learning_rate, but learning_rate is there already",),
    ),
    "q_float.yaml": Reads(
        levers={"dropout": f(0, 0.5, step=0.05), "label_smoothing": f(0.05, 0.1, step=0.05)},
        options=RANDOM_5,
        warnings=(
            "label_smoothing: W&B draws multiples of q, not min plus multiples: the range is 0.05..0.10",
        ),
    ),
    "q_int.yaml": Reads(
        levers={"width": i(32, 256, step=32), "depth": i(1, 4), "base_batch_size": i(32, 96, step=32)},
        options=RANDOM_5,
        warnings=(
            "depth: W&B's default q is the float 1.0, so that it draws 32.0",
            "base_batch_size: W&B draws multiples of q, not min plus multiples: the range is 32..96 (W&B also draws 0",
        ),
    ),
    "q_log_values.yaml": Reads(
        levers={
            "batch_size": i(32, 256, log=True),
            "width": i(16, 512, log=True),
            "gain": f(1, 10, log=True),
            "depth": i(4, 16, log=True),
        },
        options=RANDOM_5,
        warnings=(
            "batch_size: Optuna has no steps on a log scale, so q 8 is lost: all whole numbers in 32..256",
            "width: W&B's default q is the float 1.0",
            "gain: Optuna has no steps on a log scale, so q 0.5 is lost: all numbers in 1..10",
            "depth: W&B also draws 0, which has no place on a log scale: the range begins at 4",
            "depth: Optuna has no steps on a log scale, so q 4 is lost: all whole numbers in 4..16",
        ),
    ),
    "q_without_multiple.yaml": Refused(
        ("width: a multiple of q must lie between the bounds, but 33..60 has none",)
    ),
    "random_forever.yaml": Reads(
        levers=DROPOUT, options="--sampler random --pruner none", warnings=("without run_cap W&B never ends",)
    ),
    "refused_together.yaml": Reads(
        levers=DROPOUT,
        options="--sampler random --pruner hyperband --metric validation_loss --direction minimize --trials 5",
        notes=("val_loss is validation_loss",),
        warnings=(
            "metric and metrics: W&B refuses",
            "scheduler and early_terminate: W&B",
            "scheduler and controller local: W&B",
            "metrics and method random: W&B",
        ),
        not_carried=("controller: ", "scheduler: ", "metrics: ", "early_terminate's min_iter 2:"),
    ),
    "seeds_and_epochs.yaml": Reads(
        levers=DROPOUT,
        options=f"{RANDOM_5} --epochs 40",
        notes=("random_seed is seed",),
        warnings=("epochs was searched up to 40",),
        not_carried=("random_seed: a seed has no best value",),
    ),
    "sweep.json": Reads(
        levers={"learning_rate": f(1e-5, 0.1, log=True), "depth": i(1, 6)},
        options="--sampler tpe --pruner none --trials 12",
        notes=(TPE, "num_layers is depth"),
        not_carried=("metric loss: it is none of ours",),
    ),
    "sweep_repeats.json": Refused(("A JSON file must have each key once, but 'method' is there twice",)),
    "whole_keys_with_fractions.yaml": Reads(
        levers={"batch_size": i(16, 256, log=True), "width": i(33, 128)},
        options=RANDOM_5,
        warnings=("batch_size takes whole numbers, but", "the range is 33..128, whole"),
    ),
    "whole_keys_without_room.yaml": Refused(("depth must be whole numbers, but got 0.2..0.8",)),
    "zero_to_one.yaml": Reads(
        levers={"dropout": i(0, 1)},
        options=RANDOM_5,
        warnings=("dropout: min and max are whole numbers, so W&B only ever draws 0 or 1",),
    ),
}


def test_every_sweep_has_a_row() -> None:
    """The table is the folder: 40 files and more, of all 18 distributions."""
    files = {path.name for path in SWEEPS.iterdir()}
    assert files == set(CASES)
    assert len(files) >= 40
    assert len(FORMS) == 18
    written = {
        name
        for path in files
        for name in re.findall(r"distribution: (\w+)", (SWEEPS / path).read_text(encoding="utf-8"))
    }
    assert {*FORMS} <= written


def test_the_page_has_every_distribution_and_key() -> None:
    """What becomes of each is told in docs/import.md."""
    page = (Path(__file__).parents[3] / "docs" / "import.md").read_text(encoding="utf-8")
    rows = {
        word
        for line in page.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert rows >= {
        *FORMS,
        *TOP_KEYS,
        *METRIC_NAMES,
        *(f"{name}Distribution" for name in ("Float", "Int", "Categorical")),
    }


@pytest.mark.parametrize("name", CASES)
def test_a_sweep_is_read_or_refused_by_name(name: str) -> None:
    """Levers, fixed keys and settings are as expected, and every sentence told is one that was expected."""
    case = CASES[name]
    if isinstance(case, Refused):
        with pytest.raises(ConfigurationError, match=r"must") as caught:
            import_space(SWEEPS / name)
        lines = str(caught.value).splitlines()
        assert_told(lines[1:] if len(lines) > 1 else lines, case.faults)
        return
    imported = import_space(SWEEPS / name)
    assert imported.source is Source.WANDB
    assert imported.space.distributions() == case.levers
    assert list(imported.space.names) == list(case.levers)
    assert [type(value) for value in imported.space.fixed.values()] == [type(v) for v in case.fixed.values()]
    assert imported.space.fixed == pytest.approx(case.fixed)
    assert imported.settings.options() == case.options
    assert_told(imported.notes, case.notes)
    assert_told(imported.warnings, case.warnings)
    assert_told(imported.not_carried, case.not_carried)


def assert_told(sentences: Any, parts: tuple[str, ...]) -> None:
    told = list(sentences)
    assert len(told) == len(parts), told
    for sentence, part in zip(told, parts, strict=True):
        assert part in sentence


def read(tmp_path: Path, parameters: dict[str, Any], choices: Choices | None = None, **top: Any) -> Imported:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"method": "random", "run_cap": 1, **top, "parameters": parameters}))
    return import_space(path, choices=choices)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("beta.yaml", {"dropout": f(0, 1)}),
        (
            "log_normal.yaml",
            {"learning_rate": f(0.00050045143, 0.20189651800, log=True), "width": i(12, 245, log=True)},
        ),
        (
            "normal.yaml",
            {
                "gain": f(0.7, 1.3),
                "noise": f(-3, 3),
                "units": i(16, 112, step=8),
                "share": f(0, 1, step=0.25),
            },
        ),
    ],
)
def test_truncation_takes_the_range(name: str, expected: dict[str, Any]) -> None:
    """With `truncate` an unbounded distribution is its mu +- 3 sigma, and its lost shape is told."""
    imported = import_space(SWEEPS / name, choices=Choices(truncate=True))
    found: dict[str, Any] = {**imported.space.distributions()}
    assert {key: type(value) for key, value in found.items()} == {key: type(v) for key, v in expected.items()}
    for key, wanted in expected.items():
        assert found[key].low == pytest.approx(wanted.low, rel=1e-6)
        assert found[key].high == pytest.approx(wanted.high, rel=1e-6)
        assert (found[key].step, found[key].log) == (wanted.step, wanted.log)
        assert any(
            f"{key}: Optuna has no" in warning and "shape is lost" in warning for warning in imported.warnings
        )


def test_the_user_says_what_log_uniform_means() -> None:
    """Bounds that look like values are read as the user says: as values, or as W&B's exponents."""
    path = SWEEPS / "exponents_that_are_values.yaml"
    values = import_space(path, choices=Choices(log_uniform_as="values")).space.distributions()
    assert values == {
        "learning_rate": f(1e-5, 0.1, log=True),
        "batch_size": i(16, 256, log=True),
        "weight_decay": f(0.01, 10, log=True),
    }
    with pytest.raises(
        ConfigurationError, match=r"8.88611e\+06..1.51143e\+111, which no hyperparameter is"
    ) as caught:
        import_space(path, choices=Choices(log_uniform_as="exponents"))
    assert str(caught.value).count("\n") == 1
    with pytest.raises(
        ConfigurationError, match="log_uniform_as must be exponents or values, but got 'both'"
    ):
        Choices(log_uniform_as="both")


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [
        (0.2, 0.9, True),  # at most 1
        (0.05, 5, True),  # two decades apart
        (16, 21, True),  # e^21 is beyond a billion
        (0.5, 5, False),
        (1, 20, False),
        (0, 0.1, True),  # nobody searches from 1 to 1.105; 0 was meant as nearly nothing
        (0, 1, True),
        (0, 5, False),
        (-5, -1, False),
    ],
)
def test_which_bounds_look_like_values(low: float, high: float, refused: bool, tmp_path: Path) -> None:
    """Not negative, and at most 1, two decades apart or of powers beyond a billion."""
    spec = {"x": {"distribution": "log_uniform", "min": low, "max": high}}
    if refused:
        with pytest.raises(
            ConfigurationError, match=r"x: W&B takes .* but they look like the values themselves"
        ):
            read(tmp_path, spec)
    else:
        distribution = read(tmp_path, spec).space["x"].distribution
        assert isinstance(distribution, FloatDistribution)
        assert (distribution.low, distribution.high) == pytest.approx((math.exp(low), math.exp(high)))


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [(9.2, 23.1, False), (0.5, 21, False), (0.001, 0.1, True), (0, 0.1, True), (1e-2, 30, True)],
)
def test_inverse_exponents_may_be_large(low: float, high: float, refused: bool, tmp_path: Path) -> None:
    """1e-10 to 1e-4 is a range of weight decays: only powers upwards can be beyond all hyperparameters."""
    spec = {"x": {"distribution": "inv_log_uniform", "min": low, "max": high}}
    if refused:
        with pytest.raises(ConfigurationError, match="they look like the values themselves"):
            read(tmp_path, spec)
    else:
        distribution = read(tmp_path, spec).space["x"].distribution
        assert distribution == FloatDistribution(
            float(f"{math.exp(-high):.12g}"), float(f"{math.exp(-low):.12g}"), log=True
        )


def test_names_may_be_kept() -> None:
    """Without renaming, names and words stay as the sweep has them."""
    imported = import_space(SWEEPS / "bayes_tutorial.yaml", choices=Choices(rename=False))
    assert imported.space.names == ("lr", "optimizer", "fc_layer_size", "dropout")
    assert imported.space["optimizer"].distribution == c("Adam", "SGD")
    assert not any(" is learning_rate " in note for note in imported.notes)


def wandb_draw(distribution: str, low: float, high: float, q: float, u: float) -> float:
    """What W&B draws at the quantile u: an independent statement of its sampler."""
    if distribution == "int_uniform":
        return min(math.floor(low + u * (high - low + 1)), high)
    if distribution == "inv_log_uniform":
        value = math.exp(-(low + (high - low) * (1 - u)))
    elif distribution in {"log_uniform", "q_log_uniform"}:
        value = math.exp(low + (high - low) * u)
    elif "log" in distribution:
        value = math.exp(math.log(low) + (math.log(high) - math.log(low)) * u)
    else:
        value = low + (high - low) * u
    return round(value / q) * q if distribution.startswith("q_") else value


SAMPLED = [
    "uniform", "int_uniform", "q_uniform", "log_uniform", "inv_log_uniform", "q_log_uniform", "log_uniform_values",
    "inv_log_uniform_values", "q_log_uniform_values",
]  # fmt: skip


@given(
    st.sampled_from(SAMPLED),
    st.integers(1, 40),
    st.integers(1, 60),
    st.integers(1, 7),
    st.lists(st.floats(0, 1)),
)
@settings(deadline=None)
def test_what_wandb_draws_lies_in_the_range(
    tmp_path_factory: pytest.TempPathFactory, name: str, low: int, more: int, q: int, quantiles: list[float]
) -> None:
    """Every value that W&B draws within its own bounds is one of the lever's, and both ends are W&B's too."""
    is_log, is_exponent = "log" in name, name in {"log_uniform", "inv_log_uniform", "q_log_uniform"}
    bounds = (low / 10 - 3, low / 10 - 3 + more / 10) if is_exponent else (low, low + more)
    spec: dict[str, Any] = {"distribution": name, "min": bounds[0], "max": bounds[1]}
    if name.startswith("q_"):
        q = 1 if is_log else q
        spec["q"] = q
        assume(is_log or math.ceil(low / q) <= (low + more) // q)
    folder = tmp_path_factory.getbasetemp()
    imported = read(folder, {"x": spec}, Choices(log_uniform_as="exponents" if is_exponent else None))
    lever = imported.space["x"]
    ends = [wandb_draw(name, *bounds, q, u) for u in (0.0, 1.0)]
    low_end, high_end = lever.grid(2)[0], lever.grid(2)[-1]
    assert isinstance(low_end, int | float)
    assert isinstance(high_end, int | float)
    if not name.startswith("q_"):
        assert (low_end, high_end) == pytest.approx(sorted(ends))
    for u in quantiles:
        value = wandb_draw(name, *bounds, q, u)
        outside = not low_end * (1 - 1e-9) <= value <= high_end * (1 + 1e-9)
        if name == "q_uniform" and outside:
            assert not bounds[0] <= value <= bounds[1]
        elif name == "q_log_uniform" and outside:
            assert value == 0
        elif not isinstance(lever.distribution, FloatDistribution):
            assert lever.contains(round(value))
        else:
            assert not outside


@given(spaces())
@settings(deadline=None)
def test_a_space_comes_back_from_a_sweep(tmp_path_factory: pytest.TempPathFactory, space: Space) -> None:
    """Written and read again, everything is there that W&B can hold; the rest was named."""
    assume(len(space) + len(space.fixed) and not {*space.names} & {*space.fixed})
    exported = export_space(space, "wandb", Settings(trials=3))
    path = tmp_path_factory.getbasetemp() / "exported.yaml"
    path.write_text(exported.text, encoding="utf-8")
    imported = import_space(path, choices=Choices(rename=False))
    levers, fixed = [], dict(space.fixed)
    for lever in space:
        distribution = lever.distribution
        if not isinstance(distribution, CategoricalDistribution) and distribution.single():
            fixed[lever.name] = distribution.low
        elif not isinstance(distribution, CategoricalDistribution) and not is_multiple(distribution):
            steps = range(round((distribution.high - distribution.low) / (distribution.step or 1)) + 1)
            points = [distribution.low + step * (distribution.step or 1) for step in steps]
            levers.append(from_fields(lever.name, {"type": "categorical", "choices": points}))
        else:
            levers.append(from_fields(lever.name, short_form(distribution)))
    expected = replace(
        Space(name=space.name, levers=tuple(levers), fixed=fixed), description=space.description
    )
    assert imported.space.to_json() == expected.to_json()
    for name, condition in space.conditions.items():
        assert any(
            warning.startswith(f"{name} exists only where {condition.text}") for warning in exported.warnings
        )
    again = export_space(imported.space, "wandb", imported.settings)
    assert again.data["parameters"] == exported.data["parameters"]


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "é \u2029", "1e-3", "two\nlines"])
def test_text_comes_back_from_a_sweep(text: str, tmp_path: Path) -> None:
    """Unicode's own line ends included, which PyYAML folds if they are not quoted."""
    exported = export_space(Space(name="s", levers=(), fixed={"x": text}), "wandb")
    (tmp_path / "s.yaml").write_text(exported.text, encoding="utf-8")
    assert import_space(tmp_path / "s.yaml").space.fixed == {"x": text}


def is_multiple(distribution: FloatDistribution | IntDistribution) -> bool:
    step = distribution.step
    return step is None or distribution.log or distribution.low / step == round(distribution.low / step)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_back_from_a_sweep(name: str, tmp_path: Path) -> None:
    """A preset's levers and fixed keys survive the way to W&B and back; conditions are named as lost."""
    exported = export_space(preset(name), "wandb")
    (tmp_path / "preset.yaml").write_text(exported.text, encoding="utf-8")
    space = import_space(tmp_path / "preset.yaml").space
    assert space.distributions() == {
        key: value for key, value in preset(name).distributions().items() if key in space.names
    }
    assert space.fixed == preset(name).fixed
    assert len([line for line in exported.warnings if "has no conditions" in line]) == len(
        preset(name).conditions
    )


def test_settings_come_back_from_a_sweep(tmp_path: Path) -> None:
    """Sampler, pruner, metric, direction, trials, epochs and seed have their places in a sweep."""
    said = Settings(
        sampler="random",
        pruner="hyperband",
        metric="validation_loss",
        direction="minimize",
        trials=7,
        epochs=4,
        seed=2,
    )
    exported = export_space(preset("quick"), "wandb", said)
    (tmp_path / "s.yaml").write_text(exported.text, encoding="utf-8")
    imported = import_space(tmp_path / "s.yaml")
    assert imported.settings == said
    assert imported.space.fixed == preset("quick").fixed


def test_what_a_sweep_cannot_hold_is_named() -> None:
    """Samplers, pruners and levers that W&B lacks, names that it refuses, and a grid over ranges."""
    exported = export_space(preset("quick"), "wandb", Settings(sampler="qmc", pruner="median"))
    assert exported.data["method"] == "bayes"
    assert "early_terminate" not in exported.data
    assert any("sampler qmc: W&B has grid, random and bayes" in line for line in exported.warnings)
    assert any("pruner median: W&B has hyperband only" in line for line in exported.warnings)
    assert any("one_minus_momentum sets momentum by a scale" in line for line in exported.warnings)
    grid = export_space(preset("quick"), "wandb", Settings(sampler="grid"))
    assert any("learning_rate: W&B refuses a grid over log_uniform_values" in line for line in grid.warnings)
    odd = Space(name="odd", levers=(from_fields("9lives", {"type": "int", "low": 1, "high": 9}),))
    with pytest.raises(ConfigurationError, match=r"names that W&B takes, but:\n- '9lives' must be letters"):
        export_space(odd, "wandb")
    with pytest.raises(ConfigurationError, match="there are neither levers nor fixed keys"):
        export_space(Space(name="none", levers=()), "wandb")


@pytest.mark.parametrize(
    ("parameters", "fault"),
    [
        ({"x": {"distribution": "normal", "sigma": -1}}, "x: sigma must be a number in 0..1e.15, but got -1"),
        (
            {"x": {"distribution": "normal", "mu": 1e15, "sigma": 1}},
            "x: mu plus or minus 3 sigma must be below",
        ),
        (
            {"x": {"distribution": "q_uniform", "min": 0, "max": 1e12, "q": 1e-9}},
            "x: q must be larger, but 0..1e.12",
        ),
        ({"x": {"min": 1, "max": 10**40}}, "x: max must be a number in"),
        (
            {"x": {"distribution": ["uniform"]}},
            r"x: distribution must be one of constant, .* but got \['uniform'\]",
        ),
        ({"x": {"distribution": "beta", "a": "two"}}, "x: a must be a number, but got 'two'"),
        ({"x": {}}, "x must have a value, values, .* but has nothing"),
        ({"epochs": {"values": ["many"]}}, "epochs must be whole numbers of at least 1, but got many"),
        ({"epochs": {"value": 0}}, "epochs must be whole numbers of at least 1, but got 0"),
        ({"seed": {"value": -1}}, "seed must be whole numbers of at least 0, but got -1"),
        ({"one_minus_momentum": {"value": "high"}}, "one_minus_momentum must be a number, but got 'high'"),
        (
            {"momentum": {"value": 0.9}, "one_minus_momentum": {"value": 0.1}},
            "momentum must have one value, but",
        ),
        (
            {"momentum": {"value": 0.9}, "one_minus_momentum": {"min": 0.1, "max": 0.2}},
            "must be either fixed or a l",
        ),
    ],
)
def test_faults_of_a_parameter(parameters: dict[str, Any], fault: str, tmp_path: Path) -> None:
    """What is wrong with one parameter is said under its name."""
    with pytest.raises(ConfigurationError, match=fault):
        read(tmp_path, parameters)


@pytest.mark.parametrize(
    ("top", "fault"),
    [
        (
            {"early_terminate": {"type": "envelope"}},
            "early_terminate must be a mapping of type hyperband, but got",
        ),
        (
            {"metric": {"name": "loss", "gaol": "minimize"}},
            "a key of metric must be one of name, .*Did you mean 'goal'",
        ),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 0}},
            "early_terminate.min_iter must be a number of at least 1, but got 0",
        ),
        (
            {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}},
            "early_terminate.eta must be a number above 1, but got 1",
        ),
        ({"name": ["a"]}, r"name must be text, but got \['a'\]"),
        ({"run_cap": True}, "run_cap must be a whole number above 0, but got True"),
    ],
)
def test_faults_at_the_top(top: dict[str, Any], fault: str, tmp_path: Path) -> None:
    """What is wrong outside the parameters is said, too."""
    with pytest.raises(ConfigurationError, match=fault):
        read(tmp_path, {"dropout": {"min": 0.0, "max": 0.5}}, **top)


def test_hyperband_and_bayes_want_a_metric(tmp_path: Path) -> None:
    """W&B needs a metric for both; ours has one of its own, which is told."""
    imported = read(tmp_path, {"dropout": {"min": 0.0, "max": 0.5}}, method="bayes")
    assert imported.warnings == ("W&B needs a metric for this; a search here has validation_accuracy",)


def test_a_key_that_the_catalog_searches_on_another_scale(tmp_path: Path) -> None:
    """Momentum stays momentum, on W&B's own range, with what the catalog says of the key on any scale."""
    [lever] = read(tmp_path, {"momentum": {"min": 0.5, "max": 0.99}}).space
    assert (lever.name, lever.key, lever.distribution) == ("momentum", "momentum", f(0.5, 0.99))
    assert lever.family is catalog_lever("momentum").family is Family.OPTIMIZATION
    assert lever.contains(0.9)


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (f(0, 1), {"distribution": "uniform", "min": 0.0, "max": 1.0}),
        (f(0.1, 1, log=True), {"distribution": "log_uniform_values", "min": 0.1, "max": 1.0}),
        (f(0, 1, step=0.25), {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25}),
        (f(0.1, 0.6, step=0.25), {"distribution": "categorical", "values": [0.1, 0.35, 0.6]}),
        (i(1, 9), {"distribution": "int_uniform", "min": 1, "max": 9}),
        (i(2, 8, step=2), {"distribution": "q_uniform", "min": 2, "max": 8, "q": 2}),
        (i(1, 9, step=2), {"distribution": "categorical", "values": [1, 3, 5, 7, 9]}),
        (i(1, 9, log=True), {"distribution": "q_log_uniform_values", "min": 1, "max": 9, "q": 1}),
        (i(3, 3), {"value": 3}),
        (c("a", 2, True, 0.5), {"distribution": "categorical", "values": ["a", 2, True, 0.5]}),
    ],
)
def test_each_range_has_a_form(distribution: BaseDistribution, expected: dict[str, Any]) -> None:
    """What every kind of lever is in a sweep, types of numbers included."""
    space = Space(name="s", levers=(from_fields("x", short_form(distribution)),))
    written = export_space(space, "wandb").data["parameters"]["x"]
    assert written == expected
    assert [*map(type, written.values())] == [*map(type, expected.values())]


def test_a_long_grid_of_quantized_values_stays_a_range(tmp_path: Path) -> None:
    """Beyond a thousand points nobody wants a list."""
    spec = {"distribution": "q_uniform", "min": 0, "max": 4000, "q": 2}
    imported = read(tmp_path, {"width": spec}, method="grid")
    assert imported.space["width"].distribution == i(0, 4000, step=2)
    assert imported.warnings == (
        "width: W&B's grid has all 2000 points; here a grid has --resolution points of them",
    )


def test_powers_beyond_all_numbers_are_refused(tmp_path: Path) -> None:
    """An exponent of 1000 is no reason to crash."""
    spec = {"distribution": "log_uniform", "min": 1, "max": 1000}
    with pytest.raises(ConfigurationError, match=r"exponents of e, 2.71828..inf, which no hyperparameter is"):
        read(tmp_path, {"x": spec}, Choices(log_uniform_as="exponents"))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.floats()
    | st.sampled_from(["1e-5", "x", "hyperband", ""])
)
PARAMETER_KEYS = [
    "distribution",
    "min",
    "max",
    "q",
    "mu",
    "sigma",
    "a",
    "b",
    "value",
    "values",
    "probabilities",
    "x",
]
PARAMETERS = st.dictionaries(
    st.sampled_from(PARAMETER_KEYS),
    SCALARS
    | st.lists(SCALARS, max_size=3)
    | st.dictionaries(st.sampled_from(PARAMETER_KEYS), SCALARS, max_size=2),
    max_size=5,
)


@st.composite
def likely_parameters(draw: st.DrawFn) -> dict[str, Any]:
    """The keys of some distribution, with values of all kinds."""
    name = draw(st.sampled_from(sorted(FORMS)))
    values = SCALARS | st.lists(SCALARS, max_size=3)
    return {"distribution": name} | {key: draw(values) for key in (*FORMS[name].needs, *FORMS[name].may)}


@given(
    st.dictionaries(
        st.sampled_from(["lr", "bs", "epochs", "optimizer", "a.b", "one_minus_momentum"]),
        PARAMETERS | likely_parameters() | SCALARS,
        max_size=3,
    ),
    st.fixed_dictionaries(
        {"method": st.sampled_from(["grid", "random", 3])},
        optional={
            "metric": SCALARS | st.dictionaries(st.sampled_from(["name", "goal"]), SCALARS),
            "early_terminate": SCALARS
            | st.dictionaries(st.sampled_from(["type", "min_iter", "eta"]), SCALARS),
            "run_cap": SCALARS,
            "name": SCALARS,
            "controller": SCALARS,
        },
    ),
    st.sampled_from(
        [Choices(), Choices(truncate=True, log_uniform_as="values"), Choices(log_uniform_as="exponents")]
    ),
)
@settings(deadline=None, max_examples=200)
def test_whatever_a_sweep_holds_it_is_read_or_refused(
    parameters: dict[str, Any], top: dict[str, Any], choices: Choices
) -> None:
    """No value of any kind in any place ends in another error than the one for users."""
    data = {**top, "parameters": parameters}
    try:
        imported = read_sweep(data, catalog_keys(), choices, Remarks(), title="it", default_name="it")
        told = export_space(imported.space, "space").text
    except ConfigurationError as error:
        told = str(error)
    assert told.startswith(("name: ", "it must be a W&B sweep, but:\n- "))
