import gzip
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torchvision.datasets

from tuner.training.datasets import downloads, reachability
from tuner.training.datasets.downloads import DownloadError, download
from tuner.training.datasets.reachability import reachable_urls


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability.urllib.request, "getproxies", dict)


@pytest.fixture
def listening() -> Iterator[int]:
    """The port of a server on loopback that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.usefixtures("no_proxy")
def test_who_answers_is_kept_in_order(listening: int, closed: int) -> None:
    """Servers that accept a connection are reachable, the others are not, and the order stays."""
    urls = [f"http://127.0.0.1:{port}/{n}" for n, port in enumerate((listening, closed, listening))]
    assert reachable_urls(urls) == [urls[0], urls[2]]


@pytest.mark.usefixtures("no_proxy")
def test_a_name_lookup_that_hangs_does_not(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that never returns is given up after the deadline, and hides no server that answers."""
    release = threading.Event()
    connect = socket.create_connection

    def hanging(address: tuple[str, int], timeout: float) -> socket.socket:
        if address[0] == "swallowed.invalid":
            release.wait()
            raise OSError
        return connect(address, timeout=timeout)

    monkeypatch.setattr(reachability.socket, "create_connection", hanging)
    url = f"http://127.0.0.1:{listening}/"
    started = time.monotonic()
    assert reachable_urls(["http://swallowed.invalid/", url], seconds=0.3) == [url]
    release.set()
    assert time.monotonic() - started < 5


def test_a_proxy_is_asked_in_the_servers_place(listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy only the proxy must be reachable."""
    monkeypatch.setattr(
        reachability.urllib.request, "getproxies", lambda: {"https": f"http://127.0.0.1:{listening}"}
    )
    monkeypatch.setattr(reachability.urllib.request, "proxy_bypass", lambda _host: False)
    assert reachable_urls(["https://nowhere.invalid/a"]) == ["https://nowhere.invalid/a"]


class FakeMNIST:
    """Stands in for torchvision's class: prints as it does, writes as it does, and may break off."""

    mirrors = ("http://first/", "http://second/")
    breaks_off = False

    def __init__(self, root: str, *, download: bool) -> None:
        assert download
        print("torchvision talks")
        folder = Path(root) / type(self).__name__ / "raw"
        folder.mkdir(parents=True)
        (folder / "a.gz").write_bytes(gzip.compress(",".join(self.mirrors).encode()))
        if self.breaks_off:
            raise RuntimeError("File not found or corrupted.")


@pytest.fixture
def torchvision_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "MNIST", FakeMNIST)
    monkeypatch.setattr(downloads, "reachable_urls", lambda urls: list(urls)[1:])


@pytest.mark.usefixtures("torchvision_fake")
def test_whole_files_appear_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are moved in when all are whole, only reachable mirrors are asked, and stdout stays clean."""
    lines = []
    download("MNIST", into=tmp_path, megabytes=11, announce=lines.append)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / "MNIST" / "raw" / "a.gz"]
    assert gzip.decompress(files[0].read_bytes()) == b"http://second/"
    assert capsys.readouterr().out == ""
    assert lines == [f"Downloading MNIST (11 MB) into {tmp_path}"]
    assert socket.getdefaulttimeout() is None


@pytest.mark.usefixtures("torchvision_fake")
def test_a_download_that_breaks_off_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No half-written file stays behind, and without announce nothing is printed at all."""
    monkeypatch.setattr(FakeMNIST, "breaks_off", True)
    with pytest.raises(DownloadError, match="the download broke off"):
        download("MNIST", into=tmp_path, megabytes=11, announce=None)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_no_mirror_is_an_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a reachable mirror torchvision is not even asked."""
    monkeypatch.setattr(downloads, "reachable_urls", lambda _urls: [])
    with pytest.raises(DownloadError, match="no mirror can be reached"):
        download("MNIST", into=tmp_path, megabytes=11, announce=None)
