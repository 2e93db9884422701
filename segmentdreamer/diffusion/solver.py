"""The first-order ODE step between any two timesteps, and the coefficients that it needs.

Timesteps are values that index `alphas_cumprod` (0..999). Notation: alpha_t = sqrt(alphas_cumprod[t]),
sigma_t = sqrt(1 - alphas_cumprod[t]), and the noise-to-signal ratio sigma_t / alpha_t.
"""

import torch
from torch import Tensor

from segmentdreamer.interfaces import Timestep


def scaled_linear_alphas_cumprod(
    beta_start: float = 0.00085, beta_end: float = 0.012, steps: int = 1000
) -> Tensor:
    """Stable Diffusion's noise schedule: (steps,) float32, accumulated in float64."""
    betas = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float()


def alpha(alphas_cumprod: Tensor, t: Timestep) -> Tensor:
    """alpha_t, shaped to multiply latents (B, C, h, w)."""
    return _shaped(alphas_cumprod[t]).sqrt()


def sigma(alphas_cumprod: Tensor, t: Timestep) -> Tensor:
    """sigma_t, shaped to multiply latents (B, C, h, w)."""
    return (1 - _shaped(alphas_cumprod[t])).sqrt()


def noise_to_signal(alphas_cumprod: Tensor, t: Timestep) -> Tensor:
    """sigma_t / alpha_t, the time of the probability-flow ODE in its variance-exploding form."""
    return sigma(alphas_cumprod, t) / alpha(alphas_cumprod, t)


def add_noise(alphas_cumprod: Tensor, z_0: Tensor, eps: Tensor, t: Timestep) -> Tensor:
    """z_t = alpha_t z_0 + sigma_t eps."""
    return alpha(alphas_cumprod, t) * z_0 + sigma(alphas_cumprod, t) * eps


def ode_step(alphas_cumprod: Tensor, x: Tensor, a: Timestep, b: Timestep, eps: Tensor) -> Tensor:
    """S(x; a -> b, eps): x at time a carried to time b with the noise prediction held constant.

    DDIM with eta = 0, equal to DPM-Solver-1 and DPM-Solver++(1) (paper Eq. 5); b may lie before or
    after a.
    """
    gap = noise_to_signal(alphas_cumprod, b) - noise_to_signal(alphas_cumprod, a)
    return alpha(alphas_cumprod, b) * (x / alpha(alphas_cumprod, a) + gap * eps)


def denoised(alphas_cumprod: Tensor, x: Tensor, t: Timestep, eps: Tensor) -> Tensor:
    """The clean latents (x - sigma_t eps) / alpha_t that x at time t stands for."""
    return (x - sigma(alphas_cumprod, t) * eps) / alpha(alphas_cumprod, t)


def _shaped(value: Tensor) -> Tensor:
    return value.reshape(-1, 1, 1, 1) if value.ndim else value


def stack_times(t: Timestep, batch: int, device: torch.device) -> Tensor:
    """t as (batch,) int64 on the device, as networks take it."""
    if isinstance(t, Tensor):
        return t.to(device).expand(batch)
    return torch.full((batch,), t, device=device)
