"""What a figure was measured on: printed with every benchmark."""

import importlib.metadata
import os
import platform


def described(*distributions: str) -> dict[str, object]:
    """The machine and the versions of ``distributions``."""
    return {
        "processor": platform.processor() or platform.machine(),
        "n_cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in distributions},
    }
