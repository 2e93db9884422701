"""Whether views go once around the object in even steps, as Janus index and consistency take for granted.

Pictures alone cannot tell half a ring from a whole one. Cameras can, where cameras.json (the workflow's) or
transforms.json (NeRF's) is there; else a whole ring is assumed, which is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from .naming import gap

RING_METRICS = ("janus_index", "consistency")
# Steps of at most 10 degrees. The Janus index smooths over as many; in a sparser ring what turns out of sight
# looks like flicker: clean scenes have a consistency of .99 or more at 120 views, .87 at 40, .76 at 30.
FEWEST = 36
TILT = 10.0  # degrees by which the elevation of a ring may vary


def fault(numbers: Sequence[int], azimuths: np.ndarray | None = None, arc: float = 360.0) -> str:
    """Why views of these numbers are no full ring, in words; empty if they are one as far as is known.

    azimuths: (V,) degrees by ascending number, if cameras are known. arc: degrees that the views go around.
    """
    if len(numbers) < FEWEST:
        return f"they need {FEWEST} views"
    if arc < 360:
        return f"the views go around {arc:g} degrees"
    if lost := gap(numbers):
        return f"the sequence {lost}"
    if azimuths is not None and len(azimuths) != len(numbers):
        return f"there are cameras of {len(azimuths)} views"
    if azimuths is not None and not goes_around(azimuths):
        return "by their cameras the views do not go once around in even steps"
    return ""


def goes_around(azimuths: np.ndarray) -> bool:
    """Whether azimuths (V,) in degrees go once around, one way, with no step over 1.5 of the mean."""
    steps = (np.diff(azimuths, append=azimuths[:1]) + 180) % 360 - 180
    steps = steps * np.sign(np.median(steps)) * len(azimuths) / 360  # 1 where all are even
    even = np.isfinite(steps).all() and steps.min() > -0.1 and steps.max() < 1.5
    return bool(even and round(steps.mean()) == 1)


def read_azimuths(data: bytes, name: str) -> np.ndarray | None:
    """Azimuths (V,) in degrees of a file of cameras; NaN where the cameras lie on no circle.

    Known are lists `azimuth` and `elevation`, and `frames` with a `transform_matrix` (camera to world) or
    nerfbaselines' `pose`, and maybe a `file_path`, whose numbers give the order. None if the file has
    neither; ValueError if it is no JSON.
    """
    try:
        known = json.loads(data)
        if not isinstance(known, dict):
            return None
        if known.get("azimuth"):
            tilts = np.array(known.get("elevation", 0.0), dtype=float)
            azimuths = np.array(known["azimuth"], dtype=float).reshape(-1)
            return azimuths if np.ptp(tilts) <= TILT else np.full(len(azimuths), np.nan)
        if known.get("frames"):
            frames = sorted(known["frames"], key=frame_number)
            poses = [frame.get("transform_matrix") or frame["pose"] for frame in frames]
            return around(np.array(poses, dtype=float).reshape(len(poses), -1, 4)[:, :3, 3])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{name} is no file of cameras: {type(error).__name__}: {error}") from error
    return None


def frame_number(frame: dict) -> int:
    digits = re.findall(r"\d+", PurePosixPath(str(frame.get("file_path", ""))).name)
    return int(digits[-1]) if digits else 0


def around(positions: np.ndarray) -> np.ndarray:
    """Azimuths (V,) in degrees of positions (V, 3) about the circle that fits them best, whatever its axis.

    NaN if they lie on none: off its plane by more than TILT, or off its radius by a tenth.
    """
    centered = positions - positions.mean(0)
    axes = np.linalg.svd(centered, full_matrices=False)[2]
    x, y, height = (centered @ axes.T).T
    system = np.stack([2 * x, 2 * y, np.ones_like(x)], axis=1)
    a, b, _ = np.linalg.lstsq(system, x**2 + y**2, rcond=None)[0]
    radii = np.hypot(x - a, y - b)
    radius = radii.mean()
    if not (np.ptp(height) <= radius * np.radians(TILT) and np.ptp(radii) <= radius / 5 and radius > 0):
        return np.full(len(positions), np.nan)
    return np.degrees(np.arctan2(y - b, x - a))
