import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import ConfigurationError
from tuner.training.config import METRICS, TrainingConfig, direction_of


def test_defaults_are_those_of_the_design() -> None:
    """A config of nothing is sgd at 0.1, batch 128, constant, 1 x 128 relu, glorot, unit, a fifth apart."""
    config = TrainingConfig()
    assert (config.optimizer, config.learning_rate, config.batch_size) == ("sgd", 0.1, 128)
    assert (config.schedule, config.model, config.depth, config.width) == ("constant", "mlp", 1, 128)
    assert (config.activation, config.initialization, config.input_scaling) == ("relu", "glorot", "unit")
    assert (config.split, config.validation_fraction) == ("stratified", 0.2)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("learning_rate", "1e-3", 0.001),
        ("nesterov", "true", True),
        ("stop_on_divergence", "off", False),
        ("batch_size", "64", 64),
        ("batch_size", "full", "full"),
        ("epochs", "1e1", 10),
        ("epsilon", "none", None),
        ("epsilon", "1e-6", 1e-6),
        ("milestones", "3,6", (3, 6)),
        ("milestones", [3, 6], (3, 6)),
        ("class_weights", "none", "none"),
        ("learning_rate", np.float64(0.5), 0.5),
        ("batch_size", 64.0, 64),
    ],
)
def test_text_is_read_as_the_value_it_names(key: str, text: Any, value: Any) -> None:
    """--set key=value gives the value with the type of its field."""
    read = getattr(TrainingConfig.from_mapping({key: text}), key)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be a number above 0, but got 0"),
        ({"learning_rate": "nan"}, "learning_rate must be a number above 0, but got 'nan'"),
        ({"momentum": 1.0}, "momentum must be a number at least 0 and below 1, but got 1.0"),
        ({"batch_size": "0"}, "batch_size must be a whole number at least 1 or full, but got '0'"),
        ({"batch_size": 1.5}, "batch_size must be a whole number at least 1 or full, but got 1.5"),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, adamw, rmsprop, but got 'lion'"),
        ({"nesterov": "maybe"}, "nesterov must be true or false, but got 'maybe'"),
        ({"nesterov": 1}, "nesterov must be true or false, but got 1"),
        ({"milestones": [0]}, "milestones must be a list of which each is a whole number at least 1"),
        ({"milestones": 3}, "milestones must be a list of numbers such as 3,6, but got 3"),
        ({"milestones": [6, 3]}, "milestones must rise, but got 6,3"),
        (
            {"normalization": "batch", "batch_size": 1},
            "needs minibatches of 2 samples or more, but got batch_size=1",
        ),
        ({"model": "resnet"}, "model must be mlp, cnn or module:function, but got 'resnet'"),
        ({"model": 3}, "model must be a name, but got 3"),
        ({"warmup_steps": 5, "warmup_fraction": 0.1}, "warmup_steps and warmup_fraction exclude each other"),
        ({"augmentation": 1.5}, "augmentation must be a number at least 0 and at most 1, but got 1.5"),
        ({"clipping": 1.0}, "clipping must be true or false, but got 1.0"),
        ({"batch_lr_rule": "root"}, "batch_lr_rule must be one of none, linear, sqrt, but got 'root'"),
        ({"base_batch_size": 0}, "base_batch_size must be a whole number at least 1, but got 0"),
        ({"schedule": "exponential", "final_lr_fraction": 0}, "exponential needs final_lr_fraction above 0"),
        ({"lerning_rate": 1}, "Did you mean 'learning_rate'"),
        ({"lr": 1}, "but got 'lr'. Did you mean 'learning_rate'"),
        ({"augmentations": "none"}, "A config key must be one of"),
    ],
)
def test_a_fault_says_the_rule_and_what_it_got(mapping: dict[str, Any], message: str) -> None:
    """Every wrong value is refused in a sentence with the rule and the value."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        TrainingConfig.from_mapping(mapping)


def test_all_faults_come_at_once() -> None:
    """Three faults of one mapping make three lines."""
    with pytest.raises(ConfigurationError, match="momentum") as caught:
        TrainingConfig.from_mapping({"momentum": 2, "epochs": -1, "colour": "red"})
    assert len(str(caught.value).splitlines()) == 3


def test_text_is_not_a_number_in_python() -> None:
    """Only from_mapping reads text: a config built in Python is typed."""
    with pytest.raises(ConfigurationError, match=r"learning_rate must be a number above 0, but got '0\.1'"):
        TrainingConfig(learning_rate="0.1")


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "learning_rate": st.floats(1e-6, 10),
            "batch_size": st.integers(1, 512) | st.just("full"),
            "milestones": st.sets(st.integers(1, 50)).map(sorted).map(tuple),
            "epsilon": st.none() | st.floats(1e-12, 1e-3),
            "activation": st.sampled_from(["relu", "selu"]),
            "order_seed": st.none() | st.integers(0, 2**31),
            "stop_on_divergence": st.booleans(),
        },
    )
)
def test_mapping_round_trip(values: dict[str, Any]) -> None:
    """from_mapping undoes to_mapping, and does so from text, too."""
    config = TrainingConfig(**values)
    assert TrainingConfig.from_mapping(config.to_mapping()) == config
    as_text = {key: _text(value) for key, value in config.to_mapping().items()}
    assert TrainingConfig.from_mapping(as_text) == config


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def test_direction_of_a_metric() -> None:
    """Accuracies are maximized, everything else is minimized, and an unknown metric is refused."""
    assert {metric for metric in METRICS if direction_of(metric) == "maximize"} == {
        "validation_accuracy",
        "train_accuracy",
    }
    with pytest.raises(ConfigurationError, match="Did you mean 'validation_loss'"):
        direction_of("validation_los")


def test_config_and_schedules_load_without_torch() -> None:
    """The command line can check --set before it loads torch."""
    code = "import sys, tuner.training.config, tuner.training.schedules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
