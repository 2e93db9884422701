"""`views.zip`: the views of one asset as RGBA PNGs 000.png, 001.png, ... with straight alpha.

One archive an asset instead of 120 files; the same images give the same bytes. `depth.npz` may lie beside
them (see surface). An asset that failed has an
archive too: no picture, but `failed.txt` with the reason. It is never stood for by black images.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from segmentdreamer.records import replacing

from .layouts import first_square, read_poses
from .naming import KINDS, choose, hidden
from .pictures import read_alpha, read_picture
from .surface import Surface

EPOCH = (1980, 1, 1, 0, 0, 0)
FAILED = "failed.txt"
DEPTH = "depth.npz"
TARS = (".tar.gz", ".tgz")
CAMERAS = ("cameras.json", "transforms.json", "trajectory.json")
# What an archive may hold: a view of the largest size is below a quarter of a gigabyte unpacked, and raw.
MEMBERS, MEMBER_BYTES, REASON_BYTES = 10_000, 300_000_000, 10_000
PIXELS = 2**30  # in all views of an asset: 4 GB as RGBA


def write_views(
    rgba: np.ndarray,
    path: Path,
    surface: Surface | None = None,
    numbers: Iterable[int] | None = None,
    cameras: bytes | None = None,
) -> None:
    """Store (V, H, W, 4) uint8 views, and the surface behind them if it is known, atomically.

    numbers: of the views, 0, 1, ... without. cameras: a file of these, where they are no full ring.
    """

    def members() -> Iterable[tuple[str, bytes]]:
        for number, view in zip(range(len(rgba)) if numbers is None else numbers, rgba, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(view, "RGBA").save(buffer, "PNG", compress_level=4)
            yield f"{number:03d}.png", buffer.getvalue()
        if surface:
            yield DEPTH, surface.pack()
        if cameras:
            yield CAMERAS[0], cameras

    write_archive(members(), path)


def write_failure(reason: str, path: Path) -> None:
    """Store, in place of views, why there are none."""
    write_archive([(FAILED, " ".join(reason.split()).encode())], path)


def write_archive(members: Iterable[tuple[str, bytes]], path: Path) -> None:
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)


@dataclass(frozen=True)
class Views:
    """The pictures of one asset, whatever brought them."""

    rgba: np.ndarray  # (V, H, W, 4) uint8, straight alpha, by ascending number
    numbers: list[int]  # of the pictures' names
    unread: list[str]  # pictures beside them that may be meant for views or alphas
    cameras: bytes | None  # the file of cameras that lies among them (CAMERAS, or nerfbaselines')
    surface: Surface | None = None  # of depth.npz
    scattered: bool = False  # over a sphere, not around a ring


def read_views(path: Path) -> np.ndarray:
    """The views as (V, H, W, 4) uint8; ValueError if the file is no such archive or tells of a failure."""
    return read_asset(path).rgba


def views_or_reason(path: Path) -> np.ndarray | str:
    """The same or, where an asset failed or its archive cannot be read, why."""
    try:
        return read_failure(path) or read_views(path)
    except (ValueError, OSError) as error:
        return str(error)


def read_asset(place: Path) -> Views:
    """The views of a views.zip, .zip or .tar.gz, or of a folder of PNGs (see naming), by their numbers.

    Alpha is the picture's own, or that of alpha_*.png beside it, else 255. Raises ValueError in one line that
    names the file and the picture: no views, an asset that failed, a damaged or encrypted member, sizes or
    alphas that do not match.
    """
    if place.is_dir():
        return assemble(place, list_pictures(place), lambda name: (place / name).read_bytes())
    if place.name.lower().endswith(TARS):
        return read_tar(place)
    if reason := read_failure(place):
        raise ValueError(f"{place} has no views: {reason}")
    with open_archive(place) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        if len(members) > MEMBERS:
            raise ValueError(f"{place} has {len(members)} members; an asset has at most {MEMBERS}")
        names = [info.filename.replace("\\", "/") for info in members]  # as some programs on Windows write
        inside = dict(zip(names, members, strict=True))
        return assemble(place, names, lambda name: read_member(archive, inside[name], place))


def read_tar(place: Path) -> Views:
    """The views of a .tar.gz, as read_asset."""
    try:
        with tarfile.open(place) as archive:
            members = {info.name.removeprefix("./"): info for info in archive if info.isfile()}
            if len(members) > MEMBERS or sum(info.size for info in members.values()) > 4 * PIXELS:
                raise ValueError(f"{place} is too large for the views of an asset")

            def read(name: str) -> bytes:
                stream = archive.extractfile(members[name])
                return stream.read() if stream else b""

            return assemble(place, list(members), read)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{place} is not an archive of views: {error}") from error


def list_pictures(place: Path) -> list[str]:
    """The files of a folder, and those of folders in it that are named by a kind: rgb, alpha, normal, ..."""
    kinds = KINDS | {"cameras"}
    folders = [place, *(path for path in place.iterdir() if path.is_dir() and path.name.lower() in kinds)]
    files = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    return sorted(path.relative_to(place).as_posix() for path in files)


def assemble(place: Path, names: list[str], read: Callable[[str], bytes]) -> Views:
    """The views among the files of these names."""
    try:
        chosen = choose(names)
    except ValueError as error:
        raise type(error)(f"{place} {error}") from error
    if chosen.alphas and (lost := sorted(set(chosen.views) - set(chosen.alphas))):
        raise ValueError(f"{place}: {chosen.views[lost[0]]} has no alpha picture, others have")
    views: list[np.ndarray] = []
    for number, name in chosen.views.items():
        view = first_square(read_picture(read(name), f"{place}: {name}"), place)
        if chosen.alphas:
            beside = chosen.alphas[number]
            view = join(view, read_alpha(read(beside), f"{place}: {beside}"), f"{place}: {name}", beside)
        if views and view.shape != views[0].shape:
            first = f"{next(iter(chosen.views.values()))} of {pixels(views[0])}"
            raise ValueError(f"{place} holds views of different sizes: {first}, {name} {pixels(view)}")
        if not views and view.shape[0] * view.shape[1] * len(chosen.views) > PIXELS:
            raise ValueError(
                f"{place}: {len(chosen.views)} views of {pixels(view)} are too many pixels to score"
            )
        views.append(view)
    files = [name for name in names if PurePosixPath(name).name in CAMERAS and not hidden(name)]
    cameras = read(files[0]) if files else read_poses(names, read)
    rgba = np.stack(views)
    surface = Surface.unpack(read(DEPTH), f"{place}: {DEPTH}", rgba) if DEPTH in names else None
    return Views(rgba, list(chosen.views), chosen.unread, cameras, surface, chosen.scattered)


def join(view: np.ndarray, alpha: np.ndarray, name: str, beside: str) -> np.ndarray:
    """A view (H, W, 4) under the alpha (H, W) of the picture beside it."""
    if alpha.shape != view.shape[:2]:
        raise ValueError(f"{name} is {pixels(view)}, {beside} is {pixels(alpha)}")
    if (view[..., 3] < 255).any() and (view[..., 3] != alpha).any():
        raise ValueError(f"{name} has an alpha of its own, which is not that of {beside}: remove one")
    return np.concatenate([view[..., :3], alpha[..., None]], axis=-1)


def pixels(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]} px"


def read_failure(path: Path) -> str | None:
    """The reason that the archive of a failed asset states; None for an archive of views."""
    if path.name.lower().endswith(TARS):
        return None
    with open_archive(path) as archive:
        if FAILED not in archive.namelist():
            return None
        told = read_member(archive, archive.getinfo(FAILED), path, REASON_BYTES).decode(errors="replace")
        return " ".join(told.split()) or "no reason given"


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except OSError:
        raise
    except Exception as error:  # of a damaged directory zipfile raises what it likes
        raise ValueError(f"{path} is not an archive of views: {error}") from error
    with archive:
        yield archive


def read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, most: int = MEMBER_BYTES
) -> bytes:
    """The bytes of a member; ValueError that names it if it is damaged, encrypted or of a foreign packing.

    At most so many bytes are unpacked, whatever the archive says of its sizes.
    """
    try:
        if member.file_size > most:
            raise ValueError(f"it has {member.file_size:,} bytes, more than the {most:,} that may be")
        with archive.open(member) as stream:  # which ends at the size that it claims
            return stream.read(most)
    except Exception as error:  # zipfile and the unpackers raise what they like
        reason = "it is encrypted" if member.flag_bits & 1 else str(error) or type(error).__name__
        raise ValueError(f"{path}: {member.filename} cannot be read: {reason}") from error


def composite(rgba: np.ndarray, background: float = 1.0) -> np.ndarray:
    """Straight-alpha uint8 views (..., 4) over a gray level in [0, 1]: uint8 (..., 3), rounded once."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    blended = rgba[..., :3] * alpha + 255 * background * (1 - alpha)
    return np.round(blended).astype(np.uint8)


def composite_on(device: str, rgba: np.ndarray) -> np.ndarray:
    """As `composite` over white, computed on a device: the same bytes, since no pixel lies halfway."""
    if device == "cpu":
        return composite(rgba)
    import torch

    pixels = torch.from_numpy(rgba).to(device).to(torch.int32)
    alpha = pixels[..., 3:]
    blended = 2 * (pixels[..., :3] * alpha + 255 * (255 - alpha)) + 255
    return (blended // 510).to(torch.uint8).cpu().numpy()


def has_alpha(rgba: np.ndarray) -> bool:
    """Whether the views tell object from background; pictures without alpha are opaque everywhere."""
    return bool((rgba[..., 3] < 255).any())
