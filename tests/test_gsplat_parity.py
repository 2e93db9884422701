"""One renderer on two devices: gsplat's kernels on CUDA against ours on the CPU, within 1e-3.

Needs a CUDA device and gsplat's compiled kernels. Without them, both sides are held to the same oracle in
test_rasterizer.py: dense compositing in float64, and gsplat's own projection in PyTorch.
"""

from __future__ import annotations

import pytest
import torch
from test_rasterizer import evaluate, random_scene, views
from torch import Tensor

from segmentdreamer.cameras import orbit
from segmentdreamer.gaussians import Splats
from segmentdreamer.rasterizer import rasterization
from segmentdreamer.rasterizer.conventions import ALPHA_THRESHOLD, MIN_TRANSMITTANCE
from segmentdreamer.render import RenderConfig, rasterize, render_views

TOLERANCE = 1e-3
GRADIENT_TOLERANCE = 1e-2  # relative, of norms: gsplat sums gradients by atomics in float32
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def blob(opacity: float, distance: float = 3.5) -> Splats:
    """One large Gaussian, `distance` before the camera of azimuth 0."""
    means = torch.tensor([[0.0, 3.5 - distance, 0.0]])
    return Splats(means, torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.3 * distance / 3.5),
                  torch.tensor([opacity], requires_grad=True), torch.ones(1, 3))  # fmt: skip


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


@needs_cuda
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("count", "size"), [(300, 64), (2_000, 256), (20_000, 512)])
def test_images_and_gradients_of_random_scenes_agree(count: int, size: int, seed: int) -> None:
    scene = random_scene(count, seed, scale=0.1 * (300 / count) ** (1 / 3))
    cameras = views(2, size, size) | {"render_mode": "RGB+D"}
    ours, theirs = evaluate(rasterization, scene, torch.float32, **cameras), on_cuda(scene, cameras)
    for name in ("image", "alpha"):
        torch.testing.assert_close(theirs[name], ours[name], rtol=TOLERANCE, atol=TOLERANCE)
    for name in (name for name in theirs if name.startswith("gradient")):
        assert (theirs[name] - ours[name]).norm() <= GRADIENT_TOLERANCE * ours[name].norm(), name


@needs_cuda
@pytest.mark.parametrize("size", [(61, 47), (1, 1), (16, 130)])
def test_images_of_any_size_agree(size: tuple[int, int]) -> None:
    scene, cameras = random_scene(500), views(2, *size)
    ours, theirs = evaluate(rasterization, scene, torch.float32, **cameras), on_cuda(scene, cameras)
    torch.testing.assert_close(theirs["image"], ours["image"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(theirs["alpha"], ours["alpha"], rtol=0, atol=TOLERANCE)
