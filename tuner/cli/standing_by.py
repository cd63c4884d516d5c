"""A process that loads what every worker needs, waits for orders, and follows them: see `tuner.launchers.standby`."""

import json
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Be the command that one line on stdin says; end when stdin closes without one."""
    # A terminal's Ctrl-C is the search's to answer: it closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import tuner.preparing  # noqa: F401 - torch, optuna and sqlalchemy with it

    line = sys.stdin.readline()
    if not line:
        return
    orders = json.loads(line)
    os.environ.update(orders["environment"])
    _write_to(Path(orders["log"]))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["tuner", *orders["arguments"]]
    from tuner.cli import main as run_command

    run_command()


def _write_to(log: Path) -> None:
    """Append all that this process writes from now on to ``log``; nothing is left to read."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)


if __name__ == "__main__":
    main()
