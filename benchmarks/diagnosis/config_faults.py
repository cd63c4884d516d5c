"""Faults that a lever mends: each is a config that differs from its healthy twin in what the cause names."""

from typing import Any

from benchmarks.diagnosis.case import Fault, Planted, Setup
from studies.diagnosis import CauseName


def of(**config: Any) -> Setup:
    """A setup that differs in its config alone."""
    return Setup(config=config)


ADAM: dict[str, Any] = {"optimizer": "adam", "momentum": 0.0, "learning_rate": 1e-3}
"""The convolutional network's rate faults are Adam's: another optimizer has other rates and other update ratios."""


def _deep(depth: int, gain: float) -> Setup:
    return Setup(
        config={"depth": depth, "width": 32, "learning_rate": 0.005},
        network=Planted(name="gain", strength=gain),
    )


def _sigmoid(depth: int, activation: str = "sigmoid") -> Setup:
    return Setup(
        config={"depth": depth, "width": 32, "activation": activation, "initialization": "glorot"},
        network=Planted(name="deep"),
    )


def _abrupt(rate: float, **config: Any) -> Setup:
    """A peak rate that Adam bears once it has moved away from where it began."""
    return of(**ADAM | {"learning_rate": rate}, batch_size=256, schedule="cosine", **config)


def _few(n: int, **config: Any) -> Setup:
    return Setup(config=config, data=(Planted(name="fewer", strength=n),))


def _few_noisy(n: int, **config: Any) -> Setup:
    """Noise in the images, the test part's too: convolutions hardly overfit clean digits."""
    return Setup(
        config=config, data=(Planted(name="fewer", strength=n), Planted(name="noisy", strength=0.25))
    )


RATE = (
    Fault(
        cause=CauseName.LEARNING_RATE_TOO_HIGH,
        setups={
            "mlp": (of(learning_rate=0.3), of(learning_rate=0.5), of(learning_rate=3.0)),
            "cnn": tuple(of(**ADAM | {"learning_rate": rate}) for rate in (0.02, 0.04, 0.3)),
        },
        healthy={"cnn": of(**ADAM)},
    ),
    Fault(
        cause=CauseName.LEARNING_RATE_TOO_LOW,
        setups={
            "mlp": (of(learning_rate=5e-3), of(learning_rate=1e-3), of(learning_rate=1e-4)),
            "cnn": tuple(of(**ADAM | {"learning_rate": rate}) for rate in (1.5e-4, 5e-5, 1e-5)),
        },
        healthy={"cnn": of(**ADAM)},
    ),
    Fault(
        cause=CauseName.MOMENTUM_TOO_HIGH,
        setups={
            "mlp": (of(momentum=0.98), of(momentum=0.99), of(momentum=0.997)),
            "cnn": (of(momentum=0.98), of(momentum=0.99), of(momentum=0.997)),
        },
    ),
    Fault(
        cause=CauseName.CLIPPING_TOO_TIGHT,
        setups={
            "mlp": (of(clip_norm=0.05), of(clip_norm=0.01), of(clip_norm=1e-3)),
            "cnn": (of(clip_norm=0.06), of(clip_norm=0.02), of(clip_norm=3e-3)),
        },
    ),
    Fault(
        cause=CauseName.BATCH_TOO_SMALL,
        setups={
            "mlp": tuple(of(batch_size=batch, epochs=5) for batch in (8, 4, 1)),
            "cnn": tuple(of(batch_size=batch, epochs=4) for batch in (8, 4, 1)),
        },
        healthy={"mlp": of(epochs=5), "cnn": of(epochs=4)},
    ),
    Fault(
        cause=CauseName.BATCH_TOO_LARGE,
        setups={
            "mlp": (of(batch_size=500), of(batch_size=1500), of(batch_size="full")),
            "cnn": (of(batch_size=500), of(batch_size=1500), of(batch_size="full")),
        },
    ),
)

DEPTH = (
    Fault(
        cause=CauseName.VANISHING_GRADIENTS,
        setups={
            "mlp": (_sigmoid(3), _sigmoid(5), _sigmoid(10)),
            "cnn": (_sigmoid(2), _sigmoid(4), _sigmoid(6)),
        },
        twins={
            "mlp": (_sigmoid(3, "relu"), _sigmoid(5, "relu"), _sigmoid(10, "relu")),
            "cnn": (_sigmoid(2, "relu"), _sigmoid(4, "relu"), _sigmoid(6, "relu")),
        },
    ),
    Fault(
        cause=CauseName.EXPLODING_GRADIENTS,
        setups={
            "mlp": (_deep(8, 2.0), _deep(12, 2.0), _deep(16, 3.0)),
            "cnn": (_deep(4, 2.5), _deep(6, 2.5), _deep(8, 3.0)),
        },
        twins={
            "mlp": (_deep(8, 1.0), _deep(12, 1.0), _deep(16, 1.0)),
            "cnn": (_deep(4, 1.0), _deep(6, 1.0), _deep(8, 1.0)),
        },
    ),
    Fault(
        cause=CauseName.MISSING_WARMUP,
        setups={
            "mlp": (
                _abrupt(0.05, depth=4, activation="tanh"),
                _abrupt(0.05, depth=4),
                _abrupt(0.05, depth=6),
            ),
            "cnn": (_abrupt(0.02), _abrupt(0.03), _abrupt(0.05)),
        },
        twins={
            "mlp": (
                _abrupt(0.05, depth=4, activation="tanh", warmup_fraction=0.15),
                _abrupt(0.05, depth=4, warmup_fraction=0.15),
                _abrupt(0.05, depth=6, warmup_fraction=0.15),
            ),
            "cnn": tuple(_abrupt(rate, warmup_fraction=0.15) for rate in (0.02, 0.03, 0.05)),
        },
    ),
)

