"""Steps that are issued once and then replayed: what Python would say again each time comes from a recording.

A recorded step reads and writes the very tensors that it had when it was recorded. So everything that changes from step
to step is an input, copied into tensors that stay; weights and state are changed in place; and what it gives back is
copied, because the next replay writes over it.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

WARM_UP_STEPS = 3
"""Of a form are taken before it is recorded, as torch's documentation asks for: libraries make their workspaces then.
A form that comes once an epoch, such as a smaller last minibatch, is recorded after as many epochs."""

Results = tuple[Tensor | None, ...]
Step = Callable[[Sequence[Tensor]], Results]
"""From its inputs, on the device, to what it read."""

_LOG = logging.getLogger(__name__)


class Recorder(Protocol):
    """What records steps: a CUDA graph, or in tests something that does as one does."""

    def warm_up(self, step: Callable[[], Results]) -> Results:
        """Take ``step`` as it will be recorded."""

    def record(self, step: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
        """Record ``step`` without taking it: its results, which are empty as yet, and what takes it.

        Raises:
            RuntimeError: when it does what cannot be recorded, such as to wait for the device.
        """


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    inputs: list[Tensor]
    results: Results
    replay: Callable[[], None]

    def take(self, inputs: Sequence[Tensor]) -> Results:
        for mine, given in zip(self.inputs, inputs, strict=True):
            mine.copy_(given, non_blocking=True)
        self.replay()
        return tuple(None if result is None else result.clone() for result in self.results)


class Steps:
    """Takes the steps of lanes that stay the same; make another one when lanes come or leave.

    Args:
        device: where they are taken.
        recorder: what records them; None issues every step anew.
    """

    def __init__(self, device: torch.device, recorder: Recorder | None) -> None:
        self._device = device
        self._recorder = recorder
        self._recorded: dict[Hashable, _Recorded] = {}
        self._n_taken: Counter[Hashable] = Counter()
        self._refused: set[Hashable] = set()

    def take(
        self, form: Hashable, step: Step, inputs: Sequence[Tensor], *, may_record: bool = True
    ) -> Results:
        """What ``step`` makes of ``inputs``.

        Args:
            form: says, with the shapes of the inputs, which code is run. What ``step`` does must follow from the two.
            step: waits for no device.
            inputs: on the device, or pinned.
            may_record: False for a step that is not worth it.
        """
        recorder = self._recorder if may_record else None
        key = (form, tuple((tuple(each.shape), each.dtype) for each in inputs))
        if recorder is not None and key not in self._recorded and key not in self._refused:
            self._n_taken[key] += 1
            if self._n_taken[key] <= WARM_UP_STEPS:
                on_device = self._on_device(inputs)
                return recorder.warm_up(lambda: step(on_device))
            self._record(key, recorder, step, inputs)
        if recorder is None or key in self._refused:
            return step(self._on_device(inputs))
        return self._recorded[key].take(inputs)

    def _record(self, key: Hashable, recorder: Recorder, step: Step, inputs: Sequence[Tensor]) -> None:
        """Record the step, or refuse its form, which the log then says."""
        static = [each.to(self._device, non_blocking=True, copy=True) for each in inputs]
        try:
            results, replay = recorder.record(lambda: step(static))
        except RuntimeError as error:
            self._refused.add(key)
            _LOG.warning(
                "A step of the lanes is issued anew each time: it cannot be recorded (%s).", said(error)
            )
        else:
            self._recorded[key] = _Recorded(inputs=static, results=results, replay=replay)

    def _on_device(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        return [each.to(self._device, non_blocking=True) for each in inputs]


def numbers_for(device: torch.device, values: Sequence[float]) -> Tensor:
    """``values`` as float64 that can be copied to ``device`` without waiting for it."""
    return torch.tensor(values, dtype=torch.float64, pin_memory=device.type == "cuda")


def said(error: Exception) -> str:
    """The first line of what ``error`` says, without its last point."""
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}".removesuffix(".")
