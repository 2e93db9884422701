"""The rasterizer's promises: the kernels agree with the dense oracle, the oracle with gsplat."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scenes_of_gaussians import Scene, evaluate, random_scene, views
from torch import Tensor

from segmentdreamer.rasterizer import dense, rasterization
from segmentdreamer.rasterizer.conventions import (
    ALPHA_THRESHOLD,
    MAX_ALPHA,
    MIN_TRANSMITTANCE,
    RenderMode,
)

TOLERANCE = 1e-4  # ||gradient - oracle's|| / ||oracle's||, for each parameter


def assert_agree(scene: Scene, **options: Any) -> dict[str, Tensor]:
    """Compare the kernels, in float32, with the oracle, in float64; return the kernels' results."""
    options.setdefault("render_mode", "RGB+D")
    ours = evaluate(rasterization, scene, torch.float32, **options)
    theirs = evaluate(dense.rasterization, scene, torch.float64, **options)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.isfinite(value).all(), name
        error = (value.double() - theirs[name].double()).norm()
        # The floor is for gradients that are zero but for float64's rounding: turning a sphere.
        assert error <= TOLERANCE * theirs[name].double().norm() + 1e-14, (name, float(error))
    return ours


def distance_to_thresholds(scene: Scene, cameras: dict[str, Any]) -> float:
    """How near, relatively, any alpha or transmittance comes to a value where the image jumps.

    There float32 and float64 may rightly take different sides, so that comparing them is moot.
    """
    means, quats, scales, opacities = (
        scene[name].double() for name in ("means", "quats", "scales", "opacities")
    )
    viewmats, Ks, width, height = cameras.values()
    projected = dense.project(
        means, dense.covariances(quats, scales), opacities, viewmats.double(), Ks.double(),
        width, height, 0.01, 1e10, 0.0, 0.3,
    )  # fmt: skip
    nearest = [float("inf")]
    for c in range(len(viewmats)):
        drawn = dense.drawing_order(projected.depths[c], projected.radii[c])
        exponents = dense.falloff(projected.means2d[c, drawn], projected.conics[c, drawn], width, height)
        alphas = opacities[drawn, None] * torch.exp(-exponents)
        light = torch.cumprod(1 - dense.pixel_alphas(alphas), dim=0)
        for values, threshold in (
            (alphas, ALPHA_THRESHOLD),
            (alphas, MAX_ALPHA),
            (light, MIN_TRANSMITTANCE),
        ):
            nearest += (values / threshold - 1).abs().flatten().tolist()
    return min(nearest)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(0, 30),
    log_scale=st.floats(-5, 1),
    spread=st.sampled_from([0.2, 0.7, 3.0]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    cameras=st.integers(1, 3),
    render_mode=st.sampled_from(["RGB", "D", "RGB+D"]),
    per_view=st.booleans(),
    background=st.booleans(),
)
def test_gradients_by_every_parameter_match_the_oracle(
    seed: int,
    count: int,
    log_scale: float,
    spread: float,
    size: tuple[int, int],
    cameras: int,
    render_mode: RenderMode,
    per_view: bool,
    background: bool,
) -> None:
    scene = random_scene(count, seed, scale=2.718**log_scale, spread=spread)
    draw = torch.Generator().manual_seed(seed)
    if per_view:
        scene["colors"] = torch.rand(cameras, count, 3, generator=draw)
    if background:
        scene["backgrounds"] = torch.rand(cameras, 3, generator=draw)
    posed = views(cameras, *size)
    assume(distance_to_thresholds(scene, posed) > 1e-5)
    assert_agree(scene, render_mode=render_mode, **posed)


