"""`views.zip`: the views of one asset as RGBA PNGs 000.png, 001.png, ... with straight alpha.

One archive an asset instead of 120 files; the same images give the same bytes. An asset that failed has an
archive too: no picture, but `failed.txt` with the reason. It is never stood for by black images.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

EPOCH = (1980, 1, 1, 0, 0, 0)
FAILED = "failed.txt"


def write_views(rgba: np.ndarray, path: Path) -> None:
    """Store (V, H, W, 4) uint8 views atomically."""
    from PIL import Image

    def members() -> Iterable[tuple[str, bytes]]:
        for i, view in enumerate(rgba):
            buffer = io.BytesIO()
            Image.fromarray(view, "RGBA").save(buffer, "PNG", compress_level=4)
            yield f"{i:03d}.png", buffer.getvalue()

    write_archive(members(), path)


def write_failure(reason: str, path: Path) -> None:
    """Store, in place of views, why there are none."""
    write_archive([(FAILED, " ".join(reason.split()).encode())], path)


def write_archive(members: Iterable[tuple[str, bytes]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
    partial.replace(path)


def read_views(path: Path) -> np.ndarray:
    """The views as (V, H, W, 4) uint8; ValueError if the file is no such archive or tells of a failure."""
    from PIL import Image

    if reason := read_failure(path):
        raise ValueError(f"{path} has no views: {reason}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            views = [Image.open(io.BytesIO(archive.read(name))).convert("RGBA") for name in names]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not an archive of views: {error}") from error
    if not views:
        raise ValueError(f"{path} holds no PNG")
    if len({view.size for view in views}) > 1:
        raise ValueError(f"{path} holds views of different sizes")
    return np.stack([np.asarray(view) for view in views])


def read_failure(path: Path) -> str | None:
    """The reason that the archive of a failed asset states; None for an archive of views."""
    try:
        with zipfile.ZipFile(path) as archive:
            failed = FAILED in archive.namelist()
            return archive.read(FAILED).decode().strip() or "no reason given" if failed else None
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not an archive of views: {error}") from error


def composite(rgba: np.ndarray, background: float = 1.0) -> np.ndarray:
    """Straight-alpha uint8 views (..., 4) over a gray level in [0, 1]: uint8 (..., 3), rounded once."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    blended = rgba[..., :3] * alpha + 255 * background * (1 - alpha)
    return np.round(blended).astype(np.uint8)


def has_alpha(rgba: np.ndarray) -> bool:
    """Whether the views tell object from background; pictures without alpha are opaque everywhere."""
    return bool((rgba[..., 3] < 255).any())
