"""The CUDA backend: gsplat, with depth as one more color where its gradient must not move Gaussians."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segmentdreamer.rasterizer.conventions import RenderMode, assemble


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    backgrounds: Tensor | None = None,
    render_mode: RenderMode = "RGB",
    depth_moves: bool = True,
    **options: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """`rasterizer.rasterization` by gsplat; the arguments are checked there."""
    from gsplat import rasterization as draw  # compiles on first use

    mode, added = render_mode, render_mode != "RGB" and not depth_moves
    if added:
        mode = "RGB"
        colors, backgrounds = add_depth(means, colors, viewmats, backgrounds)
    image, alpha, meta = draw(
        means, quats, scales, opacities, colors, viewmats, Ks, width, height,
        backgrounds=backgrounds, render_mode=mode, packed=False, **options,
    )  # fmt: skip
    image = assemble(image[..., :3], image[..., 3:], alpha, render_mode) if added else image
    return image, alpha, meta


def add_depth(
    means: Tensor, colors: Tensor, viewmats: Tensor, backgrounds: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Colors (C, N, 4) whose last channel is the depth in each view, without gradient, over 0."""
    depths = (means @ viewmats[:, 2, :3].mT + viewmats[:, 2, 3]).T.detach()  # (C, N)
    features = torch.cat([colors.expand(len(viewmats), -1, -1), depths[..., None]], dim=-1)
    behind = None if backgrounds is None else torch.nn.functional.pad(backgrounds, (0, 1))
    return features, behind
