"""Against a known scene: silhouette IoU, errors of colors and of fine detail, and the Janus rate.

All compare view by view with the truth's renders from the same cameras, colors over white.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter

from ..views.archive import composite, read_views
from .pathology import foreground, laplacian, mean_inside

if TYPE_CHECKING:
    from .asset import Asset, Models, PromptTexts

SHIFT = 2  # pixels by which detail may be misplaced
WINDOW = 2.0  # pixels, standard deviation of the Gaussian within which it is compared
VISIBLE = 0.05  # mean absolute color difference inside the silhouettes from which the two truths tell apart


@dataclass(frozen=True)
class GroundTruth:
    """The metrics of this module, of assets whose true scene is known."""

    models: Models
    prompts: PromptTexts
    protocol: ClassVar[dict[str, str]] = {}

    def __call__(self, asset: Asset) -> dict[str, np.ndarray]:
        assert asset.truth  # it needs truth
        return score_truth(asset.views, asset.true.rgba, read_views(asset.truth / "two_faced.zip"))


def score_truth(views: np.ndarray, truth: np.ndarray, two_faced: np.ndarray) -> dict[str, np.ndarray]:
    """All metrics of views (V, H, W, 4) against the true scene's and its two-faced version's."""
    return {
        "iou": silhouette_iou(views, truth),
        "color_error": color_error(views, truth),
        "detail_error": detail_error(views, truth),
        "janus": janus(views, truth, two_faced),
    }


def silhouette_iou(views: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of {alpha >= 1/2}, per view (V,); 1 where both are empty."""
    mine, true = foreground(views), foreground(truth)
    union = (mine | true).sum((1, 2))
    return np.where(union > 0, (mine & true).sum((1, 2)) / np.maximum(union, 1), 1.0)


def color_error(views: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean absolute RGB difference in [0, 1] over the truth's silhouette, per view (V,)."""
    difference = np.abs(composite(views).astype(np.float64) - composite(truth)) / 255
    inside = foreground(truth)
    return (difference.mean(-1) * inside).sum((1, 2)) / np.maximum(inside.sum((1, 2)), 1)


def detail_error(views: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Error of the high frequencies inside the truth's silhouette, per view (V,), 8-bit levels; 0: the truth.

    The root mean square, over the pixels x where the truth's Laplacian L* counts (`pathology.laplacian`), of
    e(x)^2 = min_d sum_y g(y - x) (L(y + d) - L*(y))^2 / sum_y g(y - x): L is the view's Laplacian, d a shift
    of up to two pixels along both axes, g a Gaussian of two pixels, y among the same pixels as x. Without
    shifts, detail a pixel off its place would be worse than none, and any blur of an asset an improvement.
    A view without any detail has about the truth's `detail`; speckle adds its own. NaN without silhouette.
    """
    gather = partial(gaussian_filter, sigma=(0, WINDOW, WINDOW), mode="constant")
    true, core = (part.numpy() for part in laplacian(truth))
    mine = np.pad(laplacian(views)[0].numpy(), ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    height, width = true.shape[1:]
    least = np.full(true.shape, np.inf)
    for down, right in itertools.product(range(2 * SHIFT + 1), repeat=2):
        shifted = mine[:, down : down + height, right : right + width]
        np.minimum(least, gather(np.where(core, shifted - true, 0) ** 2), out=least)
    weight = gather(core.astype(float))
    return np.sqrt(mean_inside(least / np.where(core, weight, 1), core))


def janus(views: np.ndarray, truth: np.ndarray, two_faced: np.ndarray) -> np.ndarray:
    """1 for a view nearer to the two-faced truth than to the truth, 0 otherwise; (V,).

    NaN where the two truths look alike (the front): their difference is taken inside the silhouettes, so the
    frame around them does not matter. Nearness is the mean absolute RGB difference over the pixels in which
    the two truths differ.
    """
    mine, one, two = (composite(x).astype(np.float64) / 255 for x in (views, truth, two_faced))
    differs = np.abs(one - two).mean(-1) > 0.05  # (V, H, W)
    to_one = (np.abs(mine - one).mean(-1) * differs).sum((1, 2))
    to_two = (np.abs(mine - two).mean(-1) * differs).sum((1, 2))
    either = foreground(truth) | foreground(two_faced)
    telling = np.nan_to_num(mean_inside(np.abs(one - two).mean(-1), either)) > VISIBLE
    return np.where(telling, (to_two < to_one).astype(np.float64), np.nan)
