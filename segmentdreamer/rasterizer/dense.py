"""The oracle: every Gaussian against every pixel in plain torch, gradients by autograd.

It says what the other backends must compute, in the fewest words and any float type, and runs
hundreds of times slower than they do. Conventions: gsplat 1.5.3, `_fully_fused_projection`
(torch) and `rasterize_to_pixels_3dgs_fwd_kernel` (CUDA).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from segmentdreamer.rasterizer.conventions import (
    ALPHA_THRESHOLD,
    FOV_MARGIN,
    MAX_ALPHA,
    MAX_EXTENT,
    MIN_QUATERNION_NORM,
    MIN_TRANSMITTANCE,
    RenderMode,
    assemble,
    check_options,
    check_tensors,
    metadata,
)


class Projected(NamedTuple):
    """Gaussians as the cameras see them; `radii` is 0 where a Gaussian is not drawn."""

    means2d: Tensor  # (C, N, 2), pixels
    conics: Tensor  # (C, N, 3): xx, xy, yy of the inverse covariance, 1 / pixels^2
    depths: Tensor  # (C, N)
    radii: Tensor  # (C, N, 2) int32, pixels


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
    """`rasterizer.rasterization` by brute force, differentiable in every input, in float32 and float64."""
    check_options(width, height, render_mode, sh_degree=sh_degree, packed=packed, **options)
    check_tensors(means, quats, scales, opacities, colors, viewmats, Ks, backgrounds)
    projected = project(
        means, covariances(quats, scales), opacities, viewmats, Ks, width, height,
        near_plane, far_plane, radius_clip, eps2d,
    )  # fmt: skip
    depths = projected.depths if depth_moves else projected.depths.detach()
    per_view = colors.expand(len(viewmats), *colors.shape[-2:])  # (C, N, 3)
    images = []
    for c in range(len(viewmats)):
        drawn = drawing_order(projected.depths[c], projected.radii[c])
        exponents = falloff(projected.means2d[c, drawn], projected.conics[c, drawn], width, height)
        alphas = pixel_alphas(opacities[drawn, None] * torch.exp(-exponents))
        features = torch.cat((per_view[c], depths[c, :, None]), dim=-1)[drawn]
        images.append(composite(alphas, features).reshape(height, width, 5))
    image = torch.stack(images) if images else means.new_zeros(0, height, width, 5)
    rgb, depth, alpha = image.split((3, 1, 1), dim=-1)
    if backgrounds is not None:
        rgb = rgb + (1 - alpha) * backgrounds[:, None, None]
    meta = metadata(projected.means2d, projected.radii, projected.depths, opacities, width, height)
    return assemble(rgb, depth, alpha, render_mode), alpha, meta


def covariances(quats: Tensor, scales: Tensor) -> Tensor:
    """Covariances (N, 3, 3) from wxyz quaternions of any length and standard deviations."""
    w, x, y, z = normalize(quats, dim=-1, eps=MIN_QUATERNION_NORM).unbind(-1)
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        dim=-1,
    ).reshape(-1, 3, 3)  # fmt: skip
    factor = rotation * scales[:, None, :]
    return factor @ factor.mT


def project(
    means: Tensor, covars: Tensor, opacities: Tensor, viewmats: Tensor, Ks: Tensor,
    width: int, height: int, near: float, far: float, radius_clip: float, eps2d: float,
) -> Projected:  # fmt: skip
    """Project 3D Gaussians by the affine (EWA) approximation, with an `eps2d` low-pass."""
    turn, shift = viewmats[:, :3, :3], viewmats[:, :3, 3]
    camera = torch.einsum("cij,nj->cni", turn, means) + shift[:, None]  # (C, N, 3)
    depths = camera[..., 2]
    in_range = (depths >= near) & (depths <= far)
    z = torch.where(in_range, depths, 1)  # keeps 1 / z finite where nothing will be drawn
    slope = camera[..., :2] / z[..., None]  # (C, N, 2)
    focal = torch.stack((Ks[:, 0, 0], Ks[:, 1, 1]), dim=-1)[:, None]  # (C, 1, 2)
    center = Ks[:, None, :2, 2]
    size = torch.tensor([width, height], dtype=means.dtype, device=means.device)
    margin = FOV_MARGIN * 0.5 * size / focal
    clamped = slope.clamp(min=-center / focal - margin, max=(size - center) / focal + margin)
    # The rows of d(pixel) / d(world): focal / z * (R_x - slope_x R_z), and the same in y.
    rows = turn[:, None, :2] - clamped[..., None] * turn[:, None, 2:]  # (C, N, 2, 3)
    jacobian = rows * (focal / z[..., None])[..., None]
    covars2d = torch.einsum("cnij,njk,cnlk->cnil", jacobian, covars, jacobian)
    xx, xy = covars2d[..., 0, 0] + eps2d, covars2d[..., 0, 1]
    yy = covars2d[..., 1, 1] + eps2d
    det = xx * yy - xy * xy
    means2d = focal * slope + center
    drawn = in_range & (det > 0)
    radii = visible_radii(means2d, torch.stack((xx, yy), -1), opacities, size, radius_clip)
    det = torch.where(drawn, det, 1)
    conics = torch.stack((yy / det, -xy / det, xx / det), dim=-1)
    return Projected(means2d, conics, depths, torch.where(drawn[..., None], radii, 0))


@torch.no_grad()
def visible_radii(
    means2d: Tensor, variances: Tensor, opacities: Tensor, size: Tensor, radius_clip: float
) -> Tensor:
    """Half the sides (C, N, 2) int32 of the box where alpha reaches 1/255; 0 if faint, small or outside."""
    brightness = (opacities / ALPHA_THRESHOLD).clamp(min=1)
    extent = (2 * brightness.log()).sqrt().clamp(max=MAX_EXTENT)  # (N,)
    radii = (extent[:, None] * variances.clamp(min=0).sqrt()).ceil()
    inside = ((means2d + radii > 0) & (means2d - radii < size)).all(-1)
    drawn = inside & (radii > radius_clip).any(-1) & (opacities >= ALPHA_THRESHOLD)
    return torch.where(drawn[..., None], radii, 0).clamp(max=2**31 - 129).to(torch.int32)


def drawing_order(depths: Tensor, radii: Tensor) -> Tensor:
    """Indices of the drawn Gaussians, near to far; float32 ties keep their order, as gsplat's."""
    order = torch.argsort(depths.detach().float(), stable=True)
    return order[(radii[order] > 0).all(-1)]


