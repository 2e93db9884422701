"""The surface that views see against the true scene's: errors of depth and of normals, pixel by pixel.

Nothing is aligned: the true scene stands where the prompt's toy should, as large as it should be. Both are
compared where both are opaque, so that silhouettes do not count (`iou` has them). Creases and thin parts are
as blunt in the truth's normals as in an asset's, since both are finite differences of a depth image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..pathology import mean_inside

if TYPE_CHECKING:
    from ...views.surface import Surface
    from ..asset import Asset, Models, PromptTexts


@dataclass(frozen=True)
class SurfaceErrors:
    """The metrics of this module, a value a view; NaN where no pixel is opaque in both."""

    models: Models
    prompts: PromptTexts
    protocol: ClassVar[dict[str, str]] = {
        "depth_error": "mean |z - z*| where both are opaque, world units (the true scene fills a unit ball)",
        "normal_error": "mean angle of normals by finite differences of depth, the same pixels, degrees",
    }

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        mine, true = asset.surface, asset.true.surface
        assert mine and true  # it needs depth
        return {"depth_error": depth_error(mine, true), "normal_error": normal_error(mine, true)}


def depth_error(mine: Surface, true: Surface) -> np.ndarray:
    """Mean absolute difference of depth along the camera's axis, (V,), world units."""
    return mean_inside(np.abs(mine.depth - true.depth), mine.seen & true.seen)


def normal_error(mine: Surface, true: Surface) -> np.ndarray:
    """Mean angle between the normals (see Surface.normals), (V,), degrees."""
    both = mine.seen & true.seen
    half = np.sqrt(((mine.normals[both] - true.normals[both]) ** 2).sum(-1)) / 2
    angle = np.full(both.shape, np.nan, np.float32)
    # By the chord, whose angle is 0 exactly between equal normals; an arc cosine's would not be.
    angle[both] = np.degrees(2 * np.arcsin(np.minimum(half, 1)))
    return mean_inside(angle, np.isfinite(angle))
