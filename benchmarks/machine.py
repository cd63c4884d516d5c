"""What a figure was measured on: printed with every benchmark."""

import importlib.metadata
import os
import platform
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def described(*distributions: str) -> dict[str, object]:
    """The machine and the versions of ``distributions``."""
    return {
        "processor": processor_name(),
        "n_cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in distributions},
    }


def processor_name() -> str:
    """As Linux has it from the processor itself; elsewhere what Python knows, which may be the architecture alone."""
    lines = _CPU_INFO.read_text(encoding="utf-8").splitlines() if _CPU_INFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load_average() -> float | None:
    """Processes that wanted a core in the last minute, None on Windows. Above 0.3 or so, believe no times."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
