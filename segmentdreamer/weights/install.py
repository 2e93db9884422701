"""Bring a model's files to where programs look for them: verified, converted where need be, recorded.

Files that are there already are verified and kept. A local folder is linked, not copied. Downloads go to
OUT.part, whose files a second call keeps, and digests to OUT.sha256. Checkpoints that a program would have to
unpickle are converted to safetensors, once, and only the result is kept.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from segmentdreamer.records import file_digest
from segmentdreamer.weights.catalog import Source, Weights, describe_files, describe_source, is_url
from segmentdreamer.weights.conversion import to_safetensors
from segmentdreamer.weights.download import fetch_repository, fetch_url

LOCAL = "SEGMENTDREAMER_WEIGHTS"  # a folder that holds NAME/ for any of the names


class WeightsError(ValueError):
    """Weights that are missing or not the right ones; the message says what to do."""


def obtain(weights: Weights, out: Path, local: Path | None = None) -> dict[str, str]:
    """Make `out` hold every file of `weights`, verified; the digests found, by file.

    Raises WeightsError if a file is wrong, is missing in `local`, or can be had from no source.
    """
    missing = absent(out, weights)
    recorded = read_record(out)
    digests = check_installed(weights, out, missing, recorded)
    if by_hand := [name for name in missing if (out / name).is_file()]:  # still to be converted
        digests |= verify(weights, out, by_hand, recorded, out)
        install(weights, by_hand, out, out, move=False)
        missing = absent(out, weights)
    if missing and local:
        digests |= verify(weights, local, missing, recorded, out)
        install(weights, missing, local, out, move=False)
    elif missing:
        staging = Path(f"{out}.part")
        digests |= download(weights, missing, staging, recorded, out)
        install(weights, missing, staging, out, move=True)
        shutil.rmtree(staging)
    for name, file in weights.files.items():
        if file.becomes:
            digests[file.becomes] = file_digest(out / file.becomes)
            digests.setdefault(name, recorded.get(name, ""))
    write_record(weights, out, digests)
    return digests


def absent(out: Path, weights: Weights) -> list[str]:
    """The files that `out` lacks in the form in which programs want them."""
    return [name for name in weights.files if not (out / weights.installed(name)).is_file()]


def check_installed(
    weights: Weights, out: Path, missing: list[str], recorded: dict[str, str]
) -> dict[str, str]:
    """Digests of what is in `out` already; WeightsError for a file that is not as expected."""
    there = [name for name in weights.files if name not in missing]
    for name in there:
        target = weights.files[name].becomes
        if target and (digest := recorded.get(target)) and file_digest(out / target) != digest:
            raise WeightsError(f"{out / target} is not what {record_of(out)} says; delete it to convert anew")
    return verify(weights, out, [n for n in there if not weights.files[n].becomes], recorded, out)


def verify(
    weights: Weights, folder: Path, names: list[str], recorded: dict[str, str], out: Path
) -> dict[str, str]:
    """Digests of the files `names` in `folder`; WeightsError for one that is absent or not as expected."""
    if lacking := [name for name in names if not (folder / name).is_file()]:
        raise WeightsError(f"{folder} lacks {', '.join(lacking)}")
    if weights.epsilon and "scheduler/scheduler_config.json" in names:
        check_epsilon(folder)
    digests = {}
    for name in names:
        listed = weights.files[name].sha256
        digests[name] = file_digest(folder / name)
        expected = listed or recorded.get(name)
        if expected and digests[name] != expected:
            origin = "the list's" if listed else f"{record_of(out)}'s (delete it to accept)"
            raise WeightsError(f"{folder / name} has SHA-256 {digests[name]}, not {origin} {expected}")
    return digests


def check_epsilon(folder: Path) -> None:
    """WeightsError unless the pipeline in `folder` predicts epsilon."""
    from segmentdreamer.prior.folder import read_scheduler

    if (found := read_scheduler(folder).prediction) != "epsilon":
        raise WeightsError(f"{folder} predicts {found}, not epsilon")


def download(
    weights: Weights, names: list[str], staging: Path, recorded: dict[str, str], out: Path
) -> dict[str, str]:
    """Bring `names` into `staging` from the first source that has the right files; their digests."""
    failures = []
    for where, source in weights.sources.items():
        title = describe_source(where, source)
        print(f"trying {title}", file=sys.stderr, flush=True)
        trouble = fetch_all(weights, where, source, names, staging)
        if not trouble:
            try:
                return verify(weights, staging, names, recorded, out)
            except WeightsError as error:
                trouble = str(error)
                shutil.rmtree(staging)  # or the next try would go on from the wrong bytes
        failures.append(f"{title}: {trouble}")
    raise WeightsError(what_to_do(weights, names, out, failures))


def fetch_all(weights: Weights, where: str, source: Source, names: list[str], staging: Path) -> str:
    """Fetch `names` from one source; the trouble in a line, empty for none.

    A broken connection is resumed. A try that a client gave up is followed by another only if it brought a
    file: a source out of reach is asked once.
    """
    while True:
        wanted = [name for name in names if not (staging / name).is_file()]
        paths = {name: weights.files[name].at or name for name in wanted}
        try:
            fetch(where, source, paths, staging)
        except Exception as error:  # of several libraries; whatever it is, another source may do
            if len([name for name in names if not (staging / name).is_file()]) < len(wanted):
                continue
            return (str(error).splitlines() or [type(error).__name__])[0][:200]
        lacking = [name for name in names if not (staging / name).is_file()]
        return f"has no {', '.join(lacking)}" if lacking else ""


def fetch(where: str, source: Source, paths: dict[str, str], staging: Path) -> None:
    """One try for files (name here: path there) of a source."""
    if is_url(where):
        for name, path in paths.items():
            fetch_url(f"{where}/{path}", staging / name)
        return
    fetch_repository(where, source.revision, list(paths.values()), staging)
    for name, path in paths.items():
        if path != name and (staging / path).is_file():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).replace(staging / name)


def install(weights: Weights, names: list[str], source: Path, out: Path, move: bool) -> None:
    """Move, link or convert files into `out`, the one that the workflow waits for last."""
    for name in sorted(names, key=lambda name: weights.installed(name) == weights.waits_for):
        target = out / weights.installed(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if weights.files[name].becomes:
            try:
                to_safetensors(source / name, target)
            except ValueError as error:
                raise WeightsError(str(error)) from error
        elif move:
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
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [line.removeprefix("# ").split("  ", 1) for line in lines]
    return {name.removeprefix(f"{out.name}/"): digest for digest, name in rows}


def write_record(weights: Weights, out: Path, digests: dict[str, str]) -> None:
    """In the form of sha256sum: `cd weights && sha256sum -c NAME.sha256`; # marks what was converted."""
    rows = []
    for name, digest in sorted(digests.items()):
        converted = name in weights.files and weights.files[name].becomes
        rows += [f"{'# ' if converted else ''}{digest}  {out.name}/{name}\n"] if digest else []
    record_of(out).write_text("".join(rows))


def what_to_do(weights: Weights, names: list[str], out: Path, failures: list[str]) -> str:
    """The one message of a download that failed everywhere."""
    tried = "".join(f"\n  {failure}" for failure in failures)
    files = "".join(f"\n  {line}" for line in describe_files(weights, names))
    return (
        f"no source gave {weights.title} ({weights.license}):{tried}\n"
        "Try again where the sources can be reached (what came is kept), or put these files "
        f"into {out}/, or name a folder that has them with --from FOLDER or {LOCAL} (which holds "
        f"NAME/):{files}"
    )
