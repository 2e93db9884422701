"""Rendering for training: random backgrounds, scale jitter, the disparity image, and the regularizers.

Source: official gaussian_renderer/__init__.py:44-161, train.py:386-390.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Interval
from torch import Tensor

from segmentdreamer.interfaces import Positive, Share, Views, Weight
from segmentdreamer.randomness import generator, place
from segmentdreamer.rasterizer import rasterization
from segmentdreamer.scene.cameras import TENSORS, Cameras
from segmentdreamer.scene.gaussians import Splats, activate

EMPTY_DEPTH = 10.0  # where empty pixels sit in the disparity image
OPAQUE = 0.1  # pixels with at most this transmittance count as surface


@dataclass(frozen=True)
class RenderConfig:
    """Training-time rendering; defaults are the official ones."""

    size: Annotated[int, Interval(ge=8, le=4096)] = 512
    background: tuple[Share, Share, Share] = (0.0, 0.0, 0.0)
    background_random: Share = 0.66  # share of views whose background is replaced ...
    background_color: Share = 0.5  # ... this share of them by a random color, the others by black
    background_low: Share = 0.0  # random colors are uniform in [low, 1]
    scale_jitter: Weight = 0.1118  # scales are multiplied by 1 + jitter N(0, 1)
    near: Positive = 0.2  # what the official rasterizer culls; its cameras' own near plane, .01, cuts nothing
    far: Positive = 100.0
    # Whether the disparity image also pulls Gaussians along the view; the official rasterizer passes its
    # gradient to opacity and footprint alone (backward.cu:538-548).
    depth_moves: bool = False
    alpha_max: Share = 0.99  # of a Gaussian in a pixel; gsplat's kernels alone would allow .999

    def __post_init__(self) -> None:
        if not self.near < self.far:
            raise ValueError(f"near {self.near:g} must lie before far {self.far:g}")


@dataclass(frozen=True)
class RegularizerConfig:
    """Weights of the regularizers; official values."""

    tv: Weight = 1.0  # on images and disparity
    scale: Weight = 1.0  # on the mean size of the Gaussians


@dataclass(frozen=True)
class Rendered:
    """A batch of training views."""

    images: Tensor  # (B, 3, H, W), not clamped
    alphas: Tensor  # (B, 1, H, W), without gradient
    disparity: Tensor | None  # (B, 1, H, W) in [0, 1]
    scales: Tensor  # (N, 3), as rendered (jittered)
    meta: dict[str, Any]  # the rasterizer's, for densification
    depth: Tensor | None = None  # (B, H, W), accumulated, along the camera's axis, without gradient


def render_training(
    splats: Splats, cameras: Cameras, config: RenderConfig, seed: int, step: int, disparity: bool
) -> Rendered:
    """Render a batch with the step's augmentations.

    The scale jitter is drawn for each Gaussian and axis, once a step for all views of the batch (the
    official renderer draws it for each view).
    """
    g = generator(seed, "render", step)
    jitter = 1 + config.scale_jitter * place(torch.randn(splats.scales.shape, generator=g), splats.scales)
    scales = (splats.scales * jitter).clamp(min=0)
    backgrounds = place(draw_backgrounds(len(cameras.viewmats), config, g), splats.means)
    mode = "RGB+D" if disparity else "RGB"
    out, alphas, meta = rasterize(replace(splats, scales=scales), cameras, backgrounds, mode, config)
    images = out[..., :3].permute(0, 3, 1, 2)
    disp = to_disparity(out[..., 3], 1 - alphas[..., 0], cameras.fov) if disparity else None
    depth = out[..., 3].detach() if disparity else None
    return Rendered(images, alphas.detach().permute(0, 3, 1, 2), disp, scales, meta, depth)


def seen(rendered: Rendered, cameras: Cameras) -> Views:
    """The views as a method may ask for them: cameras and, where depth was rendered, mean surface points."""
    c2w, Ks = (place(x, rendered.alphas) for x in (torch.linalg.inv(cameras.viewmats), cameras.Ks))
    if rendered.depth is None:
        return Views(c2w, rendered.alphas)
    depth = rendered.depth / rendered.alphas[:, 0].clamp(min=1e-6)
    middle = torch.arange(cameras.size, device=depth.device, dtype=depth.dtype) + 0.5  # of pixels
    x = depth * (middle - Ks[:, 0, 2, None, None]) / Ks[:, 0, 0, None, None]
    y = depth * (middle[:, None] - Ks[:, 1, 2, None, None]) / Ks[:, 1, 1, None, None]
    points = torch.einsum("bij,bjhw->bihw", c2w[:, :3, :3], torch.stack([x, y, depth], 1))
    return Views(c2w, rendered.alphas, points + c2w[:, :3, 3, None, None])


def render_views(splats: Splats, cameras: Cameras, background: Tensor | None = None) -> Tensor:
    """Images and alpha without augmentation: (B, H, W, 4), premultiplied unless a background is given."""
    return render_depth(splats, cameras, background)[..., :4]


def render_depth(splats: Splats, cameras: Cameras, background: Tensor | None = None) -> Tensor:
    """As render_views, and the mean depth of what a pixel blends, along the camera's axis: (B, H, W, 5)."""
    backgrounds = None if background is None else background.expand(len(cameras.viewmats), 3)
    with torch.no_grad():
        out, alphas, _ = rasterize(splats, cameras, backgrounds, "RGB+ED", RenderConfig())
    return torch.cat([out[..., :3], alphas, out[..., 3:]], dim=-1)


