"""Copies of networks for continuations to train, and what may be switched off in them."""

from collections import OrderedDict
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from tuner.training.architectures.dropout import Dropout


def hooks_left_out(model: nn.Module) -> dict[int, Any]:
    """A memo with which ``copy.deepcopy`` leaves out the hooks of ``model`` that only look on.

    Those of torch itself (weight norm, spectral norm) make the network what it is and stay. Any other may write to
    wherever its owner keeps what it saw, and copying it would copy its owner.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for name, hooks in vars(module).items():
            if "hooks" in name and isinstance(hooks, OrderedDict):
                own = ((key, hook) for key, hook in hooks.items() if _is_torchs(hook))
                memo[id(hooks)] = OrderedDict(own)
    return memo


def _is_torchs(hook: object) -> bool:
    # The entries of *_with_kwargs and its kin are flags of hooks, by the same keys: alone they do nothing.
    return isinstance(hook, bool) or str(getattr(hook, "__module__", "")).startswith("torch.")


def without_dropout(model: nn.Module) -> bool:
    """Switch the dropout of ``model`` off; whether there was any. Dropout that is called as a function is not seen."""
    layers = [m for m in model.modules() if isinstance(m, Dropout | _DropoutNd) and m.p > 0]
    for layer in layers:
        layer.p = 0.0
    return bool(layers)
