"""Faults that a lever mends, in the networks of the fresh part: at other strengths than those of the old lists."""

from typing import Any

from benchmarks.diagnosis.case import Fault, Planted, Setup
from benchmarks.diagnosis.config_faults import of
from studies.diagnosis import CauseName

CONSTANT: dict[str, Any] = {"schedule": "constant", "learning_rate": 2e-3}
"""The perceptron without its cosine, which hides a rate that is too high."""
SGD: dict[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.0,
    "learning_rate": 0.05,
    "schedule": "constant",
}
"""The perceptron with an optimizer that has a momentum, and whose steps go by the size of the gradient."""
BARE: dict[str, Any] = {"normalization": "none", "learning_rate": 0.02}
"""The convolutions without the batch normalization that hides much."""
RMSPROP: dict[str, Any] = {
    "optimizer": "rmsprop",
    "momentum": 0.0,
    "nesterov": False,
    "learning_rate": 1e-3,
}


def _network(name: str, strength: float = 0.0, **config: Any) -> Setup:
    return Setup(config=config, network=Planted(name=name, strength=strength))


def _few(n: int, noise: float = 0.0, **config: Any) -> Setup:
    noisy = (Planted(name="noisy", strength=noise),) if noise else ()
    return Setup(config=config, data=(Planted(name="fewer", strength=n), *noisy))


RATE = (
    Fault(
        cause=CauseName.LEARNING_RATE_TOO_HIGH,
        setups={
            "gelu_mlp": tuple(of(**CONSTANT | {"learning_rate": rate}) for rate in (0.015, 0.03, 0.15)),
            "normed_cnn": (
                of(**RMSPROP | {"learning_rate": 0.05}),
                of(**BARE | {"learning_rate": 0.15}),
                of(**BARE | {"learning_rate": 1.0}),
            ),
        },
        twins={
            "gelu_mlp": (of(**CONSTANT),) * 3,
            "normed_cnn": (of(**RMSPROP), of(**BARE), of(**BARE)),
        },
    ),
    Fault(
        cause=CauseName.LEARNING_RATE_TOO_LOW,
        setups={
            "gelu_mlp": tuple(of(learning_rate=rate) for rate in (9e-4, 1.8e-4, 2e-5)),
            "normed_cnn": tuple(of(learning_rate=rate) for rate in (3e-3, 3e-4)),
        },
    ),
    Fault(
        cause=CauseName.MOMENTUM_TOO_HIGH,
        setups={
            "gelu_mlp": (
                of(**CONSTANT, beta1=0.997),
                of(**SGD | {"momentum": 0.985}),
                of(**SGD | {"momentum": 0.994}),
            ),
            "normed_cnn": (
                of(**BARE, momentum=0.985),
                of(**BARE, momentum=0.994, nesterov=False),
            ),
        },
        twins={
            "gelu_mlp": (of(**CONSTANT), of(**SGD), of(**SGD)),
            "normed_cnn": (of(**BARE), of(**BARE, nesterov=False)),
        },
    ),
    Fault(
        cause=CauseName.CLIPPING_TOO_TIGHT,
        setups={
            "gelu_mlp": tuple(of(**SGD, clip_norm=norm) for norm in (0.1, 0.03, 0.004)),
            "normed_cnn": (of(clip_norm=0.1), of(clip_norm=0.014)),
        },
        healthy={"gelu_mlp": of(**SGD)},
    ),
    Fault(
        cause=CauseName.BATCH_TOO_SMALL,
        setups={
            "gelu_mlp": tuple(of(**SGD, batch_size=batch, epochs=6) for batch in (7, 3)),
            "normed_cnn": (
                of(**BARE, batch_size=7, epochs=3),
                of(**BARE, batch_size=3, epochs=3),
            ),
        },
        healthy={"gelu_mlp": of(**SGD, epochs=6), "normed_cnn": of(**BARE, epochs=3)},
    ),
    Fault(
        cause=CauseName.BATCH_TOO_LARGE,
        setups={
            "gelu_mlp": tuple(of(batch_size=batch) for batch in (600, 2200)),
            "normed_cnn": tuple(of(batch_size=batch) for batch in (300, 1200)),
        },
    ),
)

