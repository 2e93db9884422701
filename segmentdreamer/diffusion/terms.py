"""What the losses have in common: their noise, the symbols of their equations, the pixel term."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import guided, unconditional
from segmentdreamer.diffusion.solver import ode_step
from segmentdreamer.interfaces import Conditioning, Prior, Progress, Timestep
from segmentdreamer.randomness import generator, place

Step = Callable[[Tensor, Timestep, Timestep, Tensor], Tensor]
Eps = Callable[..., Tensor]


def bind(prior: Prior, text: Conditioning) -> tuple[Step, Eps]:
    """S and eps, as the equations have them, for one prior and one step's text.

    S(x, a, b, eps): the ODE step from time a to b. eps(x, t): without prompt; eps(x, t, omega): guided.
    """

    def eps(x: Tensor, t: Timestep, omega: float | None = None) -> Tensor:
        return unconditional(prior, x, t, text) if omega is None else guided(prior, x, t, text, omega)

    return partial(ode_step, prior.alphas_cumprod), eps


def draw_noise(z_0: Tensor, progress: Progress, fixed: bool, offset: float) -> Tensor:
    """Noise like z_0, plus a per-channel offset shared by the batch; `fixed`: one for the whole run."""
    g = generator(progress.seed, "noise", -1 if fixed else progress.step)
    eps = torch.randn(z_0.shape, generator=g)
    shift = torch.randn(1, z_0.shape[1], 1, 1, generator=g)
    return place(eps + offset * shift, z_0)


def pixel_gradient(prior: Prior, x_null: Tensor, x_y: Tensor, weight: float) -> Tensor:
    """Gradient (B, 3, H, W) of weight / B |x - sg(x + D(x_y) - D(x_null))|^2 on the images x.

    x_null, x_y: clean latents without and with prompt; D clamps to [0, 1] (gcs_utils.py:353-388).
    """
    return 2 * weight / len(x_null) * (prior.decode(x_null) - prior.decode(x_y))


def rms(x: Tensor) -> Tensor:
    """Root mean square of all entries."""
    return x.square().mean().sqrt()
