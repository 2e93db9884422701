"""CFD, consistent flow distillation (Yan et al., ICLR 2025): SDS with noise that lies on the scene's surface.

Every view sees the same noise in the same place, and its own elsewhere. Source: ConsistentFlowDistillation
ec2e289, threestudio/models/guidance/stable_diffusion_unified_guidance.py:381-749, models/noise_generator.py,
configs/sd-stage1.yaml.

Six maps, of three axes and two signs, each in four shells of the distance from the origin, hold white noise.
A pixel of the latents is two triangles of surface points, which on every map cover some texels; its noise is
their sum over the root of their number: white, and the same wherever the same texels are seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from segmentdreamer.diffusion.guidance import guided
from segmentdreamer.diffusion.solver import add_noise, noise_to_signal
from segmentdreamer.diffusion.terms import rms
from segmentdreamer.interfaces import (
    Conditioning,
    Count,
    Gradient,
    Method,
    Prior,
    Progress,
    Share,
    Timestep,
    Views,
    Weight,
)
from segmentdreamer.randomness import derive_seed

AXES, SIGNS, SHELLS = 3, 2, 4
VISIBLE = 0.1  # opacity from which there is a surface
SPREAD = 4  # a triangle that is wider than a map's side over this, as near the origin, gets nothing of it
SINKING = (0.0, 0.1, 0.5, 1.0)  # shares of the run at which `sinking` holds: steps 0, 2,500, 12,500, 25,000
REFRESH = (0.2, 0.4)  # between these shares `refresh` goes from first to last: steps 5,000 and 10,000


@dataclass(frozen=True)
class CFD(Method):
    """CFD with the official defaults of its first stage (configs/sd-stage1.yaml), on the shared trunk."""

    omega: Weight = 71.0  # guidance_scale 70, which without Perp-Neg is omega - 1
    lam: Weight = 0.1  # the trunk's; lambda_sds 1 on twice this gradient
    # linear_anneal_max: t is 980 - 960 of it
    sinking: tuple[Share, Share, Share, Share] = (0.0, 0.3, 0.6, 0.8)
    texels: Count = 2048  # a map's side
    radius: Weight = 1.0  # of the ball that the shells divide
    refresh: tuple[Share, Share] = (0.01, 0.0001)  # gamma at first and at last: what is new in the noise, ...
    refresh_run: Count = 25_000  # ... a step of so many; with fewer, as much a run
    mirrored: bool = True  # points that mirror one another share texels, as released; false: they do not

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        maps = (AXES * SIGNS, z_0.shape[1], SHELLS, self.texels, self.texels)
        noise = self.renew("background", z_0.shape[1:], progress, z_0.device, times=2)
        noise = noise.expand(len(z_0), -1, -1, -1)
        if text.views is not None:
            noise = self.warp(self.renew("field", maps, progress, z_0.device), noise, text.views)
        return self.update(prior, z_0, noise.to(z_0), text, self.time(progress))

    @torch.no_grad()
    def update(self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, t: Timestep) -> Gradient:
        """g = lam sigma_t/alpha_t [eps_omega(z_t, t) - noise] on z_0 (B, 4, h, w); t: one, or (B,).

        noise: as each view sees it. Network rows per sample: 2 guided (4 under Perp-Neg). Officially twice
        this, divided by B.
        """
        a = prior.alphas_cumprod
        residual = guided(prior, add_noise(a, z_0, noise, t), t, text, self.omega) - noise
        g = self.lam * noise_to_signal(a, t) * residual
        return Gradient(g, scalars={"t": t, "residual_rms": rms(residual)})

    def time(self, progress: Progress) -> int:
        """t, sinking along straight lines."""
        return round(980 - 960 * float(np.interp(progress.share, SINKING, self.sinking)))

    def renew(
        self, name: str, shape: tuple[int, ...], progress: Progress, device: torch.device, times: int = 1
    ) -> Tensor:
        """White noise that is kept in the state and a little renewed at each step, lines 756-777.

        times: how often a step; the background is renewed twice, as the released code does. Drawn on its
        device, since it is large.
        """
        g = torch.Generator(device).manual_seed(derive_seed(progress.seed, name, progress.step))
        fresh = torch.randn(shape, generator=g, device=device)
        if name not in progress.state:
            progress.state[name] = fresh
            return fresh
        gamma = float(np.interp(progress.share, REFRESH, self.refresh))
        kept = (1 - gamma) ** (times * self.refresh_run / progress.steps)
        return progress.state[name].mul_(kept**0.5).add_(fresh, alpha=(1 - kept) ** 0.5)

    @torch.no_grad()
    def warp(self, field: Tensor, background: Tensor, views: Views) -> Tensor:
        """The noise (B, C, h, w) that each view sees: the field's, and the background's where nothing is."""
        if views.points is None:
            raise ValueError("CFD needs the depth of its views: set train.disparity to true")
        found = []
        for points, alphas, own in zip(views.points.float(), views.alphas.float(), background, strict=True):
            corners, pixels = triangles(points, alphas, *own.shape[-2:])
            shells = (SHELLS * corners.norm(dim=-1) / self.radius).long().clamp(max=SHELLS - 1)
            whole = (shells == shells[:, :1]).all(1)
            corners, pixels, shells = corners[whole], pixels[whole], shells[whole, 0]
            total, count = torch.zeros_like(own).flatten(1), own.new_zeros(own[0].numel())
            for i, texture in enumerate(field):
                texels, faces = self.covered(corners, shells, i // SIGNS, 1 - 2 * (i % SIGNS))
                total.index_add_(1, pixels[faces], texture.flatten(1)[:, texels])
                count.index_add_(0, pixels[faces], torch.ones_like(texels, dtype=count.dtype))
            found.append(torch.where(count > 0, total / count.clamp(min=1).sqrt(), own.flatten(1)))
        return torch.stack(found).view_as(background)

    def covered(self, corners: Tensor, shells: Tensor, axis: int, sign: int) -> tuple[Tensor, Tensor]:
        """The texels of one map that triangles (T, 3, 3) cover, the nearest alone, and the triangle of each.

        sign: 1 or -1, which end of the axis; the nearest is the innermost for 1, the outermost for -1.
        """
        main = corners[..., axis].abs() if self.mirrored else sign * corners[..., axis]
        at = self.texels / 2 * (1 + flatten(main, corners.roll(-axis, -1)[..., 1:]))  # (T, 3, 2)
        low = at.amin(1).floor().long().clamp(0, self.texels - 1)
        size = at.amax(1).floor().long().clamp(0, self.texels - 1) - low + 1
        wanted = (main > 0).all(1) & (size <= self.texels // SPREAD).all(1)
        areas = size.prod(1) * wanted
        faces = torch.arange(len(at), device=at.device).repeat_interleave(areas)
        rank = torch.arange(len(faces), device=at.device) - (areas.cumsum(0) - areas)[faces]
        x, y = low[faces, 0] + rank % size[faces, 0], low[faces, 1] + rank // size[faces, 0]
        shares = barycentric(at[faces], torch.stack([x, y], -1) + 0.5)
        depth = sign * (shares * corners.norm(dim=-1)[faces]).sum(-1)
        inside = (shares >= 0).all(-1)
        faces, depth = faces[inside], depth[inside]
        texels = ((shells[faces] * self.texels + y[inside]) * self.texels) + x[inside]
        for nearest in (True, False):  # of several as near, the first: a texel is one triangle's
            seen = least(depth if nearest else faces, texels, SHELLS * self.texels**2)
            texels, faces, depth = texels[seen], faces[seen], depth[seen]
        return texels, faces


def triangles(points: Tensor, alphas: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """The surface as two triangles a pixel of latents of h x w: corners (T, 3, 3), and the pixel of each.

    points: (3, H, W); alphas: (1, H, W). A corner is the mean of the visible points around it; where less
    than VISIBLE of it is opaque there is none.
    """
    step = points.shape[-1] // w
    if step % 2:  # cells around corners need a middle
        points, alphas = (x.repeat_interleave(2, -1).repeat_interleave(2, -2) for x in (points, alphas))
        step *= 2
    seen = (alphas > VISIBLE).float()
    mean, share = (avg_pool2d(x, step, padding=step // 2) for x in (points * seen, seen))
    opacity = avg_pool2d(alphas, step, padding=step // 2, count_include_pad=False)
    corners = torch.cat([mean / share.clamp(min=1e-6), opacity]).movedim(0, -1)  # (h + 1, w + 1, 4)
    a, b, c, d = (corners[i : i + h, j : j + w] for i in (0, 1) for j in (0, 1))
    both = torch.stack([torch.stack([a, b, c], 2), torch.stack([b, d, c], 2)], 2).view(-1, 3, 4)
    pixels = torch.arange(h * w, device=points.device).repeat_interleave(2)
    visible = (both[..., 3] > VISIBLE).all(1)
    return both[visible][..., :3], pixels[visible]


def flatten(main: Tensor, others: Tensor) -> Tensor:
    """Directions, by their part along a map's axis and the two others (..., 2), in [-1, 1]^2, areas kept.

    Onto a disk by the root of 1 - cos of the angle to the axis, and from there onto a square (Shirley and
    Chiu 1997).
    """
    length = torch.cat([main[..., None], others], -1).norm(dim=-1).clamp(min=1e-9)
    disk = torch.nn.functional.normalize(others, dim=-1) * (1 - main / length).clamp(min=0).sqrt()[..., None]
    along = disk.abs().max(-1)
    radius = disk.norm(dim=-1) * torch.gather(disk, -1, along.indices[..., None])[..., 0].sign()
    x, y = disk.unbind(-1)
    wide = along.indices == 0
    turned = radius * 4 / torch.pi * torch.atan(torch.where(wide, y / x, x / y).nan_to_num())
    return torch.stack([torch.where(wide, radius, turned), torch.where(wide, turned, radius)], -1)


def least(keys: Tensor, cells: Tensor, count: int) -> Tensor:
    """Which keys are the least of their cells, of so many."""
    most = torch.inf if keys.is_floating_point() else torch.iinfo(keys.dtype).max
    return keys == keys.new_full((count,), most).scatter_reduce_(0, cells, keys, "amin")[cells]


def barycentric(corners: Tensor, at: Tensor) -> Tensor:
    """Of points (T, 2) in triangles (T, 3, 2): shares (T, 3) that sum to 1; NaN where there is no area."""
    a, b, c = (corner - at for corner in corners.unbind(1))
    parts = torch.stack([cross(b, c), cross(c, a), cross(a, b)], -1)
    return parts / parts.sum(-1, keepdim=True)


def cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
