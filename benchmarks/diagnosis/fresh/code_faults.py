"""Faults of a training loop's own code, in the networks of the fresh part."""

from typing import Any

from benchmarks.diagnosis.case import FRESH_ARCHITECTURES, Fault, Loop, Setup
from benchmarks.diagnosis.fresh.config_faults import BARE, SGD
from studies.diagnosis import CauseName


def _loop(loop: Loop, **config: Any) -> Setup:
    return Setup(loop=loop, config=config)


def _sound(**config: Any) -> Setup:
    return _loop(Loop(), **config)


_SLOW_SGD = SGD | {"learning_rate": 0.02}
_REPORTING = Loop(gives_numbers=True)
_UNSWITCHED = Loop(gives_numbers=True, evaluates_in_train_mode=True)
_LEFT_IN_EVAL = Loop(gives_numbers=True, stays_in_eval_mode=True)

FRESH_CODE_FAULTS: tuple[Fault, ...] = (
    Fault(
        cause=CauseName.FROZEN_LAYERS,
        setups={
            "gelu_mlp": (
                _loop(Loop(n_frozen=1, frozen_by="optimizer"), width=64),
                _loop(Loop(n_frozen=3, frozen_by="detach"), width=48),
                _loop(Loop(n_frozen=3, frozen_by="optimizer"), width=24),
            ),
            "normed_cnn": (
                _loop(Loop(n_frozen=2, frozen_by="optimizer")),
                _loop(Loop(n_frozen=3, frozen_by="detach"), width=8),
            ),
        },
        twins={
            "gelu_mlp": (_sound(width=64), _sound(width=48), _sound(width=24)),
            "normed_cnn": (_sound(), _sound(width=8)),
        },
    ),
    Fault(
        cause=CauseName.DOUBLE_SOFTMAX,
        setups={
            "gelu_mlp": (_loop(Loop(has_softmax=True)), _loop(Loop(has_softmax=True), **_SLOW_SGD)),
            "normed_cnn": (
                _loop(Loop(has_softmax=True), learning_rate=0.014),
                _loop(Loop(has_softmax=True), **BARE),
            ),
        },
        twins={
            "gelu_mlp": (_sound(), _sound(**_SLOW_SGD)),
            "normed_cnn": (_sound(learning_rate=0.014), _sound(**BARE)),
        },
    ),
    Fault(
        cause=CauseName.EVALUATION_MODE_BUG,
        setups={
            "gelu_mlp": (
                _loop(_UNSWITCHED, dropout=0.35),
                _loop(_LEFT_IN_EVAL, **SGD | {"learning_rate": 0.3}, normalization="batch"),
                _loop(_UNSWITCHED, dropout=0.55, width=160),
            ),
            "normed_cnn": (
                _loop(_UNSWITCHED, dropout=0.35),
                _loop(_UNSWITCHED, dropout=0.6),
                _loop(_LEFT_IN_EVAL, learning_rate=0.15),
            ),
        },
        twins={
            "gelu_mlp": (
                _loop(_REPORTING, dropout=0.35),
                _loop(_REPORTING, **SGD | {"learning_rate": 0.3}, normalization="batch"),
                _loop(_REPORTING, dropout=0.55, width=160),
            ),
            "normed_cnn": (
                _loop(_REPORTING, dropout=0.35),
                _loop(_REPORTING, dropout=0.6),
                _loop(_REPORTING, learning_rate=0.15),
            ),
        },
        metric="misreport",
    ),
    Fault(
        cause=CauseName.STALE_GRADIENTS,
        setups={
            "gelu_mlp": (
                _loop(Loop(zeroes_every=8)),
                _loop(Loop(zeroes_every=30), **SGD),
                _loop(Loop(zeroes_every=90)),
            ),
            "normed_cnn": (_loop(Loop(zeroes_every=3)), _loop(Loop(zeroes_every=20))),
        },
        twins={
            "gelu_mlp": (_sound(), _sound(**SGD), _sound()),
            "normed_cnn": (_sound(), _sound()),
        },
    ),
    Fault(
        cause=CauseName.UNSHUFFLED_DATA,
        setups=dict.fromkeys(FRESH_ARCHITECTURES, tuple(_loop(Loop(shuffled=share)) for share in (0.6, 0.1))),
        healthy=dict.fromkeys(FRESH_ARCHITECTURES, _sound()),
    ),
    Fault(
        cause=CauseName.AUGMENTATION_DRIFT,
        setups={
            "gelu_mlp": tuple(_loop(Loop(transform=name)) for name in ("dimmed", "mirrored", "magnified")),
            "normed_cnn": tuple(_loop(Loop(transform=name)) for name in ("dimmed", "mirrored", "magnified")),
        },
        healthy=dict.fromkeys(FRESH_ARCHITECTURES, _sound()),
    ),
)
