"""The command line: each command is one call. Nothing heavy is imported before a command runs."""

import os
import sys

import typer

from search_spaces.errors import ConfigurationError, DataError
from tuner.cli import (
    demonstrating,
    diagnosing,
    doctoring,
    experimenting,
    fixing,
    guiding,
    importing,
    measuring_batch,
    measuring_rate,
    searching,
    studying,
    telling,
    training,
    vocabulary,
)
from tuner.version import __version__

USAGE, TRAINING_FAILED, DATA_FAILED = 2, 1, 5

app = typer.Typer(
    name="tuner",
    help="Tune a network, learn what is wrong with its training, and what to change.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (
    demonstrating,
    guiding,
    searching,
    training,
    measuring_rate,
    measuring_batch,
    diagnosing,
    telling,
    fixing,
    studying,
    vocabulary,
    importing,
    experimenting,
    doctoring,
):
    _module.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tuner {__version__}")
        raise typer.Exit


@app.callback()
def tuner(
    _version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Tune a network, learn what is wrong with its training, and what to change."""


def main() -> None:
    """Run the command line. A user's mistake is one sentence on stderr and an exit code, never a traceback."""
    try:
        app()
    except DataError as error:
        _fail(error, DATA_FAILED)
    except ConfigurationError as error:
        _fail(error, USAGE)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `tuner list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(TRAINING_FAILED)
    except OSError as error:  # a full disk, a folder that may not be written
        _fail(error, TRAINING_FAILED)
    except Exception as error:
        from studies.outages import storage_failure  # late: it loads optuna and sqlalchemy

        reason = storage_failure(error)
        if reason is None:
            raise
        _fail(
            f"The study's database could not be read or written ({reason}); see that it has room and can be reached, "
            f"and give the same command again: what it holds is kept.",
            TRAINING_FAILED,
        )


def _fail(error: Exception | str, code: int) -> None:
    typer.echo(f"error: {error}", err=True)
    for line in getattr(error, "__notes__", ()):  # what to do instead, a line each
        typer.echo(f"  {line}", err=True)
    sys.exit(code)
