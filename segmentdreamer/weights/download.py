"""One file over https: resumed where it broke, retried while that helps, kept with the right bytes alone."""

import sys
import time
from pathlib import Path

from segmentdreamer.records import file_digest

SCHEME = "https://"
ATTEMPTS = 5  # that bring nothing
PAUSE = 2.0  # seconds before the second attempt; doubles with each that follows
PASSING = (500, 502, 503, 504)  # answers that may differ a moment later, beyond those the client retries


class TransferError(OSError):
    """A file that could not be fetched; the message says why, in one line."""


def fetch(url: str, path: Path, sha256: str) -> None:
    """Fetch `url` into `path`. An unfinished file stands at PATH.part, and a later call goes on from it.

    Raises TransferError for plain http, an answer that is final, ATTEMPTS failures, and for other bytes.
    """
    if not url.startswith(SCHEME):
        raise TransferError(f"{url}: only {SCHEME} is fetched")
    partial = path.with_name(path.name + ".part")
    partial.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(ATTEMPTS):
        if trouble := receive(url, partial, sha256):
            print(f"{trouble}; trying again", file=sys.stderr, flush=True)
            time.sleep(PAUSE * 2**attempt)
            continue
        if (digest := file_digest(partial)) == sha256:
            partial.replace(path)
            return
        partial.unlink()  # or the next call would go on from the wrong bytes
        raise TransferError(f"{url} has SHA-256 {digest}, not the list's {sha256}")
    raise TransferError(f"{url}: {trouble}")


def receive(url: str, partial: Path, sha256: str) -> str:
    """Append what `partial` lacks by the hub's client, which resumes; a passing trouble, empty for none."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    try:
        with partial.open("ab") as stream:
            http_get(url, stream, resume_size=stream.tell())
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 416:  # nothing is left to send: the file is whole, or longer than it should be
            if file_digest(partial) == sha256:
                return ""
            partial.unlink()
        elif status not in PASSING:
            raise TransferError(f"{url}: {status} {error.response.reason_phrase}") from error
        return f"{status} {error.response.reason_phrase}"
    except Exception as error:  # of several libraries; the client has tried again itself
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise TransferError(f"{url}: {reason[:200]}") from error
    return ""
