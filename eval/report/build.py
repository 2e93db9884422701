r"""Build the report of a run, from what is finished of it, into a folder that opens from disk.

    segmentdreamer report results/mini

writes results/mini/report/index.html and all that it leads to; `publish` writes the same for a repository.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from segmentdreamer.command import Program, Selection, outputs, settings

from .content import Content, read_content
from .published import missing_tables
from .site import MIB, build, folder_size

Run = Annotated[Path, typer.Argument(help="folder of the run, e.g. results/mini", metavar="RESULTS")]


def report(
    results: Run,
    out: Annotated[Path | None, outputs("folder (default: RESULTS/report/NAME)")] = None,
    selection: Selection = "",
    limit: Annotated[int, settings("size that is not exceeded, MiB: splats stay out first", min=1)] = 286,
) -> None:
    """Build the report of a run, from what is finished of it."""
    write(read_content(results, selection), out or results / "report" / selection, limit, compact=False)


def publish(
    results: Run,
    out: Annotated[Path, typer.Argument(help="folder that a repository keeps", metavar="SITE")],
    limit: Annotated[int, settings("size that is not exceeded, MiB: splats stay out first", min=1)] = 14,
) -> None:
    """Build the report of a finished run as a small static site, with a manifest of its assets."""
    if missing := missing_tables(results / "tables"):
        raise FileNotFoundError(f"the run has no {', '.join(missing)}")
    write(read_content(results), out, limit, compact=True)


def write(content: Content, out: Path, limit: int, compact: bool) -> None:
    without = build(content, out, compact, limit * MIB)
    if without:
        print(f"note: no room for the splats of {len(without)} assets (--limit)", file=sys.stderr)
    if content.missing:
        print(f"note: {len(content.missing)} assets are not made yet", file=sys.stderr)
    if (size := folder_size(out)) > limit * MIB:
        print("note: larger than --limit, also without any splats", file=sys.stderr)
    print(f"{out / 'index.html'}: {len(content.assets)} assets, {size / MIB:.1f} MiB")


main, publishing = Program(report), Program(publish)

if __name__ == "__main__":
    main()
