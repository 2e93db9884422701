"""Fetch model weights: from a local folder, else from the first source that gives them; verify, install.

    python -m segmentdreamer.weights sd21-base --out weights/sd21-base

What belongs to each name, its sources and digests: workflow/config/weights.yaml. Files that are there
already are verified and kept. A local folder (--from, or $SEGMENTDREAMER_WEIGHTS/NAME) is linked, not
copied. Downloads go to OUT.part, whose finished files a second call keeps, and digests to OUT.sha256.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from segmentdreamer.config import ConfigError, build
from segmentdreamer.provenance import file_digest, folder_digest

LIST = Path(__file__).parent.parent / "workflow" / "config" / "weights.yaml"
LOCAL = "SEGMENTDREAMER_WEIGHTS"  # a folder that holds NAME/ for any of the names


class WeightsError(ValueError):
    """Weights that are missing or not the right ones; the message says what to do."""


@dataclass(frozen=True)
class Source:
    """A Hugging Face repository at one commit."""

    revision: str
    official: bool  # by the model's authors


@dataclass(frozen=True)
class Weights:
    """One entry of the list."""

    title: str
    license: str
    waits_for: str  # installed last: who finds it finds all
    epsilon: bool
    sources: dict[str, Source]
    files: dict[str, str | None]  # path: SHA-256


def read_weights(name: str, path: Path = LIST) -> Weights:
    """The entry `name`; ConfigError where there is none or it is ill-formed."""
    entries = yaml.safe_load(path.read_text())
    if name not in entries:
        raise ConfigError(f"no weights {name!r} in {path}; known: {', '.join(entries)}")
    return build(Weights, entries[name], name)


def obtain(weights: Weights, out: Path, local: Path | None = None) -> dict[str, str]:
    """Make `out` hold every file of `weights`, verified; the digests found, by file.

    Raises WeightsError if a file is wrong, is missing in `local`, or can be had from no source.
    """
    missing = absent(out, list(weights.files))
    digests = verify(weights, out, [name for name in weights.files if name not in missing], out)
    if missing and local:
        digests |= verify(weights, local, missing, out)
        install(weights, missing, local, out, move=False)
    elif missing:
        staging = Path(f"{out}.part")
        digests |= download(weights, missing, staging, out)
        install(weights, missing, staging, out, move=True)
        shutil.rmtree(staging)
    write_record(out, digests)
    return digests


def verify(weights: Weights, folder: Path, names: list[str], out: Path) -> dict[str, str]:
    """Digests of the files `names` in `folder`; WeightsError for one that is absent or not as expected."""
    if lacking := absent(folder, names):
        raise WeightsError(f"{folder} lacks {', '.join(lacking)}")
    if weights.epsilon and "scheduler/scheduler_config.json" in names:
        check_epsilon(folder)
    recorded = read_record(out)
    digests = {}
    for name in names:
        digests[name] = file_digest(folder / name)
        expected = weights.files[name] or recorded.get(name)
        if expected and digests[name] != expected:
            origin = "the list's" if weights.files[name] else f"{record_of(out)}'s (delete it to accept)"
            raise WeightsError(f"{folder / name} has SHA-256 {digests[name]}, not {origin} {expected}")
    return digests


def check_epsilon(folder: Path) -> None:
    """WeightsError unless the pipeline in `folder` predicts epsilon."""
    from segmentdreamer.prior import read_schedule

    try:
        read_schedule(folder)
    except (ValueError, KeyError) as error:
        raise WeightsError(str(error)) from error


def download(weights: Weights, names: list[str], staging: Path, out: Path) -> dict[str, str]:
    """Bring `names` into `staging` from the first source that has the right files; their digests."""
    failures = []
    for repo, source in weights.sources.items():
        kind = "" if source.official else " (not the authors')"
        print(f"trying {repo} at {source.revision[:8]}{kind}", file=sys.stderr, flush=True)
        trouble = fetch_all(repo, source.revision, names, staging)
        if not trouble:
            try:
                return verify(weights, staging, names, out)
            except WeightsError as error:
                trouble = str(error)
                shutil.rmtree(staging)  # or the next try would go on from the wrong bytes
        failures.append(f"{repo} at {source.revision[:8]}{kind}: {trouble}")
    raise WeightsError(what_to_do(weights, names, out, failures))


def fetch_all(repo: str, revision: str, names: list[str], staging: Path) -> str:
    """Fetch `names` from one repository; the trouble in a line, empty for none.

    The hub's client resumes a file whose connection broke, and retries for half a minute. A try that it
    gave up is followed by another only if it brought a file: a source out of reach is asked once.
    """
    while True:
        wanted = absent(staging, names)
        try:
            fetch(repo, revision, names, staging)
        except Exception as error:  # of several libraries; whatever it is, another source may do
            if len(absent(staging, names)) < len(wanted):
                continue
            return (str(error).splitlines() or [type(error).__name__])[0][:200]
        lacking = absent(staging, names)
        return f"has no {', '.join(lacking)}" if lacking else ""


def fetch(repo: str, revision: str, names: list[str], staging: Path) -> None:
    """One call of the hub's client; files that are finished in `staging` are kept."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    for leftover in staging.rglob("*.incomplete"):  # of a killed call; the client begins such files anew
        leftover.unlink()
    logging.set_verbosity_error()  # its retries, a line each
    snapshot_download(repo, revision=revision, allow_patterns=names, local_dir=staging, max_workers=2)