DEPTH = (
    Fault(
        cause=CauseName.VANISHING_GRADIENTS,
        setups={
            "gelu_mlp": (
                of(activation="sigmoid", depth=6),
                of(**SGD, activation="sigmoid", depth=7, width=48),
                of(activation="sigmoid", depth=9, width=48),
            ),
            "normed_cnn": (
                of(**RMSPROP, normalization="none", activation="sigmoid"),
                of(**BARE, depth=5, activation="sigmoid"),
            ),
        },
        twins={
            "gelu_mlp": (of(depth=6), of(**SGD, depth=7, width=48), of(depth=9, width=48)),
            "normed_cnn": (of(**RMSPROP, normalization="none"), of(**BARE, depth=5)),
        },
    ),
    Fault(
        cause=CauseName.EXPLODING_GRADIENTS,
        setups={
            "gelu_mlp": (
                _network("gain", 1.7, depth=7, width=48, activation="elu"),
                _network("gain", 1.8, **SGD | {"learning_rate": 0.02}, depth=7, width=48),
                _network("gain", 2.6, **SGD | {"learning_rate": 0.02}, depth=7, width=48),
            ),
            "normed_cnn": (
                _network("gain", 1.9, **BARE | {"learning_rate": 0.01}, depth=5),
                _network("gain", 2.7, **BARE | {"learning_rate": 0.01}, depth=7),
            ),
        },
        twins={
            "gelu_mlp": (
                of(depth=7, width=48, activation="elu"),
                of(**SGD | {"learning_rate": 0.02}, depth=7, width=48),
                of(**SGD | {"learning_rate": 0.02}, depth=7, width=48),
            ),
            "normed_cnn": tuple(of(**BARE | {"learning_rate": 0.01}, depth=depth) for depth in (5, 7)),
        },
    ),
    Fault(
        cause=CauseName.MISSING_WARMUP,
        setups={
            "gelu_mlp": tuple(
                of(learning_rate=rate, batch_size=200, depth=5, activation=activation)
                for rate, activation in ((0.025, "gelu"), (0.035, "relu"))
            ),
            "normed_cnn": tuple(
                of(
                    **RMSPROP | {"learning_rate": rate},
                    normalization="none",
                    batch_size=200,
                    schedule="linear",
                )
                for rate in (0.012, 0.017)
            ),
        },
        twins={
            "gelu_mlp": tuple(
                of(learning_rate=rate, batch_size=200, depth=5, activation=activation, warmup_fraction=0.2)
                for rate, activation in ((0.025, "gelu"), (0.035, "relu"))
            ),
            "normed_cnn": tuple(
                of(
                    **RMSPROP | {"learning_rate": rate},
                    normalization="none",
                    batch_size=200,
                    schedule="linear",
                    warmup_fraction=0.2,
                )
                for rate in (0.012, 0.017)
            ),
        },
    ),
)

_SHORT: dict[str, Any] = {"epochs": 5, "learning_rate": 1e-3, "schedule": "constant"}
_SHORT_CNN: dict[str, Any] = {"epochs": 4, "learning_rate": 5e-3}

