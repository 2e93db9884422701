"""Fetch model weights: from a local folder, else from the first source that gives them; verify, install.

    python -m segmentdreamer.weights sd21-base      one model, into weights/sd21-base
    python -m segmentdreamer.weights --all          every model that is not there yet
    python -m segmentdreamer.weights --check        what is there, what is missing, and where to get it

What belongs to each name, its sources and digests: workflow/config/weights.yaml. A local folder (--from, or
$SEGMENTDREAMER_WEIGHTS/NAME) is linked, not copied.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument

from segmentdreamer.command import BadUsage, Program, inputs, outputs
from segmentdreamer.records import folder_digest
from segmentdreamer.weights.catalog import (
    LIST,
    Weights,
    describe_files,
    describe_sources,
    format_bytes,
    read_list,
    read_weights,
)
from segmentdreamer.weights.install import LOCAL, WeightsError, absent, obtain

ROOT = Path("weights")


def local_folder(name: str) -> Path | None:
    """The folder of this name below $SEGMENTDREAMER_WEIGHTS, if there is one."""
    candidate = Path(os.environ.get(LOCAL, "")) / name
    return candidate if LOCAL in os.environ and candidate.is_dir() else None


def missing_files(entries: dict[str, Weights], root: Path) -> dict[str, list[str]]:
    """By entry, the listed files that `root`/NAME lacks; entries that are complete are left out."""
    lacking = {name: absent(root / name, weights) for name, weights in entries.items()}
    return {name: files for name, files in lacking.items() if files}


def report(entries: dict[str, Weights], root: Path) -> str:
    """A line for each entry, and for what is missing where to get it and where to put it."""
    missing, lines = missing_files(entries, root), []
    for name, weights in entries.items():
        files = missing.get(name, [])
        amount = format_bytes(sum(weights.files[file].bytes for file in files or weights.files))
        lines.append(f"{'missing' if files else 'there':<8} {amount:>8}  {root / name}: {weights.title}")
    for name, files in missing.items():
        weights = entries[name]
        lines += ["", f"Put into {root / name}/ ({weights.license}), from {describe_sources(weights)}:"]
        lines += [f"  {line}" for line in describe_files(weights, files)]
    if missing:
        total = sum(entries[name].files[file].bytes for name, files in missing.items() for file in files)
        there = f"where the sources can be reached, or name a folder that holds NAME/ in {LOCAL}"
        lines += ["", f"{format_bytes(total)} to download: `python -m segmentdreamer.weights --all` {there}"]
    return "\n".join(lines)


def obtain_all(entries: dict[str, Weights], root: Path) -> None:
    """Fetch what is missing, model by model; WeightsError at the end, with every failure."""
    failures = []
    for name in missing_files(entries, root):
        print(f"{name}: {entries[name].title}", file=sys.stderr, flush=True)
        try:
            obtain(entries[name], root / name, local_folder(name))
        except (ValueError, OSError) as error:
            failures.append(str(error))
    if failures:
        raise WeightsError("\n\n".join(failures))


def obtain_one(name: str, weights: Weights, out: Path, local: Path | None) -> None:
    """Fetch one model and print its digests."""
    digests = obtain(weights, out, local or local_folder(name))
    for file, digest in sorted(digests.items()):
        print(f"{digest}  {file}")
    if weights.waits_for == "model_index.json":  # a pipeline
        print(f"{folder_digest(out)}  the folder, for prior.sha256")


def fetch(
    name: Annotated[str | None, Argument(help="an entry of the list, e.g. sd21-base")] = None,
    all_of_them: Annotated[bool, inputs("every entry that is not complete yet", "--all")] = False,
    check: Annotated[
        bool, inputs("list what is there and what is missing; fails if anything is", "--check")
    ] = False,
    out: Annotated[Path | None, outputs("folder of NAME to install into (default: weights/NAME)")] = None,
    root: Annotated[Path, outputs("folder of all models")] = ROOT,
    local: Annotated[
        Path | None, inputs(f"local folder to link instead (default: ${LOCAL}/NAME, if there)", "--from")
    ] = None,
    listed: Annotated[Path, inputs("YAML", "--list", show_default="workflow/config/weights.yaml")] = LIST,
) -> None:
    """Fetch and verify the weights that a scale needs."""
    if (name is not None) + all_of_them + check != 1:
        raise BadUsage("give a name, --all or --check")
    try:
        if check:
            entries = read_list(listed)
            print(report(entries, root))
            sys.exit(1 if missing_files(entries, root) else 0)
        if all_of_them:
            obtain_all(read_list(listed), root)
        elif name:
            obtain_one(name, read_weights(name, listed), out or root / name, local)
    except WeightsError as error:  # of several lines: what to put where
        sys.exit(f"error: {error}")


main = Program(fetch)

if __name__ == "__main__":
    main()
