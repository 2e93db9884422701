"""Pathologies as numbers: over-exposure, saturation, the amount of detail, and cut views.

All look at the foreground {alpha >= 1/2} of straight-alpha views alone, so no background matters.
Each gives NaN for a view without foreground. Janus index, consistency and floaters have modules of their
own; `score_pathologies` gathers all. toybox/calibrate_pathologies.py measures how well each finds its defect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..views.pictures import as_tensor
from ..views.ring import RING_METRICS
from .pathologies.consistency import GATE, consistency
from .pathologies.floaters import floaters
from .pathologies.janus import FIRST, LEAST, TEMPLATE, janus_index, withhold

if TYPE_CHECKING:
    from .asset import Asset, Models, PromptTexts

BLOWN = 0.98  # of full brightness
LUMA = (0.299, 0.587, 0.114)  # Rec. 601


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
        device = self.models.device
        found = score_pathologies(asset.views, asset.features["clip"], prompts.views[own], faceless, device)
        if not asset.whole:
            return {name: values for name, values in found.items() if name not in RING_METRICS}
        return found | withhold(found | asset.scores, LEAST.get(self.models.clip.name, -np.inf))


def score_pathologies(
    views: np.ndarray,
    embeddings: np.ndarray,
    view_texts: np.ndarray,
    symmetric: bool = False,
    device: str = "cpu",
) -> dict[str, np.ndarray]:
    """All pathologies of one asset, by metric: per view (V,), or (1,) for what only the ring shows; or NaN.

    views: (V, H, W, 4) uint8, straight alpha, a ring in the order of azimuth. embeddings: (V, D) CLIP image
    embeddings. view_texts: (K, D) unit text embeddings under each view word: front first, back third.
    symmetric: no Janus index. device: that looks at the pixels. Raises ValueError if the counts differ.
    """
    if len(views) != len(embeddings):
        raise ValueError(f"{len(views)} views have {len(embeddings)} embeddings")
    pictures = as_tensor(views).to(device)
    faces = not symmetric and bool(foreground(pictures).any())
    return {
        "janus_index": np.array([janus_index(embeddings, view_texts) if faces else np.nan]),
        "consistency": np.array([consistency(pictures)]),
        "over_exposure": over_exposure(pictures),
        "saturation": saturation(pictures),
        "detail": detail(pictures),
        "floaters": floaters(pictures),
        "touches_border": touches_border(pictures),
    }


def over_exposure(views: np.ndarray | Tensor) -> np.ndarray:
    """Share of the foreground whose brightest channel exceeds .98, per RGBA uint8 view: (V,) in [0, 1]."""
    pictures = as_tensor(views)
    return mean_inside(extreme(torch.maximum, pictures) > 255 * BLOWN, foreground(pictures))


def saturation(views: np.ndarray | Tensor) -> np.ndarray:
    """Mean HSV saturation of the foreground, per RGBA uint8 view: (V,) in [0, 1]; black counts as 0."""
    pictures = as_tensor(views)
    high, low = (extreme(choose, pictures).double() for choose in (torch.maximum, torch.minimum))
    return mean_inside((high - low) / high.clamp(min=1), foreground(pictures))


def detail(views: np.ndarray | Tensor) -> np.ndarray:
    """Root mean square Laplacian of the foreground's luminance, per RGBA uint8 view: (V,), 8-bit levels.

    Speckle raises it as sharpness does, so it says something only beside `consistency`.
    """
    values, core = laplacian(views)
    return np.sqrt(mean_inside(values**2, core))


def laplacian(views: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
    """The 4-neighbor Laplacian of the luminance of RGBA uint8 views, and where it counts.

    (V, H - 2, W - 2) float64, 8-bit levels, 0 where it does not count, and bool: pixels whose four neighbors
    are foreground too, since the outline is no detail. No background enters.
    """
    pictures = as_tensor(views)
    inside = foreground(pictures)
    core = inside[:, 1:-1, 1:-1] & inside[:, :-2, 1:-1] & inside[:, 2:, 1:-1]
    core &= inside[:, 1:-1, :-2] & inside[:, 1:-1, 2:]
    y = sum(weight * pictures[..., c].double() for c, weight in enumerate(LUMA))  # (V, H, W)
    assert isinstance(y, Tensor)
    around = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
    return torch.where(core, around - 4 * y[:, 1:-1, 1:-1], 0.0), core


def touches_border(views: np.ndarray | Tensor) -> np.ndarray:
    """1 where the foreground reaches the frame's border, so that some may lie outside; per view (V,)."""
    inside = foreground(as_tensor(views))
    edges = (inside[:, 0], inside[:, -1], inside[:, :, 0], inside[:, :, -1])
    touched = torch.stack([edge.any(1) for edge in edges]).any(0)
    return torch.where(inside.any(2).any(1), touched.double(), torch.nan).cpu().numpy()


def extreme(choose: Callable[[Tensor, Tensor], Tensor], pictures: Tensor) -> Tensor:
    """The largest or smallest channel (V, H, W); slices are faster than a reduction over three."""
    return choose(choose(pictures[..., 0], pictures[..., 1]), pictures[..., 2])


def foreground(pictures: Any) -> Any:
    """Where RGBA uint8 views show the object, at half its opacity or more; an array's or a tensor's."""
    return pictures[..., 3] >= 128


def mean_inside(values: np.ndarray | Tensor, inside: np.ndarray | Tensor) -> np.ndarray:
    """Mean of values (V, H, W) where `inside`, per view; NaN where nothing is inside."""
    values, inside = as_tensor(values), as_tensor(inside)
    count = inside.sum((1, 2))
    total = torch.where(inside, values, 0).sum((1, 2), dtype=torch.float64)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan).cpu().numpy()
