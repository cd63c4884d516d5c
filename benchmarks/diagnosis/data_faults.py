"""Faults of the data, and of networks before their first step: what the toolkit's own loop can show."""

from benchmarks.diagnosis.case import ARCHITECTURES, Fault, Metric, Planted, Setup
from studies.diagnosis import CauseName


def _data(
    name: str, *strengths: float, cause: CauseName, metric: Metric = "accuracy", **config: str
) -> Fault:
    """The same change of the data at three strengths, for both networks."""
    mild, medium, severe = (
        Setup(data=(Planted(name=name, strength=strength),), config=config) for strength in strengths
    )
    return Fault(cause=cause, setups=dict.fromkeys(ARCHITECTURES, (mild, medium, severe)), metric=metric)


def _start(name: str, strength: float, **config: object) -> Setup:
    return Setup(network=Planted(name=name, strength=strength), config=config)


def _seen(name: str, strength: float, **config: object) -> Setup:
    return Setup(data=(Planted(name=name, strength=strength),), config=config)


DATA_FAULTS: tuple[Fault, ...] = (
    _data("with_nan", 0.001, 0.003, 0.01, cause=CauseName.NON_FINITE_DATA),
    _data("duplicated", 0.3, 0.6, 1.0, cause=CauseName.TRAIN_VALIDATION_OVERLAP, metric="inflation"),
    Fault(
        cause=CauseName.TARGET_LEAKAGE,
        setups=dict.fromkeys(
            ARCHITECTURES,
            (_seen("label_in_corner", 25), _seen("label_in_row", 120), _seen("label_in_row", 255)),
        ),
        metric="inflation",
    ),
    _data("imbalanced", 0.06, 0.03, 0.01, cause=CauseName.CLASS_IMBALANCE),
    _data("sorted_at_end", 1, 2, 10, cause=CauseName.UNSTRATIFIED_SPLIT, split="last"),
    _data("mislabeled", 0.2, 0.3, 0.4, cause=CauseName.LABEL_NOISE),
    Fault(
        cause=CauseName.UNNORMALIZED_INPUT,
        setups=dict.fromkeys(
            ARCHITECTURES,
            (
                _seen("scaled", 30, input_scaling="none"),
                _seen("shifted", 10, input_scaling="none"),
                _seen("scaled", 255, input_scaling="none"),
            ),
        ),
    ),
    Fault(
        cause=CauseName.BAD_INITIALIZATION,
        setups={
            "mlp": (_start("deviation", 0.5), _start("deviation", 1.0), _start("constant", 0.05)),
            "cnn": (_start("deviation", 1e-4), _start("deviation", 0.5), _start("constant", 0.0)),
        },
    ),
    Fault(
        cause=CauseName.DYING_RELU,
        setups={
            "mlp": (_start("negative_biases", 1), _start("negative_biases", 2), _start("negative_biases", 5)),
            "cnn": (_start("negative_biases", 1), _start("negative_biases", 2), _start("negative_biases", 5)),
        },
    ),
)
