"""Downloads against a server on loopback that misbehaves on request."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from openecg import fetch as module
from openecg.errors import ConfigError, DataError
from openecg.fetch import fetch


def _zip_bytes(method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        zipped.writestr("top/a.dat", np.random.default_rng(0).bytes(300_000))
    return buffer.getvalue()


ZIP = _zip_bytes()
DEFLATED = _zip_bytes(zipfile.ZIP_DEFLATED)
START = DEFLATED.index(b"top/a.dat") + len(b"top/a.dat")  # of the compressed data
SUM = hashlib.sha256(ZIP).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``body`` at every address; the switches say how it misbehaves."""

    body = ZIP
    status = 200
    drops = 0  # how many answers break off half-way through what is left
    busy = 0  # how many answers are 503
    ranges = True
    content_length = True
    asked: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/release/some.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if server.busy:
            server.busy -= 1
            self.send_error(503)
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        n = len(server.body)
        if first and first >= n:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{n}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = server.body[first:]
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{n - 1}/{n}")
        if server.content_length:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.drops:
            server.drops -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "resources" / "some.zip"


def _folder(archive: Path) -> list[str]:
    return sorted(path.name for path in archive.parent.iterdir())


def test_a_whole_file_arrives_and_nothing_else_is_left(server: Server, archive: Path) -> None:
    fetch(url=server.url, sha256=SUM, archive=archive)
    assert archive.read_bytes() == ZIP
    assert _folder(archive) == ["some.zip"]
    assert server.asked == [None]


def test_a_dropped_connection_is_resumed_where_it_stopped(server: Server, archive: Path) -> None:
    server.drops = 2
    fetch(url=server.url, sha256=SUM, archive=archive)
    half = len(ZIP) // 2
    assert archive.read_bytes() == ZIP
    assert server.asked == [None, f"bytes={half}-", f"bytes={half + (len(ZIP) - half) // 2}-"]


def test_what_arrived_is_kept_for_the_next_run(server: Server, archive: Path) -> None:
    server.drops = 100
    with pytest.raises(DataError, match="broke off after") as caught:
        fetch(url=server.url, sha256=SUM, archive=archive)
    assert server.url in str(caught.value)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert _folder(archive) == ["some.zip.part"]
    server.drops = 0
    fetch(url=server.url, sha256=SUM, archive=archive)
    assert archive.read_bytes() == ZIP
    assert server.asked[-1] not in (None, "bytes=0-")


def test_a_server_that_ignores_range_sends_it_again_from_the_start(
    server: Server, archive: Path
) -> None:
    server.ranges = False
    server.drops = 1
    fetch(url=server.url, sha256=SUM, archive=archive)
    assert archive.read_bytes() == ZIP
    assert len(server.asked) == 2


def test_a_part_that_is_already_complete_is_only_checked(server: Server, archive: Path) -> None:
    archive.parent.mkdir()
    (archive.parent / "some.zip.part").write_bytes(ZIP)
    fetch(url=server.url, sha256=SUM, archive=archive)
    assert archive.read_bytes() == ZIP


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, archive: Path) -> None:
    archive.parent.mkdir()
    (archive.parent / "some.zip.part").write_bytes(ZIP + b"more")
    fetch(url=server.url, sha256=SUM, archive=archive)
    assert archive.read_bytes() == ZIP


def test_a_busy_server_is_asked_again(server: Server, archive: Path) -> None:
    server.busy = 2
    fetch(url=server.url, sha256=SUM, archive=archive)
    assert archive.read_bytes() == ZIP


def test_an_answer_without_a_length_is_accepted(server: Server, archive: Path) -> None:
    server.content_length = False
    fetch(url=server.url, sha256="", archive=archive)
    assert archive.read_bytes() == ZIP


@pytest.mark.parametrize(
    ("body", "sha256", "message"),
    [
        (ZIP, "0" * 64, f"is {SUM}, expected {'0' * 64}"),
        (b"<!DOCTYPE html><html>Sign in</html>", "", "not a zip, it starts with b'<!DOCTYPE"),
        (ZIP[:500] + bytes(9) + ZIP[509:], "", "member top/a.dat of the download is damaged"),
        (DEFLATED[:START] + b"\xff" + DEFLATED[START + 1 :], "", "a damaged zip: Error -3"),
        (b"", "", "not a zip"),
    ],
    ids=["wrong sum", "HTML page", "damaged member", "damaged stream", "empty"],
)
def test_a_wrong_file_is_refused_and_removed(
    server: Server, archive: Path, body: bytes, sha256: str, message: str
) -> None:
    server.body = body
    with pytest.raises(DataError, match="download") as caught:
        fetch(url=server.url, sha256=sha256, archive=archive)
    assert message in str(caught.value)
    assert server.url in str(caught.value)
    assert str(archive) in str(caught.value)
    assert _folder(archive) == []


def test_a_missing_file_is_reported_at_once(server: Server, archive: Path) -> None:
    server.status = 404
    with pytest.raises(DataError, match="HTTP 404") as caught:
        fetch(url=server.url, sha256=SUM, archive=archive)
    assert f"save it as {archive}" in str(caught.value)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_reported(server: Server, archive: Path) -> None:
    with pytest.raises(DataError, match=r"cannot download http://127\.0\.0\.1:9/x\.zip: .*refused"):
        fetch(url="http://127.0.0.1:9/x.zip", sha256=SUM, archive=archive)


def test_other_kinds_of_address_are_refused(archive: Path) -> None:
    with pytest.raises(ConfigError, match="file:///etc/passwd"):
        fetch(url="file:///etc/passwd", sha256="", archive=archive)


def test_a_log_gets_a_line_every_tenth(
    server: Server,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    with caplog.at_level("INFO"):
        fetch(url=server.url, sha256=SUM, archive=archive)
    assert sum("%)" in record.getMessage() for record in caplog.records) == 10
