"""Files over the network: of an https server, resumed and retried, or of a Hugging Face repository."""

from __future__ import annotations

import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

ATTEMPTS = 5  # in a row that bring nothing
PAUSE = 2.0  # seconds before the second attempt; doubles with each that follows
TIMEOUT = 60.0  # seconds without a byte
BLOCK = 1 << 20
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be different a moment later


class TransferError(OSError):
    """A file that could not be fetched; the message says why, in one line."""


def fetch_url(url: str, path: Path, attempts: int = ATTEMPTS, pause: float = PAUSE) -> None:
    """Fetch `url` into `path`. An unfinished file stands at PATH.part, and a later call goes on from it.

    Gives up after `attempts` failures in a row that brought no byte, at once where the server says that there
    is no such file. Raises TransferError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    failures = 0
    while True:
        before = size_of(partial)
        try:
            receive(url, partial)
            break
        except urllib.error.HTTPError as error:
            trouble = f"{error.code} {error.reason}"
            if error.code not in PASSING:
                raise TransferError(f"{url}: {trouble}") from error
        except (OSError, HTTPException) as error:
            trouble = str(getattr(error, "reason", error)) or type(error).__name__
        failures = 0 if size_of(partial) > before else failures + 1
        if failures >= attempts:
            raise TransferError(f"{url}: {trouble}")
        print(f"{trouble}; trying again from byte {size_of(partial)}", file=sys.stderr, flush=True)
        time.sleep(pause * 2 ** max(failures - 1, 0))
    partial.replace(path)


def receive(url: str, partial: Path) -> None:
    """Append what `partial` lacks, or begin anew where the server cannot resume.

    Raises OSError for a connection that ends early, HTTPError for an answer that is an error.
    """
    have = size_of(partial)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the range begins at or after the file's end
            raise
        if total_size(error.headers.get("Content-Range", "")) == have:
            return
        partial.unlink()
        raise ConnectionError("the unfinished file is longer than the server's; it is dropped") from error
    with response, partial.open("ab" if response.status == 206 else "wb") as stream:
        shutil.copyfileobj(response, stream, BLOCK)
        left = response.length  # what http.client still expects; a cut connection raises nothing by itself
    if left:
        raise ConnectionError(f"the connection ended {left} bytes early")


def total_size(content_range: str) -> int | None:
    """The file's size from a Content-Range header such as `bytes */1234`."""
    found = re.search(r"/(\d+)$", content_range)
    return int(found[1]) if found else None


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def fetch_repository(repo: str, revision: str, names: list[str], folder: Path) -> None:
    """One call of the hub's client for files of a commit; those that are finished in `folder` are kept."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    for leftover in folder.rglob("*.incomplete"):  # of a killed call; the client begins such files anew
        leftover.unlink()
    logging.set_verbosity_error()  # its retries, a line each
    snapshot_download(repo, revision=revision, allow_patterns=names, local_dir=folder, max_workers=2)
