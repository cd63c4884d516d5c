"""Which servers answer, found out within a few seconds even where a network swallows packets."""

import queue
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence

CONNECT_SECONDS = 5.0
"""For all servers together, name look-up included: a look-up has no timeout of its own."""


def reachable_urls(urls: Sequence[str], *, seconds: float = CONNECT_SECONDS) -> list[str]:
    """Those of ``urls``, in their order, whose server (or whose proxy) accepts a connection in time.

    Returns as soon as every server has answered or refused. A thread that hangs in a name look-up is left
    behind: it is a daemon, so it keeps no process alive.
    """
    answers: queue.Queue[tuple[str, bool]] = queue.Queue()
    for url in urls:
        threading.Thread(target=_probe, args=(url, seconds, answers), daemon=True).start()
    deadline = time.monotonic() + seconds
    reachable = set()
    for _ in urls:
        try:
            url, is_reachable = answers.get(timeout=max(deadline - time.monotonic(), 0.0))
        except queue.Empty:
            break
        if is_reachable:
            reachable.add(url)
    return [url for url in urls if url in reachable]


def _probe(url: str, seconds: float, answers: "queue.Queue[tuple[str, bool]]") -> None:
    try:
        socket.create_connection(_address(url), timeout=seconds).close()
    except OSError:
        answers.put((url, False))
    else:
        answers.put((url, True))


def _address(url: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    default_port = 443 if parts.scheme == "https" else 80
    return parts.hostname or "", parts.port or default_port
