"""Downloads, against a real server on this machine: resume, retries, wrong bytes, giving up."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentdreamer.weights import download as transfer
from segmentdreamer.weights import install as installation
from segmentdreamer.weights.catalog import File, Source, Weights
from segmentdreamer.weights.download import TransferError, fetch
from segmentdreamer.weights.install import WeightsError, obtain

BODY = random.Random(0).randbytes(102_400)
DIGEST = hashlib.sha256(BODY).hexdigest()


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
def _plain_http_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on this machine has no certificate; the client's blocks of 10 MB would hide every cut."""
    monkeypatch.setattr(transfer, "SCHEME", "http://")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def model(server: Server, digest: str | None = DIGEST, more: str = "") -> Weights:
    sources = {server.url + "/mirror": Source(False)} if more else {}
    return Weights(
        title="Net",
        license="MIT",
        waits_for="net.pt",
        sources=sources | {server.url: Source(True)},
        files={"net.pt": File(len(BODY), digest)},
    )


def fetched(server: Server, folder: Path) -> bytes:
    fetch(f"{server.url}/net.pt", folder / "net.pt", DIGEST)
    assert [path.name for path in folder.iterdir()] == ["net.pt"]
    return (folder / "net.pt").read_bytes()


def test_a_cut_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 70_000]
    assert fetched(server, tmp_path) == BODY
    assert [asked for _, asked in server.asked] == ["", "bytes=1000-", "bytes=71000-"]


def test_a_killed_download_goes_on_at_the_next_call(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pt.part").write_bytes(BODY[:5000])
    assert fetched(server, tmp_path) == BODY and server.asked == [("/net.pt", "bytes=5000-")]


def test_a_whole_part_needs_only_its_name(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net.pt.part").write_bytes(BODY)
    assert fetched(server, tmp_path) == BODY and len(server.asked) == 1


@pytest.mark.parametrize("length", [len(BODY), len(BODY) + 1, 3 * len(BODY)])
def test_a_part_that_is_not_the_files_beginning_is_dropped(
    server: Server, tmp_path: Path, length: int
) -> None:
    (tmp_path / "net.pt.part").write_bytes(b"x" * length)
    assert fetched(server, tmp_path) == BODY


def test_a_server_that_cannot_resume_is_asked_for_the_whole(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "net.pt.part").write_bytes(BODY[:5000])
    assert fetched(server, tmp_path) == BODY


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.errors = [503, 429, 500]
    assert fetched(server, tmp_path) == BODY and len(server.asked) == 4


def test_it_gives_up_after_failures_that_bring_nothing(server: Server, tmp_path: Path) -> None:
    server.errors = [503] * 20
    with pytest.raises(TransferError, match="503"):
        fetched(server, tmp_path)
    assert len(server.asked) == transfer.ATTEMPTS and not (tmp_path / "net.pt").exists()


def test_a_file_that_is_not_there_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="404"):
        fetch(f"{server.url}/other.pt", tmp_path / "net.pt", DIGEST)
    assert len(server.asked) == 1


def test_a_machine_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"^http://127\.0\.0\.1:9/net\.pt: [^\n]*refused[^\n]*$"):
        fetch("http://127.0.0.1:9/net.pt", tmp_path / "net.pt", DIGEST)


def test_plain_http_is_refused_before_anything_is_asked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SCHEME", "https://")
    with pytest.raises(TransferError, match="only https:// is fetched"):
        fetched(server, tmp_path)
    assert not server.asked


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(100, 40_000), max_size=8))
def test_wherever_it_is_cut_the_bytes_are_the_same(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.cuts = list(cuts)
        assert fetched(server, tmp_path_factory.mktemp("cut")) == BODY
        server.shutdown()


def test_an_address_is_a_source_like_a_repository(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(installation.LOCAL, raising=False)
    server.cuts = [30_000]
    assert obtain(model(server), tmp_path / "net") == {"net.pt": DIGEST}
    assert (tmp_path / "net/net.pt").read_bytes() == BODY and not (tmp_path / "net.part").exists()


def test_a_file_of_unknown_bytes_is_not_even_asked_for(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"no digest of it is known\n.*from http://127.*\n  net.pt .*not known"
    ):
        obtain(model(server, None), tmp_path / "net")
    assert not server.asked and not list(tmp_path.iterdir())


def test_wrong_bytes_from_one_address_are_dropped_and_the_next_one_serves(
    server: Server, tmp_path: Path
) -> None:
    server.files["/mirror/net.pt"] = b"tampered"
    obtain(model(server, more="mirror"), tmp_path / "net")
    assert (tmp_path / "net/net.pt").read_bytes() == BODY
    assert [path for path, _ in server.asked] == ["/mirror/net.pt", "/net.pt"]


def test_wrong_bytes_everywhere_install_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no source gave Net .*\n.*has SHA-256"):
        obtain(model(server, "0" * 64), tmp_path / "net")
    assert not (tmp_path / "net").exists() and not list((tmp_path / "net.part").iterdir())


def test_what_came_is_kept_when_another_file_does_not_come(server: Server, tmp_path: Path) -> None:
    entry = model(server)
    entry.files["more.pt"] = File(1, "1" * 64)
    with pytest.raises(WeightsError, match="404"):
        obtain(entry, tmp_path / "net")
    server.files["/more.pt"] = b"1"
    entry.files["more.pt"] = File(1, hashlib.sha256(b"1").hexdigest())
    server.asked.clear()
    obtain(entry, tmp_path / "net")
    assert [path for path, _ in server.asked] == ["/more.pt"]


def test_a_path_of_its_own_at_the_source_is_followed(server: Server, tmp_path: Path) -> None:
    server.files = {"/deep/down/x.bin": BODY}
    entry = model(server)
    entry.files["net.pt"] = File(len(BODY), DIGEST, at="deep/down/x.bin")
    obtain(entry, tmp_path / "net")
    assert (tmp_path / "net/net.pt").read_bytes() == BODY


def test_a_repository_is_asked_at_its_commit_and_at_the_mirror_that_is_named(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = {f"/one/toy/resolve/{'1' * 40}/net.pt": BODY}
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"  # what HF_ENDPOINT makes of it
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    server.cuts = [500]
    obtain(replace(model(server), sources={"one/toy": Source(True, "1" * 40)}), tmp_path / "net")
    assert (tmp_path / "net/net.pt").read_bytes() == BODY and len(server.asked) == 2
