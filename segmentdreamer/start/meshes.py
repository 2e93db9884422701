"""Meshes that an optimization may start from, such as avatar templates: a file becomes surface points."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from segmentdreamer.start.clouds import Cloud, fitted, reading, upright

SUFFIXES = (".glb", ".gltf", ".obj", ".off", ".ply", ".stl")
Y_UP = (".glb", ".gltf")  # by the format's definition; elsewhere every program has its own habit


def read_mesh(path: Path) -> Any:
    """The triangles of a mesh file, its parts in place, as a `Trimesh`; ValueError without a surface."""
    import trimesh

    with reading(path, "mesh", SUFFIXES):
        mesh = trimesh.load_mesh(path)
    if not len(mesh.faces) or not mesh.area > 0:
        raise ValueError(f"{path} has no surface")
    return mesh


def sample_mesh(path: Path, count: int, seed: int, radius: float, y_up: bool | None = None) -> Cloud:
    """`count` points on a mesh's surface, equally dense everywhere, with their colors if the mesh has any.

    The mesh is moved to the origin by its bounding box's center and scaled until its farthest vertex is at
    `radius`; radius 0 leaves it as it is. `y_up` turns a mesh whose up is y and whose front is z to this
    project's axes (None: as the format says, y up for glTF and z up else).

    Raises FileNotFoundError and ValueError as `read_mesh`.
    """
    import trimesh

    mesh = read_mesh(path)
    drawn = trimesh.sample.sample_surface(mesh, count, seed=seed, sample_color=_has_colors(mesh))
    points = torch.from_numpy(np.asarray(drawn[0], dtype=np.float64))
    if radius > 0:
        center = mesh.bounds.mean(axis=0)
        reach = float(np.linalg.norm(mesh.vertices - center, axis=1).max())
        points = fitted(points, torch.from_numpy(center), reach, radius)
    if path.suffix.lower() in Y_UP if y_up is None else y_up:
        points = upright(points)
    colors = None
    if len(drawn) > 2:
        colors = torch.from_numpy(np.asarray(drawn[2], dtype=np.float32)[:, :3] / 255)
    return Cloud(points.float(), colors)


def _has_colors(mesh: Any) -> bool:
    """Whether faces, vertices or a texture say what color the surface is."""
    visual = mesh.visual
    if visual.kind == "texture":
        material = visual.material
        image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        return visual.uv is not None and image is not None
    return visual.kind in ("vertex", "face")
