"""The points that views see against the true scene's: Chamfer distance and F-score.

Points are unprojected from the depth of VIEWS views all around, so they lie only where a camera of the
orbit sees the surface, denser where it is seen more often. Neither cloud is aligned with the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from ...views.surface import Surface
    from ..asset import Asset, Models, PromptTexts

VIEWS = 12  # evenly around
MOST = 20_000  # points a cloud: of more a sample is drawn, from SEED
SEED = 0
NEAR = 0.05  # world units, 1/40 of the ball's diameter, and 1.5 pixels of a 64-pixel view


@dataclass(frozen=True)
class PointDistances:
    """The metrics of this module, one value for the whole asset."""

    models: Models
    prompts: PromptTexts
    protocol: ClassVar[dict[str, str]] = {
        "chamfer": f"points of {VIEWS} views, at most {MOST} (seed {SEED}): mean distance to the other "
        "cloud, mean of both directions, world units",
        "f_score": f"of the same points, precision and recall at {NEAR:g} world units",
    }

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        mine, true = asset.surface, asset.true.surface
        assert mine and true  # it needs depth
        return compare_clouds(cloud(mine), cloud(true))


def cloud(surface: Surface) -> np.ndarray:
    """The points (N, 3) of VIEWS views."""
    chosen = slice(None, None, max(1, len(surface.depth) // VIEWS))
    points = surface.points[chosen][surface.seen[chosen]]
    if len(points) <= MOST:
        return points
    return points[np.random.default_rng(SEED).choice(len(points), MOST, replace=False)]


def compare_clouds(mine: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """chamfer and f_score of clouds (N, 3) and (M, 3), (1,) each; an empty one is as far as can be."""
    if not len(mine) or not len(true):
        return {"chamfer": np.array([np.nan]), "f_score": np.zeros(1)}
    there, back = cKDTree(true).query(mine)[0], cKDTree(mine).query(true)[0]
    precision, recall = (there <= NEAR).mean(), (back <= NEAR).mean()
    f_score = 2 * precision * recall / max(precision + recall, 1e-12)
    return {"chamfer": np.array([(there.mean() + back.mean()) / 2]), "f_score": np.array([f_score])}
