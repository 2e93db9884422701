"""The CPU backend: torch autograd around the numba kernels, one thread, view after view.

The graph has two nodes, so that a screen-space gradient can be read between them: `_Project` makes
`means2d`, `_Composite` draws. Values pass between them in float64 (`whitening`); `means2d` is their
float32 copy.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from segmentdreamer.rasterizer.compositing import SUMS, composite, composite_backward
from segmentdreamer.rasterizer.conventions import FOV_MARGIN
from segmentdreamer.rasterizer.jit import ensure_compiled
from segmentdreamer.rasterizer.projection import project, project_backward, unwhiten
from segmentdreamer.rasterizer.tiles import bin_gaussians

ensure_compiled()


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def camera_vector(viewmat: np.ndarray, K: np.ndarray, width: int, height: int) -> np.ndarray:
    """A camera as the kernels take it, (20,) float64: pose, intrinsics, limits of x/z and y/z."""
    focal, center = K.diagonal()[:2].astype(np.float64), K[:2, 2].astype(np.float64)
    size = np.array([width, height])
    margin = FOV_MARGIN * 0.5 * size / focal
    limits = np.stack([-center / focal - margin, (size - center) / focal + margin], axis=1)
    pose = (viewmat[:3, :3].ravel(), viewmat[:3, 3])
    return np.concatenate([*pose, focal, center, limits.ravel()], dtype=np.float64)


class _Project(torch.autograd.Function):
    """Gaussians to (means2d, covars2d, depths, radii, whitening), each (C, N, ...)."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        cameras: list[np.ndarray],
        size: tuple[int, int],
        limits: tuple[float, float, float, float],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        shape = (len(cameras), len(means))
        means2d = torch.zeros(*shape, 2)
        covars2d = torch.zeros(*shape, 3, dtype=torch.float64)
        depths = torch.zeros(shape, dtype=torch.float64)
        radii = torch.zeros(*shape, 2, dtype=torch.int32)
        whitening = torch.zeros(*shape, 6, dtype=torch.float64)
        gaussians = [_array(tensor) for tensor in (means, quats, scales)]
        for c, camera in enumerate(cameras):
            project(
                *gaussians,
                _array(opacities),
                camera,
                *size,
                *limits,
                *(tensor[c].numpy() for tensor in (means2d, covars2d, depths, radii, whitening)),
            )
        ctx.save_for_backward(means, quats, scales, radii)
        ctx.cameras = cameras
        ctx.mark_non_differentiable(radii, whitening)
        return means2d, covars2d, depths, radii, whitening

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        means, quats, scales, radii = ctx.saved_tensors
        gaussians = [_array(tensor) for tensor in (means, quats, scales)]
        totals = [np.zeros(array.shape) for array in gaussians]
        by_view = [_array(gradient) for gradient in gradients[:3]]
        for c, camera in enumerate(ctx.cameras):
            project_backward(*gaussians, camera, radii[c].numpy(), *(array[c] for array in by_view), *totals)
        return *(torch.from_numpy(total).float() for total in totals), None, None, None, None


