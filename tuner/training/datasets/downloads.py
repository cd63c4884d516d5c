"""Downloads through torchvision that end soon where no network is, and that leave whole files or none."""

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tuner.training.datasets.reachability import reachable_urls

Announce = Callable[[str], None]
"""Takes one line for a person."""

STALL_SECONDS = 15.0
"""How long a connection may be silent in mid-download."""


class DownloadError(Exception):
    """Why nothing could be downloaded, as the second half of a sentence."""


def download(torchvision_name: str, *, into: Path, megabytes: int, announce: Announce | None) -> None:
    """Let torchvision fetch and verify one of its sets; its files appear in ``into`` when all are whole.

    Raises:
        DownloadError: no mirror answers in time, or the download breaks off.
    """
    import torchvision.datasets

    original = getattr(torchvision.datasets, torchvision_name)
    is_mirrored = torchvision_name != "CIFAR10"
    urls = reachable_urls(original.mirrors if is_mirrored else [original.url])
    if not urls:
        raise DownloadError("no mirror can be reached from here")
    # Of the same name, because torchvision calls its folders after the class.
    image_set: Any = type(torchvision_name, (original,), {"mirrors": urls} if is_mirrored else {})
    if announce is not None:
        announce(f"Downloading {torchvision_name} ({megabytes} MB) into {into}")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=f".{torchvision_name}-") as unfinished:
        try:
            with _stalls_are_errors(), _quiet(show_bar=announce is not None):
                image_set(unfinished, download=True)
        except (OSError, RuntimeError, EOFError) as error:
            raise DownloadError(f"the download broke off ({str(error).splitlines()[0]})") from error
        _move_files(Path(unfinished), into)


def _move_files(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)


@contextlib.contextmanager
def _stalls_are_errors() -> Iterator[None]:
    # torchvision opens its connections without a timeout; urllib then takes this one.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _quiet(*, show_bar: bool) -> Iterator[None]:
    """Keep torchvision's own prints off stdout, and its bar off stderr unless wanted."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(sys.stderr if show_bar else sink))
        if not show_bar:
            stack.enter_context(contextlib.redirect_stderr(sink))
        yield
