"""Configs of lanes that may share a cohort, drawn at random."""

from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from tests.tuner.training.lanes.twins import config_of
from tuner.training.config import TrainingConfig

SCHEDULES = get_args(get_type_hints(TrainingConfig)["schedule"])
RATES = {"sgd": 0.05, "adam": 0.002, "adamw": 0.002, "rmsprop": 0.001}
REGULARIZERS: Mapping[str, Mapping[str, Any]] = {
    "l2": {"weight_decay": 1e-3, "weight_decay_kind": "l2"},
    "decoupled": {"weight_decay": 1e-2, "weight_decay_kind": "decoupled"},
    "dropout": {"dropout": 0.3},
    "label smoothing": {"label_smoothing": 0.1},
    "augmentation": {"augmentation": 0.5},
    "clipping": {"clip_norm": 0.3},
    "early stopping": {"patience": 1},
}


@st.composite
def structures(draw: st.DrawFn) -> dict[str, Any]:
    optimizer = draw(st.sampled_from(sorted(RATES)))
    return {
        "optimizer": optimizer,
        "learning_rate": RATES[optimizer],
        "depth": draw(st.integers(0, 2)),
        "normalization": draw(st.sampled_from(["none", "batch", "layer"])),
        "activation": draw(st.sampled_from(["relu", "tanh", "gelu"])),
        "accumulation_steps": draw(st.sampled_from([1, 1, 2, 3])),
        "class_weights": draw(st.sampled_from(["none", "balanced"])),
        "input_scaling": draw(st.sampled_from(["unit", "standardize"])),
    }


@st.composite
def lane_levers(draw: st.DrawFn, optimizer: str, rate: float) -> dict[str, Any]:
    """Whatever a lane may have for itself."""
    kinds = ["auto", "decoupled"] if optimizer == "adamw" else ["auto", "l2", "decoupled"]
    return {
        "learning_rate": rate * draw(st.sampled_from([0.5, 1.0, 1.5])),
        "momentum": draw(st.sampled_from([0.0, 0.5, 0.9])) if optimizer in {"sgd", "rmsprop"} else 0.0,
        "nesterov": draw(st.booleans()),
        "beta1": draw(st.sampled_from([0.8, 0.9])),
        "beta2": draw(st.sampled_from([0.99, 0.999])),
        "alpha": draw(st.sampled_from([0.9, 0.99])),
        "epsilon": draw(st.sampled_from([1e-4, 1e-3])),
        "weight_decay": draw(st.sampled_from([0.0, 1e-3])),
        "weight_decay_kind": draw(st.sampled_from(kinds)),
        "clip_norm": draw(st.sampled_from([0.0, 0.3, 100.0])),
        "dropout": draw(st.sampled_from([0.0, 0.2, 0.5])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1])),
        "augmentation": draw(st.sampled_from([0.0, 0.0, 0.0, 0.5])),
        "schedule": draw(st.sampled_from(SCHEDULES)),
        "plateau_patience": 0,
        "warmup_fraction": draw(st.sampled_from([0.0, 0.1])),
        "initialization": draw(st.sampled_from(["default", "glorot", "he", "lecun"])),
        "seed": draw(st.integers(0, 3)),
        "order_seed": draw(st.sampled_from([None, 7, 7])),
        "patience": draw(st.sampled_from([0, 0, 1])),
    }


@st.composite
def cohorts(draw: st.DrawFn) -> list[TrainingConfig]:
    structure = draw(structures())
    each = lane_levers(structure["optimizer"], structure["learning_rate"])
    return [config_of(**{**structure, **draw(each)}) for _ in range(draw(st.integers(1, 4)))]
