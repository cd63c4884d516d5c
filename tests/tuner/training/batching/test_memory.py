"""What a batch takes, on the process that runs the tests and on a CUDA device that is made up."""

from pathlib import Path

import pytest
import torch

from tuner.training.batching.memory import (
    CudaMemory,
    MemoryModel,
    ProcessMemory,
    cgroup_bytes_left,
    fit_memory,
    is_out_of_memory,
    memory_meter,
    unless_out_of_memory,
)

MEGABYTE = 2**20


def test_the_process_peak_is_seen_though_it_is_gone_again() -> None:
    """64 MiB held for a moment between two readings."""
    meter = ProcessMemory()
    meter.start()
    torch.ones(16 * MEGABYTE, dtype=torch.float32).add_(1.0)
    peak = meter.peak_bytes()
    assert 60 * MEGABYTE < peak < 100 * MEGABYTE
    meter.start()
    assert meter.peak_bytes() < 30 * MEGABYTE
    assert meter.available_bytes() > 0


def test_cuda_is_read_from_the_allocators_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak beyond what was reserved before; a cache of freed blocks counts as available."""
    calls = []
    numbers = {"memory_reserved": 300, "memory_allocated": 100, "max_memory_reserved": 900}
    for name, value in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda _device, value=value: value)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (5000, 8000))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _device: calls.append("reset"))
    meter = memory_meter(torch.device("cuda", 0))
    assert isinstance(meter, CudaMemory)
    meter.start()
    assert calls == ["empty", "empty", "reset"]
    assert meter.peak_bytes() == 600
    assert meter.available_bytes() == 5200


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error: RuntimeError, expected: bool) -> None:
    """Only that gives None; any other error is raised."""

    def fail() -> int:
        raise error

    assert is_out_of_memory(error) is expected
    if expected:
        assert unless_out_of_memory(fail) is None
    else:
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            unless_out_of_memory(fail)


def test_the_cpus_own_error_is_recognized() -> None:
    """The text of torch's CPU allocator, asked for more than any machine has."""
    assert unless_out_of_memory(lambda: torch.empty(2**60, dtype=torch.uint8)) is None


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    """cgroup v2, v1, no limit, and no cgroup at all."""
    assert cgroup_bytes_left(tmp_path) is None
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("1000\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("1200\n")
    assert cgroup_bytes_left(tmp_path) == 0
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory/memory.limit_in_bytes").unlink()
    assert cgroup_bytes_left(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert cgroup_bytes_left(tmp_path) == 700


def test_the_model_is_the_line_through_the_measurements() -> None:
    """5000 fixed and 30 a sample; 80% of 10,000 leave room for 100 samples."""
    model = fit_memory([10, 20, 40], [5300, 5600, 6200])
    assert model is not None
    assert (model.fixed, model.per_sample) == pytest.approx((5000, 30))
    assert model.bytes_at(100) == 8000
    assert model.largest_batch(10_000) == 100
    assert model.largest_batch(10) == 0


def test_a_model_needs_three_measurements_and_never_falls() -> None:
    """Noise may tilt the line downwards: then memory does not limit the batch."""
    assert fit_memory([10, 20], [1, 2]) is None
    flat = fit_memory([10, 20, 30], [30, 20, 10])
    assert flat == MemoryModel(fixed=20.0, per_sample=0.0)
    assert flat.largest_batch(100) is None