SCHEDULE = (
    Fault(
        cause=CauseName.TOO_FEW_EPOCHS,
        setups={
            "gelu_mlp": tuple(of(**CONSTANT, epochs=epochs) for epochs in (3, 1)),
            "normed_cnn": (
                of(learning_rate=3e-3, epochs=3),
                of(learning_rate=3e-3, epochs=2),
                of(learning_rate=3e-3, epochs=1, batch_size=150),
            ),
        },
        twins={
            "gelu_mlp": (of(**CONSTANT, epochs=15),) * 2,
            "normed_cnn": (of(learning_rate=3e-3), of(learning_rate=3e-3), of(learning_rate=3e-3)),
        },
    ),
    Fault(
        cause=CauseName.WARMUP_TOO_LONG,
        setups={
            "gelu_mlp": tuple(of(**_SHORT, warmup_fraction=part) for part in (0.7, 0.95)),
            "normed_cnn": tuple(of(**_SHORT_CNN, warmup_fraction=part) for part in (0.7, 0.95)),
        },
        healthy={
            "gelu_mlp": of(**_SHORT, warmup_fraction=0.04),
            "normed_cnn": of(**_SHORT_CNN, warmup_fraction=0.04),
        },
    ),
    Fault(
        cause=CauseName.SCHEDULE_SPIKES,
        setups={
            "gelu_mlp": (
                of(schedule="step", step_size=3, step_gamma=2.2, learning_rate=2e-3),
                of(schedule="restarts", restart_period=3, learning_rate=0.04),
                of(schedule="step", step_size=1, step_gamma=1.6, learning_rate=1e-3),
            ),
            "normed_cnn": (
                of(**BARE | {"learning_rate": 0.12}, schedule="restarts", restart_period=1),
                of(**BARE, schedule="step", step_size=1, step_gamma=1.35),
                of(**BARE, schedule="multistep", milestones=(3, 5), step_gamma=4.0),
            ),
        },
        healthy={"normed_cnn": of(**BARE)},
    ),
    Fault(
        cause=CauseName.PREMATURE_DECAY,
        setups={
            "gelu_mlp": (
                of(schedule="multistep", milestones=(1, 2), step_gamma=0.15, learning_rate=2e-3),
                of(schedule="step", step_size=1, step_gamma=0.04, learning_rate=2e-3),
                of(schedule="exponential", final_lr_fraction=1e-8, learning_rate=2e-3),
            ),
            "normed_cnn": (
                of(schedule="multistep", milestones=(2,), step_gamma=0.05, learning_rate=5e-3),
                of(schedule="step", step_size=1, step_gamma=0.05, learning_rate=5e-3),
            ),
        },
        healthy={"gelu_mlp": of(**CONSTANT), "normed_cnn": of(learning_rate=5e-3)},
    ),
)

_PLAIN: dict[str, Any] = {"schedule": "constant", "weight_decay": 0.0}

FIT = (
    Fault(
        cause=CauseName.OVERFITTING,
        setups={
            "gelu_mlp": tuple(
                _few(n, width=192, epochs=epochs, **_PLAIN, learning_rate=2e-3)
                for n, epochs in ((550, 50), (280, 70))
            ),
            "normed_cnn": tuple(
                _few(n, 0.3, width=24, epochs=epochs, weight_decay=0.0)
                for n, epochs in ((480, 30), (300, 45))
            ),
        },
        twins={
            "gelu_mlp": tuple(
                _few(n, width=192, epochs=epochs, **_PLAIN, learning_rate=2e-3, augmentation=0.4, dropout=0.2)
                for n, epochs in ((550, 50), (280, 70))
            ),
            "normed_cnn": tuple(
                _few(n, 0.3, width=24, epochs=epochs, weight_decay=0.0, augmentation=0.3, dropout=0.3)
                for n, epochs in ((480, 30), (300, 45))
            ),
        },
    ),
    Fault(
        cause=CauseName.OVERCONFIDENCE,
        setups={
            "gelu_mlp": tuple(
                of(**_PLAIN, learning_rate=1.5e-3, width=160, epochs=epochs) for epochs in (35, 70)
            ),
            "normed_cnn": tuple(
                _few(
                    1500,
                    0.2,
                    **RMSPROP | {"learning_rate": 3e-3},
                    normalization="none",
                    width=24,
                    epochs=epochs,
                )
                for epochs in (28, 48)
            ),
        },
        healthy={
            "gelu_mlp": of(**_PLAIN, learning_rate=1.5e-3, width=160, epochs=8),
            "normed_cnn": _few(
                1500, 0.2, **RMSPROP | {"learning_rate": 3e-3}, normalization="none", width=24, epochs=8
            ),
        },
        metric="loss",
    ),
    Fault(
        cause=CauseName.OVER_REGULARIZED,
        setups={
            "gelu_mlp": (of(weight_decay=2.0), of(dropout=0.75), of(weight_decay=8.0)),
            "normed_cnn": (of(**BARE, weight_decay=0.02), of(dropout=0.88), of(weight_decay=0.12)),
        },
        twins={
            "gelu_mlp": (of(), of(), of()),
            "normed_cnn": (of(**BARE), of(), of()),
        },
    ),
    Fault(
        cause=CauseName.UNDERCAPACITY,
        setups={
            "gelu_mlp": tuple(of(width=width) for width in (9, 5)),
            "normed_cnn": tuple(of(width=width) for width in (5, 1)),
        },
    ),
)

FRESH_CONFIG_FAULTS: tuple[Fault, ...] = (*RATE, *DEPTH, *SCHEDULE, *FIT)
