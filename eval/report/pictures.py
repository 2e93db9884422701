"""Pictures of an asset for pages: a strip of frames that turns, views at full size, the splats' bytes."""

from __future__ import annotations

import base64
import gzip
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from segmentdreamer.records import replacing, write_text

from ..views.archive import composite, read_views
from .content import Asset

FRAMES, SIDE, QUALITY = 36, 128, 85  # of a strip
FEW, SMALL = 16, 65  # frames and quality in a small site
STILLS = 12
PAPER = 247  # lighter colors are the white of the paper


def write_pictures(asset: Asset, out: Path, frames: int, compact: bool) -> None:
    """img/SLUG.webp, a strip of so many frames; besides, unless compact, SLUG-views.webp and SLUG.mp4."""
    strip, views, video = (out / "img" / f"{asset.slug}{end}" for end in (".webp", "-views.webp", ".mp4"))
    source = asset.file("views", "views.zip")
    if not is_fresh(strip, source, frames):
        rgb = composite(read_views(source))
        write_strip(rgb, frames, min(SIDE, rgb.shape[2]), SMALL if compact else QUALITY, strip)
        if not compact:
            write_strip(rgb, STILLS, rgb.shape[2], 92, views)
    movie = asset.file("views", "turntable.mp4")
    if not compact and movie.exists():
        with replacing(video) as partial:
            shutil.copyfile(movie, partial)


def shrink(path: Path) -> None:
    """Write a picture anew in 256 colors, of every third pixel; 39 dB from its own on a sheet of toys."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    every_third = picture.resize((-(-picture.width // 3), -(-picture.height // 3)), Image.Resampling.NEAREST)
    colors = every_third.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3)
    table = np.array(colors.getpalette(), np.uint8).reshape(-1, 3)
    colors.putpalette(np.where(table.min(1, keepdims=True) > PAPER, 255, table).astype(np.uint8).tobytes())
    with replacing(path) as partial:
        picture.quantize(palette=colors, dither=Image.Dither.NONE).save(partial, "PNG", optimize=True)


def is_fresh(strip: Path, source: Path, frames: int) -> bool:
    """Whether a strip of so many frames is younger than the views."""
    if not strip.exists() or strip.stat().st_mtime < source.stat().st_mtime:
        return False
    with Image.open(strip) as picture:
        return picture.width == frames * picture.height


def write_strip(rgb: np.ndarray, frames: int, side: int, quality: int, path: Path) -> None:
    """Views (V, H, W, 3) at even steps around, side by side, as WebP."""
    picked = rgb[[round(i * len(rgb) / frames) % len(rgb) for i in range(frames)]]
    tiles = [Image.fromarray(view).resize((side, side), Image.Resampling.LANCZOS) for view in picked]
    strip = Image.fromarray(np.concatenate([np.asarray(tile) for tile in tiles], axis=1))
    with replacing(path) as partial:
        strip.save(partial, "WEBP", quality=quality, method=6)


def write_splats(assets: list[Asset], out: Path, budget: int) -> list[Asset]:
    """data/SLUG.js with the bytes of asset.ply, of as many as fit into `budget` bytes; the assets left out.

    A script, since a page that was opened from disk may not read files.
    """
    left_out = []
    for asset in assets:
        ply = asset.file("assets", "asset.ply")
        if asset.failed or not ply.exists():
            continue
        text = f'receive("{asset.slug}", "{pack(ply.read_bytes())}");\n'
        if len(text) > budget:
            left_out.append(asset)
            continue
        budget -= len(text)
        path = out / "data" / f"{asset.slug}.js"
        write_text(path, text)
    return left_out


def pack(content: bytes) -> str:
    """Bytes as text for a script, which unpacks it in the browser."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()
