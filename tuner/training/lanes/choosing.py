"""Which engine trains some lanes: kernels of our own where they fit, else what a short probe says, and says so."""

import logging
from collections.abc import Hashable, Sequence
from itertools import pairwise

from torch import nn

from tuner.training.datasets.splits import Splits
from tuner.training.lanes.comparing import paces_of, reason_against_stacking
from tuner.training.lanes.engine import LaneStart
from tuner.training.lanes.mlp import MlpEngine
from tuner.training.lanes.programs import difference
from tuner.training.lanes.structure import structure_of

GAIN_WORTH_IT = 1.05
"""How much faster one pass must be than lanes in turn, so that the choice is more than a timing's noise."""

_LOG = logging.getLogger(__name__)


def choose_engine(starts: Sequence[LaneStart], splits: Splits) -> tuple[str, str]:
    """The name of the engine for lanes that begin with ``starts``, and why it is this one, in a sentence for the log.

    What a probe found is kept for the process. The lanes' weights and random streams stay as they are, and an exception
    of a user's module is not raised here, but when the lane trains.

    Args:
        starts: one or more lanes of one structure.
        splits: what they are trained on.
    """
    name, reason = _found(starts, splits)
    end = "" if reason.endswith("…") else "."
    said = f"Lanes of {type(starts[0].model).__name__}, engine {name}: {reason}{end}"
    if _KNOWN.is_news(said):
        _LOG.info("%s", said)
    return name, reason


def _found(starts: Sequence[LaneStart], splits: Splits) -> tuple[str, str]:
    if all(MlpEngine.supports(start.config, start.model) for start in starts):
        return "mlp", "the network is a multilayer perceptron, for which there are kernels"
    if len(starts) == 1:
        return "one_by_one", "a single lane has no other to share a pass with"
    differences = [difference(a.model, b.model) for a, b in pairwise(starts)]
    if all(differences):
        return "one_by_one", f"the lanes differ in {differences[0]}"
    return _KNOWN.found(starts, splits)


class _Known:
    """What probes found in this process."""

    def __init__(self) -> None:
        self._reasons: dict[Hashable, str | None] = {}
        self._paces: dict[Hashable, tuple[float, float]] = {}
        self._told: set[str] = set()

    def is_news(self, said: str) -> bool:
        """Whether the log has not heard it yet. Cohorts come by the hundred."""
        n_told = len(self._told)
        self._told.add(said)
        return len(self._told) > n_told

    def found(self, starts: Sequence[LaneStart], splits: Splits) -> tuple[str, str]:
        """Name and reason for two lanes or more."""
        form = form_of(starts[0], splits)
        if form not in self._reasons:
            self._reasons[form] = reason_against_stacking(starts[:2], splits)
        if (against := self._reasons[form]) is not None:
            return "one_by_one", against
        n_lanes = probed_lanes(len(starts))
        if (form, n_lanes) not in self._paces:
            self._paces[form, n_lanes] = paces_of(starts[:n_lanes], splits)
        stacked, in_turn = self._paces[form, n_lanes]
        name = "functional" if stacked * GAIN_WORTH_IT < in_turn else "one_by_one"
        return name, (
            f"a step of {n_lanes} lanes takes {stacked * 1e3:.2f} ms in one pass and {in_turn * 1e3:.2f} ms in turn"
        )


_KNOWN = _Known()


def probed_lanes(n_lanes: int) -> int:
    """Cohorts shrink and are refilled: as many lanes as the next lower power of two say enough of ``n_lanes``."""
    return 1 << (n_lanes.bit_length() - 1)


def form_of(start: LaneStart, splits: Splits) -> Hashable:
    """What a probe's answer depends on, beside the number of lanes."""
    return (
        tuple(sorted(structure_of(start.config).items(), key=str)),
        _layers(start.model),
        splits.input_shape,
        splits.kind,
        str(splits.device),
    )


def _layers(model: nn.Module) -> Hashable:
    modules = tuple((name, type(module)) for name, module in model.named_modules())
    return modules, tuple(parameter.shape for parameter in model.parameters())
