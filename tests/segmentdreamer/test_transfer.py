"""Downloads over https, against a real server on this machine: resume, retries, wrong bytes, giving up."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentdreamer.weights import download as transfer
from segmentdreamer.weights import install as installation
from segmentdreamer.weights.catalog import File, Source, Weights
from segmentdreamer.weights.download import TransferError, fetch_url
from segmentdreamer.weights.install import WeightsError, obtain

BODY = random.Random(0).randbytes(102_400)


class Server(ThreadingHTTPServer):
    """Serves `files`; `cuts` lists after how many bytes each of the next answers breaks off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/net.pt": BODY}
        self.cuts: list[int] = []
        self.errors: list[int] = []
        self.ranges = True
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.path, wanted))
        body = self.server.files.get(self.path)
        if self.server.errors:
            return self.send_error(self.server.errors.pop(0))
        if body is None:
            return self.send_error(404)
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if first and first >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        limit = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[first : first + limit])
        self.close_connection = True
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch) -> None:
    monkeypatch.setattr(transfer.time, "sleep", lambda seconds: None)


def model(server: Server, digest: str | None = None, more: str = "") -> Weights:
    sources = {server.url + "/mirror": Source(False)} if more else {}
    return Weights(
        title="Net", license="MIT", waits_for="net.pt", epsilon=False,
        sources=sources | {server.url: Source(True)}, files={"net.pt": File(len(BODY), digest)},
    )  # fmt: skip


def test_a_cut_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 70_000]
    fetch_url(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == BODY
    assert [asked for _, asked in server.asked] == ["", "bytes=1000-", "bytes=71000-"]


def test_a_killed_download_goes_on_at_the_next_call(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pt.part").write_bytes(BODY[:5000])
    fetch_url(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert server.asked == [("/net.pt", "bytes=5000-")] and (tmp_path / "net.pt").read_bytes() == BODY
    assert not (tmp_path / "net.pt.part").exists()


def test_a_whole_part_needs_only_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pt.part").write_bytes(BODY)
    fetch_url(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == BODY and len(server.asked) == 1


@pytest.mark.parametrize("length", [len(BODY) + 1, 3 * len(BODY)])
def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path, length: int) -> None:
    (tmp_path / "net.pt.part").write_bytes(b"x" * length)
    fetch_url(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == BODY


def test_a_server_that_cannot_resume_is_asked_for_the_whole(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "net.pt.part").write_bytes(BODY[:5000])
    fetch_url(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == BODY


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.errors = [503, 429, 500]
    fetch_url(f"{server.url}/net.pt", tmp_path / "net.pt")
    assert (tmp_path / "net.pt").read_bytes() == BODY and len(server.asked) == 4


def test_it_gives_up_after_failures_that_bring_nothing(server: Server, tmp_path: Path) -> None:
    server.errors = [503] * 20
    with pytest.raises(TransferError, match="503"):
        fetch_url(f"{server.url}/net.pt", tmp_path / "net.pt", attempts=3)
    assert len(server.asked) == 3 and not (tmp_path / "net.pt").exists()


def test_a_file_that_is_not_there_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="404"):
        fetch_url(f"{server.url}/other.pt", tmp_path / "net.pt")
    assert len(server.asked) == 1


def test_a_machine_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"^http://127\.0\.0\.1:9/net\.pt: .*refused"):
        fetch_url("http://127.0.0.1:9/net.pt", tmp_path / "net.pt", attempts=2)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 40_000), max_size=8))
def test_wherever_it_is_cut_the_bytes_are_the_same(cuts: list[int], tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("cut")
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.cuts = list(cuts)
        fetch_url(f"{server.url}/net.pt", folder / "net.pt", attempts=20)
        server.shutdown()
    assert (folder / "net.pt").read_bytes() == BODY


def test_an_address_is_a_source_like_a_repository(server: Server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(installation.LOCAL, raising=False)
    server.cuts = [30_000]
    digest = hashlib.sha256(BODY).hexdigest()
    assert obtain(model(server, digest), tmp_path / "net") == {"net.pt": digest}
    assert (tmp_path / "net/net.pt").read_bytes() == BODY and not (tmp_path / "net.part").exists()


def test_wrong_bytes_from_one_address_are_dropped_and_the_next_one_serves(
    server: Server, tmp_path: Path
) -> None:
    server.files["/mirror/net.pt"] = b"tampered"
    obtain(model(server, hashlib.sha256(BODY).hexdigest(), more="mirror"), tmp_path / "net")
    assert (tmp_path / "net/net.pt").read_bytes() == BODY
    assert [path for path, _ in server.asked] == ["/mirror/net.pt", "/net.pt"]


def test_wrong_bytes_everywhere_install_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no source gave Net .*\n.*has SHA-256"):
        obtain(model(server, "0" * 64), tmp_path / "net")
    assert not (tmp_path / "net").exists() and not (tmp_path / "net.part").exists()


def test_a_path_of_its_own_at_the_source_is_followed(server: Server, tmp_path: Path) -> None:
    server.files = {"/deep/down/x.bin": BODY}
    entry = model(server)
    entry.files["net.pt"] = File(len(BODY), at="deep/down/x.bin")
    obtain(entry, tmp_path / "net")
    assert (tmp_path / "net/net.pt").read_bytes() == BODY
