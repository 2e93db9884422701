"""Where an optimization starts: a neutral gray ball, the same for every method.

    python -m segmentdreamer.start --scale mini --prompt-id p01 --seed 0 --out asset.ply

writes the start state of a run as an asset: the table's row of zero steps.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch

from segmentdreamer.gaussians import Parameters, parameters, save_ply
from segmentdreamer.randomness import derive_seed, generator


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
        opacities=torch.full((config.count,), config.opacity),
        colors=torch.full((config.count, 3), config.gray),
    )


def start_seed(prompt_id: str, seed: int) -> int:
    """The seed of a run: from prompt and seed index, equal for all methods."""
    return derive_seed(prompt_id, seed)


def main(argv: list[str] | None = None) -> None:
    from segmentdreamer.config import load_config

    parser = argparse.ArgumentParser(description="Write the state that an optimization starts from.")
    parser.add_argument("--scale", default="mini", help="mini, or a YAML file of your own (default: mini)")
    parser.add_argument("--prompt-id", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the PLY to write")
    args = parser.parse_args(argv)
    config = load_config(args.scale)
    save_ply(ball(config.start, start_seed(args.prompt_id, args.seed)), args.out)


if __name__ == "__main__":
    main()
