"""A real PostgreSQL on loopback for the tests that need one; no system service is touched."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REQUIRED = "TUNER_TESTS_REQUIRE_SERVERS"
"""Set by .ci/run: a server that is missing there is a failure, not a reason to skip."""


def skip_or_fail(reason: str) -> None:
    """Skip elsewhere, with the reason; fail where the servers were promised."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, but {REQUIRED} is set.")
    pytest.skip(reason)


def postgresql_binaries() -> Path | None:
    """The folder with initdb and pg_ctl; Debian keeps it off PATH."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "pg_ctl").exists()), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a server of our own; its base URL (without a database's name)."""
    binaries = postgresql_binaries()
    if binaries is None:
        skip_or_fail("PostgreSQL (initdb, pg_ctl) is not installed")
        raise AssertionError("unreachable")
    # Its own short folder: the path of a Unix socket may have 107 characters, pytest's folders have more.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    user = "postgres" if is_root else None  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(folder, user)
    port = free_port()

    def run(*command: str) -> None:
        subprocess.run(command, check=True, cwd=folder, user=user, capture_output=True, timeout=60)

    data, log = str(folder / "data"), str(folder / "log")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    try:
        run(
            str(binaries / "initdb"),
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "tuner",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        )
        # stdout is inherited by the server it starts: a pipe would never close.
        subprocess.run(
            [str(binaries / "pg_ctl"), "-D", data, "-w", "-l", log, "-o", options, "start"],
            check=True, cwd=folder, user=user, stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        try:
            yield f"postgresql+psycopg://tuner@127.0.0.1:{port}"
        finally:
            run(str(binaries / "pg_ctl"), "-D", data, "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
