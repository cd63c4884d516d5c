"""Trainings with nothing wrong about them, the hard controls among them: each of these trips a published rule."""

from collections.abc import Mapping
from typing import Any

from benchmarks.diagnosis.case import Architecture, Case, Loop, Planted, Setup


def _of(**config: Any) -> Setup:
    return Setup(config=config)


def _watched(loop: Loop | None = None, **config: Any) -> Setup:
    return Setup(loop=loop or Loop(), config=config)


def _seen(name: str, strength: float, **config: Any) -> Setup:
    return Setup(data=(Planted(name=name, strength=strength),), config=config)


def _seen_watched(name: str, strength: float, **config: Any) -> Setup:
    return Setup(data=(Planted(name=name, strength=strength),), config=config, loop=Loop())


ADAM: Mapping[str, Any] = {"optimizer": "adam", "momentum": 0.0}
ADAMW: Mapping[str, Any] = {"optimizer": "adamw", "momentum": 0.0, "weight_decay": 0.01}
RMSPROP: Mapping[str, Any] = {"optimizer": "rmsprop", "momentum": 0.0}
_FROZEN_BY_DESIGN = Loop(n_frozen=1, is_pretrained=True)
_NUMBERS = Loop(gives_numbers=True)

_KINDS: Mapping[str, Mapping[Architecture, tuple[Setup, ...]]] = {
    "plain": {
        "mlp": (_of(), _watched(), _watched(_NUMBERS)),
        "cnn": (_of(), _watched(), _watched(_NUMBERS)),
    },
    "adam": {
        "mlp": (_of(**ADAM, learning_rate=1e-3), _watched(**ADAM, learning_rate=2e-3)),
        "cnn": (_of(**ADAM, learning_rate=2e-3), _watched(**ADAM, learning_rate=1e-3)),
    },
    "adamw": {
        "mlp": (_of(**ADAMW, learning_rate=2e-3), _watched(**ADAMW, learning_rate=3e-3)),
        "cnn": (_of(**ADAMW, learning_rate=1e-3), _watched(**ADAMW, learning_rate=2e-3)),
    },
    "rmsprop": {
        "mlp": (_of(**RMSPROP, learning_rate=1e-3), _watched(**RMSPROP, learning_rate=1e-3)),
    },
    "cosine to zero": {
        "mlp": (
            _of(schedule="cosine", final_lr_fraction=0.0, epochs=15),
            _watched(schedule="cosine", final_lr_fraction=0.0, learning_rate=0.1),
        ),
        "cnn": (
            _of(schedule="cosine", final_lr_fraction=0.0),
            _watched(schedule="cosine", final_lr_fraction=0.0, **ADAM, learning_rate=2e-3),
        ),
    },
    "one cycle": {
        "mlp": (
            _of(schedule="one_cycle", learning_rate=0.1),
            _watched(schedule="one_cycle", learning_rate=0.1),
        ),
        "cnn": (
            _of(schedule="one_cycle", learning_rate=0.05),
            _watched(schedule="one_cycle", learning_rate=0.05),
        ),
    },
    "short warmup": {
        "mlp": (
            _of(warmup_fraction=0.05),
            _watched(warmup_fraction=0.05, schedule="linear", learning_rate=0.1),
        ),
        "cnn": (_of(warmup_fraction=0.05, schedule="cosine"), _watched(warmup_fraction=0.05)),
    },
    "late drops": {
        "mlp": (
            _of(schedule="multistep", milestones=(8, 10)),
            _watched(schedule="step", step_size=6, step_gamma=0.3),
        ),
    },
    "gentle restarts": {"mlp": (_of(schedule="restarts", restart_period=4), _watched(schedule="restarts"))},
    "small noisy batches": {
        "mlp": (_of(batch_size=16, learning_rate=0.01), _watched(batch_size=16, learning_rate=0.01)),
        "cnn": (
            _of(batch_size=16, learning_rate=5e-3, epochs=8),
            _watched(batch_size=16, learning_rate=3e-3, epochs=8),
        ),
    },
    "large batches": {
        "mlp": (
            _of(batch_size=256, learning_rate=0.1, epochs=20),
            _watched(batch_size=200, learning_rate=0.1, epochs=20),
        ),
        "cnn": (_of(batch_size=200, learning_rate=0.05, epochs=16),),
    },
    "near the edge": {
        "mlp": (_of(learning_rate=0.1), _watched(learning_rate=0.1)),
        "cnn": (_of(learning_rate=0.05), _watched(learning_rate=0.05)),
    },
    "plain descent": {
        "mlp": (
            _of(momentum=0.0, learning_rate=0.3, epochs=15),
            _watched(momentum=0.0, learning_rate=0.2, epochs=20),
        ),
    },
    "dropout": {
        "mlp": (
            _of(dropout=0.3, width=128, epochs=15),
            _watched(dropout=0.4, width=128, epochs=15),
            _watched(_NUMBERS, dropout=0.3, width=128),
        ),
        "cnn": (_of(dropout=0.5, width=128), _watched(dropout=0.4, width=128)),
    },
    "augmented": {
        "mlp": (_of(augmentation=0.3, width=128, epochs=20),),
        "cnn": (_of(augmentation=0.4, epochs=16), _of(augmentation=0.3, dropout=0.3, width=128, epochs=16)),
    },
    "trained to the end": {
        "mlp": (_of(epochs=16, width=128), _watched(epochs=16, width=128)),
        "cnn": (_of(epochs=14), _watched(epochs=14)),
    },
    "short but good": {
        "mlp": (_of(epochs=4, **ADAM, learning_rate=5e-3, batch_size=32), _watched(epochs=4, batch_size=32)),
        "cnn": (
            _of(epochs=4, **ADAM, learning_rate=4e-3, batch_size=32),
            _watched(epochs=4, **ADAM, learning_rate=4e-3, batch_size=32),
        ),
    },
    "long": {
        "mlp": (
            _of(epochs=40, learning_rate=0.01),
            _watched(epochs=30, schedule="cosine", learning_rate=0.03),
        ),
    },
    "shallow sigmoid": {
        "mlp": (
            _of(activation="sigmoid", learning_rate=0.3, initialization="glorot", epochs=20, depth=1),
            _watched(activation="sigmoid", **ADAM, learning_rate=0.01, initialization="glorot", depth=2),
        ),
    },
    "other activations": {
        "mlp": (
            _of(activation="tanh", initialization="glorot"),
            _of(activation="gelu"),
            _watched(activation="elu"),
            _watched(activation="leaky_relu"),
            _watched(activation="gelu", normalization="layer"),
        ),
        "cnn": (_of(activation="gelu"), _watched(activation="tanh", initialization="glorot")),
    },
    "normalized": {
        "mlp": (
            _of(normalization="batch"),
            _of(normalization="layer"),
            _watched(normalization="batch"),
            _watched(normalization="layer"),
        ),
        "cnn": (
            Setup(network=Planted(name="batch_normalized", strength=12)),
            Setup(network=Planted(name="batch_normalized", strength=12), loop=Loop()),
            _of(normalization="batch"),
        ),
    },
    "wide or deep": {
        "mlp": (
            _of(depth=1, width=256),
            _of(depth=4, width=64, learning_rate=0.02),
            _watched(depth=1, width=32),
            _watched(depth=5, width=48, learning_rate=0.02),
        ),
    },
    "sparse": {
        "mlp": (_of(width=512, depth=1), _watched(width=512, depth=1, weight_decay=1e-4)),
    },
    "regularized": {
        "mlp": (
            _of(weight_decay=1e-3),
            _of(label_smoothing=0.1),
            _watched(weight_decay=5e-4),
            _watched(label_smoothing=0.1),
        ),
        "cnn": (_of(weight_decay=1e-3), _watched(label_smoothing=0.1)),
    },
    "clipped at times": {"mlp": (_of(clip_norm=3.0), _watched(clip_norm=3.0))},
    "standardized": {
        "mlp": (
            _of(input_scaling="standardize", learning_rate=0.02),
            _watched(input_scaling="standardize", learning_rate=0.02),
        ),
        "cnn": (
            _of(input_scaling="standardize", learning_rate=0.01),
            _watched(input_scaling="standardize", learning_rate=0.01),
        ),
    },
    "three to one": {
        "mlp": (_seen("imbalanced", 0.33), _seen_watched("imbalanced", 0.33)),
        "cnn": (_seen("imbalanced", 0.4),),
    },
    "a few wrong labels": {
        "mlp": (_seen("mislabeled", 0.02, epochs=8), _seen_watched("mislabeled", 0.02, epochs=8)),
    },
    "stops early": {
        "mlp": (_of(patience=4, epochs=40),),
        "cnn": (_of(patience=3, epochs=25, **ADAM, learning_rate=1e-3),),
    },
    "frozen by design": {
        "mlp": (_watched(_FROZEN_BY_DESIGN, width=128),),
        "cnn": (_watched(_FROZEN_BY_DESIGN), _watched(Loop(n_frozen=2, is_pretrained=True))),
    },
    "accumulated": {
        "mlp": (
            _of(batch_size=16, accumulation_steps=4),
            _watched(Loop(accumulates=4), batch_size=16),
        ),
    },
}


def _cases() -> tuple[Case, ...]:
    return tuple(
        Case(
            name=f"healthy/{kind}/{architecture}/{number}", cause=None, architecture=architecture, setup=setup
        )
        for kind, by_architecture in _KINDS.items()
        for architecture, setups in by_architecture.items()
        for number, setup in enumerate(setups)
    )


HEALTHY: tuple[Case, ...] = _cases()
