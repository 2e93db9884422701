"""The CUDA backend: gsplat, with depth as one more color where its gradient must not move Gaussians."""

from typing import Any

import torch
from torch import Tensor

from segmentdreamer.rasterizer.conventions import RenderMode, assemble


def rasterization(
    render_mode: RenderMode, depth_moves: bool, **call: Any
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """`rasterizer.rasterization`, whose other arguments are `call`, by gsplat; they are checked there."""
    from gsplat import rasterization as draw  # compiles on first use

    if render_mode == "RGB" or depth_moves:
        return draw(render_mode=render_mode, packed=False, **call)
    tensors = (call[name] for name in ("means", "colors", "viewmats", "backgrounds"))
    call["colors"], call["backgrounds"] = add_depth(*tensors)
    image, alpha, meta = draw(render_mode="RGB", packed=False, **call)
    return assemble(image[..., :3], image[..., 3:], alpha, render_mode), alpha, meta


def add_depth(
    means: Tensor, colors: Tensor, viewmats: Tensor, backgrounds: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Colors (C, N, 4) whose last channel is the depth in each view, without gradient, over 0."""
    depths = (means @ viewmats[:, 2, :3].mT + viewmats[:, 2, 3]).T.detach()  # (C, N)
    features = torch.cat([colors.expand(len(viewmats), -1, -1), depths[..., None]], dim=-1)
    behind = None if backgrounds is None else torch.nn.functional.pad(backgrounds, (0, 1))
    return features, behind
