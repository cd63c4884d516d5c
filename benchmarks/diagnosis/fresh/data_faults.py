"""Faults of the data, and of networks before their first step, in the networks of the fresh part."""

from typing import Any

from benchmarks.diagnosis.case import FRESH_ARCHITECTURES, Fault, Metric, Planted, Setup
from benchmarks.diagnosis.fresh.config_faults import BARE, SGD
from studies.diagnosis import CauseName


def _seen(name: str, strength: float, **config: Any) -> Setup:
    return Setup(data=(Planted(name=name, strength=strength),), config=config)


def _start(name: str, strength: float, **config: Any) -> Setup:
    return Setup(network=Planted(name=name, strength=strength), config=config)


def _both(*setups: Setup, cause: CauseName, metric: Metric = "accuracy") -> Fault:
    """The same setups for both networks."""
    return Fault(cause=cause, setups=dict.fromkeys(FRESH_ARCHITECTURES, setups), metric=metric)


_RELU: dict[str, Any] = {"activation": "relu"}
_UNSCALED: dict[str, Any] = {"input_scaling": "none"}

FRESH_DATA_FAULTS: tuple[Fault, ...] = (
    _both(
        _seen("with_nan", 8e-4),
        _seen("with_infinity", 0.002),
        _seen("with_nan", 0.006),
        cause=CauseName.NON_FINITE_DATA,
    ),
    Fault(
        cause=CauseName.TRAIN_VALIDATION_OVERLAP,
        setups={
            "gelu_mlp": (_seen("duplicated", 0.45), _seen("repeated", 0.4), _seen("duplicated", 0.8)),
            "normed_cnn": (_seen("duplicated", 0.45), _seen("moved_copies", 1.0), _seen("repeated", 0.6)),
        },
        metric="inflation",
    ),
    Fault(
        cause=CauseName.TARGET_LEAKAGE,
        setups={
            "gelu_mlp": (
                _seen("label_in_corner", 6),
                _seen("label_in_last_row", 80),
                _seen("label_in_background", 5),
            ),
            "normed_cnn": (
                _seen("label_in_corner", 16),
                _seen("label_in_last_row", 180),
                _seen("label_in_background", 3),
            ),
        },
        metric="inflation",
    ),
    _both(
        _seen("imbalanced", 0.12),
        _seen("rare", 0.03),
        _seen("imbalanced", 0.017),
        cause=CauseName.CLASS_IMBALANCE,
    ),
    _both(
        _seen("sorted_at_end", 3, split="last"),
        _seen("sorted_at_end", 6, split="last"),
        cause=CauseName.UNSTRATIFIED_SPLIT,
    ),
    _both(
        _seen("mislabeled", 0.15),
        _seen("mislabeled_next", 0.25),
        _seen("mislabeled", 0.35),
        cause=CauseName.LABEL_NOISE,
    ),
    Fault(
        cause=CauseName.UNNORMALIZED_INPUT,
        setups={
            "gelu_mlp": (
                _seen("shifted", 2, **_UNSCALED),
                _seen("scaled", 40, **SGD, **_UNSCALED),
                _seen("scaled", 0.01, **SGD, **_UNSCALED),
            ),
            "normed_cnn": (
                _seen("shifted", 1.5, **BARE, **_UNSCALED),
                _seen("scaled", 60, **BARE, **_UNSCALED),
            ),
        },
        twins={
            "gelu_mlp": (Setup(), Setup(config=SGD), Setup(config=SGD)),
            "normed_cnn": (Setup(config=BARE), Setup(config=BARE)),
        },
    ),
    Fault(
        cause=CauseName.BAD_INITIALIZATION,
        setups={
            "gelu_mlp": (
                _start("magnified", 40),
                _start("deviation", 0.7),
                _start("copied_units", 4),
            ),
            "normed_cnn": (
                _start("magnified", 12, **BARE),
                _start("deviation", 3e-3, **BARE),
                _start("copied_units", 1),
            ),
        },
        twins={
            "gelu_mlp": (Setup(),) * 3,
            "normed_cnn": (Setup(config=BARE), Setup(config=BARE), Setup()),
        },
    ),
    Fault(
        cause=CauseName.DYING_RELU,
        setups={
            "gelu_mlp": (
                _start("negative_inner_biases", 1.2, **_RELU),
                _start("negative_weights", 0.95, **_RELU),
                _start("negative_biases", 3, **_RELU),
            ),
            "normed_cnn": (
                _start("negative_inner_biases", 2.2, **BARE),
                _start("negative_weights", 0.9, **BARE),
                _start("negative_biases", 3, **BARE),
            ),
        },
        healthy={"gelu_mlp": Setup(config=_RELU), "normed_cnn": Setup(config=BARE)},
    ),
)
