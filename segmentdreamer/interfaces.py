"""What every score-distillation loss takes and returns.

A method is a small frozen dataclass of hyper-parameters. Calling it draws times and noise for the step
and hands them to a pure update of (prior, latents, noise, conditioning, times).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from segmentdreamer.diffusion.guidance import Conditioning
from segmentdreamer.placement import place
from segmentdreamer.prior.diffusers_prior import Prior
from segmentdreamer.randomness import generator

Scalars = Mapping[str, float | int | Tensor]

T_SPAN = 480  # 1000 (max_t_range .98 - t_range .5): how far warm-up lifts the time window


@dataclass(frozen=True)
class Progress:
    """Where an optimization stands: step k - 1 of `steps`, warming up over `warmup` steps."""

    step: int  # 0-based
    steps: int
    seed: int
    warmup: int = 1500  # official warmup_iter

    @property
    def warmup_rate(self) -> float:
        """r_k = 1 - min(k / warmup, 1), k counted from 1 (official train.py:364)."""
        return 1 - min((self.step + 1) / self.warmup, 1.0) if self.warmup > 0 else 0.0

    @property
    def shift(self) -> int:
        """Delta_k: how far warm-up lifts the time range; 480 falling to 0."""
        return int(T_SPAN * self.warmup_rate)

    @property
    def share(self) -> float:
        """k / K, the part of the run that is done, in [0, 1)."""
        return self.step / self.steps


@dataclass(frozen=True)
class Gradient:
    """A method's answer: descent directions and what to log."""

    latent: Tensor  # (B, 4, h, w), to be injected as d loss / d z_0
    pixel: Tensor | None = None  # (B, 3, H, W), likewise on the rendered images
    scalars: Scalars = field(default_factory=dict)


class Method(Protocol):
    """A score-distillation loss."""

    def __call__(
        self, prior: Prior, z_0: Tensor, conditioning: Conditioning, progress: Progress
    ) -> Gradient: ...


def draw_noise(z_0: Tensor, seed: int, number: int, offset: float) -> Tensor:
    """Gaussian noise shaped like z_0 plus a per-channel offset shared by the batch (official 0.1).

    number: the step for fresh noise, -1 for one noise kept over a whole run.
    """
    g = generator(seed, "noise", number)
    eps = torch.randn(z_0.shape, generator=g)
    shift = torch.randn(1, z_0.shape[1], 1, 1, generator=g)
    return place(eps + offset * shift, z_0)


def uniform_int(low: int, high: int, g: torch.Generator) -> int:
    """An integer drawn uniformly from low..high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=g))


def pixel_gradient(prior: Prior, x_null: Tensor, x_y: Tensor, weight: float) -> Tensor:
    """Gradient (B, 3, H, W) of weight / B |x - sg(x + D(x_y) - D(x_null))|^2 on the images x.

    x_null, x_y: clean latents without and with prompt; D clamps to [0, 1] (gcs_utils.py:353-388).
    """
    return 2 * weight / len(x_null) * (prior.decode(x_null) - prior.decode(x_y))


def rms(x: Tensor) -> Tensor:
    """Root mean square of all entries."""
    return x.square().mean().sqrt()
