r"""How far a run is, in the terminal: stages, assets done of all, time left, cost so far, the newest sheet.

segmentdreamer watch results/mini
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Annotated

from segmentdreamer.command import Program, settings
from segmentdreamer.records import read_record

from ..metrics import CONTROL_TITLES, control_kind
from ..run import path_of
from .build import Run
from .content import SELECTION, SETTINGS, read_kept, read_prompts

STAGES = {"assets": "cost.json", "views": "views.zip", "scores": "scores.csv"}  # room -> what ends it
TABLES = {
    "Table 1": "tables/table1.json",
    "claims": "tables/claims.json",
    "sheet": "tables/sheet.png",
    "report": "report/index.html",
}
RECENT = 20  # assets by whose pace the time left is told


def asked_assets(results: Path) -> list[str]:
    """METHOD/PROMPT/SEED of every asset of a method that the run is asked for, or that lies there."""
    asked, kept = read_kept(results / SELECTION), read_kept(results / SETTINGS)
    if not asked and not kept:
        raise FileNotFoundError(f"no run at {results}: it has no {SETTINGS}")
    there = sorted(path.name for path in (results / "assets").glob("*") if path.is_dir())
    methods = asked.get("methods") or [name for name in there if control_kind(name) not in CONTROL_TITLES]
    prompts = asked.get("prompts") or [*read_prompts(kept, [])]
    return [path_of(*key) for key in product(methods, prompts, range(asked.get("seeds", 1)))]


def describe(results: Path) -> list[str]:
    """The lines that tell how far a run is."""
    asked, lines = asked_assets(results), []
    done = {
        room: [path for name in asked if (path := results / room / name / last).exists()]
        for room, last in STAGES.items()
    }
    for room, paths in done.items():
        bar = "█" * (20 * len(paths) // max(1, len(asked)))
        left = time_left(paths, len(asked))
        lines.append(f"{room:<8}{bar:░<20} {len(paths)} of {len(asked)}{left}")
    lines.append(
        "tables  "
        + ", ".join(
            f"{name} {'done' if (results / path).exists() else 'to do'}" for name, path in TABLES.items()
        )
    )
    costs = [read_record(path) for path in done["assets"]]
    seconds, nfe = (sum(cost.get(key) or 0 for cost in costs) for key in ("seconds", "nfe"))
    lines.append(f"cost    {told(seconds)} of optimization, {nfe:,.0f} network evaluations")
    if failed := [cost for cost in costs if cost.get("failed")]:
        lines.append(f"failed  {len(failed)} assets: {failed[-1]['failed']}")
    sheets = [*(results / "views").rglob("sheet.webp"), *(results / "tables").glob("sheet.png")]
    if sheets:
        lines.append(f"newest  {max(sheets, key=lambda path: path.stat().st_mtime)}")
    return lines


def time_left(paths: Sequence[Path], count: int) -> str:
    """At the pace of the RECENT last ones; empty before there is one, and at the end."""
    ends = sorted(path.stat().st_mtime for path in paths)[-RECENT:]
    if len(ends) < 2 or len(paths) == count:
        return ""
    return f", {told((count - len(paths)) * (ends[-1] - ends[0]) / (len(ends) - 1))} left"


def told(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def watch(
    results: Run,
    every: Annotated[float, settings("seconds between two looks", min=0.1)] = 5,
    once: Annotated[bool, settings("look once", "--once")] = False,
) -> None:
    """Say how far a run is, until its tables are made or Ctrl-C."""
    while True:
        lines = describe(results)
        clear = "\033[H\033[2J" if sys.stdout.isatty() and not once else ""
        print(clear + "\n".join(lines), flush=True)
        if once or (results / TABLES["report"]).exists():
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            return


main = Program(watch)

if __name__ == "__main__":
    main()
