"""Serve optuna-dashboard over a study's database, with the reports that `tuner report` put there."""

import contextlib
import socketserver
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from typing import Any

import optuna_dashboard
from optuna.artifacts import FileSystemArtifactStore

from search_spaces.errors import ConfigurationError
from studies.paths import StudyPaths
from studies.recorded import open_study
from studies.storage import open_storage, resolve_url


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """One thread a request: the page polls while it loads."""

    daemon_threads = True


class _Silent(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """A line for each poll helps nobody."""


@contextlib.contextmanager
def dashboard_server(storage: str | None = None, *, host: str, port: int) -> Iterator[_Server]:
    """A server that listens, and answers once ``serve_forever`` runs. Port 0 takes a free one.

    Raises:
        ConfigurationError: when there is no database, or the address is taken.
    """
    url = resolve_url(storage)
    # The plain reader: pages that poll must not queue for SQLite's write lock.
    opened = open_storage(url, writable=False)
    artifacts = StudyPaths.of("any", url).artifacts
    artifacts.mkdir(parents=True, exist_ok=True)
    application = optuna_dashboard.wsgi(opened, artifact_store=FileSystemArtifactStore(str(artifacts)))
    try:
        server = wsgiref.simple_server.make_server(
            host, port, application, server_class=_Server, handler_class=_Silent
        )
    except OSError as error:
        raise ConfigurationError(
            f"The dashboard must listen on an address that is free, but {host}:{port} is not ({error.strerror}); "
            f"take another --port, or 0 for any free one."
        ) from error
    try:
        yield server
    finally:
        server.server_close()


def serve_dashboard(
    study: str | None, *, storage: str | None, host: str, port: int, announce: Callable[[str], None]
) -> None:
    """Serve until Ctrl-C; ``announce`` takes the address of the page."""
    page = "/dashboard"
    if study is not None:
        page = f"/dashboard/studies/{open_study(study, storage).study_id}"
    with dashboard_server(storage, host=host, port=port) as server:
        announce(f"http://{host}:{server.server_port}{page}")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
