"""Cameras: the paper pipeline's training distribution, and the 120-view evaluation orbit.

Convention (official scene/dataset_readers.py): z is up, azimuth 0 looks at the front from +y and
azimuth 90 stands at +x; positions are r (sin az cos el, cos az cos el, sin el). World-to-camera
matrices use OpenCV axes (x right, y down, z forward), as gsplat does.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from segmentdreamer.interfaces import ASCENDING, Positive, Weight, Whole
from segmentdreamer.randomness import generator


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras of square images."""

    viewmats: Tensor  # (B, 4, 4) world to camera
    Ks: Tensor  # (B, 3, 3) pixels
    size: int  # image side, pixels
    azimuth: Tensor  # (B,) degrees in [-180, 180)
    elevation: Tensor  # (B,) degrees
    fov: Tensor  # (B,) radians, both axes


TENSORS = tuple(f.name for f in fields(Cameras) if f.name != "size")


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """World-to-camera matrices (B, 4, 4) of cameras at `eye` facing `target`, all (B, 3)."""
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], dim=1)  # (B, 3, 3)
    viewmats = torch.eye(4).repeat(len(eye), 1, 1)
    viewmats[:, :3, :3] = rotation
    viewmats[:, :3, 3] = -(rotation @ eye[..., None])[..., 0]
    return viewmats


def position(azimuth: Tensor, elevation: Tensor, radius: Tensor) -> Tensor:
    """Points (B, 3) on spheres around the origin; angles in degrees."""
    az, el = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    unit = torch.stack([az.sin() * el.cos(), az.cos() * el.cos(), el.sin()], dim=-1)
    return radius[..., None] * unit


def intrinsics(fov: Tensor, size: int) -> Tensor:
    """Pinhole matrices (B, 3, 3) of square images with field of view `fov` (B,) in radians."""
    focal = 0.5 * size / torch.tan(0.5 * fov)
    Ks = torch.zeros(len(fov), 3, 3)
    Ks[:, 0, 0] = Ks[:, 1, 1] = focal
    Ks[:, 0, 2] = Ks[:, 1, 2] = 0.5 * size
    Ks[:, 2, 2] = 1
    return Ks


def orbit(
    views: int = 120, elevation: float = 0.0, radius: float = 3.5, fov: float = 0.55, size: int = 512
) -> Cameras:
    """The evaluation ring at one elevation; defaults: dataset_readers.py getCircleVideoCameras."""
    azimuth = torch.arange(views, dtype=torch.float32) * (360.0 / views)
    elevations, radii, fovs = (torch.full((views,), float(value)) for value in (elevation, radius, fov))
    eye = position(azimuth, elevations, radii)
    viewmats = look_at(eye, torch.zeros(views, 3), torch.tensor([[0.0, 0.0, 1.0]]).expand(views, 3))
    return Cameras(viewmats, intrinsics(fovs, size), size, wrap(azimuth), elevations, fovs)


def wrap(azimuth: Tensor) -> Tensor:
    """Degrees to [-180, 180)."""
    return (azimuth + 180.0) % 360.0 - 180.0


# What the official configurations (config/*.yaml) choose by kind of subject: polar angles and azimuths in
# degrees. "animal" also serves scenes. For heads they are of two minds about the highest camera, polar 45 or
# 60; the wider range is taken. All other ranges are the same for every kind.
PRESETS: dict[str, dict[str, Any]] = {
    kind: {"polar": polar, "polar_max": polar, "azimuth": azimuth, "azimuth_max": (-180.0, 180.0), "gamma": g}
    for kind, polar, azimuth, g in (
        ("object", (45.0, 105.0), (-180.0, 180.0), 1.0),
        ("animal", (60.0, 90.0), (-180.0, 180.0), 1.5),
        ("head", (45.0, 90.0), (-80.0, 80.0), 1.5),
    )
}


Polar = Annotated[float, Interval(ge=0, le=180)]
Polars = Annotated[tuple[Polar, Polar], ASCENDING]
Azimuths = Annotated[tuple[float, float], ASCENDING]
Angle = Annotated[float, Interval(gt=0, lt=3.1)]  # a field of view, radians
Batch = Annotated[int, Interval(ge=1, le=1024)]


