"""Downloads from a server on this machine that breaks off, resumes or sends another
file."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import download

CONTENT = bytes(range(256)) * 20_000  # 5 MB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at any address, at most piece bytes a request. It ignores ranges if
    ranges is False."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.piece, self.ranges, self.status = len(CONTENT), True, 200
        self.asked: list[str | None] = []
        self.address = f"http://127.0.0.1:{self.server_port}/{DIGEST}/weights.pt"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.server.piece])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_whole_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "folder" / "weights.pt"
    for _ in range(2):
        assert download.fetch(server.address, target, DIGEST) == target
    assert target.read_bytes() == CONTENT
    assert server.asked == [None]
    assert [path.name for path in target.parent.iterdir()] == ["weights.pt"]


def test_broken_connections_are_taken_up(server: Server, tmp_path: Path) -> None:
    server.piece = 2_000_000
    target = download.fetch(server.address, tmp_path / "weights.pt", DIGEST)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000000-", "bytes=4000000-"]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_earlier_run_is_taken_up(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.ranges = ranges
    (tmp_path / "weights.pt.part").write_bytes(CONTENT[:3_000_000])
    target = download.fetch(server.address, tmp_path / "weights.pt", DIGEST[:8])
    assert target.read_bytes() == CONTENT
    assert server.asked == ["bytes=3000000-"]


def test_a_finished_part_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pt.part").write_bytes(CONTENT)
    assert download.fetch(server.address, tmp_path / "weights.pt", DIGEST).read_bytes() == CONTENT


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(CONTENT[:-1])
    assert download.fetch(server.address, tmp_path / "weights.pt", DIGEST).read_bytes() == CONTENT


def test_another_file_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=rf"its sha256 is {DIGEST}, not 01234567") as caught:
        download.fetch(server.address, tmp_path / "weights.pt", "01234567")
    assert server.address in str(caught.value)
    assert not list(tmp_path.iterdir()), "what was refused is still there"


def test_a_server_that_gives_nothing_is_left(server: Server, tmp_path: Path) -> None:
    server.piece = 0
    with pytest.raises(OSError, match=r"closed before the end; run the same command again .* --checkpoint"):
        download.fetch(server.address, tmp_path / "weights.pt", DIGEST)
    assert len(server.asked) == download.ATTEMPTS


def test_a_missing_file_is_an_error_at_once(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(OSError, match="HTTP Error 404: Not Found; run"):
        download.fetch(server.address, tmp_path / "weights.pt", DIGEST)
    assert len(server.asked) == 1
