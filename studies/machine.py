"""Which process this is, and whether another one still lives: portable, and careful where it cannot know."""

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

_SAME_START_SECONDS = 2.0
"""A process id that was given to a new process differs in its start time by more than this."""


@cache
def machine_name() -> str:
    """The host, and on Linux also its boot and process-id namespace.

    Two containers may share a host name but not see each other's processes; where the namespace cannot be read
    (macOS, Windows) there are no such namespaces either.
    """
    parts = [platform.node() or "unknown"]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists() and namespace.exists():
        parts += [boot.read_text().strip()[:8], str(namespace.readlink()).strip("pid:[]")]
    return "/".join(parts)


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of one machine, told apart from a later one with the same id by its start time."""

    machine: str
    process_id: int
    process_started: float

    @classmethod
    def current(cls) -> "Process":
        started = psutil.Process().create_time()
        return cls(machine=machine_name(), process_id=os.getpid(), process_started=started)

    @classmethod
    def from_columns(cls, row: Any) -> "Process":
        return cls(
            machine=row["machine"], process_id=row["process_id"], process_started=row["process_started"]
        )

    def columns(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "process_id": self.process_id,
            "process_started": self.process_started,
        }

    def sees_dead(self, other: "Process") -> bool:
        """Whether ``other`` is certainly gone. False for processes of another machine: nobody can tell from here."""
        if other.machine != self.machine:
            return False
        try:
            process = psutil.Process(other.process_id)
            is_same = abs(process.create_time() - other.process_started) < _SAME_START_SECONDS
            return not is_same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
