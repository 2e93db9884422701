"""What lies behind the pixels of views: their depth, and from it points and normals of the world.

`depth.npz` in a views.zip: `depth` (V, H, W) uint16, `unit` world units a level, `viewmats` (V, 4, 4) world
to camera (x right, y down, z forward), `Ks` (V, 3, 3) in pixels, whose centers are at +0.5.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEVELS = 65535
OPAQUE = 128  # alpha from which a pixel shows a surface
NAMES = ("depth", "unit", "viewmats", "Ks")


@dataclass(frozen=True)
class Surface:
    """The surface that V views see; of Gaussians, the mean depth of what a pixel blends."""

    depth: (
        np.ndarray
    )  # (V, H, W) float32 along the camera's axis (z), world units; 0 where alpha is below 1/2
    viewmats: np.ndarray  # (V, 4, 4)
    Ks: np.ndarray  # (V, 3, 3)

    @classmethod
    def behind(cls, rgba: np.ndarray, depth: np.ndarray, viewmats: np.ndarray, Ks: np.ndarray) -> Surface:
        """The surface behind views (V, H, W, 4) uint8, of their depth everywhere."""
        return cls(np.where(rgba[..., 3] >= OPAQUE, depth, 0).astype(np.float32), viewmats, Ks)

    @cached_property
    def seen(self) -> np.ndarray:
        """Where there is a surface, (V, H, W)."""
        return self.depth > 0

    @cached_property
    def points(self) -> np.ndarray:
        """Where in the world each pixel's surface lies, (V, H, W, 3) float32; of no meaning where unseen."""
        _, height, width = self.depth.shape
        focal, middle = self.Ks[:, (0, 1), (0, 1)], self.Ks[:, :2, 2]
        x = (np.arange(width) + 0.5 - middle[:, :1]) / focal[:, :1]  # (V, W)
        y = (np.arange(height) + 0.5 - middle[:, 1:]) / focal[:, 1:]
        rotations = self.viewmats[:, :3, :3]
        eyes = -np.einsum("vji,vj->vi", rotations, self.viewmats[:, :3, 3])
        rays = x[:, None, :, None] * rotations[:, None, None, 0] + rotations[:, None, None, 2]
        rays = rays + y[:, :, None, None] * rotations[:, None, None, 1]
        return (rays * self.depth[..., None] + eyes[:, None, None]).astype(np.float32)

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals of the world, towards the camera, (V, H, W, 3) float32; NaN where unknown.

        They are across the differences of the points to the right and left, and below and above; at an edge
        the pixel itself stands for a neighbor that shows no surface, and where both lack there is no normal.
        """
        place = np.nonzero(self.seen)
        right, down = (self.difference(place, axis) for axis in (2, 1))
        across = np.cross(down, right)
        length = np.sqrt((across**2).sum(-1, keepdims=True))
        normals = np.full_like(self.points, np.nan)
        normals[place] = np.divide(across, length, out=np.full_like(across, np.nan), where=length > 0)
        return normals

    def difference(self, place: tuple[np.ndarray, ...], axis: int) -> np.ndarray:
        """The point after each of these pixels less the one before, along an axis: (N, 3)."""
        found = []
        for step in (1, -1):
            beside = list(place)
            beside[axis] = np.clip(place[axis] + step, 0, self.depth.shape[axis] - 1)
            there = self.seen[tuple(beside)]
            found.append(
                self.points[tuple(np.where(there, b, p) for b, p in zip(beside, place, strict=True))]
            )
        return found[0] - found[1]

    def pack(self) -> bytes:
        """The bytes of depth.npz; the deepest pixel has the last level."""
        unit = np.float64(self.depth.max() or 1) / LEVELS
        levels = np.round(self.depth / unit).astype(np.uint16)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, depth=levels, unit=unit, viewmats=self.viewmats, Ks=self.Ks)
        return buffer.getvalue()

    @classmethod
    def unpack(cls, data: bytes, name: str, rgba: np.ndarray) -> Surface:
        """The surface of a depth.npz beside views; ValueError that bears `name` if it is none of theirs."""
        try:
            with np.load(io.BytesIO(data)) as stored:
                levels, unit, viewmats, Ks = (stored[key] for key in NAMES)
        except Exception as error:  # zipfile and numpy raise what they like
            raise ValueError(f"{name} cannot be read: {error}") from error
        shapes = [levels.shape, viewmats.shape, Ks.shape]
        if shapes != [rgba.shape[:3], (len(rgba), 4, 4), (len(rgba), 3, 3)]:
            raise ValueError(f"{name} is of other views: depth {levels.shape}, pictures {rgba.shape[:3]}")
        return cls((levels * unit).astype(np.float32), viewmats, Ks)
