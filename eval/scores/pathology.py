"""Pathologies as numbers: over-exposure, saturation, the amount of detail, and cut views.

All look at the foreground {alpha >= 1/2} of straight-alpha views alone, so no background matters.
Each gives NaN for a view without foreground. Janus index, consistency and floaters have modules of their
own; `score_pathologies` gathers all. toybox/calibrate_pathologies.py measures how well each finds its defect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..views.ring import RING_METRICS
from .consistency import GATE, consistency
from .floaters import floaters
from .janus import FIRST, LEAST, TEMPLATE, janus_index, withhold

if TYPE_CHECKING:
    from .asset import Asset, Models, PromptTexts

BLOWN = 0.98  # of full brightness
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601


@dataclass(frozen=True)
class Pathologies:
    """All pathologies of an asset; those of the ring only where its views are a whole one."""

    models: Models
    prompts: PromptTexts

    @property
    def protocol(self) -> dict[str, str]:
        clip, words = self.models.clip, "/".join(self.models.view_words)
        gates = f"consistency {GATE} (120 views), own prompt first in {FIRST}"
        gates += f", clip {LEAST[clip.name]}" if clip.name in LEAST else ""
        return {"janus_index": f"softmax over '{TEMPLATE}' of {words}, withheld below {gates}; {clip.how}"}

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        prompts, own = self.prompts, asset.own
        faceless = prompts.symmetric[own] or prompts.cut[own] or not asset.whole
        found = score_pathologies(asset.views, asset.features["clip"], prompts.views[own], faceless)
        if not asset.whole:
            return {name: values for name, values in found.items() if name not in RING_METRICS}
        return found | withhold(found | asset.scores, LEAST.get(self.models.clip.name, -np.inf))


def score_pathologies(
    views: np.ndarray,
    embeddings: np.ndarray,
    view_texts: np.ndarray,
    symmetric: bool = False,
) -> dict[str, np.ndarray]:
    """All pathologies of one asset, by metric: per view (V,), or (1,) for what only the ring shows.

    views: (V, H, W, 4) uint8, straight alpha, a ring in the order of azimuth. embeddings: (V, D) CLIP image
    embeddings. view_texts: (K, D) unit text embeddings under each view word: front first, back third.
    symmetric: the prompt's object has no front, so no Janus index. What cannot be seen is NaN; whether the
    Janus index means anything is another question (`janus.withhold`). Raises ValueError if the counts differ.
    """
    if len(views) != len(embeddings):
        raise ValueError(f"{len(views)} views have {len(embeddings)} embeddings")
    faces = not symmetric and bool(foreground(views).any())
    return {
        "janus_index": np.array([janus_index(embeddings, view_texts) if faces else np.nan]),
        "consistency": np.array([consistency(views)]),
        "over_exposure": over_exposure(views),
        "saturation": saturation(views),
        "detail": detail(views),
        "floaters": floaters(views),
        "touches_border": touches_border(views),
    }


def over_exposure(views: np.ndarray) -> np.ndarray:
    """Share of the foreground whose brightest channel exceeds .98, per RGBA uint8 view: (V,) in [0, 1]."""
    return mean_inside(extreme(np.maximum, views) > 255 * BLOWN, foreground(views))


def saturation(views: np.ndarray) -> np.ndarray:
    """Mean HSV saturation of the foreground, per RGBA uint8 view: (V,) in [0, 1]; black counts as 0."""
    high, low = extreme(np.maximum, views), extreme(np.minimum, views)
    return mean_inside((high - low) / np.maximum(high, 1), foreground(views))


def detail(views: np.ndarray) -> np.ndarray:
    """Root mean square Laplacian of the foreground's luminance, per RGBA uint8 view: (V,), 8-bit levels.

    Speckle raises it as sharpness does, so it says something only beside `consistency`.
    """
    values, core = laplacian(views)
    return np.sqrt(mean_inside(values**2, core))


def laplacian(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 4-neighbor Laplacian of the luminance of RGBA uint8 views, and where it counts.

    (V, H - 2, W - 2) float, 8-bit levels, 0 where it does not count, and bool: pixels whose four neighbors
    are foreground too, since the outline is no detail. No background enters.
    """
    inside = foreground(views)
    core = inside[:, 1:-1, 1:-1] & inside[:, :-2, 1:-1] & inside[:, 2:, 1:-1]
    core &= inside[:, 1:-1, :-2] & inside[:, 1:-1, 2:]
    y = views[..., :3] @ LUMA  # (V, H, W)
    around = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
    return np.where(core, around - 4 * y[:, 1:-1, 1:-1], 0.0), core


def touches_border(views: np.ndarray) -> np.ndarray:
    """1 where the foreground reaches the frame's border, so that some may lie outside; per view (V,)."""
    inside = foreground(views)
    border = np.ones(inside.shape[1:], bool)
    border[1:-1, 1:-1] = False
    return np.where(inside.any((1, 2)), (inside & border).any((1, 2)), np.nan)


def extreme(choose: np.ufunc, views: np.ndarray) -> np.ndarray:
    """The largest or smallest channel (V, H, W); slices are faster than a reduction over three."""
    return choose(choose(views[..., 0], views[..., 1]), views[..., 2])


def foreground(views: np.ndarray) -> np.ndarray:
    return views[..., 3] >= 128


def mean_inside(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean of values (V, H, W) where `inside`, per view; NaN where nothing is inside."""
    count = inside.sum((1, 2))
    total = np.where(inside, values, 0).sum((1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
