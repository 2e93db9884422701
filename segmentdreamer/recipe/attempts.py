"""A program that is killed is started again, and what kills it every time has failed.

A killed process cannot say what it was doing. So it says so before, in a small file, which stays if it dies.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segmentdreamer.command import in_one_line, out_of_memory
from segmentdreamer.records import write_json

DEATHS = 3  # of a process at one point of its work, after which that work has failed
STARTS = 20  # of a process, in all
ASKED = (signal.SIGINT, signal.SIGTERM)  # by signals that ask a process to stop, and are passed on


@contextmanager
def attempt(record: Path, *state: Any) -> Iterator[str]:
    """Why this work shall not be tried again, or nothing: the process died DEATHS times in the same state.

    record: the file that stands while it is tried. state: what the work is, and how far it has come.
    """
    try:
        known = json.loads(record.read_text("utf-8"))
        deaths = int(known["deaths"]) if known["state"] == [*state] else 0
    except (OSError, ValueError, LookupError, TypeError):
        deaths = 0
    write_json(record, {"state": state, "deaths": deaths + 1})
    try:
        yield f"the process was killed {deaths} times at it (out of memory?)" if deaths >= DEATHS else ""
    finally:
        record.unlink(missing_ok=True)


def excuse(error: Exception) -> str:
    """Why something planned has failed, in a line: its input, or a lack of memory. Raises other errors."""
    if not isinstance(error, ValueError | OSError) and not out_of_memory(error):
        raise error
    return out_of_memory(error) or in_one_line(str(error))


def planned(main: Callable[[], None]) -> None:
    """Run a program: of a plan, which gives it an --identity, with new starts; of a hand as it is."""
    if "--identity" in sys.argv:
        restarting(main)
    else:
        main()


def restarting(main: Callable[[], None]) -> None:
    """Run a program in a process of its own, again whenever that one is killed, and end as it ends."""
    status = 0
    for _ in range(STARTS):
        status = run_apart(main)
        if status >= 0 or -status in ASKED:
            break
        print(f"killed by {signal.Signals(-status).name}: starting again", file=sys.stderr, flush=True)
    sys.exit(status if status >= 0 else 128 - status)


def run_apart(main: Callable[[], None]) -> int:
    """The exit status of a program run in a child, negative for a signal; signals to stop are passed on."""
    parent, child = os.getpid(), os.fork()
    if not child:
        stay_below(parent)
        main()
        sys.exit()
    before = {number: signal.signal(number, lambda n, _: os.kill(child, n)) for number in ASKED}
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stay_below(parent: int) -> None:
    """Make this process one that is asked to stop when its parent dies, and that a full memory ends first."""
    os.setpgid(0, 0)  # a terminal's ^C comes through the parent, once
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with suppress(AttributeError, OSError):  # of Linux
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        Path("/proc/self/oom_score_adj").write_text("500")
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)
