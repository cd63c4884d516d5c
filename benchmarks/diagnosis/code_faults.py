"""Faults of a training loop's own code, planted in a plain PyTorch loop."""

from typing import Any

from benchmarks.diagnosis.case import ARCHITECTURES, Fault, Loop, Setup
from studies.diagnosis import CauseName

SOUND = Setup(loop=Loop())


def _loop(loop: Loop, **config: Any) -> Setup:
    return Setup(loop=loop, config=config)


def _sound(**config: Any) -> Setup:
    return _loop(Loop(), **config)


_REPORTING = Loop(gives_numbers=True)
_UNSWITCHED = Loop(gives_numbers=True, evaluates_in_train_mode=True)
_LEFT_IN_EVAL = Loop(gives_numbers=True, stays_in_eval_mode=True)

CODE_FAULTS: tuple[Fault, ...] = (
    Fault(
        cause=CauseName.FROZEN_LAYERS,
        setups={
            "mlp": (
                _loop(Loop(n_frozen=1)),
                _loop(Loop(n_frozen=2, frozen_by="optimizer")),
                _loop(Loop(n_frozen=2, frozen_by="detach"), width=16),
            ),
            "cnn": (
                _loop(Loop(n_frozen=2, frozen_by="detach"), width=16),
                _loop(Loop(n_frozen=3), width=16),
                _loop(Loop(n_frozen=3, frozen_by="optimizer"), width=8),
            ),
        },
        twins={
            "mlp": (_sound(), _sound(), _sound(width=16)),
            "cnn": (_sound(width=16), _sound(width=16), _sound(width=8)),
        },
    ),
    Fault(
        cause=CauseName.DOUBLE_SOFTMAX,
        setups=dict.fromkeys(
            ARCHITECTURES,
            tuple(_loop(Loop(has_softmax=True), learning_rate=rate) for rate in (0.05, 0.03, 0.01)),
        ),
        twins=dict.fromkeys(ARCHITECTURES, tuple(_sound(learning_rate=rate) for rate in (0.05, 0.03, 0.01))),
    ),
    Fault(
        cause=CauseName.EVALUATION_MODE_BUG,
        setups={
            "mlp": (
                _loop(_UNSWITCHED, dropout=0.3),
                _loop(_UNSWITCHED, dropout=0.4, width=128),
                _loop(_LEFT_IN_EVAL, normalization="batch", learning_rate=0.2),
            ),
            "cnn": (
                _loop(_UNSWITCHED, dropout=0.3, width=128),
                _loop(_LEFT_IN_EVAL, normalization="batch", learning_rate=0.1),
                _loop(_UNSWITCHED, dropout=0.5, width=128),
            ),
        },
        twins={
            "mlp": (
                _loop(_REPORTING, dropout=0.3),
                _loop(_REPORTING, dropout=0.4, width=128),
                _loop(_REPORTING, normalization="batch", learning_rate=0.2),
            ),
            "cnn": (
                _loop(_REPORTING, dropout=0.3, width=128),
                _loop(_REPORTING, normalization="batch", learning_rate=0.1),
                _loop(_REPORTING, dropout=0.5, width=128),
            ),
        },
        metric="misreport",
    ),
    Fault(
        cause=CauseName.STALE_GRADIENTS,
        setups=dict.fromkeys(
            ARCHITECTURES,
            (
                _loop(Loop(zeroes_every=4), learning_rate=0.05),
                _loop(Loop(zeroes_every=47), learning_rate=0.02),
                _loop(Loop(zeroes_every=0), learning_rate=0.02),
            ),
        ),
        twins=dict.fromkeys(
            ARCHITECTURES,
            (_sound(learning_rate=0.05), _sound(learning_rate=0.02), _sound(learning_rate=0.02)),
        ),
    ),
    Fault(
        cause=CauseName.UNSHUFFLED_DATA,
        setups=dict.fromkeys(ARCHITECTURES, tuple(_loop(Loop(shuffled=share)) for share in (0.5, 0.2, 0.0))),
        healthy=dict.fromkeys(ARCHITECTURES, SOUND),
    ),
    Fault(
        cause=CauseName.AUGMENTATION_DRIFT,
        setups=dict.fromkeys(
            ARCHITECTURES, tuple(_loop(Loop(transform=name)) for name in ("rolled", "turned", "inverted"))
        ),
        healthy=dict.fromkeys(ARCHITECTURES, SOUND),
    ),
)
