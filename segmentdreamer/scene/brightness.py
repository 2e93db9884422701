"""BEG, brightness-equalized generation: colors shrink towards gray where the renders are too bright.

Source: Connect3D train.py:385-396, gaussian_model.py:290-295, 340-354; part of the GCS system, off in
SegmentDreamer's configurations. Since rgb = 0.5 + C0 dc, shrinking dc pulls towards mid-gray, not black.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from segmentdreamer.interfaces import Share, Weight, Whole
from segmentdreamer.scene.gaussians import Parameters


@dataclass(frozen=True)
class BrightnessConfig:
    """The official values; the window holds both its ends, counted in steps from 1."""

    enabled: bool = False
    first: Whole = 1001
    last: Whole = 4499
    quantile: Share = 0.85
    threshold: Weight = 0.9
    factor: Share = 0.8
    # The official mask, brightness > 0, leaves out black backgrounds alone: on others the background's
    # own brightness decides. Default: pixels that are at least half covered.
    nonblack: bool = False


@torch.no_grad()
def equalize(
    params: Parameters,
    optimizers: dict[str, torch.optim.Adam],
    images: Tensor,
    alphas: Tensor,
    config: BrightnessConfig,
    k: int,
) -> Tensor:
    """Shrink the colors in place if the batch is too bright at step k (from 1); whether it was, as 0 or 1.

    images: (B, 3, H, W); alphas: (B, 1, H, W). Where it shrinks, the colors' moments and gradient become
    zero, so that this step leaves them alone.
    """
    if not config.enabled or not config.first <= k <= config.last:
        return torch.zeros((), device=images.device)
    bright = brightness(images, alphas, config) > config.threshold
    colors, keep = params["sh0"], (~bright).float()
    colors.mul_(torch.where(bright, config.factor, 1.0))
    for name in ("exp_avg", "exp_avg_sq"):
        if name in optimizers["sh0"].state.get(colors, {}):
            optimizers["sh0"].state[colors][name].mul_(keep)
    if colors.grad is not None:
        colors.grad.mul_(keep)
    return bright.float()


def brightness(images: Tensor, alphas: Tensor, config: BrightnessConfig) -> Tensor:
    """Q: the quantile over images of each image's quantile of mean RGB over its object; 0 without one."""
    value = images.mean(1).flatten(1)  # (B, H W)
    inside = value > 0 if config.nonblack else alphas.flatten(1) >= 0.5
    masked = torch.where(inside, value, torch.full_like(value, torch.nan))
    each = torch.nanquantile(masked, config.quantile, dim=1).nan_to_num(0.0)  # (B,)
    return torch.quantile(each, config.quantile)
