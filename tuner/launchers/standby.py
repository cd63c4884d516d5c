"""Worker processes that load their libraries while their search is still being prepared.

Loading torch takes a worker longer than anything else before its first step. A search starts its workers before it
loads torch itself, and tells them through a pipe what to do once its study is there; a pipe that closes sends them
home. What such a process does is `tuner.cli.standing_by`.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_CUDA_SIGNS = (
    "/dev/nvidiactl",
    "/dev/dxg",  # of Windows' subsystem for Linux
    "/dev/kfd",  # AMD's GPUs, which torch calls CUDA too
    "C:/Windows/System32/nvcuda.dll",
)


class Standby:
    """Some worker processes that wait for their orders."""

    def __init__(self, n_workers: int, *, n_threads: int) -> None:
        """Start ``n_workers`` processes, of ``n_threads`` each unless the user's environment says another number."""
        environment = os.environ | {
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(n_threads)),
            "PYTHONIOENCODING": "utf-8",
            # A user's module:function is found where this process finds it.
            "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        }
        self._waiting: list[subprocess.Popen[bytes]] = []
        try:
            for _ in range(n_workers):
                self._waiting.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "tuner.cli.standing_by"],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        env=environment,
                    )
                )
        except BaseException:
            self.dismiss()
            raise

    def __len__(self) -> int:
        return len(self._waiting)

    def order(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Tell one of the processes to become ``tuner`` with these arguments, and hand it over.

        Args:
            arguments: of the command.
            environment: of the command, beside this process' own; a pipe, unlike a command line, is not public.
            log: what its stdout and stderr are appended to.
        """
        process = self._waiting.pop()
        orders = {"arguments": list(arguments), "environment": dict(environment), "log": str(log.resolve())}
        assert process.stdin is not None  # noqa: S101 - it was asked for
        # One that has died already is found by its exit code, as one that dies later.
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(json.dumps(orders).encode() + b"\n")
        return process

    def dismiss(self) -> None:
        """Send home who still waits."""
        for process in self._waiting:
            process.terminate()
        for process in self._waiting:
            process.communicate()
        self._waiting.clear()


@contextlib.contextmanager
def standing_by(n_workers: int, *, n_threads: int = 1) -> Iterator[Standby]:
    """Processes that wait while the body prepares a search; those it did not need are gone afterwards."""
    standby = Standby(n_workers, n_threads=n_threads)
    try:
        yield standby
    finally:
        standby.dismiss()


def may_use_cuda(device: str) -> bool:
    """Whether ``device`` may turn out to be a CUDA one, by what can be seen before torch is loaded."""
    if device != "auto":
        return device.startswith("cuda")
    return any(Path(sign).exists() for sign in _CUDA_SIGNS)