_SHORT: dict[str, Any] = {"epochs": 6, "learning_rate": 0.01}

SCHEDULE = (
    Fault(
        cause=CauseName.TOO_FEW_EPOCHS,
        setups={
            "mlp": (
                of(epochs=3, learning_rate=0.02),
                of(epochs=2, learning_rate=0.02),
                of(epochs=1, learning_rate=0.02),
            ),
            "cnn": (of(epochs=2), of(epochs=1), of(epochs=1, batch_size=128)),
        },
        healthy={"mlp": of(epochs=15, learning_rate=0.02), "cnn": of()},
    ),
    Fault(
        cause=CauseName.WARMUP_TOO_LONG,
        setups={
            "mlp": tuple(of(**_SHORT, warmup_fraction=part) for part in (0.6, 0.8, 0.98)),
            "cnn": tuple(of(**_SHORT, warmup_fraction=part) for part in (0.6, 0.8, 0.98)),
        },
        healthy={"mlp": of(**_SHORT, warmup_fraction=0.05), "cnn": of(**_SHORT, warmup_fraction=0.05)},
    ),
    Fault(
        cause=CauseName.SCHEDULE_SPIKES,
        setups={
            "mlp": (
                of(schedule="step", step_size=4, step_gamma=2.5),
                of(schedule="restarts", restart_period=2, learning_rate=0.5),
                of(schedule="step", step_size=2, step_gamma=3.0),
            ),
            "cnn": (
                of(schedule="step", step_size=4, step_gamma=2.5),
                of(schedule="restarts", restart_period=2, learning_rate=0.2),
                of(schedule="step", step_size=2, step_gamma=3.0),
            ),
        },
    ),
    Fault(
        cause=CauseName.PREMATURE_DECAY,
        setups={
            "mlp": tuple(
                of(learning_rate=0.02, schedule="step", step_size=1, step_gamma=g) for g in (0.3, 0.1, 0.01)
            ),
            "cnn": tuple(of(schedule="step", step_size=1, step_gamma=g) for g in (0.2, 0.1, 0.01)),
        },
        healthy={"mlp": of(learning_rate=0.02)},
    ),
)

_MLP_BUDGETS = ((800, 60), (400, 80), (200, 100))
_CNN_BUDGETS = ((600, 30), (400, 40), (250, 60))
"""Samples for training and validation, and epochs."""

FIT = (
    Fault(
        cause=CauseName.OVERFITTING,
        setups={
            "mlp": tuple(_few(n, width=256, epochs=epochs) for n, epochs in _MLP_BUDGETS),
            "cnn": tuple(_few_noisy(n, width=128, epochs=epochs) for n, epochs in _CNN_BUDGETS),
        },
        twins={
            "mlp": tuple(
                _few(n, width=256, epochs=epochs, augmentation=0.5, dropout=0.2) for n, epochs in _MLP_BUDGETS
            ),
            "cnn": tuple(
                _few_noisy(n, width=128, epochs=epochs, augmentation=0.3, dropout=0.3)
                for n, epochs in _CNN_BUDGETS
            ),
        },
    ),
    Fault(
        cause=CauseName.OVERCONFIDENCE,
        setups={
            "mlp": tuple(
                of(**ADAM | {"learning_rate": 2e-3}, epochs=epochs, width=128) for epochs in (25, 50, 90)
            ),
            "cnn": tuple(of(**ADAM | {"learning_rate": 2e-3}, epochs=epochs) for epochs in (20, 30, 45)),
        },
        healthy={
            "mlp": of(**ADAM | {"learning_rate": 2e-3}, epochs=6, width=128),
            "cnn": of(**ADAM | {"learning_rate": 2e-3}, epochs=6),
        },
        metric="loss",
    ),
    Fault(
        cause=CauseName.OVER_REGULARIZED,
        setups={
            "mlp": (of(weight_decay=0.03), of(dropout=0.85), of(weight_decay=0.2)),
            "cnn": (of(weight_decay=0.05), of(dropout=0.9, width=32), of(weight_decay=0.3)),
        },
        twins={"mlp": (of(), of(), of()), "cnn": (of(), of(width=32), of())},
    ),
    Fault(
        cause=CauseName.UNDERCAPACITY,
        setups={
            "mlp": (of(width=6), of(width=4), of(width=2)),
            "cnn": (of(width=4), of(width=3), of(width=2)),
        },
    ),
)

CONFIG_FAULTS: tuple[Fault, ...] = (*RATE, *DEPTH, *SCHEDULE, *FIT)