def falloff(means2d: Tensor, conics: Tensor, width: int, height: int) -> Tensor:
    """Half the squared Mahalanobis distance of each pixel center to each Gaussian, (N, H * W)."""
    columns = torch.arange(width, dtype=means2d.dtype, device=means2d.device) + 0.5
    lines = torch.arange(height, dtype=means2d.dtype, device=means2d.device) + 0.5
    dx = columns.repeat(height) - means2d[:, :1]
    dy = lines.repeat_interleave(width) - means2d[:, 1:]
    a, b, c = conics[..., None].unbind(1)
    return (0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy).clamp(min=0)


def pixel_alphas(alphas: Tensor) -> Tensor:
    """Alphas as they are blended: at most `MAX_ALPHA`, 0 below `ALPHA_THRESHOLD`."""
    return torch.where(alphas >= ALPHA_THRESHOLD, alphas.clamp(max=MAX_ALPHA), 0)


def composite(alphas: Tensor, features: Tensor) -> Tensor:
    """Blend features (N, X) front to back under alphas (N, P): (P, X + 1), alpha last."""
    remaining = torch.cumprod(1 - alphas, dim=0)
    alphas = torch.where(remaining > MIN_TRANSMITTANCE, alphas, 0)
    after = torch.cumprod(1 - alphas, dim=0)
    before = torch.cat((torch.ones_like(after[:1]), after[:-1])) if len(after) else after
    weights = before * alphas
    return torch.cat((weights.T @ features, weights.sum(0)[:, None]), dim=-1)
