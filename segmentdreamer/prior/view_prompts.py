"""View-dependent prompts: each view's embedding lies between those of the two nearest view words.

Source: official train.py:144-145 and 318-338 (front, side and back at azimuths 0, +-90 and 180, mixed
linearly in embedding space) and 95-136 (Perp-Neg). The toybox tells its two sides apart: four words.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segmentdreamer.interfaces import Conditioning, Method, Prior, Share
from segmentdreamer.randomness import place

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
    perp_neg: bool = False  # steer away from the other views' words (official perpneg)
    # Share of the front's words in every view: a prior's bias to canonical views, as a stress for Janus. The
    # bias is what Hong et al. (arXiv 2303.15413) and Perp-Neg (arXiv 2304.04968) trace double faces to.
    canonical: Share = 0.0

    def __post_init__(self) -> None:
        if "here" not in worded(self.template, "here", ""):
            raise ValueError(f"template {self.template!r} has no {{prompt}}")


@dataclass(frozen=True)
class ViewPrompts:
    """A prompt's embeddings, computed once before the first step."""

    views: Tensor  # (4, L, D): the words at azimuths 0, 90, 180 and 270
    neg: Tensor  # (1, L, D)
    null: Tensor  # (1, L, D)
    mix: str
    perp_neg: bool = False
    canonical: float = 0.0
    sources: Tensor | None = None  # (4, L, D): a method's second prompt, as `views`

    def conditioning(self, azimuth: Tensor) -> Conditioning:
        """The conditioning of a batch of cameras at `azimuth` (B,) degrees."""
        weights = (1 - self.canonical) * view_weights(azimuth, self.mix)
        weights[:, 0] += self.canonical
        weights = place(weights, self.views)  # (B, 4)
        cond = torch.einsum("ba,ald->bld", weights, self.views)
        source = None if self.sources is None else torch.einsum("ba,ald->bld", weights, self.sources)
        if not self.perp_neg:
            return Conditioning(cond, self.neg, self.null, source=source)
        right = place((azimuth % 360 < 180).float(), self.views)[:, None, None] > 0
        side = torch.where(right, self.views[1], self.views[3])  # (B, L, D)
        perp = torch.stack([self.views[:1].expand_as(cond), side])  # (2, B, L, D)
        weights = place(perp_neg_weights(azimuth), self.views)
        return Conditioning(cond, self.neg, self.null, perp, weights, source)


def embed_views(prior: Prior, prompt: str, config: PromptConfig, method: Method | None = None) -> ViewPrompts:
    """Embed a prompt under every view word, with the negative and the empty prompt.

    As a method words it, with its second prompt if it has one.
    """
    embedded = prior.encode_prompt([*word_views(prompt, config, method), config.negative, ""])
    own, neg, null = embedded[:-2], embedded[-2:-1], embedded[-1:]
    source, sources = getattr(method, "source", ""), None
    if source:
        sources = prior.encode_prompt([worded(source, prompt, word) for word in config.views])
    return ViewPrompts(own, neg, null, config.mix, config.perp_neg, config.canonical, sources)


def word_views(prompt: str, config: PromptConfig, method: Method | None = None) -> list[str]:
    """The prompt, as a method words it, under every view word."""
    target = worded(getattr(method, "target", "{prompt}"), prompt, "")
    return [worded(config.template, target, word) for word in config.views]


def worded(template: str, prompt: str, view: str) -> str:
    """The template filled in; ValueError if it has other places than {prompt} and {view}."""
    try:
        return template.format(prompt=prompt, view=view)
    except (LookupError, ValueError, AttributeError) as error:
        raise ValueError(f"template {template!r} may have {{prompt}} and {{view}} alone") from error


def view_weights(azimuth: Tensor, mix: str = "linear") -> Tensor:
    """Weights (B, 4) of the words at azimuths 0, 90, 180 and 270 for cameras at `azimuth` (B,) degrees.

    Linear on the circle between the two nearest words; "hard" gives all the weight to the nearer one.
    """
    share = (azimuth[:, None] % 360 - torch.arange(4) * 90.0) % 360 / 90  # in [0, 1) where it is in this arc
    inside = share < 1
    share = share.round() if mix == "hard" else share
    return torch.where(inside, 1 - share, 0.0) + torch.where(inside, share, 0.0).roll(1, dims=1)


def perp_neg_weights(azimuth: Tensor) -> Tensor:
    """Perp-Neg's weights (2, B) of the words for front and side, at `azimuth` (B,) degrees.

    Official train.py:95-136. r falls from 1 to 0 between front and side, and again from side to back:
    in front of the side the front counts -2 exp(-2 r) (0 if r > .8) and the side -2 exp(-10 (1 - r)) (0 if
    r < .2); behind it the front counts -2 and the side -exp(-10 r) (0 if r > .8).
    """
    away = (azimuth + 180) % 360 - 180  # degrees from the front, in [-180, 180)
    quarter = away.abs() / 90  # 0 front, 1 side, 2 back
    before, r = quarter < 1, torch.where(quarter < 1, 1 - quarter, 2 - quarter)
    front = torch.where(before, torch.where(r > 0.8, 0.0, -2 * torch.exp(-2 * r)), -2.0)
    side_before = torch.where(r < 0.2, 0.0, -2 * torch.exp(-10 * (1 - r)))
    side_behind = torch.where(r > 0.8, 0.0, -torch.exp(-10 * r))
    return torch.stack([front, torch.where(before, side_before, side_behind)])
