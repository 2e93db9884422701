"""One renderer on two devices: gsplat's kernels on CUDA against ours on the CPU, within 1e-3.

That needs a CUDA device and gsplat's compiled kernels. Without them, our kernels are held to a renderer made
of what of gsplat runs on the CPU, its projection in PyTorch, and to the constants in its CUDA sources.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gsplat
import pytest
import torch
from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci
from scenes_of_gaussians import evaluate, random_scene, views
from torch import Tensor

from segmentdreamer.rasterizer import rasterization
from segmentdreamer.rasterizer.conventions import ALPHA_THRESHOLD, MAX_ALPHA, MIN_TRANSMITTANCE
from segmentdreamer.scene.cameras import orbit
from segmentdreamer.scene.gaussians import Splats
from segmentdreamer.scene.render import RenderConfig, rasterize, render_views

TOLERANCE = 1e-3
GRADIENT_TOLERANCE = 1e-2  # relative, of norms: gsplat sums gradients by atomics in float32
# One ulp decides whether an alpha reaches 1/255 and which of two Gaussians at one depth is in front.
UNDECIDED = 1e-3  # share of values where that may show


def blob(opacity: float, distance: float = 3.5) -> Splats:
    """One large Gaussian, `distance` before the camera of azimuth 0."""
    means = torch.tensor([[0.0, 3.5 - distance, 0.0]])
    return Splats(
        means,
        torch.tensor([[1.0, 0, 0, 0]]),
        torch.full((1, 3), 0.3 * distance / 3.5),
        torch.tensor([opacity], requires_grad=True),
        torch.ones(1, 3),
    )


def test_the_constants_are_the_official_rasterizers() -> None:
    """Alpha at most .99 and none below 1/255, an end at a transmittance of 1e-4, nothing nearer than .2."""
    assert (ALPHA_THRESHOLD, MIN_TRANSMITTANCE) == (1 / 255, 1e-4)
    camera = orbit(1, size=33)
    assert float(render_views(blob(1.0), camera)[..., 3].max()) == pytest.approx(0.99, abs=1e-6)
    assert float(render_views(blob(0.9), camera)[..., 3].max()) == pytest.approx(0.9, abs=1e-4)
    assert float(render_views(blob(1.0, 0.21), camera)[..., 3].max()) > 0.9
    assert float(render_views(blob(1.0, 0.19), camera)[..., 3].max()) == 0


def test_the_cap_on_alpha_stops_no_gradient() -> None:
    splats = blob(0.999)
    out, _, _ = rasterize(splats, orbit(1, size=33), None, "RGB", RenderConfig())
    out.sum().backward()
    assert splats.opacities.grad is not None and float(splats.opacities.grad) > 1


def test_gsplats_kernels_have_our_constants() -> None:
    """In its sources as installed; the official cap, .99, is `render.rasterize`'s."""
    cuda = Path(gsplat.__file__).parent / "cuda"
    assert "#define ALPHA_THRESHOLD (1.f / 255.f)" in (cuda / "include/Common.h").read_text()
    forward = (cuda / "csrc/RasterizeToPixels3DGSFwd.cu").read_text()
    caps = re.findall(r"alpha = min\((\S+)f, opac", forward)
    stops = re.findall(r"if \(next_T <= (\S+)f\)", forward)
    assert [float(x) for x in caps] == [MAX_ALPHA] and [float(x) for x in stops] == [MIN_TRANSMITTANCE]
    assert (RenderConfig().near, RenderConfig().far, RenderConfig().alpha_max) == (0.2, 100.0, 0.99)


def assert_images_agree(theirs: Tensor, ours: Tensor) -> None:
    """Equal within 1e-3, and within 1e-5 on average, but for the few values that rounding decides."""
    error = (theirs.double() - ours.double()).abs() / ours.double().abs().clamp(min=1)
    assert (error > TOLERANCE).double().mean() <= UNDECIDED
    assert error[error <= TOLERANCE].mean() <= 1e-5