def absent(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]


def install(weights: Weights, names: list[str], source: Path, out: Path, move: bool) -> None:
    """Move or link files into `out`, the one that the workflow waits for last."""
    for name in sorted(names, key=lambda name: name == weights.waits_for):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if move:
            (source / name).replace(target)
        else:
            target.unlink(missing_ok=True)  # a dangling link
            target.symlink_to((source / name).resolve())


def record_of(out: Path) -> Path:
    """Beside the folder, not in it: the folder's own digest is that of the model alone."""
    return Path(f"{out}.sha256")


def read_record(out: Path) -> dict[str, str]:
    """Digests found before, by file."""
    path = record_of(out)
    rows = [line.split("  ", 1) for line in path.read_text().splitlines()] if path.exists() else []
    return {name.removeprefix(f"{out.name}/"): digest for digest, name in rows}


def write_record(out: Path, digests: dict[str, str]) -> None:
    """In the form of sha256sum: `cd weights && sha256sum -c NAME.sha256`."""
    rows = [f"{digest}  {out.name}/{name}\n" for name, digest in sorted(digests.items())]
    record_of(out).write_text("".join(rows))


def what_to_do(weights: Weights, names: list[str], out: Path, failures: list[str]) -> str:
    """The one message of a download that failed everywhere."""
    tried = "".join(f"\n  {failure}" for failure in failures)
    digests = {name: weights.files[name] for name in names}
    files = "".join(
        f"\n  {name}" + (f"  sha256 {digest}" if digest else "") for name, digest in digests.items()
    )
    return (
        f"no source gave {weights.title} ({weights.license}):{tried}\n"
        "Try again where the hub can be reached (finished files are kept), or put these files "
        f"into {out}/, or name a folder that has them with --from FOLDER or {LOCAL} (which holds "
        f"{out.name}/):{files}"
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fetch and verify the weights that a scale needs.")
    parser.add_argument("name", help="an entry of the list, e.g. sd21-base")
    parser.add_argument("--out", type=Path, required=True, help="folder to install into")
    parser.add_argument("--from", dest="local", type=Path, metavar="FOLDER",
                        help=f"local folder to link instead (default: ${LOCAL}/NAME, if there)")  # fmt: skip
    parser.add_argument("--list", type=Path, default=LIST, help="(default: workflow/config/weights.yaml)")
    args = parser.parse_args(argv)
    local = args.local
    if local is None and LOCAL in os.environ:
        candidate = Path(os.environ[LOCAL]) / args.name
        local = candidate if candidate.is_dir() else None
    try:
        weights = read_weights(args.name, args.list)
        digests = obtain(weights, args.out, local)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    for name, digest in sorted(digests.items()):
        print(f"{digest}  {name}")
    if weights.epsilon:
        print(f"{folder_digest(args.out)}  the folder, for prior.sha256")


if __name__ == "__main__":
    main()
