"""Which process this is, and whether another one still lives: portable, and careful where it cannot know."""

import os
import platform
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

_COUNTS_FROM_BOOT = sys.platform == "linux"
_SAME_START_SECONDS = 0.0 if _COUNTS_FROM_BOOT else 2.0
"""A process id that was given to a new process differs in its start time by more than this."""
_START_TICKS = 22 - 3
"""proc_pid_stat(5), field 22, `starttime`; what follows the command's closing parenthesis begins with field 3."""


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


def _started(process: psutil.Process) -> float:
    """When a process began: on Linux in clock ticks since the boot that is in the machine's name, else since 1970.

    psutil adds the boot's time of day, which follows every step of the clock (NTP, a laptop that wakes up): a live
    process would seem to be another one, and its trial would be taken from it.
    """
    if not _COUNTS_FROM_BOOT:
        return process.create_time()
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(process.pid) from error
    # The command's name may hold blanks and parentheses.
    return float(text.rpartition(")")[2].split()[_START_TICKS])


def process_age_seconds() -> float:
    """How long ago this process began, imports and all; on Linux to a clock tick (10 ms).

    By the clock that counts from boot where there is one: psutil's start times are rounded to the boot's second.
    """
    if not _COUNTS_FROM_BOOT:
        return max(time.time() - psutil.Process().create_time(), 0.0)
    began = _started(psutil.Process()) / os.sysconf("SC_CLK_TCK")
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - began, 0.0)


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of one machine, told apart from a later one with the same id by its start time."""

    machine: str
    process_id: int
    process_started: float
    """Comparable on its machine only: clock ticks since boot on Linux, seconds since 1970 elsewhere."""

    @classmethod
    def current(cls) -> "Process":
        return cls.of(os.getpid())

    @classmethod
    def of(cls, process_id: int) -> "Process":
        """A process of this machine.

        Raises:
            psutil.NoSuchProcess: when there is none.
        """
        started = _started(psutil.Process(process_id))
        return cls(machine=machine_name(), process_id=process_id, process_started=started)

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
            is_same = abs(_started(process) - other.process_started) <= _SAME_START_SECONDS
            return not is_same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
