"""One run at a time in a folder of results, and what a run that was killed there has left.

A run holds a lock on RESULTS/.running, which the system frees however the run ends. Its jobs carry the
folder's name in their environment: by it those of a dead run are found, and of nobody else.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import psutil

LOCK, EARLIER = ".running", "earlier"  # in the folder of results
MARK = "SEGMENTDREAMER_RESULTS"  # in the environment of jobs
GRACE = 60.0  # seconds that a job has to save a checkpoint in
HELD: list[TextIO] = []  # until this process ends


def begin(results: str) -> None:
    """Hold the folder until this process ends, with nothing of a killed run in it any more.

    Its jobs are ended, as by a scheduler, and what they had half written is deleted. Raises ValueError in one
    line if a run is going on there, OSError if the folder cannot be written.
    """
    folder = Path(results).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    stream = (folder / LOCK).open("a+")
    stream.seek(0)
    owner = stream.read().strip()
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"a run is writing to {results} already ({owner or 'it began just now'}): wait until it has "
            "ended, or give this one a folder of its own (--config results=FOLDER)"
        ) from None
    except OSError:  # a file system without locks: who runs there is not known
        return
    end_orphans(folder)
    if owner:  # whoever ends well leaves nothing in the file
        sweep(folder)
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {socket.gethostname()}")
    stream.flush()
    HELD.append(stream)
    atexit.register(end)
    os.environ[MARK] = str(folder)


def end() -> None:
    """Let go of what this process holds; who is killed before leaves its name in the lock's file."""
    while HELD:
        with HELD.pop() as stream:
            stream.truncate(0)
    os.environ.pop(MARK, None)


def end_orphans(folder: Path) -> None:
    """End the jobs that a dead run of this folder has left on this machine, and say so."""
    for _ in range(3):  # they may have started others meanwhile
        if not (found := orphans(folder)):
            return
        for process in found:
            process.terminate()
        _, lasting = psutil.wait_procs(found, timeout=GRACE)
        for process in lasting:
            process.kill()
        ended = ", ".join(str(process.pid) for process in found)
        print(f"ended what a killed run of {folder} had left running: {ended}", file=sys.stderr)


def orphans(folder: Path) -> list[psutil.Process]:
    """The user's processes that bear the folder's name; not this one, nor what it was started by."""
    own, found = psutil.Process(), []
    kin = {own.pid, *(parent.pid for parent in own.parents())}
    for process in psutil.process_iter():
        try:
            mine = process.pid not in kin and process.uids().real == os.getuid()
            if mine and process.environ().get(MARK) == str(folder):
                found.append(process)
        except (psutil.Error, OSError):  # it has ended, or is not to be looked into
            continue
    return found


def sweep(folder: Path) -> None:
    """Delete what killed processes have left beside the files that they wrote (records.replacing)."""
    for path in folder.rglob("*.part"):
        if re.search(r"\.\d+\.part$", path.name):
            path.unlink(missing_ok=True)


def set_aside(results: str, outputs: Iterable[str]) -> None:
    """Move what will be made anew of tables, plots and report to RESULTS/earlier: it is not this run's."""
    for output in map(Path, outputs):
        parts = output.relative_to(results).parts if output.is_relative_to(results) else ()
        if parts[:1] in (("tables",), ("plots",), ("report",)) and output.is_file():
            place = Path(results, EARLIER, *parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            output.replace(place)


def drop_earlier(results: str) -> None:
    """Delete what was set aside and is made anew."""
    earlier = Path(results) / EARLIER
    for path in sorted(earlier.rglob("*"), reverse=True):
        if path.is_file() and Path(results, path.relative_to(earlier)).exists():
            path.unlink()
    for folder in [*sorted(earlier.rglob("*"), reverse=True), earlier]:
        with suppress(OSError):  # of a file, or of a folder that is not empty
            folder.rmdir()