@dataclass(frozen=True)
class CameraConfig:
    """The training distribution, by default the official 'object' preset: ranges (low, high), fov in radians.

    Sources: official scene/dataset_readers.py:273-371 and arguments/__init__.py.
    """

    # Whose ranges stand where the configuration names none: one kind's, or that of the prompt's kind.
    preset: Literal["none", "prompt", "object", "animal", "head"] = "none"
    radius: Annotated[tuple[Positive, Positive], ASCENDING] = (5.2, 5.5)
    radius_min: Positive = 3.5
    radius_max: Positive = 5.0
    polar: Polars = (45.0, 105.0)
    azimuth: Azimuths = (-180.0, 180.0)
    polar_max: Polars = (45.0, 105.0)
    azimuth_max: Azimuths = (-180.0, 180.0)
    gamma: Positive = 1.0  # >1 concentrates polar and azimuth at mid-range
    fov: Annotated[tuple[Angle, Angle], ASCENDING] = (0.32, 0.60)
    fov_min: Angle = 0.16
    fov_max: Angle = 0.60
    relax_every: Whole = 500  # steps; 0 keeps the first ranges
    relax_fov: tuple[Positive, Positive] = (0.75, 1.1)
    relax_radius: Positive = 0.95
    relax_angle: Positive = 1.5
    jitter_position: Weight = 0.025  # uniform half-width
    jitter_target: Weight = 0.05  # standard deviation
    jitter_up: Weight = 0.01
    set_size: Batch = 10  # cameras that share one fov
    batch: Batch = 4


def relaxed(config: CameraConfig, step: int) -> CameraConfig:
    """The ranges in force at a step: widened once for every `relax_every` steps done (train.py:272-285)."""
    for _ in range(step // config.relax_every if config.relax_every > 0 else 0):
        config = replace(
            config,
            fov=(
                max(config.fov_min, config.fov[0] * config.relax_fov[0]),
                min(config.fov_max, config.fov[1] * config.relax_fov[1]),
            ),
            radius=(
                max(config.radius_min, config.radius[0] * config.relax_radius),
                max(config.radius_max, config.radius[1] * config.relax_radius),
            ),
            polar=_widened(config.polar, config.polar_max, config.relax_angle),
            azimuth=_widened(config.azimuth, config.azimuth_max, config.relax_angle),
        )
    return config


def _widened(span: tuple[float, float], limit: tuple[float, float], factor: float) -> tuple[float, float]:
    middle, half = 0.5 * (span[0] + span[1]), 0.5 * (span[1] - span[0]) * factor
    return max(limit[0], middle - half), min(limit[1], middle + half)


def training_cameras(config: CameraConfig, step: int, seed: int, size: int) -> Cameras:
    """The batch of training cameras at optimization step `step` (0-based).

    Cameras come in sets of `set_size` that share one field of view; the sets are laid end to end and
    cut into batches (10 = 4 + 4 + 2 by default), as the official loader pops them.
    """
    first = step * config.batch
    drawn = []
    for number in range(first, first + config.batch):
        opened_at = number // config.set_size * config.set_size // config.batch
        cameras = _draw_set(relaxed(config, opened_at), number // config.set_size, seed, size)
        drawn.append((cameras, number % config.set_size))
    return Cameras(
        size=size, **{name: torch.stack([getattr(c, name)[i] for c, i in drawn]) for name in TENSORS}
    )


@lru_cache(maxsize=4)  # a batch asks for the same set several times
def _draw_set(config: CameraConfig, number: int, seed: int, size: int) -> Cameras:
    n, g = config.set_size, generator(seed, "cameras", number)
    radius = _uniform(n, config.radius, 1.0, g)
    polar = _uniform(n, config.polar, config.gamma, g)
    azimuth = _uniform(n, config.azimuth, config.gamma, g)
    eye = position(azimuth, 90.0 - polar, radius)
    eye = eye + config.jitter_position * (2 * torch.rand(n, 3, generator=g) - 1)
    target = config.jitter_target * torch.randn(n, 3, generator=g)
    up = torch.tensor([0.0, 0.0, 1.0]) + config.jitter_up * torch.randn(n, 3, generator=g)
    fov = _uniform(1, config.fov, 1.0, g).expand(n)
    viewmats, Ks = look_at(eye, target, up), intrinsics(fov, size)
    return Cameras(viewmats, Ks, size, wrap(azimuth), 90.0 - polar, fov)


def _uniform(n: int, span: tuple[float, float], gamma: float, g: torch.Generator) -> Tensor:
    """mid + half * U^gamma with U uniform in [-1, 1], sign kept (dataset_readers.py:273-300)."""
    u = 2 * torch.rand(n, generator=g) - 1
    shaped = u.sign() * u.abs() ** gamma
    return 0.5 * (span[0] + span[1]) + 0.5 * (span[1] - span[0]) * shaped
