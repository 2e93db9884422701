"""Point clouds that an optimization may start from: files, samples, and the sizes of their Gaussians.

Axes are those of `segmentdreamer.scene.cameras`: z up, the front towards +y.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segmentdreamer.records import replacing
from segmentdreamer.scene.gaussians import read_vertices

NEIGHBORS = 3
LEAST_SQUARED_DISTANCE = 1e-7  # world units^2; keeps the logarithm of a scale finite where points coincide


@dataclass(frozen=True)
class Cloud:
    """N points and, where known, their colors."""

    points: Tensor  # (N, 3) float32, world units
    colors: Tensor | None = None  # (N, 3) float32 in [0, 1]


@contextmanager
def reading(path: Path, what: str, suffixes: Iterable[str]) -> Iterator[None]:
    """FileNotFoundError, or ValueError in a line for another suffix or a file that cannot be parsed."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} is no {what}: expected one of {', '.join(suffixes)}")
    if not path.is_file():
        raise FileNotFoundError(f"no {what} at {path}")
    try:
        yield
    except Exception as error:  # the parsers raise several kinds of their own
        raise ValueError(f"{path} is not a readable {what}: {' '.join(str(error).split())}") from error


def read_cloud(path: Path) -> Cloud:
    """Read a point cloud: a `.ply` with x, y, z and maybe red, green, blue, or an `.npz` of Point-E's.

    Raises as `reading`, and ValueError for a cloud that is empty or holds values that are not finite.
    """
    readers = {".ply": _read_ply, ".npz": _read_npz}
    with reading(path, "point cloud", readers):
        points, colors = readers[path.suffix.lower()](path)
    if len(points) == 0:
        raise ValueError(f"{path} holds no points")
    if not np.isfinite(points).all():
        raise ValueError(f"{path} holds points that are not finite")
    return Cloud(torch.from_numpy(points), None if colors is None else torch.from_numpy(colors))


def _read_ply(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    vertex = read_vertices(path, {"x", "y", "z"})
    points = np.stack([vertex[name] for name in ("x", "y", "z")], axis=1).astype(np.float32)
    if "red" not in (vertex.dtype.names or ()):
        return points, None
    colors = np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1)
    whole = {"u1": 255, "u2": 65535}.get(colors.dtype.str[1:], 255 if colors.dtype.kind in "iu" else 1)
    colors = (colors / whole).astype(np.float32)
    if not ((colors >= 0) & (colors <= 1)).all():
        raise ValueError("its colors are not all 0 to 255, or as floats 0 to 1")
    return points, colors


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    with np.load(path, allow_pickle=False) as arrays:
        points = arrays["coords"].astype(np.float32).reshape(-1, 3)
        if "R" not in arrays:
            return points, None
        colors = np.stack([arrays[name] for name in "RGB"], axis=1)
        if not np.isfinite(colors).all():
            raise ValueError("its colors are not all finite")
        return points, colors.clip(0, 1).astype(np.float32)


def write_cloud(cloud: Cloud, path: Path, comments: Sequence[str] = ()) -> None:
    """Write a binary PLY, atomically; colors as 8-bit red, green, blue; one header line for each comment."""
    from plyfile import PlyData, PlyElement

    columns = dict(zip("xyz", cloud.points.numpy().T, strict=True))
    if cloud.colors is not None:
        levels = (255 * cloud.colors.clamp(0, 1)).round().to(torch.uint8)
        columns |= dict(zip(("red", "green", "blue"), levels.numpy().T, strict=True))
    table = np.empty(len(cloud.points), dtype=[(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    vertex = PlyElement.describe(table, "vertex")
    with replacing(path) as partial:
        PlyData([vertex], byte_order="<", comments=list(comments)).write(str(partial))


def read_comments(path: Path) -> list[str]:
    """The comments of a PLY's header, in order; none if the file is not there or not a PLY."""
    from plyfile import PlyData, PlyParseError

    try:
        return list(PlyData.read(str(path)).comments)
    except (OSError, PlyParseError):
        return []


def spherical(count: int, radius: float, g: torch.Generator) -> Tensor:
    """Offsets (count, 3) with distance U(0, radius), polar angle U(0, pi) and azimuth U(0, 2 pi).

    Denser at the center and around the z axis than a uniform ball: the official draw
    (scene/dataset_readers.py:142-160, 196-213).
    """
    distance = radius * torch.rand(count, generator=g)
    polar = math.pi * torch.rand(count, generator=g)
    azimuth = 2 * math.pi * torch.rand(count, generator=g)
    unit = (polar.sin() * azimuth.sin(), polar.sin() * azimuth.cos(), polar.cos())
    return distance[:, None] * torch.stack(unit, dim=1)


def thin(cloud: Cloud, count: int, g: torch.Generator) -> Cloud:
    """At most `count` points of the cloud, drawn without replacement, in their order."""
    if len(cloud.points) <= count:
        return cloud
    kept = torch.randperm(len(cloud.points), generator=g)[:count].sort().values
    return Cloud(cloud.points[kept], None if cloud.colors is None else cloud.colors[kept])


def replicate(cloud: Cloud, offsets: Tensor) -> Cloud:
    """Every point at each of the `offsets` (K, 3), which all points share: (N K) points, copies adjacent."""
    points = (cloud.points[:, None] + offsets).reshape(-1, 3)
    colors = None if cloud.colors is None else cloud.colors.repeat_interleave(len(offsets), dim=0)
    return Cloud(points, colors)


def upright(points: Tensor) -> Tensor:
    """Points (N, 3) of a y-up world whose front looks to +z, as glTF's, turned to z up and front +y."""
    return torch.stack([-points[:, 0], points[:, 2], points[:, 1]], dim=1)


def fitted(points: Tensor, center: Tensor, reach: float, radius: float) -> Tensor:
    """Points (N, 3) moved from `center` (3,) to 0, and scaled from `reach`, above 0, to `radius`."""
    return (points - center) * (radius / reach)


def neighbor_scales(points: Tensor) -> Tensor:
    """The root mean square distance (N,) of each point (N, 3) to its 3 nearest others, at least 3.2e-4.

    Raises ValueError for fewer than 4 points. Source: official gaussian_model.py:145-172.
    """
    from scipy.spatial import cKDTree

    if len(points) <= NEIGHBORS:
        raise ValueError(f"{len(points)} points: at least {NEIGHBORS + 1} are needed to find their scales")
    exact = points.double().numpy()
    distances, _ = cKDTree(exact).query(exact, k=NEIGHBORS + 1)  # the nearest is the point itself
    squared = np.square(distances[:, 1:]).mean(axis=1).clip(min=LEAST_SQUARED_DISTANCE)
    return torch.from_numpy(np.sqrt(squared)).float()
