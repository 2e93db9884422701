"""Timesteps of methods that learn: the noisier half is left out after a share of the run (threestudio)."""

import torch
from torch import Tensor

from segmentdreamer.diffusion.times import T_MAX_BASE, draw_each
from segmentdreamer.interfaces import Progress
from segmentdreamer.randomness import generator, send
from segmentdreamer.segments import T_MIN


def draw_halving(progress: Progress, batch: int, device: torch.device | str, share: float) -> Tensor:
    """As draw_each; after this share of the run in 20..500 (threestudio's VSD)."""
    if progress.share <= share:
        return draw_each(progress, batch, device)
    g = generator(progress.seed, "t", progress.step)
    return send(torch.randint(T_MIN, T_MAX_BASE + 1, (batch,), generator=g), device)
