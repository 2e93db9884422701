"""Where an optimization starts: a neutral gray ball, the same for every prompt and method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.gaussians import Parameters, parameters
from segmentdreamer.randomness import generator


@dataclass(frozen=True)
class StartConfig:
    """A ball of equal Gaussians (official 'sphere' start: dataset_readers.py:196-213)."""

    count: int = 1000
    radius: float = 0.5
    scale: float = 0.05  # standard deviation of each Gaussian, world units
    opacity: float = 0.1
    gray: float = 0.5


def ball(config: StartConfig, seed: int) -> Parameters:
    """`count` gray Gaussians, uniform in a ball around the origin."""
    g = generator(seed, "start")
    direction = torch.nn.functional.normalize(torch.randn(config.count, 3, generator=g), dim=-1)
    distance = config.radius * torch.rand(config.count, 1, generator=g) ** (1 / 3)
    return parameters(
        means=direction * distance,
        scales=torch.full((config.count, 3), config.scale),
        opacities=_constant(config.count, config.opacity),
        colors=torch.full((config.count, 3), config.gray),
    )


def _constant(count: int, value: float) -> Tensor:
    return torch.full((count,), value)