def from_gsplats_pieces(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    backgrounds: Tensor,
    near_plane: float,
    far_plane: float,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """gsplat's projection in PyTorch, then every Gaussian in every pixel, front to back."""
    covars, _ = _quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    radii, means2d, depths, conics, _ = _fully_fused_projection(
        means, covars, viewmats, Ks, width, height, near_plane=near_plane, far_plane=far_plane
    )
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    images, alphas = [], []
    for c in range(len(viewmats)):
        drawn = depths[c].argsort()
        drawn = drawn[(radii[c, drawn] > 0).all(-1)]
        x = columns.flatten() - means2d[c, drawn, :1]  # (N, pixels)
        y = rows.flatten() - means2d[c, drawn, 1:]
        a, b, d = conics[c, drawn].T[..., None]
        alpha = (opacities[drawn, None] * torch.exp(-(a * x * x + d * y * y) / 2 - b * x * y)).clamp(
            max=0.999
        )
        alpha = torch.where(alpha < 1 / 255, 0, alpha)
        light = torch.cumprod(1 - alpha, dim=0)  # behind each Gaussian
        weight = torch.where(light > 1e-4, alpha * torch.cat((torch.ones_like(light[:1]), light[:-1])), 0)
        image = weight.T @ torch.cat((colors[drawn], depths[c, drawn, None]), dim=1)
        alphas.append(weight.sum(0).view(height, width, 1))
        behind = (1 - alphas[-1]) * torch.cat((backgrounds[c], backgrounds.new_zeros(1)))
        images.append(image.view(height, width, 4) + behind)
    return torch.stack(images), torch.stack(alphas), {"means2d": means2d, "radii": radii}


@pytest.mark.parametrize(("count", "size", "cameras"), [(120, 64, 3), (40, 256, 1), (16, 512, 1)])
def test_our_kernels_agree_with_gsplats_pieces(count: int, size: int, cameras: int) -> None:
    scene = random_scene(count, seed=size, scale=0.15)
    draw = torch.Generator().manual_seed(size)
    options = views(cameras, size, size)
    options |= {"backgrounds": torch.rand(cameras, 3, generator=draw), "near_plane": 0.2, "far_plane": 100.0}
    theirs = evaluate(from_gsplats_pieces, scene, torch.float64, **options)
    ours = evaluate(rasterization, scene, torch.float32, render_mode="RGB+D", **options)
    assert theirs["alpha"].mean() > 0.1
    for name in ("image", "alpha"):
        assert_images_agree(theirs[name], ours[name])
    for name in (name for name in ours if name.startswith("gradient")):
        assert (theirs[name] - ours[name]).norm() <= TOLERANCE * theirs[name].norm(), name


def test_gsplats_pieces_cull_as_our_kernels_do() -> None:
    """Nothing is drawn before the near or beyond the far plane, by either."""
    scene, options = random_scene(60, scale=0.15), views(2, 64, 64)
    options |= {"backgrounds": torch.zeros(2, 3), "near_plane": 2.7, "far_plane": 3.1}
    theirs = evaluate(from_gsplats_pieces, scene, torch.float64, **options)
    ours = evaluate(rasterization, scene, torch.float32, render_mode="RGB+D", **options)
    assert 0 < (theirs["radii"] > 0).all(-1).sum() < 80
    assert_images_agree(theirs["image"], ours["image"])


def on_cuda(scene: dict, cameras: dict) -> dict[str, Tensor]:
    """Images, alphas and gradients of the same loss, on the device and back."""
    moved = [
        {k: v.cuda() if isinstance(v, Tensor) else v for k, v in part.items()} for part in (scene, cameras)
    ]
    inputs = {name: value.clone().requires_grad_() for name, value in moved[0].items()}
    image, alpha, _ = rasterization(**inputs, **moved[1])
    draw = torch.Generator().manual_seed(1)
    loss = sum((x * torch.randn(x.shape, generator=draw).cuda()).sum() for x in (image, alpha))
    torch.as_tensor(loss).backward()
    found = {"image": image, "alpha": alpha}
    found |= {f"gradient by {name}": value.grad for name, value in inputs.items() if value.grad is not None}
    return {name: value.detach().cpu() for name, value in found.items()}


@pytest.mark.cuda
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("depth_moves", [True, False])
@pytest.mark.parametrize(("count", "size"), [(300, 64), (2_000, 256), (20_000, 512)])
def test_images_and_gradients_of_random_scenes_agree(
    count: int, size: int, depth_moves: bool, seed: int
) -> None:
    scene = random_scene(count, seed, scale=0.1 * (300 / count) ** (1 / 3))
    cameras = views(2, size, size) | {"render_mode": "RGB+D", "depth_moves": depth_moves}
    ours, theirs = evaluate(rasterization, scene, torch.float32, **cameras), on_cuda(scene, cameras)
    for name in ("image", "alpha"):
        assert_images_agree(theirs[name], ours[name])
    for name in (name for name in theirs if name.startswith("gradient")):
        assert (theirs[name] - ours[name]).norm() <= GRADIENT_TOLERANCE * ours[name].norm(), name


@pytest.mark.cuda
@pytest.mark.parametrize("size", [(61, 47), (1, 1), (16, 130)])
def test_images_of_any_size_agree(size: tuple[int, int]) -> None:
    scene, cameras = random_scene(500), views(2, *size)
    ours, theirs = evaluate(rasterization, scene, torch.float32, **cameras), on_cuda(scene, cameras)
    torch.testing.assert_close(theirs["image"], ours["image"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(theirs["alpha"], ours["alpha"], rtol=0, atol=TOLERANCE)
