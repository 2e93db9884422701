"""What a reader of an asset's scores must know of its views: number, size, shape, order, alpha, cameras."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import ring
from .archive import CAMERAS, Views, has_alpha

EXPECTED = 120  # views an asset, as in the paper
Notes = dict[str, list[str]]  # what is to be known -> of which prompts or assets


@dataclass(frozen=True)
class Setting:
    """What the command line says of the views."""

    reference: Path | None = None
    truth: Path | None = None
    size: int | None = None  # pixels, of the scale's own views
    arc: float | None = None  # degrees that the views go around
    count: int | None = None  # views that an asset must have, one after the other


def judge(asset: Views, path: Path, folder: Path, setting: Setting) -> tuple[bool, list[str]]:
    """Whether an asset's views are a full ring, and what is to be said of them.

    ValueError if they are not as many as they must be, or their numbers have gaps.
    """
    count, height, width = asset.rgba.shape[:3]
    if setting.count and (count != setting.count or ring.gap(asset.numbers)):
        lost = ring.gap(asset.numbers)
        told = f"the sequence of views {lost}" if count == setting.count else f"it has {count} views"
        raise ValueError(f"{path}: {told}; the run has {setting.count} an asset (views.count)")
    notes = [f"{count} views, not {EXPECTED}: compare at equal numbers of views"] if count != EXPECTED else []
    if setting.size and (height, width) != (setting.size, setting.size):
        own = f"{setting.size} x {setting.size}"
        notes.append(f"views are {width} x {height} px, the scale's {own}: two sizes do not compare")
    if height != width:
        side = min(height, width)
        several = " (several pictures side by side?)" if max(height, width) % side == 0 else ""
        notes.append(f"views are not square{several}: networks see the central {side} x {side} px")
    if asset.unread:
        notes.append(f"{asset.unread[0]} and its kind are not read; alpha is read from alpha_*.png")
    if lost := ring.gap(asset.numbers):
        notes.append(f"the sequence of views {lost}")
    if not has_alpha(asset.rgba):
        return False, [*notes, "views are opaque: no pathologies, which need alpha"]
    notes += alpha_notes(asset.rgba, path)
    azimuths = known_azimuths(asset, path, folder)
    scattered = "T3Bench's views are scattered over a sphere" if asset.scattered else ""
    arc = 360.0 if setting.arc is None else setting.arc
    if fault := scattered or ring.fault(asset.numbers, azimuths, arc):
        notes.append(f"no {' and '.join(ring.RING_METRICS)}: {fault}")
    elif azimuths is None and setting.arc is None:
        notes.append(
            "taken for a full ring in even steps, as no cameras.json tells (if it is none: --arc DEGREES)"
        )
    return not fault, notes


def alpha_notes(rgba: np.ndarray, path: Path) -> list[str]:
    """What is odd about the alpha of views (V, H, W, 4); ValueError if it is a mask of 0 and 1."""
    color, alpha = rgba[..., :3], rgba[..., 3]
    if not alpha.any():
        return ["nothing is visible: alpha is 0 everywhere"]
    if alpha.max() == 1:
        raise ValueError(f"{path}: alpha is 0 or 1 of 255; expected 255 where opaque")
    corners = alpha[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    if (corners == 255).all() and (alpha < 128).any():
        return ["the corners of all views are opaque: is alpha inverted, or a background part of it?"]
    opaque = int((alpha == 255).all((1, 2)).sum())
    notes = [f"{opaque} of {len(alpha)} views are opaque, the others not"] if opaque else []
    soft = (alpha > 0) & (alpha < 128)
    if soft.sum() > len(alpha) and (color[soft].max(-1) <= alpha[soft]).all():
        notes.append("no color exceeds its alpha: premultiplied? Expected are straight colors")
    return notes


def known_azimuths(asset: Views, path: Path, folder: Path) -> np.ndarray | None:
    """The azimuths of an asset's cameras: of the file among its views, or nearest above, up to `folder`."""
    if asset.cameras is not None:
        return ring.read_azimuths(asset.cameras, f"the file of cameras in {path}")
    above = [place for place in (path, *path.parents) if place.is_dir() and place.is_relative_to(folder)]
    files = [place / name for place in above for name in CAMERAS if (place / name).is_file()]
    return ring.read_azimuths(files[0].read_bytes(), str(files[0])) if files else None


def describe_cameras(asset: Views, path: Path, folder: Path, arc: float | None = None) -> bytes | None:
    """A file of cameras that says of a copy of these views what is known of theirs; None of a full ring."""
    count = len(asset.rgba)
    azimuths = known_azimuths(asset, path, folder)
    if asset.scattered:
        azimuths = np.full(count, np.nan)
    elif azimuths is None and arc is not None and arc < 360:
        azimuths = np.arange(count) * arc / count
    return None if azimuths is None else json.dumps({"azimuth": azimuths.tolist()}).encode()


def shorten(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
