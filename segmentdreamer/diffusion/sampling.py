"""Ancestral-free sampling of a prior: DDIM (eta = 0) with classifier-free guidance."""

from itertools import pairwise

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
    x, times, a = noise, timesteps(steps), prior.alphas_cumprod
    for t, following in pairwise(times):
        x = ode_step(a, x, t, following, guided(prior, x, t, conditioning, omega))
    return denoised(a, x, times[-1], guided(prior, x, times[-1], conditioning, omega))
