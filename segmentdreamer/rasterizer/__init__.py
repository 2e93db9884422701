"""Differentiable 3D Gaussian rasterizer: gsplat's call, on the CPU and on CUDA.

`rasterization` picks the backend: numba kernels with analytic gradients for CPU tensors, gsplat
for CUDA tensors. `dense.rasterization` is the oracle that both are measured against.
"""

from typing import Any

from torch import Tensor

from segmentdreamer.rasterizer import cuda, dense
from segmentdreamer.rasterizer.conventions import RenderMode, assemble, check_options, check_tensors, metadata

__all__ = ["rasterization"]


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
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: None = None,
    packed: bool = False,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,
    render_mode: RenderMode = "RGB",
    depth_moves: bool = True,
    **options: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Render N Gaussians into C views, with gradients, as `gsplat.rasterization` does.

    Args:
        means: centers in world units, (N, 3).
        quats: rotations, wxyz, of any length, (N, 4). A zero quaternion does not rotate.
        scales: standard deviations along the Gaussian's own axes, > 0, world units, (N, 3).
        opacities: in [0, 1], (N,). Below 1/255 a Gaussian is not drawn.
        colors: RGB, (N, 3), or (C, N, 3) for a color per view.
        viewmats: world to camera (x right, y down, z forward), (C, 4, 4).
        Ks: pinhole intrinsics in pixels, without skew, (C, 3, 3). Pixel centers are at +0.5.
        width, height: image size in pixels, at least 1.
        near_plane, far_plane: only depths in between are drawn, world units.
        radius_clip: Gaussians no larger than this on screen are skipped, pixels.
        eps2d: variance added to every Gaussian on screen, pixels^2; opacity is not compensated.
        sh_degree, packed: None and False only.
        tile_size: a hint to the CUDA backend; results do not depend on it.
        backgrounds: RGB behind each view, (C, 3); black if None. Depth has no background.
        render_mode: "RGB"; "D", accumulated depth; "ED", depth divided by alpha; or both color
            and depth, "RGB+D", "RGB+ED".
        depth_moves: whether a gradient on depth also moves Gaussians along the view. If not, it
            reaches them through their alphas alone: opacity and footprint.
        options: gsplat's other arguments, at their default values.

    Returns:
        Images (C, H, W, X), with X = 3 and/or 1; alphas (C, H, W, 1) in [0, 1]; and gsplat's
        `meta`, in which "means2d" (C, N, 2, pixels) can retain its gradient, "radii" is (C, N, 2).
        On the CPU the same input gives the same bytes, values and gradients alike.

    Raises:
        ValueError: for shapes, types or devices that do not fit together, an unknown render mode,
            and, on the CPU, anything but float32 or cameras that require a gradient.
        NotImplementedError: for a feature of gsplat's that is not supported here.

    Source: gsplat 1.5.3, https://docs.gsplat.studio/main/apis/rasterization.html

    """
    check_options(width, height, render_mode, sh_degree=sh_degree, packed=packed, **options)
    check_tensors(means, quats, scales, opacities, colors, viewmats, Ks, backgrounds)
    if means.is_cuda:
        # gsplat divides by the number of Gaussians; the oracle draws none for nothing.
        backend = cuda.rasterization if len(means) else dense.rasterization
        return backend(
            means=means, quats=quats, scales=scales, opacities=opacities, colors=colors, viewmats=viewmats,
            Ks=Ks, width=width, height=height, near_plane=near_plane, far_plane=far_plane, eps2d=eps2d,
            radius_clip=radius_clip, tile_size=tile_size, backgrounds=backgrounds, render_mode=render_mode,
            depth_moves=depth_moves,
        )  # fmt: skip
    from segmentdreamer.rasterizer import cpu  # numba is slow to import, and CUDA needs none

    rgb, depth, alpha, means2d, radii, depths = cpu.render(
        means, quats, scales, opacities, colors, viewmats, Ks, backgrounds,
        (width, height), (near_plane, far_plane, radius_clip, eps2d), depth_moves,
    )  # fmt: skip
    meta = metadata(means2d, radii, depths, opacities, width, height)
    return assemble(rgb, depth, alpha, render_mode), alpha, meta
