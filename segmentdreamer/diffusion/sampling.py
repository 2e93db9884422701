"""Ancestral-free sampling of a prior: DDIM (eta = 0) with classifier-free guidance."""

from __future__ import annotations

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import guided
from segmentdreamer.diffusion.solver import denoised, ode_step
from segmentdreamer.interfaces import Conditioning, Prior


def timesteps(steps: int, first: int = 999, last: int = 0) -> list[int]:
    """`steps` descending timesteps from `first`, evenly spaced towards `last` (not reached)."""
    return [round(first - (first - last) * i / steps) for i in range(steps)]


@torch.no_grad()
def sample(prior: Prior, conditioning: Conditioning, noise: Tensor, omega: float, steps: int = 25) -> Tensor:
    """Latents z_0 (B, 4, h, w) from unit Gaussian `noise` of that shape."""
    x, times = noise, timesteps(steps)
    for t, following in zip(times, [*times[1:], None], strict=True):
        eps = guided(prior, x, t, conditioning, omega)
        if following is None:
            return denoised(prior.alphas_cumprod, x, t, eps)
        x = ode_step(prior.alphas_cumprod, x, t, following, eps)
    return x
