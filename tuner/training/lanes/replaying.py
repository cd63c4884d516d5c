"""Whether the steps of some lanes are replayed: where a short probe has equal numbers from it and is faster for it."""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from tuner.training.datasets.splits import Splits
from tuner.training.lanes.capture import WARM_UP_STEPS, Recorder, Results, said
from tuner.training.lanes.choosing import GAIN_WORTH_IT, form_of, probed_lanes
from tuner.training.lanes.comparing import paces, reason_against_replaying
from tuner.training.lanes.engine import Engine, LaneStart
from tuner.training.lanes.functional import FunctionalEngine
from tuner.training.lanes.mlp import MlpEngine

COMPARED_LANES = 2
"""So many at most are compared: what a recording gets wrong, it gets wrong in the first lanes, too."""

TIMED_STEPS = WARM_UP_STEPS + 3
"""At least, after the first that warms up: the others that do, the one that is recorded, and three replays."""
NO_MEMORY = "there is no memory for lanes to try it with"

_LOG = logging.getLogger(__name__)


class RecordingBuilder(Protocol):
    """Makes an engine whose steps can be recorded, still empty."""

    def __call__(
        self, splits: Splits, *, stacks: bool | None = None, recorder: Recorder | None
    ) -> Engine: ...


RECORDING: Mapping[str, RecordingBuilder] = {"mlp": MlpEngine, "functional": FunctionalEngine}
"""The engines whose steps wait for no device. Modules in turn may do as they like."""

_FOUND: dict[Hashable, str | None] = {}
"""Why not, by what was probed: once for the process."""
_TOLD: set[str] = set()
"""What the log has heard."""


def recorder_for(
    name: str, starts: Sequence[LaneStart], splits: Splits, recorder: Recorder
) -> Recorder | None:
    """``recorder``, if the steps of the engine of that ``name`` are to be replayed; the log says why, or why not.

    The lanes' weights and random streams stay as they are.
    """
    n_lanes = probed_lanes(len(starts))
    key = (name, n_lanes, starts[0].config.optimizer, form_of(starts[0], splits))
    if key in _FOUND:
        return recorder if _FOUND[key] is None else None
    probe = _Probe(builder=RECORDING[name], starts=starts[:n_lanes], splits=splits, recorder=recorder)
    against, sentence = probe.found()
    # Memory is short for a while only: the next cohort of the form asks again, though the log need not say so again.
    if against != NO_MEMORY:
        _FOUND[key] = against
    if sentence not in _TOLD:
        _TOLD.add(sentence)
        _LOG.info("%s", sentence)
    return recorder if against is None else None


@dataclass(kw_only=True)
class _Probe:
    """Steps of copies of the lanes, replayed and issued."""

    builder: RecordingBuilder
    starts: Sequence[LaneStart]
    splits: Splits
    recorder: Recorder

    def found(self) -> tuple[str | None, str]:
        """Why steps are not replayed, or None; and the sentence for the log."""
        kind = type(self.starts[0].model).__name__
        what = f"Steps of {len(self.starts)} lanes of {kind}, which update all lanes at once,"
        try:
            against = self._difference() or self._loss_of_pace()
        except torch.OutOfMemoryError:
            against = NO_MEMORY
        if against is not None:
            return against, f"{what} are issued by Python, not replayed: {against}."
        return None, f"{what} are replayed from a recording: {self._gain}."

    def _difference(self) -> str | None:
        watched = _Watched(recorder=self.recorder)
        issuing = self.builder(self.splits, stacks=True, recorder=None)
        replaying = self.builder(self.splits, stacks=True, recorder=watched)
        starts = self.starts[:COMPARED_LANES]
        difference = reason_against_replaying(replaying, issuing, starts, self.splits)
        return watched.refusal or difference

    def _loss_of_pace(self) -> str | None:
        watched = _Watched(recorder=self.recorder)
        replayed, issued = paces(
            self.builder(self.splits, stacks=True, recorder=watched),
            self.builder(self.splits, stacks=True, recorder=None),
            self.starts,
            self.splits,
            n_least=TIMED_STEPS,
        )
        if watched.refusal is not None:
            return watched.refusal
        self._gain = f"one takes {replayed * 1e3:.2f} ms so, and {issued * 1e3:.2f} ms if issued by Python"
        return None if replayed * GAIN_WORTH_IT < issued else self._gain


@dataclass(kw_only=True)
class _Watched:
    """A recorder that remembers why it could not record."""

    recorder: Recorder
    refusal: str | None = None

    def warm_up(self, step: Callable[[], Results]) -> Results:
        return self.recorder.warm_up(step)

    def record(self, step: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
        try:
            return self.recorder.record(step)
        except torch.OutOfMemoryError:
            self.refusal = NO_MEMORY
            raise
        except RuntimeError as error:
            self.refusal = f"they cannot be recorded ({said(error)})"
            raise
