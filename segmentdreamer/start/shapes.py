"""Where an optimization starts: a gray shape, a point cloud or a mesh, the same for every method."""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from segmentdreamer.interfaces import Count, Positive, Share, Weight
from segmentdreamer.randomness import derive_seed, generator
from segmentdreamer.records import file_digest
from segmentdreamer.scene.gaussians import Parameters, load_ply, parameters
from segmentdreamer.scene.turning import Up, moved, upright
from segmentdreamer.start import clouds, meshes
from segmentdreamer.start.clouds import Cloud

COPIES = 20  # Gaussians for a point of Point-E's: floor(100000 / 5000)
SPREAD = 0.05  # how far, at most, they lie from it; world units
LIFT = 0.15  # Point-E's clouds are moved up by this
FROM_FILE = ("points", "mesh", "point-e", "gaussians")
OPACITIES = (1e-4, 1 - 1e-4)  # of Gaussians that are given: a logit of 0 or 1 has no gradient
SOLID_COUNT = 4096
SOLID_SCALE = 0.6  # of a solid sphere's Gaussians, in mean distances between them: no gap, a firm edge
SOLID_OPACITY = 0.99


@dataclass(frozen=True)
class StartConfig:
    """The first Gaussians: where they come from and what they look like.

    Sources: official scene/dataset_readers.py:142-160, 196-213; gaussian_model.py:145-172.
    """

    # "ball": uniform in a ball. "sphere": the official one, denser at the center. "box": uniform in a cube.
    # "points": a cloud, as it is. "mesh": points on a surface. "point-e": a cloud of Point-E's, replicated.
    # "gaussians": a 3DGS PLY, from which a run goes on: all of it, with its colors, shapes and opacities.
    kind: Literal["ball", "sphere", "box", "points", "mesh", "point-e", "gaussians"] = "ball"
    file: str = ""  # of the last four; "{prompt_id}" and "{seed}" in it stand for the asset's
    count: Count = 1000  # Gaussians; of a cloud's points, at most so many are used
    radius: Positive = 0.5  # of the ball or the sphere, half the side of the box
    fit: Weight | None = None  # radius that a file's shape is scaled to; null: 1 for a mesh, else as it is
    up: Literal["auto", "y", "z"] = "auto"  # a file's upward axis; auto: y for glTF, else z
    use_colors: bool = False  # take a file's colors (officially they are dropped)
    scale: Positive | None = (
        0.05  # standard deviation of each Gaussian, world units; null: from its neighbors
    )
    opacity: Annotated[float, Interval(gt=0, lt=1)] = 0.1
    gray: Share = 0.5


def located(config: StartConfig, prompt_id: str, index: int) -> StartConfig:
    """The configuration with its file's name filled in for a prompt and the seed of this index."""
    return replace(config, file=config.file.replace("{prompt_id}", prompt_id).replace("{seed}", str(index)))


def start_state(config: StartConfig, seed: int) -> Parameters:
    """The Gaussians that a run starts from; FileNotFoundError and ValueError, in one line, for a bad file."""
    path = start_file(config)
    if path is None:
        return gaussians(shape(config, seed), config)
    try:
        if config.kind == "gaussians":
            return read_gaussians(config, path)
        return gaussians(read_start(config, path, seed), config)
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def shape(config: StartConfig, seed: int) -> Cloud:
    """`count` points of the ball, the official sphere or the box around the origin."""
    g = generator(seed, "start")
    if config.kind == "sphere":
        return Cloud(clouds.spherical(config.count, config.radius, g))
    if config.kind == "box":
        return Cloud(config.radius * (2 * torch.rand(config.count, 3, generator=g) - 1))
    direction = torch.nn.functional.normalize(torch.randn(config.count, 3, generator=g), dim=-1)
    return Cloud(direction * (config.radius * torch.rand(config.count, 1, generator=g) ** (1 / 3)))


def start_file(config: StartConfig) -> Path | None:
    """The file that a start is read from, if any; FileNotFoundError, with what to do, where none is there."""
    if config.kind not in FROM_FILE:
        return None
    if config.file and (path := Path(config.file)).is_file():
        return path
    unnamed = f"start.kind={config.kind} needs start.file"
    missing = f"no file at {path} (start.file)" if config.file else unnamed
    if config.kind == "point-e":
        missing += (
            ": make a cloud with `python -m segmentdreamer.start.point_e` in Point-E's environment, name "
            "clouds of your own with start.file=FOLDER/{prompt_id}-{seed}.ply, or start from a gray sphere "
            "with start.kind=sphere"
        )
    raise FileNotFoundError(missing)


