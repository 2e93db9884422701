"""What made a result: digests, versions, machine; files that are whole or not there; where ours lie."""

import dataclasses
import errno
import hashlib
import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

# In a clone eval, baselines, prompts and toybox stand beside this package; installed, in it.
PACKAGE = Path(__file__).parent
ROOT = PACKAGE if (PACKAGE / "eval").is_dir() else PACKAGE.parent
LARGE = 2**24  # bytes from which on a digest is kept
DIGESTS = "digests.json"  # in the cache
SETTLED = 2 * 10**9  # nanoseconds after which a file's time tells it apart from a later one
PACKAGES = ("torch", "diffusers", "transformers", "gsplat", "onnxruntime", "numba", "numpy")


def shipped(path: str | Path) -> Path:
    """A path as it stands or, where nothing is there, that of the file or folder that the project ships."""
    places = [Path(path), PACKAGE / path, PACKAGE.parent / path]
    return next((place for place in places if place.exists()), Path(path))


def cache_folder() -> Path:
    """`$SEGMENTDREAMER_CACHE`, or segmentdreamer-bench under the user's cache folder; if it can be written.

    Else a folder of this user's under the temporary one.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    named = os.environ.get("SEGMENTDREAMER_CACHE") or f"{home}/segmentdreamer-bench"
    try:
        Path(named).mkdir(parents=True, exist_ok=True)
        if os.access(named, os.W_OK):
            return Path(named)
    except OSError:
        pass
    spare = Path(tempfile.gettempdir()) / f"segmentdreamer-bench-{os.getuid()}"
    spare.mkdir(mode=0o700, exist_ok=True)
    return spare


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; a large one's is kept in the cache while the file is not touched."""
    state = path.stat()
    now = [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    return large_digest(str(path.resolve()), *now) if state.st_size >= LARGE else read_digest(path)


def read_record(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} if there is none; ValueError, which names the file, for anything else."""
    try:
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    return found


def read_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def large_digest(path: str, *state: int) -> str:
    """The digest of a large file of this size and times; a cache that cannot be written is no error."""
    known = read_digests().get(path)
    if known and known[:-1] == [*state]:
        return str(known[-1])
    digest = read_digest(Path(path))
    if time.time_ns() - max(state[1:]) > SETTLED:  # a later change might leave the times as they are
        with suppress(OSError):
            write_json(cache_folder() / DIGESTS, read_digests() | {path: [*state, digest]})
    return digest


def read_digests() -> dict[str, list[Any]]:
    try:
        found = json.loads((cache_folder() / DIGESTS).read_text("utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def content_digest(path: Path | str) -> str:
    """SHA-256 of a file, or of all files of a folder; FileNotFoundError without either."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no such file or folder", str(path))
    return folder_digest(path) if path.is_dir() else file_digest(path)


def folder_digest(folder: Path, files: Iterable[Path] | None = None) -> str:
    """SHA-256 over the names and contents of files below a folder, in sorted order.

    files: by default all but a system's own and those with a hidden part in their path (.git, .DS_Store).
    """
    found = (path for path in folder.rglob("*") if path.is_file()) if files is None else files
    digest = hashlib.sha256()
    for path in sorted(found):
        name = path.relative_to(folder).as_posix()
        if files is not None or not re.search(r"(^|/)(\.|__MACOSX/|Thumbs\.db$|desktop\.ini$)", name):
            digest.update(f"{name}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def run_key(*parts: Any) -> str:
    """A short digest of everything that a run's result depends on; a checkpoint belongs to one."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def describe_machine(device: str) -> dict[str, Any]:
    import torch

    machine: dict[str, Any] = {"system": platform.platform(), "python": platform.python_version()}
    machine |= {"processor": processor_model(), "cpus": os.cpu_count()}
    if device != "cpu":
        machine |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return machine


def processor_model(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model, on which the last bits of floating point depend; its architecture if unknown."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    known = (
        value.strip()
        for key, _, value in (line.partition(":") for line in lines)
        if key.strip().lower() in ("model name", "hardware")
    )
    return next(known, "") or platform.processor() or platform.machine()


def package_versions() -> dict[str, str]:
    return {name: version(name) for name in PACKAGES}


@contextmanager
def replacing(path: Path, synced: bool = False) -> Iterator[Path]:
    """A name beside `path` to write to, which takes its place at the end; an error leaves all as it was.

    synced: the file is on the disk before it takes the name, and the name before this ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # two processes may write the same file
    try:
        yield partial
        if synced:
            sync(partial)
        partial.replace(path)
        if synced:
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(*paths: Path) -> None:
    """Make the folders of these files, and find out now whether they can be written; OSError in one line."""
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder has its name")
        except OSError as error:
            raise OSError(f"{path} cannot be written ({error.strerror}): choose another place") from error


def file_name(text: str) -> str:
    """A text as the name of a file or folder: itself, or its letters and digits with a digest."""
    plain = re.sub(r"[^\w-]+", "-", text).strip("-")
    if plain and plain == text and len(plain.encode()) <= 100:
        return text
    short = plain.encode()[:80].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


def write_json(path: Path, data: Any) -> None:
    """Write atomically, keys in their order, floats as they are."""
    write_text(path, json.dumps(data, indent=2, default=_plain) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write atomically, as UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_table(path: Path, frame: "DataFrame", digits: int = 6) -> None:
    """Write a data frame as CSV, atomically, numbers to so many digits."""
    with replacing(path) as partial:
        frame.to_csv(partial, index=False, float_format=f"%.{digits}g")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as .npz, atomically."""
    import numpy as np

    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} does not belong in JSON")
