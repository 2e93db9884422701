"""The trunk's regularizers: total variation of the renders and mean Gaussian size.

Source: official train.py:386-390 (weights 1.0 each).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.scene.render import Rendered


@dataclass(frozen=True)
class RegularizerConfig:
    """Weights of the regularizers; official values."""

    tv: float = 1.0  # on images and disparity
    scale: float = 1.0  # on the mean size of the Gaussians


def total_variation(image: Tensor) -> Tensor:
    """2 (mean squared vertical + mean squared horizontal difference) of (B, C, H, W)."""
    vertical = (image[..., 1:, :] - image[..., :-1, :]).square().mean()
    horizontal = (image[..., 1:] - image[..., :-1]).square().mean()
    return 2 * (vertical + horizontal)


def regularization(rendered: Rendered, config: RegularizerConfig) -> Tensor:
    """The weighted sum, added once to the loss."""
    loss = config.scale * rendered.scales.mean() if len(rendered.scales) else torch.zeros(())
    if config.tv > 0:
        loss = loss + config.tv * total_variation(rendered.images)
        if rendered.disparity is not None:
            loss = loss + config.tv * total_variation(rendered.disparity)
    return loss