@pytest.mark.parametrize("render_mode", ["RGB", "D", "ED", "RGB+D", "RGB+ED"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_render_mode_matches_the_oracle(render_mode: RenderMode, seed: int) -> None:
    # Dividing by alpha is ill-conditioned where it is faint, hence no arbitrary scenes for "ED".
    assert_agree(random_scene(100, seed), render_mode=render_mode, **views(2, 33, 26))


def edited(**changes: Any) -> Scene:
    """A scene of 50 Gaussians in which the first ten entries of some tensors are overwritten."""
    scene = random_scene(50)
    for name, value in changes.items():
        scene[name][:10] = torch.as_tensor(value)
    return scene


EDGE_CASES: dict[str, tuple[Scene, dict[str, Any]]] = {
    "no Gaussians": (random_scene(0), {}),
    "one Gaussian": (random_scene(1), {}),
    "all behind the camera": (random_scene(50), {"near_plane": 5.0}),
    "all beyond the far plane": (random_scene(50), {"far_plane": 1.0}),
    "on both sides of the camera": (random_scene(50, spread=3.0), {}),
    "all off screen": (edited() | {"means": torch.full((50, 3), 2.0)}, {}),
    "partly off screen": (random_scene(50, spread=1.2, scale=0.3), {}),
    "opacity 0": (edited(opacities=0.0), {}),
    "opacity 1": (edited(opacities=1.0), {}),
    "all of opacity 1": (edited() | {"opacities": torch.ones(50)}, {}),
    "scales of 1e-12": (edited(scales=1e-12), {}),
    "scales of 1e3": (edited(scales=1e3), {}),
    "needles": (edited(scales=[10.0, 1e-12, 1e-12]), {}),
    "discs": (edited(scales=[1e-12, 1e2, 1e2]), {}),
    "quaternion 0": (edited(quats=0.0), {}),
    "quaternions of length 1e-15": (edited(quats=[0.6e-15, 0.8e-15, 0.0, 0.0]), {}),
    "quaternions of length 1e15": (edited(quats=[0.6e15, 0.0, 0.8e15, 0.0]), {}),
    "duplicates": (edited(means=0.1, colors=0.5, scales=0.2), {}),
    "a layer at one depth": (edited(means=0.0), {}),
    "no low-pass": (random_scene(50), {"eps2d": 0.0}),
    "small Gaussians skipped": (random_scene(50), {"radius_clip": 4.0}),
    "a deep stack": (random_scene(600, scale=0.3), {}),
}


@pytest.mark.parametrize("name", EDGE_CASES)
def test_edge_cases_match_the_oracle(name: str) -> None:
    scene, options = EDGE_CASES[name]
    assert_agree(scene, **views(2, 37, 29), **options)


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (8, 8), (9, 17), (131, 5)])
def test_images_of_any_size_match_the_oracle(size: tuple[int, int]) -> None:
    assert_agree(random_scene(40, scale=0.2), **views(3, *size))


def test_an_off_center_camera_with_two_focal_lengths_matches_the_oracle() -> None:
    cameras = views(2, 40, 30)
    cameras["Ks"][:, 0, 0] *= 1.7
    cameras["Ks"][:, :2, 2] += torch.tensor([9.3, -6.1])
    assert_agree(random_scene(40, spread=1.5), **cameras)


def test_the_oracle_projects_as_gsplat_does() -> None:
    scene = random_scene(200, spread=1.5)
    scene["means"], scene["scales"] = scene["means"].double(), scene["scales"].double()
    cameras = views(3, 60, 40)
    viewmats, Ks, width, height = cameras.values()
    covars = dense.covariances(scene["quats"].double(), scene["scales"])
    expected, _ = _quat_scale_to_covar_preci(scene["quats"].double(), scene["scales"])
    torch.testing.assert_close(covars, expected)
    radii, means2d, depths, conics, _ = _fully_fused_projection(
        scene["means"], covars, viewmats.double(), Ks.double(), width, height
    )
    projected = dense.project(
        scene["means"], covars, torch.ones(200).double(), viewmats.double(), Ks.double(),
        width, height, 0.01, 1e10, 0.0, 0.3,
    )  # fmt: skip
    drawn = (radii > 0).all(-1)
    assert 100 < drawn.sum() < 600
    torch.testing.assert_close(projected.means2d[drawn], means2d[drawn])
    torch.testing.assert_close(projected.conics[drawn], conics[drawn])
    torch.testing.assert_close(projected.depths, depths)
    # At opacity 1 alpha reaches 1/255 at 3.3290 standard deviations, gsplat's cap is 3.33.
    assert ((radii - projected.radii)[drawn].abs() <= 1).all()


def test_a_fainter_gaussian_has_a_smaller_radius() -> None:
    scene = random_scene(1, scale=0.3)
    radii = []
    for opacity in (1.0, 0.1, 0.01, 0.003):
        scene["opacities"][:] = opacity
        _, _, meta = rasterization(**scene, **views(1, 64, 64))
        radii.append(int(meta["radii"].max()))
    assert radii[0] > radii[1] > radii[2] > radii[3] == 0
