"""How many cores this process may use."""

import os
import sys


def available_cores() -> int:
    """The cores of a Slurm job, a container's cpuset or ``taskset``, where the system tells them; else the machine's.

    A container's share of CPU *time* (``docker --cpus``) is not seen.
    """
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
