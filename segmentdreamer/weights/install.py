"""Bring a model's files to where programs look for them: verified, and converted where need be.

Files that are there already are verified and kept. A local folder is linked, not copied. Downloads go to
OUT.part, which a second call goes on from. A file without a listed digest is taken where somebody put it, and
never downloaded. Checkpoints that a program would have to unpickle are converted to safetensors, once.
"""

import pickle
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segmentdreamer.records import file_digest, replacing
from segmentdreamer.weights.catalog import (
    File,
    Weights,
    describe_files,
    describe_source,
    describe_sources,
    file_url,
)
from segmentdreamer.weights.download import TransferError, fetch

LOCAL = "SEGMENTDREAMER_WEIGHTS"  # a folder that holds NAME/ for any of the names


class WeightsError(ValueError):
    """Weights that are missing or not the right ones; the message says what to do."""


def obtain(weights: Weights, out: Path, local: Path | None = None) -> dict[str, str]:
    """Make `out` hold every file of `weights`, verified; the digests found, by file as it is at its source.

    Raises WeightsError if a file is wrong, is missing in `local`, or can be had from no source; then `out` is
    as it was.
    """
    staging, missing = Path(f"{out}.part"), absent(out, weights)
    there = [name for name in weights.files if name not in missing and not weights.files[name].becomes]
    # What somebody put into `out` and is still to be converted comes from there.
    found_in = {name: out if (out / name).is_file() else local or staging for name in [*there, *missing]}
    if fetched := [name for name in missing if found_in[name] == staging]:
        download(weights, fetched, staging, out)
    digests = {name: verify(folder / name, weights.files[name]) for name, folder in found_in.items()}
    # The one that the workflow waits for comes last: a killed installation must not look finished.
    for name in sorted(missing, key=lambda name: weights.installed(name) == weights.waits_for):
        install(found_in[name] / name, out / weights.installed(name), move=found_in[name] == staging)
    shutil.rmtree(staging, ignore_errors=True)
    return digests


def absent(out: Path, weights: Weights) -> list[str]:
    """The files that `out` lacks in the form in which programs want them."""
    return [name for name in weights.files if not (out / weights.installed(name)).is_file()]


def verify(path: Path, file: File) -> str:
    """A file's digest; WeightsError if it is absent or not the listed one."""
    if not path.is_file():
        raise WeightsError(f"{path.parent} lacks {path.name}")
    digest = file_digest(path)
    if file.sha256 and digest != file.sha256:
        raise WeightsError(f"{path} has SHA-256 {digest}, not the list's {file.sha256}")
    return digest


def download(weights: Weights, names: list[str], staging: Path, out: Path) -> None:
    """Bring `names` into `staging`, each from the first source that has its bytes."""
    if unknown := [name for name in names if not weights.files[name].sha256 and not weights.files[name].text]:
        raise WeightsError(what_to_do(weights, unknown, out, ["not downloaded: no digest of it is known"]))
    for name in names:
        path, file = staging / name, weights.files[name]
        if file.text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text, encoding="utf-8")
        elif not path.is_file():
            fetch_from_any(weights, name, path, out)


def fetch_from_any(weights: Weights, name: str, path: Path, out: Path) -> None:
    failures, file = [], weights.files[name]
    for where, source in weights.sources.items():
        title = describe_source(where, source)
        print(f"{name} from {title}", file=sys.stderr, flush=True)
        try:
            return fetch(file_url(where, source, file.at or name), path, str(file.sha256))
        except TransferError as error:
            failures.append(f"{title}: {error}")
    raise WeightsError(what_to_do(weights, absent(out, weights), out, failures))


def install(source: Path, target: Path, move: bool) -> None:
    """Move, link or convert one file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.name != target.name:
        try:
            to_safetensors(source, target)
        except ValueError as error:
            raise WeightsError(str(error)) from error
    elif move:
        source.replace(target)
    else:
        target.unlink(missing_ok=True)  # a dangling link
        target.symlink_to(source.resolve())


def what_to_do(weights: Weights, names: list[str], out: Path, failures: list[str]) -> str:
    """The one message of a download that failed everywhere, or was not begun."""
    tried = "".join(f"\n  {failure}" for failure in failures)
    files = "".join(f"\n  {line}" for line in describe_files(weights, names))
    return (
        f"no source gave {weights.title} ({weights.license}):{tried}\n"
        f"Put these files into {out}/, from {describe_sources(weights)}, or name a folder that has them with "
        f"--from FOLDER or {LOCAL} (which holds NAME/), or, where it was the network, try again (what came "
        f"is kept):{files}"
    )


def to_safetensors(source: Path, target: Path) -> None:
    """Write the tensors of a .pt or .pth checkpoint to `target`, names and types as they are, atomically.

    A checkpoint is a mapping of names to tensors, or holds one as `state_dict`. Raises ValueError for
    anything else, and for a file that would run code when read.
    """
    import torch
    from safetensors.torch import save_file

    try:
        state: Any = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{source} is not a checkpoint of plain tensors: {str(error)[:120]}") from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ValueError(f"{source} is not a mapping of names to tensors")
    with replacing(target) as partial:  # clone: safetensors refuses tensors that share memory
        save_file({name: v.contiguous().clone() for name, v in state.items()}, partial, {"format": "pt"})
