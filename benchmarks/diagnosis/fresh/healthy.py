"""Sound trainings of the fresh part's networks, with the same hard controls as the old list at other values."""

from collections.abc import Mapping
from typing import Any

from benchmarks.diagnosis.case import Architecture, Case, Loop, Planted, Setup
from benchmarks.diagnosis.fresh.config_faults import BARE, RMSPROP, SGD


def _of(**config: Any) -> Setup:
    return Setup(config=config)


def _watched(loop: Loop | None = None, **config: Any) -> Setup:
    return Setup(loop=loop or Loop(), config=config)


def _seen(name: str, strength: float, *, loop: Loop | None = None, **config: Any) -> Setup:
    return Setup(data=(Planted(name=name, strength=strength),), config=config, loop=loop)


ADAM: Mapping[str, Any] = {"optimizer": "adam", "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}
ADAMW: Mapping[str, Any] = {"optimizer": "adamw", "momentum": 0.0, "weight_decay": 0.02, "nesterov": False}
MLP_RMSPROP: Mapping[str, Any] = {"optimizer": "rmsprop", "weight_decay": 0.0}
_FROZEN_BY_DESIGN = Loop(n_frozen=1, is_pretrained=True)
_NUMBERS = Loop(gives_numbers=True)

_KINDS: Mapping[str, Mapping[Architecture, tuple[Setup, ...]]] = {
    "plain": {
        "gelu_mlp": (_of(), _watched(), _watched(_NUMBERS)),
        "normed_cnn": (_of(), _watched(), _watched(_NUMBERS)),
    },
    "constant rate": {
        "gelu_mlp": (_of(schedule="constant", learning_rate=3e-3), _watched(**SGD)),
        "normed_cnn": (_of(**BARE), _watched(**BARE)),
    },
    "adaptive": {
        "gelu_mlp": (
            _of(**MLP_RMSPROP, learning_rate=1.5e-3),
            _watched(**ADAM, learning_rate=4e-3),
        ),
        "normed_cnn": (
            _of(**ADAMW, learning_rate=3e-3),
            _watched(**ADAM, learning_rate=1.5e-3),
            _watched(**RMSPROP, normalization="none"),
        ),
    },
    "decay to zero": {
        "gelu_mlp": (
            _of(schedule="linear", final_lr_fraction=0.0),
            _watched(schedule="cosine", final_lr_fraction=0.0, epochs=18),
        ),
        "normed_cnn": (
            _of(schedule="cosine", final_lr_fraction=0.0, learning_rate=0.08),
            _watched(schedule="linear", final_lr_fraction=0.0, learning_rate=0.06),
        ),
    },
    "one cycle": {
        "gelu_mlp": (_of(schedule="one_cycle", learning_rate=0.01),),
        "normed_cnn": (_watched(schedule="one_cycle", learning_rate=0.12),),
    },
    "short warmup": {
        "gelu_mlp": (_of(warmup_fraction=0.06), _watched(warmup_fraction=0.04, learning_rate=8e-3)),
        "normed_cnn": (_watched(warmup_fraction=0.05, schedule="cosine", learning_rate=0.1),),
    },
    "late drops": {
        "gelu_mlp": (_of(schedule="multistep", milestones=(9, 11), step_gamma=0.2, learning_rate=4e-3),),
        "normed_cnn": (_watched(schedule="step", step_size=5, step_gamma=0.2),),
    },
    "gentle restarts": {
        "gelu_mlp": (_watched(schedule="restarts", restart_period=6, learning_rate=4e-3),),
    },
    "small noisy batches": {
        "gelu_mlp": (
            _of(batch_size=20, learning_rate=2e-3, epochs=8),
            _watched(batch_size=12, learning_rate=1.5e-3, epochs=6),
        ),
        "normed_cnn": (_of(batch_size=20, learning_rate=0.01, epochs=5),),
    },
    "large batches": {
        "gelu_mlp": (_watched(batch_size=300, learning_rate=0.01, epochs=24),),
        "normed_cnn": (_of(batch_size=250, learning_rate=0.1, epochs=12),),
    },
    "near the edge": {
        "gelu_mlp": (_of(learning_rate=0.012), _watched(**SGD | {"learning_rate": 0.12})),
        "normed_cnn": (_watched(**BARE | {"learning_rate": 0.05}), _of(learning_rate=0.12)),
    },
    "plain descent": {
        "gelu_mlp": (_of(**SGD | {"momentum": 0.0, "learning_rate": 0.4}, epochs=18),),
    },
    "dropout": {
        "gelu_mlp": (_of(dropout=0.2), _watched(dropout=0.35, width=192, epochs=18)),
        "normed_cnn": (_watched(_NUMBERS, dropout=0.3), _of(dropout=0.45, width=16)),
    },
    "augmented": {
        "gelu_mlp": (_of(augmentation=0.25, width=160, epochs=24),),
        "normed_cnn": (_of(augmentation=0.35, epochs=12),),
    },
    "trained to the end": {
        "gelu_mlp": (_of(epochs=20, width=160), _watched(epochs=20, weight_decay=0.05)),
        "normed_cnn": (_of(epochs=12, schedule="cosine"),),
    },
    "short but good": {
        "gelu_mlp": (_of(epochs=5, batch_size=40), _watched(epochs=5, batch_size=40)),
        "normed_cnn": (_watched(epochs=4, schedule="cosine", learning_rate=0.06), _of(epochs=4)),
    },
    "other activations": {
        "gelu_mlp": (
            _of(activation="relu"),
            _watched(activation="selu", initialization="lecun", learning_rate=3e-3),
            _watched(activation="leaky_relu"),
            _of(activation="tanh", initialization="glorot", learning_rate=3e-3),
            _watched(activation="sigmoid", initialization="glorot", depth=1, learning_rate=0.015),
        ),
        "normed_cnn": (_of(activation="elu"), _watched(activation="leaky_relu")),
    },
    "normalized": {
        "gelu_mlp": (_of(normalization="layer"), _watched(normalization="batch")),
        "normed_cnn": (_of(normalization="layer"), _watched(normalization="layer", width=16)),
    },
    "wide or deep": {
        "gelu_mlp": (
            _of(depth=2, width=320, learning_rate=3e-3),
            _watched(depth=6, width=64, learning_rate=3e-3),
        ),
        "normed_cnn": (_watched(depth=2, width=20), _of(depth=4)),
    },
    "sparse": {"gelu_mlp": (_watched(activation="relu", depth=1, width=400, learning_rate=3e-3),)},
    "regularized": {
        "gelu_mlp": (_watched(label_smoothing=0.15), _of(weight_decay=0.1)),
        "normed_cnn": (_of(label_smoothing=0.05), _watched(weight_decay=1e-3)),
    },
    "clipped at times": {
        "gelu_mlp": (_watched(clip_norm=2.0),),
        "normed_cnn": (_of(clip_norm=4.0),),
    },
    "standardized": {
        "gelu_mlp": (_of(input_scaling="standardize", learning_rate=3e-3),),
        "normed_cnn": (_watched(input_scaling="standardize"),),
    },
    "two to one": {
        "gelu_mlp": (_seen("imbalanced", 0.45),),
        "normed_cnn": (_seen("rare", 0.4, loop=Loop()),),
    },
    "a few wrong labels": {
        "gelu_mlp": (_seen("mislabeled", 0.01, loop=Loop()),),
        "normed_cnn": (_seen("mislabeled_next", 0.015, epochs=5),),
    },
    "stops early": {"gelu_mlp": (_of(patience=5, epochs=30, schedule="constant", learning_rate=2e-3),)},
    "frozen by design": {
        "gelu_mlp": (_watched(_FROZEN_BY_DESIGN, width=160),),
        "normed_cnn": (_watched(Loop(n_frozen=2, is_pretrained=True), width=20),),
    },
    "accumulated": {
        "gelu_mlp": (_watched(Loop(accumulates=5), batch_size=20),),
        "normed_cnn": (_of(batch_size=25, accumulation_steps=2, epochs=6),),
    },
}

FRESH_HEALTHY: tuple[Case, ...] = tuple(
    Case(name=f"healthy/{kind}/{architecture}/{number}", cause=None, architecture=architecture, setup=setup)
    for kind, by_architecture in _KINDS.items()
    for architecture, setups in by_architecture.items()
    for number, setup in enumerate(setups)
)
