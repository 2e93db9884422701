"""CSD, classifier score distillation (Yu et al., ICLR 2024): guidance alone, without the generative prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import guidance
from segmentdreamer.diffusion.solver import add_noise, noise_to_signal
from segmentdreamer.diffusion.terms import draw_noise, rms
from segmentdreamer.diffusion.times import draw_t
from segmentdreamer.interfaces import Conditioning, Gradient, Method, Prior, Progress, Timestep, Weight


@dataclass(frozen=True)
class CSD(Method):
    """CSD with the trunk's times, weight and noise."""

    omega: Weight = 7.5
    lam: Weight = 0.1
    offset: Weight = 0.1

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress, False, self.offset)
        return self.update(prior, z_0, noise, text, draw_t(progress))

    @torch.no_grad()
    def update(self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, t: Timestep) -> Gradient:
        """g = lam sigma_t/alpha_t omega [eps(z_t, t, y) - eps(z_t, t, n)] on z_0 (B, 4, h, w).

        Network rows per sample: 2 guided (4 under Perp-Neg).
        """
        a = prior.alphas_cumprod
        _, direction = guidance(prior, add_noise(a, z_0, noise, t), t, text)
        g = self.lam * noise_to_signal(a, t) * self.omega * direction
        return Gradient(g, scalars={"t": t, "direction_rms": rms(direction)})
