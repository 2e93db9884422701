"""Shared by tests of starts: clouds, and the state that a run starts from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from segmentdreamer.config import load_config
from segmentdreamer.start import shapes as start
from segmentdreamer.start.clouds import Cloud
from segmentdreamer.start.shapes import StartConfig, start_state

ROOT = Path(__file__).parents[3]


OFFICIAL = load_config("paper").start


def random_cloud(count: int, seed: int = 0, colored: bool = True) -> Cloud:
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 3, generator=g) - 0.5
    return Cloud(points, torch.rand(count, 3, generator=g) if colored else None)


def state(config: StartConfig, seed: int = 1) -> dict[str, Tensor]:
    return {
        name: value.detach() for name, value in start_state(start.located(config, "p01", seed), seed).items()
    }
