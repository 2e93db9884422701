"""CDS, consistency distillation sampling (Consistent3D, Wu et al. 2024, Eq. 11).

Symbols: t' (t_next) sinks over the run along a square root; one guided ODE step leads from z_t to it.
Source: threestudio/models/guidance/stable_diffusion_guidance.py of Consistent3D, in whose
variance-exploding form y = z / alpha the step is the same map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from segmentdreamer.diffusion.solver import add_noise, alpha, sigma
from segmentdreamer.diffusion.terms import bind, draw_noise, rms
from segmentdreamer.diffusion.times import draw_t
from segmentdreamer.interfaces import (
    ASCENDING,
    Conditioning,
    Count,
    Gradient,
    Method,
    Prior,
    Progress,
    Time,
    Timestep,
    Weight,
)
from segmentdreamer.randomness import generator, send


@dataclass(frozen=True)
class Pair:
    """One step's timesteps: t_next shared by the batch, t > t_next for all or for each sample (B,)."""

    t: Timestep
    t_next: int


@dataclass(frozen=True)
class CDS(Method):
    """CDS in the shared trunk: the coarse stage's values, its times carried on to 20, where the run ends.

    Official stages (configs/consistency-*.yaml), coarse | geometry | texture: s 100 -> 50 | 100 -> 30 | 50;
    t' 700 -> 100 | 300 -> 20 | 500 -> 20; perturb 200 | 100 | 100; weight uniform | sds | sds.
    """

    has_perp_neg: ClassVar[bool] = False
    omega: Weight = 101.0  # s = 100, which is omega - 1
    omega_end: Weight | None = 51.0  # reached linearly at the end of the run; null: constant
    lam: Weight = 1.0  # lambda_sds
    weight: Literal["uniform", "sds"] = "uniform"  # 1, or 1 - alphas_cumprod[t]
    clamp: tuple[Weight, Weight] | None = (2.0, 8.0)  # grad_clip, linear over the run
    t_first: Time = 700  # cur_steps
    t_last: Time = 20  # 100 in the coarse stage; the trunk has one stage, which ends at the fine times
    perturb: Count = 200  # perturb_factor
    end_gap: Time = 100
    t_range: Annotated[tuple[Time, Time], ASCENDING] = (20, 980)
    annealing: Literal["sqrt", "linear", "trunk"] = "sqrt"  # "trunk": t as the other methods draw it
    fixed_noise: bool = True  # one noise for all steps ...
    share_noise: bool = True  # ... and for all views
    offset: Weight = 0.0

    def __call__(self, prior: Prior, z_0: Tensor, text: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0[:1] if self.share_noise else z_0, progress, self.fixed_noise, self.offset)
        times = self.draw_times(progress, len(z_0), z_0.device)
        return self.update(prior, z_0, noise.expand_as(z_0), text, times, progress.share)

    @torch.no_grad()
    def update(
        self, prior: Prior, z_0: Tensor, noise: Tensor, text: Conditioning, times: Pair, share: float = 0.0
    ) -> Gradient:
        """g = lam/B clamp(w(t) [eps_omega(z_t, t) - eps_omega(z_t', t')]) on z_0 (B, 4, h, w).

        Lines 309-424. The sign is the code's: minimizing |F(z_t) - sg F(z_t')|^2 literally would turn it.
        share: how much of the run is done, for omega and clamp. Network rows per sample: 2 x 2 guided. Raises
        ValueError under Perp-Neg, which the method does not have.
        """
        if text.perp is not None:
            raise ValueError("CDS has no Perp-Neg; set prompts.perp_neg to false")
        a, (S, eps) = prior.alphas_cumprod, bind(prior, text)
        t, t_next = times.t, times.t_next
        omega = between(self.omega, self.omega_end, share)
        z_t = add_noise(a, z_0, noise, t)
        eps_t = eps(z_t, t, omega)
        eps_next = eps(S(z_t, t, t_next, eps_t), t_next, omega)

        w = sigma(a, t) ** 2 if self.weight == "sds" else torch.ones_like(alpha(a, t))
        g = torch.nan_to_num(w * (eps_t - eps_next))
        if self.clamp is not None:
            bound = between(*self.clamp, share)
            g = g.clamp(-bound, bound)
        scalars = {"t": t, "t_next": t_next, "residual_rms": rms(eps_t - eps_next)}
        return Gradient(self.lam / len(z_0) * g, scalars=scalars)

    def draw_times(self, progress: Progress, batch: int, device: torch.device | str = "cpu") -> Pair:
        """t' on its way down, t one gap above it, drawn for each sample (lines 575-580)."""
        low, high = self.t_range
        if self.annealing == "trunk":
            t_next = draw_t(progress, both_ends=True) - self.end_gap
        else:
            share = progress.share**0.5 if self.annealing == "sqrt" else progress.share
            t_next = int(between(self.t_first, self.t_last, share))
        t_next = min(max(t_next, low), high - self.end_gap)
        g = generator(progress.seed, "gaps", progress.step)
        gap = torch.randint(self.end_gap, self.end_gap + self.perturb, (batch,), generator=g)
        return Pair(send((t_next + gap).clamp(low, high), device), t_next)


def between(first: float, last: float | None, share: float) -> float:
    """From `first` to `last` (None: none) along a straight line."""
    return first if last is None else first + (last - first) * share
