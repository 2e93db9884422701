"""SDS-Bridge (McAllister et al., NeurIPS 2024): SDS, then a bridge between two prompts.

Stage 2 takes no noise for what the pictures are, but what the network says of a prompt that describes their
faults. Source: threestudio-sds-bridge/guidance/sds_bridge_guidance.py:182-336, configs/sds-bridge.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import guided, predict
from segmentdreamer.diffusion.halving import draw_halving
from segmentdreamer.diffusion.solver import add_noise, sigma
from segmentdreamer.diffusion.terms import draw_noise, rms
from segmentdreamer.interfaces import (
    Conditioning,
    Gradient,
    Method,
    Prior,
    Progress,
    Share,
    Timestep,
    Weight,
)

FAULTS = "oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry, bad structure, noisy, malformed"


@dataclass(frozen=True)
class SDSBridge(Method):
    """SDS-Bridge with the official defaults (configs/sds-bridge.yaml), on the shared trunk."""

    has_perp_neg: ClassVar[bool] = False
    omega: Weight = 100.0  # guidance_scale, of stage 1
    lam: Weight = 0.1  # the trunk's; lambda_sds 1
    w_1: Weight = 1.0  # stage_one_weight
    w_2: Weight = 1.0  # stage_two_weight; 100 is the class's default
    stage_two: Share = (
        0.8  # from this share of the run on: stage_two_start_step 20,000 of 25,000; 0: it alone
    )
    halving: Share = 0.2  # from here on t is at most 500: 5,000 of 25,000
    target: str = "{prompt}, ."  # tgt_modifier
    source: str = "{prompt}, " + FAULTS + ", {view} view"  # src_modifier

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress, fixed=False, offset=0.0)
        t = draw_halving(progress, len(z_0), z_0.device, self.halving)
        return self.update(prior, z_0, noise, text, t, progress.share)

    @torch.no_grad()
    def update(
        self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, t: Timestep, share: float
    ) -> Gradient:
        """g on z_0 (B, 4, h, w): stage 1 as SDS, stage 2 from `share` = stage_two on; t: one, or (B,).

        g = lam w_1 sigma_t^2 [eps_omega(z_t, t) - eps], then lam w_2 [eps(z_t, t, y) - eps(z_t, t, source)].
        Network rows per sample: 2. Officially divided by B.
        """
        a = prior.alphas_cumprod
        z_t = add_noise(a, z_0, noise, t)
        w: Tensor | float = self.w_2
        if share < self.stage_two:
            residual = guided(prior, z_t, t, text, self.omega) - noise
            w = self.w_1 * sigma(a, t) ** 2
        elif text.source is None:
            raise ValueError("SDS-Bridge needs the embeddings of its source prompt")
        else:
            eps_source, eps_target = predict(prior, z_t, t, [text.source, text.cond])
            residual = eps_target - eps_source
        return Gradient(self.lam * w * residual, scalars={"t": t, "residual_rms": rms(residual)})
