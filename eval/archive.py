"""`views.zip`: the views of one asset as RGBA PNGs 000.png, 001.png, ... with straight alpha.

One archive an asset instead of 120 files; the same images give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

EPOCH = (1980, 1, 1, 0, 0, 0)


def write_views(rgba: np.ndarray, path: Path) -> None:
    """Store (V, H, W, 4) uint8 views atomically."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for i, view in enumerate(rgba):
            buffer = io.BytesIO()
            Image.fromarray(view, "RGBA").save(buffer, "PNG", compress_level=4)
            archive.writestr(zipfile.ZipInfo(f"{i:03d}.png", EPOCH), buffer.getvalue())
    partial.replace(path)


def read_views(path: Path) -> np.ndarray:
    """The views as (V, H, W, 4) uint8; ValueError if the file is no such archive."""
    from PIL import Image

    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            views = [Image.open(io.BytesIO(archive.read(name))).convert("RGBA") for name in names]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not an archive of views: {error}") from error
    if not views:
        raise ValueError(f"{path} holds no PNG")
    return np.stack([np.asarray(view) for view in views])


def composite(rgba: np.ndarray, background: float = 1.0) -> np.ndarray:
    """Straight-alpha uint8 views (..., 4) over a gray level in [0, 1]: uint8 (..., 3), rounded once."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    blended = rgba[..., :3] * alpha + 255 * background * (1 - alpha)
    return np.round(blended).astype(np.uint8)