def render_asset(params: dict[str, Tensor], cameras: Cameras) -> Tensor:
    """As render_depth, of raw parameters; views of colors beyond degree 0 one by one, as each has its own."""
    if "shN" not in params:
        return render_depth(activate(params), cameras)
    single = (
        replace(cameras, **{name: getattr(cameras, name)[view : view + 1] for name in TENSORS})
        for view in range(len(cameras.viewmats))
    )
    return torch.cat([render_depth(activate(params, one.viewmats), one) for one in single])


def rasterize(
    splats: Splats, cameras: Cameras, backgrounds: Tensor | None, mode: Any, config: RenderConfig
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    # An alpha is at most its Gaussian's opacity. As in the official backward pass, the cap stops no gradient.
    excess = (splats.opacities - splats.opacities.clamp(max=config.alpha_max)).detach()
    viewmats, Ks = (place(x, splats.means) for x in (cameras.viewmats, cameras.Ks))
    return rasterization(
        splats.means, splats.quats, splats.scales, splats.opacities - excess, splats.colors,
        viewmats, Ks, cameras.size, cameras.size, near_plane=config.near, far_plane=config.far,
        backgrounds=backgrounds, render_mode=mode, depth_moves=config.depth_moves,
    )  # fmt: skip


def total_variation(image: Tensor) -> Tensor:
    """2 (mean squared vertical + mean squared horizontal difference) of (B, C, H, W)."""
    vertical = (image[..., 1:, :] - image[..., :-1, :]).square().mean()
    horizontal = (image[..., 1:] - image[..., :-1]).square().mean()
    return 2 * (vertical + horizontal)


def regularization(rendered: Rendered, config: RegularizerConfig) -> Tensor:
    """Total variation of the renders and the mean size of the Gaussians, weighted: added once to the loss."""
    loss = config.scale * rendered.scales.mean() if len(rendered.scales) else torch.zeros(())
    if config.tv > 0:
        loss = loss + config.tv * total_variation(rendered.images)
        if rendered.disparity is not None:
            loss = loss + config.tv * total_variation(rendered.disparity)
    return loss


def draw_backgrounds(n: int, config: RenderConfig, g: torch.Generator) -> Tensor:
    """Background colors (n, 3): the base one, or black or a random color in its place."""
    base = torch.tensor(config.background).expand(n, 3)
    replaced = torch.rand(n, 1, generator=g) < config.background_random
    colored = torch.rand(n, 1, generator=g) < config.background_color
    random = config.background_low + (1 - config.background_low) * torch.rand(n, 3, generator=g)
    return torch.where(replaced, torch.where(colored, random, torch.zeros(n, 3)), base)


def to_disparity(depth: Tensor, transmittance: Tensor, fov: Tensor) -> Tensor:
    """The official disparity image (B, 1, H, W) in [0, 1] from accumulated depth and transmittance.

    f / (D + 10 T + 1e-5), its least value over opaque pixels subtracted (over all where none is), then
    divided by its range; 0 everywhere on an empty frame.
    """
    focal = 1 / place(2 * torch.tan(0.5 * fov), depth)[:, None, None]
    raw = focal / (depth + EMPTY_DEPTH * transmittance + 1e-5)  # (B, H, W)
    surface = torch.where(transmittance <= OPAQUE, raw, torch.full_like(raw, torch.inf))
    low = surface.amin((1, 2), keepdim=True)
    low = torch.where(torch.isfinite(low), low, raw.amin((1, 2), keepdim=True))
    span = raw.amax((1, 2), keepdim=True) - low
    return ((raw - low) / span.clamp(min=1e-8)).clamp(0, 1)[:, None]
