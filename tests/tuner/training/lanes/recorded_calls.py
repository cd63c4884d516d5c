"""A recorder for tests without a GPU: it does to a step on the CPU what a CUDA graph does to one on the device.

It records which operators ran, on which memory and with which numbers, and replays exactly that, never the Python that
led to it. Like a graph, it runs nothing while it records, keeps alive what was made in the recording and nothing else,
and refuses whatever would wait for the device: reads by the host, copies from it, shapes that depend on values, and
torch's random numbers, whose generators are the host's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from tuner.training.lanes.capture import Results

WAITING_TAGS = frozenset(
    {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.nondeterministic_seeded}
)
HOST_READS = frozenset(
    {
        Tensor.item,
        Tensor.tolist,
        Tensor.cpu,
        Tensor.numpy,
        Tensor.__bool__,
        Tensor.__int__,
        Tensor.__float__,
        Tensor.__index__,
        Tensor.__array__,
        Tensor.__contains__,
    }
)
WRITTEN_UNSAID = {torch.ops.aten.native_batch_norm.default: ("running_mean", "running_var")}
"""Arguments that an operator changes although its schema does not say so."""
HOST_WRITES = frozenset({torch.tensor, torch.as_tensor, torch.from_numpy})


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A tensor as a graph knows it: where it lies, not that anyone needs it."""

    storage: StorageWeakRef
    geometry: tuple[int, tuple[int, ...], tuple[int, ...]]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "Memory":
        geometry = (tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
        return cls(storage=StorageWeakRef(tensor.untyped_storage()), geometry=geometry, dtype=tensor.dtype)

    def tensor(self) -> Tensor:
        storage = torch.UntypedStorage._new_with_weak_ptr(self.storage.cdata)
        if storage is None:
            raise RuntimeError("The recording uses memory that was freed since.")
        return torch.empty(0, dtype=self.dtype).set_(storage, *self.geometry)


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    operator: Any
    arguments: tuple[Any, ...]
    keys: dict[str, Any]
    made: tuple[tuple[int, Tensor], ...]
    """Results that are no view of an argument, by place among all."""

    def replay(self) -> None:
        arguments, keys = tree_map_only(Memory, Memory.tensor, (self.arguments, self.keys))
        results = tree_leaves(self.operator(*arguments, **keys))
        for place, tensor in self.made:
            tensor.copy_(results[place])


@dataclass(kw_only=True)
class Tape(TorchDispatchMode):
    """The calls of one step."""

    calls: list[RecordedCall] = field(default_factory=list)
    own: dict[int, Tensor] = field(default_factory=dict)
    """What was made while recording, by storage: a graph's pool keeps it."""
    before: dict[int, tuple[Memory, Tensor]] = field(default_factory=dict)
    """What the memory outside held before it was first written to."""

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        check_operator(operator)
        kwargs = kwargs or {}
        self._keep_what_is_written(operator, args, kwargs)
        given = {storage_of(each) for each in tensors_in((args, kwargs))}
        arguments, keys = tree_map_only(Tensor, self._known, (args, kwargs))
        results = operator(*args, **kwargs)
        made = []
        for place, each in enumerate(tree_leaves(results)):
            if isinstance(each, Tensor) and storage_of(each) not in given:
                self.own[storage_of(each)] = each.detach()
                made.append((place, each.detach()))
        self.calls.append(RecordedCall(operator=operator, arguments=arguments, keys=keys, made=tuple(made)))
        return results

    def _known(self, tensor: Tensor) -> Tensor | Memory:
        return tensor.detach() if storage_of(tensor) in self.own else Memory.of(tensor)

    def _keep_what_is_written(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for place, argument in enumerate(operator._schema.arguments):
            is_written = argument.alias_info is not None and argument.alias_info.is_write
            if not is_written and argument.name not in WRITTEN_UNSAID.get(operator, ()):
                continue
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            for tensor in tensors_in(value):
                key = storage_of(tensor)
                if key not in self.own and key not in self.before:
                    whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
                    self.before[key] = (Memory.of(whole), whole.clone())

    def undo(self) -> None:
        """Leave no trace but the calls: a graph has not run when it was recorded."""
        for memory, content in self.before.values():
            if not memory.storage.expired():
                memory.tensor().copy_(content)
        for tensor in self.own.values():
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)

    def replay(self) -> None:
        with torch.no_grad():
            for call in self.calls:
                call.replay()


class NoHost(TorchFunctionMode):
    """Refuses what reads a tensor's values into Python, or makes a tensor of Python's numbers."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        if function in HOST_READS or function in HOST_WRITES:
            raise RuntimeError(f"{function.__name__} waits for the device.")
        return function(*args, **(kwargs or {}))


class NoWaiting(TorchDispatchMode):
    """Refuses operators that wait for the device, and runs all others."""

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        check_operator(operator)
        return operator(*args, **(kwargs or {}))


@contextmanager
def no_host_sync() -> Iterator[None]:
    """Within it, whatever would wait for the device raises a RuntimeError."""
    with NoHost(), NoWaiting():
        yield


class RecordedCalls:
    """A `Recorder` of steps on the CPU; it counts what was recorded and replayed.

    ``lengths`` has the number of operators of each recording.
    """

    def __init__(self) -> None:
        self.n_replayed = 0
        self.lengths: list[int] = []

    @property
    def n_recorded(self) -> int:
        return len(self.lengths)

    def warm_up(self, step: Callable[[], Results]) -> Results:
        return step()

    def record(self, step: Callable[[], Results]) -> tuple[Results, Callable[[], None]]:
        tape = Tape()
        with NoHost(), tape:
            results = step()
        tape.undo()
        self.lengths.append(len(tape.calls))

        def replay() -> None:
            self.n_replayed += 1
            tape.replay()

        return results, replay


def check_operator(operator: Any) -> None:
    if WAITING_TAGS.intersection(operator.tags):
        raise RuntimeError(f"{operator} waits for the device, or draws as the host says.")


def storage_of(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def tensors_in(tree: Any) -> list[Tensor]:
    return [each for each in tree_leaves(tree) if isinstance(each, Tensor)]