def start_digest(config: StartConfig) -> str:
    """SHA-256 of the file that the start is read from; empty for a kind that needs none."""
    path = start_file(config)
    return file_digest(path) if path else ""


def read_start(config: StartConfig, path: Path, seed: int) -> Cloud:
    """At most `count` points of the cloud or mesh at `path`, where this project's axes have them."""
    g = generator(seed, "start")
    if config.kind == "point-e":
        return official_cloud(clouds.thin(clouds.read_cloud(path), config.count // COPIES, g), g)
    y_up = None if config.up == "auto" else config.up == "y"
    if config.kind == "mesh":
        radius = 1.0 if config.fit is None else config.fit
        return meshes.sample_mesh(path, config.count, derive_seed(seed, "start"), radius, y_up)
    cloud = clouds.thin(clouds.read_cloud(path), config.count, g)
    points = clouds.upright(cloud.points) if y_up else cloud.points
    if config.fit:
        points = clouds.fitted(points, *extent(points), config.fit)
    return Cloud(points, cloud.colors)


def read_gaussians(config: StartConfig, path: Path) -> Parameters:
    """The Gaussians of a 3DGS PLY, turned and scaled as `up` and `fit` say; colors are those of degree 0."""
    raw = {name: value.detach() for name, value in load_ply(path).items()}
    if raw.pop("shN", None) is not None:
        print(f"note: {path}: a run goes on from its colors' degree 0 alone", file=sys.stderr)
    low, high = torch.logit(torch.tensor(OPACITIES)).tolist()
    raw["opacities"] = raw["opacities"].clamp(low, high)
    if not len(raw["means"]):
        raise ValueError(f"{path} holds no Gaussians")
    center, scale = None, 1.0
    if config.fit:
        center, reach = extent(raw["means"])
        scale = config.fit / reach
    up: Up = "y" if config.up == "y" else "z"
    found = moved(raw, upright(up), scale, center)
    return {name: torch.nn.Parameter(value.contiguous()) for name, value in found.items()}


def extent(points: Tensor) -> tuple[Tensor, float]:
    """The center of the bounding box of points (N, 3), and how far the farthest is; ValueError if 0."""
    center = (points.amax(0) + points.amin(0)) / 2
    reach = float((points - center).norm(dim=1).max())
    if not reach > 0:
        raise ValueError("all points coincide: nothing to scale")
    return center, reach


def official_cloud(cloud: Cloud, g: torch.Generator) -> Cloud:
    """Point-E's cloud as the paper's pipeline takes it: y mirrored, lifted, 20 copies of each point.

    The copies' offsets are drawn once and shared by all points. Source: scene/dataset_readers.py:142-160.
    """
    points = cloud.points * torch.tensor([1.0, -1.0, 1.0]) + torch.tensor([0.0, 0.0, LIFT])
    return clouds.replicate(Cloud(points, cloud.colors), clouds.spherical(COPIES, SPREAD, g))


def gaussians(cloud: Cloud, config: StartConfig) -> Parameters:
    """A Gaussian at each point of the cloud; ValueError if its colors are asked for and it has none."""
    points = cloud.points
    if config.use_colors and cloud.colors is None:
        raise ValueError("there are no colors to take (start.use_colors)")
    gray = torch.full(points.shape, config.gray)
    given = None if config.scale is None else torch.full((len(points),), config.scale)
    scales = clouds.neighbor_scales(points) if given is None else given
    colors = cloud.colors if config.use_colors and cloud.colors is not None else gray
    opacities = torch.full((len(points),), config.opacity)
    return parameters(points, scales[:, None].repeat(1, 3), opacities, colors)


def solid_sphere(radius: float, gray: float) -> Parameters:
    """An opaque gray sphere around the origin: equal Gaussians spread evenly on its surface."""
    i = torch.arange(SOLID_COUNT) + 0.5
    azimuth = math.pi * (1 + 5**0.5) * i.double()  # steps of the golden angle, equal in height
    z = 1 - 2 * i.double() / SOLID_COUNT
    around = (1 - z * z).sqrt()
    unit = torch.stack([around * azimuth.sin(), around * azimuth.cos(), z], dim=1).float()
    distance = radius * math.sqrt(4 * math.pi / SOLID_COUNT)
    scales, colors = (torch.full((SOLID_COUNT, 3), value) for value in (SOLID_SCALE * distance, gray))
    return parameters(radius * unit, scales, torch.full((SOLID_COUNT,), SOLID_OPACITY), colors)


def start_seed(prompt_id: str, seed: int) -> int:
    """The seed of a run: from prompt and seed index, equal for all methods."""
    return derive_seed(prompt_id, seed)
