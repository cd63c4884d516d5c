"""How much memory a training takes, what there is, and which batch would still fit.

On the CPU it is the process' resident memory, polled while steps are taken: a kernel's high-water mark cannot be set
back everywhere. On CUDA it is what the allocator reserved, which is what other processes find missing.
"""

import ctypes
import gc
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import torch

Answer = TypeVar("Answer")

HEADROOM = 0.8
"""Share of the available memory that a batch may take: the longest run decides, and others live there, too."""
POLL_SECONDS = 0.001
_CGROUP = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


class MemoryMeter(ABC):
    """The memory of one device, from when it was made."""

    @abstractmethod
    def start(self) -> None:
        """Begin to look for a peak."""

    @abstractmethod
    def peak_bytes(self) -> int:
        """The peak since `start`, beyond what was held when the meter was made; ends the look."""

    @abstractmethod
    def available_bytes(self) -> int:
        """What a training could take now."""

    def release(self) -> None:
        """Give freed memory back, or what an earlier batch left would hide what the next one takes."""
        gc.collect(
            1
        )  # what has just ended is young; walking through every old object takes a tenth of a second
        _trim_heap()


class ProcessMemory(MemoryMeter):
    """Resident memory of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.release()
        self._before = self._process.memory_info().rss
        self._peak = self._before
        self._is_done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self.release()
        self._peak = self._process.memory_info().rss
        self._is_done.clear()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def peak_bytes(self) -> int:
        self._is_done.set()
        if self._thread is not None:
            self._thread.join()
        self._look()
        return max(self._peak - self._before, 0)

    def available_bytes(self) -> int:
        available = psutil.virtual_memory().available
        limit = cgroup_bytes_left()
        return available if limit is None else min(available, limit)

    def _poll(self) -> None:
        while not self._is_done.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)


class CudaMemory(MemoryMeter):
    """What torch's allocator reserved on one CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.release()
        self._before = torch.cuda.memory_reserved(device)

    def start(self) -> None:
        self.release()
        torch.cuda.reset_peak_memory_stats(self._device)

    def peak_bytes(self) -> int:
        return max(torch.cuda.max_memory_reserved(self._device) - self._before, 0)

    def available_bytes(self) -> int:
        free, _total = torch.cuda.mem_get_info(self._device)
        return free + torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)

    def release(self) -> None:
        super().release()
        torch.cuda.empty_cache()


def _trim_heap() -> None:
    """Hand the C library's free memory to the system, where it can: glibc keeps most of it in the process."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none, and keeps less
        if trim is not None:
            trim(0)


def memory_meter(device: torch.device) -> MemoryMeter:
    """The meter of ``device``; Apple's GPU shares the process' memory."""
    return CudaMemory(device) if device.type == "cuda" else ProcessMemory()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not get the memory it asked for; the CPU's allocator has no type for that."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "CUBLAS_STATUS_ALLOC_FAILED" in text


def unless_out_of_memory(call: Callable[[], Answer]) -> Answer | None:
    """What ``call`` returns; None when torch could not get the memory it asked for."""
    try:
        return call()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def cgroup_bytes_left(folder: Path = _CGROUP) -> int | None:
    """What a container or a cluster's job may still take (cgroup v2, then v1); None where nothing is set."""
    for limit_name, usage_name in _CGROUP_FILES:
        with suppress(OSError, ValueError):  # no such file, or the word "max": no limit
            limit = int((folder / limit_name).read_text(encoding="ascii"))
            return max(limit - int((folder / usage_name).read_text(encoding="ascii")), 0)
    return None


@dataclass(frozen=True, kw_only=True)
class MemoryModel:
    """Bytes = ``fixed + per_sample * batch``: weights and optimizer, and what each sample's activations add."""

    fixed: float
    per_sample: float

    def bytes_at(self, batch_size: int) -> int:
        return round(self.fixed + self.per_sample * batch_size)

    def largest_batch(self, available: int) -> int | None:
        """The largest batch that leaves headroom in ``available`` bytes; None where memory does not grow with it."""
        if self.per_sample <= 0:
            return None
        return max(round((available * HEADROOM - self.fixed) / self.per_sample), 0)


def fit_memory(batch_sizes: Sequence[int], n_bytes: Sequence[int]) -> MemoryModel | None:
    """Least squares over three measurements or more, else None; memory never falls with the batch."""
    if len(batch_sizes) < 3:
        return None
    slope, intercept = np.polyfit(np.asarray(batch_sizes, float), np.asarray(n_bytes, float), 1)
    if slope <= 0:
        return MemoryModel(fixed=float(np.mean(n_bytes)), per_sample=0.0)
    return MemoryModel(fixed=max(float(intercept), 0.0), per_sample=float(slope))
