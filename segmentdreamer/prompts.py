"""View-dependent prompts: each view's embedding lies between those of the two nearest view words.

Source: official train.py:144-145 and 318-338 (front, side and back at azimuths 0, +-90 and 180, mixed
linearly in embedding space). The toybox tells its two sides apart and has four words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.guidance import Conditioning
from segmentdreamer.prior import Prior

OFFICIAL_NEGATIVE = (
    "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, low-resolution, "
    "oversaturation."
)


@dataclass(frozen=True)
class PromptConfig:
    """How prompts become conditioning."""

    # The words that hold fully at azimuths 0, 90, 180 and 270.
    views: tuple[str, str, str, str] = ("front", "side", "back", "side")
    template: str = "{prompt}, {view} view"
    negative: str = OFFICIAL_NEGATIVE
    mix: Literal["linear", "hard"] = "linear"  # "hard": the nearest word alone


@dataclass(frozen=True)
class ViewPrompts:
    """A prompt's embeddings, computed once before the first step."""

    views: Tensor  # (A, L, D)
    azimuths: Tensor  # (A,) degrees, ascending
    neg: Tensor  # (1, L, D)
    null: Tensor  # (1, L, D)
    mix: str

    def conditioning(self, azimuth: Tensor) -> Conditioning:
        """The conditioning of a batch of cameras at `azimuth` (B,) degrees."""
        weights = view_weights(self.azimuths, azimuth, self.mix).to(self.views)  # (B, A)
        return Conditioning(torch.einsum("ba,ald->bld", weights, self.views), self.neg, self.null)


def embed_views(prior: Prior, prompt: str, config: PromptConfig) -> ViewPrompts:
    """Embed a prompt under every view word, with the negative and the empty prompt."""
    texts = [config.template.format(prompt=prompt, view=word) for word in config.views]
    embedded = prior.encode_prompt([*texts, config.negative, ""])
    azimuths = torch.arange(4) * 90.0
    return ViewPrompts(embedded[:-2], azimuths, embedded[-2:-1], embedded[-1:], config.mix)


def view_weights(anchors: Tensor, azimuth: Tensor, mix: str = "linear") -> Tensor:
    """Weights (B, A) of the view words at ascending `anchors` (A,) for cameras at `azimuth` (B,).

    Linear on the circle between the two nearest words; "hard" gives all the weight to the nearer one.
    """
    a = azimuth[:, None] % 360  # (B, 1)
    following = torch.cat([anchors[1:], anchors[:1] + 360])  # (A,)
    share = ((a - anchors) % 360) / (following - anchors)  # (B, A): in [0, 1) where a lies in this arc
    inside = share < 1
    share = share.round() if mix == "hard" else share
    own = torch.where(inside, 1 - share, torch.zeros_like(share))
    handed_on = torch.where(inside, share, torch.zeros_like(share))
    return own + handed_on.roll(1, dims=1)