class _Composite(torch.autograd.Function):
    """Projected Gaussians to images: rgb (C, H, W, 3), depth and alpha (C, H, W, 1)."""

    @staticmethod
    def forward(
        ctx: Any,
        means2d: Tensor,
        covars2d: Tensor,
        depths: Tensor,
        radii: Tensor,
        whitening: Tensor,
        opacities: Tensor,
        colors: Tensor,
        backgrounds: Tensor,
        size: tuple[int, int],
    ) -> tuple[Tensor, Tensor, Tensor]:
        width, height = size
        views = len(depths)
        rgb = torch.empty(views, height, width, 3)
        depth = torch.empty(views, height, width, 1)
        alpha, passed = torch.empty_like(depth), torch.empty_like(depth)
        ctx.tiles = []
        for c in range(views):
            order = np.argsort(_array(depths[c].float()), kind="stable")
            order = order[_array(radii[c])[order, 0] > 0]
            ctx.tiles.append(bin_gaussians(order, _array(whitening[c]), width, height))
            composite(
                *ctx.tiles[c],
                *_Composite.scene(c, depths, whitening, colors, backgrounds),
                rgb[c].numpy(),
                *(image[c, ..., 0].numpy() for image in (depth, alpha, passed)),
            )
        ctx.save_for_backward(depths, radii, whitening, opacities, colors, backgrounds, passed)
        return rgb, depth, alpha

    @staticmethod
    def scene(
        c: int, depths: Tensor, whitening: Tensor, colors: Tensor, backgrounds: Tensor
    ) -> tuple[np.ndarray, ...]:
        """A view's arrays in the kernels' order; colors may be shared by all views."""
        own = colors if colors.dim() == 2 else colors[c]
        return tuple(_array(tensor) for tensor in (whitening[c], own, depths[c], backgrounds[c]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        depths, radii, whitening, opacities, colors, backgrounds, passed = ctx.saved_tensors
        views, count = depths.shape
        g_means2d = torch.zeros(views, count, 2)
        g_covars2d = torch.zeros(views, count, 3, dtype=torch.float64)
        g_depths = torch.zeros_like(depths)
        g_opacities = torch.zeros(count, dtype=torch.float64)
        g_colors = torch.zeros_like(colors, dtype=torch.float64)
        g_backgrounds = torch.zeros_like(backgrounds, dtype=torch.float64)
        for c in range(views):
            sums = np.zeros((count, SUMS))
            g_rgb, g_depth, g_alpha = (gradient[c] for gradient in gradients)
            composite_backward(
                *ctx.tiles[c],
                *_Composite.scene(c, depths, whitening, colors, backgrounds),
                *map(_array, (passed[c, ..., 0], g_rgb, g_depth[..., 0], g_alpha[..., 0])),
                sums,
                g_backgrounds[c].numpy(),
            )
            own = g_colors if colors.dim() == 2 else g_colors[c]
            unwhiten(
                sums,
                *(_array(tensor) for tensor in (whitening[c], opacities, radii[c])),
                g_means2d[c].numpy(),
                g_covars2d[c].numpy(),
                g_opacities.numpy(),
                own.numpy(),
                g_depths[c].numpy(),
            )
        return (
            g_means2d, g_covars2d, g_depths, None, None,
            g_opacities.float(), g_colors.float(), g_backgrounds.float(), None,
        )  # fmt: skip


def render(
    means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor,
    viewmats: Tensor, Ks: Tensor, backgrounds: Tensor | None, size: tuple[int, int],
    limits: tuple[float, float, float, float], depth_moves: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Render checked tensors: (rgb, depth, alpha, means2d, radii, depths).

    `size` is (width, height), `limits` (near plane, far plane, radius clip, eps2d). Raises ValueError for
    another type than float32, or for cameras that require a gradient.
    """
    if means.dtype != torch.float32 or means.device.type != "cpu":
        raise ValueError(f"expected float32 on cpu or cuda, got {means.dtype} on {means.device}")
    if viewmats.requires_grad or Ks.requires_grad:
        raise ValueError("on the CPU, viewmats and Ks cannot require a gradient")
    cameras = [camera_vector(v, k, *size) for v, k in zip(_array(viewmats), _array(Ks), strict=True)]
    if backgrounds is None:
        backgrounds = torch.zeros(len(cameras), 3)
    means2d, covars2d, depths, radii, whitening = _Project.apply(
        means, quats, scales, opacities, cameras, size, limits
    )
    rgb, depth, alpha = _Composite.apply(
        means2d, covars2d, depths if depth_moves else depths.detach(), radii, whitening, opacities, colors,
        backgrounds, size,
    )  # fmt: skip
    return rgb, depth, alpha, means2d, radii, depths.float()
