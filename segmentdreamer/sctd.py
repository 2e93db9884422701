"""SCTD, segmented consistency trajectory distillation (SegmentDreamer, ICCV 2025, Eqs. 9-11).

Symbols: z_e is the latent noised to its segment's lower edge e; z_s and z_t follow it along the
unconditional ODE (tilde); z_s_hat steps back from z_t with guidance; G carries a point to e.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.distillation import (
    T_MAX_BASE,
    T_MIN,
    T_SPAN,
    Gradient,
    Progress,
    Scalars,
    draw_noise,
    uniform_int,
)
from segmentdreamer.guidance import Conditioning, guided, unconditional
from segmentdreamer.prior import Prior
from segmentdreamer.randomness import generator
from segmentdreamer.segments import equal_edges, lower_edge, monotone_edges
from segmentdreamer.solver import add_noise, noise_to_signal, ode_step


@dataclass(frozen=True)
class Times:
    """One step's timesteps e < s < t, shared by the batch."""

    t: int
    s: int
    e: int


@torch.no_grad()
def gradient(
    prior: Prior,
    z_0: Tensor,
    noise: Tensor,
    conditioning: Conditioning,
    times: Times,
    omega: float = 7.5,
    lam: float = 0.1,
    t_tau: int = 150,
    self_sign: int = 1,
) -> Gradient:
    """The SCTD gradient on z_0 (B, 4, h, w), as the official code forms it (sctd_utils.py:353-411).

    g = lam sigma_t/alpha_t { self_sign [G(z_s_hat, s, null) - z_e] + (omega + 1) [z_e - G(z_t, t, y)] },
    with z_e standing for G(z_t, t, null), the paper's approximation. Network rows per sample: 3 without
    prompt and 2 guided (4 under Perp-Neg); one fewer where t < t_tau.
    """
    a, (t, s, e) = prior.alphas_cumprod, (times.t, times.s, times.e)
    z_e = add_noise(a, z_0, noise, e)
    eps_e = unconditional(prior, z_e, e, conditioning)
    if t >= t_tau:  # Eq. 11: two-step inversion
        z_s = ode_step(a, z_e, e, s, eps_e)
        z_t = ode_step(a, z_s, s, t, unconditional(prior, z_s, s, conditioning))
    else:
        z_t = ode_step(a, z_e, e, t, eps_e)

    eps_hat = guided(prior, z_t, t, conditioning, omega)
    z_s_hat = ode_step(a, z_t, t, s, eps_hat)
    G_s = ode_step(a, z_s_hat, s, e, unconditional(prior, z_s_hat, s, conditioning))
    G_t_y = ode_step(a, z_t, t, e, eps_hat)

    self_term, cross_term = G_s - z_e, z_e - G_t_y
    weight = lam * noise_to_signal(a, t)
    g = weight * (self_sign * self_term + (omega + 1) * cross_term)  # Eq. 10
    scalars: Scalars = {"t": t, "s": s, "e": e, "self_rms": _rms(self_term), "cross_rms": _rms(cross_term)}
    return Gradient(g, scalars=scalars)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


@dataclass(frozen=True)
class SCTD:
    """SCTD with the official defaults (README, config/*.yaml, sctd_utils.py)."""

    omega: float = 7.5  # guid_scale
    lam: float = 0.1  # lambda_guidance
    N: int = 5  # phase_num of the README
    strategy: Literal["equal", "monotone"] = "equal"  # t_mode; "equal" is the official "uniform"
    t_tau: int = 150  # t_threshold
    first_segment: int = 130  # monotone: length of the first segment, officially t_tau - 20
    delta: int = 80  # delta_t, the least distance of t from its edge
    self_sign: int = 1  # sign of the self-consistency term; the paper's norm form has -1
    redraw_t: bool = False  # redraw t in its segment instead of clamping it to e + delta
    fixed_noise: bool = True  # fix_noise
    offset: float = 0.1  # per-channel offset noise

    def __call__(self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress) -> Gradient:
        noise = draw_noise(z_0, progress.seed, -1 if self.fixed_noise else progress.step, self.offset)
        times = self.draw_times(progress)
        return gradient(
            prior, z_0, noise, conditioning, times, self.omega, self.lam, self.t_tau, self.self_sign
        )

    def edges(self) -> list[int]:
        if self.strategy == "monotone":
            return monotone_edges(self.N, self.first_segment)
        return equal_edges(self.N)

    def draw_times(self, progress: Progress) -> Times:
        """t uniform in a window whose both ends sink during warm-up; e its edge; s between them.

        sctd_utils.py:631-652. Official t is lifted to e + delta, where it may pass the next edge; with
        `redraw_t` it is drawn anew between e + delta and the end of its segment.
        """
        g = generator(progress.seed, "times", progress.step)
        shift = int(T_SPAN * progress.warmup_rate)
        t = uniform_int(T_MIN + shift, T_MAX_BASE - 1 + shift, g) + 1  # index + 1 is the timestep
        edges = self.edges()
        e = lower_edge(edges, t)
        if t < e + self.delta:
            end = min(edges[edges.index(e) + 1] - 1, T_MAX_BASE + shift)
            t = uniform_int(e + self.delta, max(end, e + self.delta), g) if self.redraw_t else e + self.delta
        s = uniform_int(e + 10, t - 11, g)
        return Times(t, s, e)
