"""DreamDPO (Zhou et al., ICML 2025): of two noises, away from what a reward likes less to what it likes more.

Source: threestudio/models/guidance/mvdream_reward_guidance.py:116-260, configs/dreamdpo/*.yaml. Theirs is
MVDream under HPSv2; here the trunk's prior, and as reward its own denoising error under the view's prompt (a
diffusion classifier's: Li et al., ICCV 2023), which no table measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import conditional, guidance
from segmentdreamer.diffusion.solver import add_noise, denoised, sigma
from segmentdreamer.diffusion.terms import draw_noise, rms
from segmentdreamer.diffusion.times import uniform_int
from segmentdreamer.interfaces import (
    ASCENDING,
    Conditioning,
    Gradient,
    Method,
    Prior,
    Progress,
    Share,
    Time,
    Timestep,
    Weight,
)
from segmentdreamer.randomness import generator, place

Reward = Callable[[Tensor], Tensor]  # of clean latents (B, 4, h, w), a value for each (B,)


@dataclass(frozen=True)
class DreamDPO(Method):
    """DreamDPO with the official defaults (dreamdpo/mvdream-sd21-reward.yaml), on the shared trunk."""

    has_perp_neg: ClassVar[bool] = False
    omega: Weight = 7.5  # guidance_scale
    lam: Weight = 0.1  # the trunk's; lambda_sds 1
    beta: Weight = 0.0  # beta_dpo: a smaller difference of rewards is none
    subtract_noise: bool = False  # then the winner's is plain SDS; the code forgets to subtract its noise
    t_first: Annotated[tuple[Share, Share], ASCENDING] = (
        0.98,
        0.98,
    )  # min_ and max_step_percent at first ...
    t_last: Annotated[tuple[Share, Share], ASCENDING] = (0.02, 0.5)  # ... and at last ...
    annealed: Share = 0.8  # ... after this share of the run, linearly: 8,000 of 10,000 steps
    reward_t: Time = 400  # where the reward denoises; ours

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        own = draw_noise(z_0, progress, fixed=False, offset=0.0)
        noise = torch.stack([own, self.draw(z_0, progress, "rival")])
        judging = self.draw(z_0, progress, "reward")

        def reward(clean: Tensor) -> Tensor:
            x = add_noise(prior.alphas_cumprod, clean, judging, self.reward_t)
            return -(conditional(prior, x, self.reward_t, text) - judging).square().mean((1, 2, 3))

        return self.update(prior, z_0, noise, text, self.draw_time(progress), reward)

    @torch.no_grad()
    def update(
        self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, t: Timestep, reward: Reward
    ) -> Gradient:
        """g = lam sigma_t^2 {[eps_omega(z_w, t) - eps_w] - [eps(z_l, t, y) - eps_l]} on z_0 (B, 4, h, w).

        noise (2, B, 4, h, w); w wins and l loses by the reward of what is denoised with guidance, a tie goes
        to the first; below a difference of beta g = lam sigma_t^2 eps_omega(z_w, t). Network rows per
        sample: 2 x 2 guided, and those of the reward (the call's: 2). Officially divided by B.
        """
        a, sides, rewards = prior.alphas_cumprod, list[tuple[Tensor, ...]](), list[Tensor]()
        for own in noise:
            z_t = add_noise(a, z_0, own, t)
            eps_neg, direction = guidance(prior, z_t, t, text)
            eps_hat = eps_neg + self.omega * direction
            rewards.append(reward(denoised(a, z_t, t, eps_hat)))
            sides.append((eps_hat, eps_neg + direction, own))
        first = (rewards[0] >= rewards[1])[:, None, None, None]
        apart = ((rewards[0] - rewards[1]).abs() >= self.beta)[:, None, None, None]
        hat, _, eps = (torch.where(first, one, other) for one, other in zip(*sides, strict=True))
        _, plain, rival = (torch.where(first, other, one) for one, other in zip(*sides, strict=True))
        alone = hat - eps if self.subtract_noise else hat
        residual = torch.where(apart, hat - eps - (plain - rival), alone)
        scalars = {"t": t, "residual_rms": rms(residual), "gap": (rewards[0] - rewards[1]).abs().mean()}
        return Gradient(self.lam * sigma(a, t) ** 2 * residual, scalars=scalars)

    @staticmethod
    def draw(z_0: Tensor, progress: Progress, stream: str) -> Tensor:
        return place(torch.randn(z_0.shape, generator=generator(progress.seed, stream, progress.step)), z_0)

    def draw_time(self, progress: Progress) -> int:
        """t uniform in a window whose ends sink linearly."""
        share = min(progress.share / self.annealed, 1.0) if self.annealed else 1.0
        low, high = (
            int(1000 * (a + (b - a) * share)) for a, b in zip(self.t_first, self.t_last, strict=True)
        )
        return uniform_int(low, high, generator(progress.seed, "t", progress.step))
