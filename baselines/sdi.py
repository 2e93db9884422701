"""SDI, score distillation via inversion (Lukoianov et al., NeurIPS 2024): SDS on noise that DDIM finds.

The latent is carried up to the level of t by the network under guidance turned round, and from there denoised
in one guided step; the gradient leads to what comes out. Source: threestudio 28d9d80,
threestudio/models/guidance/stable_diffusion_sdi_guidance.py:269-526, configs/sdi.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import denoised
from segmentdreamer.diffusion.terms import bind, rms
from segmentdreamer.diffusion.times import uniform_int
from segmentdreamer.interfaces import (
    Conditioning,
    Count,
    Gradient,
    Method,
    Prior,
    Progress,
    Share,
    Time,
    Weight,
)
from segmentdreamer.randomness import generator, place

LAST = 999  # the last timestep


@dataclass(frozen=True)
class Route:
    """One step's t and the ascending points of the inversion, the first below 0, shared by the batch."""

    t: int
    points: tuple[int, ...]


@dataclass(frozen=True)
class SDI(Method):
    """SDI with the official defaults (configs/sdi.yaml); the mean over all elements is the trunk's lam."""

    omega: Weight = 7.5  # guidance_scale
    inversion_omega: float = -7.5  # inversion_guidance_scale
    literal_s: bool = (
        False  # without Perp-Neg the code's scale is omega - 1, so 7.5 and -7.5 are 8.5 and -6.5
    )
    lam: Weight = 0.1  # the trunk's; lambda_sdi 1 on a mean over 4 x 64 x 64
    hops: Count = 10  # inversion_n_steps
    delta: Time | None = None  # t is overshot by 0..1000/hops - 1, drawn; 0: not, so levels fit
    eta: Weight = 0.3  # inversion_eta: share of the posterior's deviation that is added at every hop
    t_span: tuple[Share, Share] = (0.98, 0.25)  # from the first step to the end of the run

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        route = self.draw_route(progress)
        noise = [
            torch.randn(z_0.shape, generator=generator(progress.seed, f"hop {hop}", progress.step))
            for hop in range(len(route.points) - 1)
        ]
        return self.update(prior, z_0, place(torch.stack(noise), z_0), text, route)

    @torch.no_grad()
    def update(self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, times: Route) -> Gradient:
        """g = lam [z_0 - (x_u - sigma_t eps_omega(x_u, t)) / alpha_t] on z_0 (B, 4, h, w).

        x_u lies at the last of the points, noise (hops, B, 4, h, w) is added on the way (lines 269-526, for
        one sample). Network rows per sample: 2 guided a hop, 4 to 11 hops, and 2 more (twice as many under
        Perp-Neg). Officially a mean over elements, divided by B.
        """
        a, (S, eps) = prior.alphas_cumprod, bind(prior, text)
        literal = self.literal_s and text.perp is None
        x = z_0
        for (here, there), xi in zip(pairwise(times.points), noise, strict=False):
            level = max(here, 0)  # z_0 counts as a sample at 0, though the network is told a t below it
            eps_here = eps(x, here, self.inversion_omega + literal)
            x = S(x, level, there, eps_here) + self.eta * posterior_deviation(a, level, there) * xi
        clean = denoised(a, x, times.t, eps(x, times.t, self.omega + literal))
        scalars: dict[str, float | Tensor] = {
            "t": times.t,
            "u": times.points[-1],
            "residual_rms": rms(z_0 - clean),
        }
        return Gradient(self.lam * (z_0 - clean), scalars=scalars)

    def draw_route(self, progress: Progress) -> Route:
        """t on its way down, the grid below it, the point that overshoots it (lines 331-377, 640-661)."""
        first, last = self.t_span
        t = int(1000 * (last + (first - last) * (1 - progress.share)))
        gap, delta = 1000 // self.hops, self.delta
        if delta is None:
            delta = uniform_int(0, gap - 1, generator(progress.seed, "delta", progress.step))
        grid = [point for point in range(1, 1000, gap) if point < t]
        return Route(t, (1 - gap, *grid, min(t + delta, LAST)))


def posterior_deviation(a: Tensor, low: int, high: int) -> Tensor:
    """The deviation of the sample at `low` given the one at `high`, as DDIM's eta has it."""
    return ((1 - a[low]) / (1 - a[high]) * (1 - a[high] / a[low])).sqrt()
