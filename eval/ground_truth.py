"""Against a known scene: silhouette IoU, foreground color error and the Janus rate.

All three compare view by view with the truth's renders from the same cameras, over white.
"""

from __future__ import annotations

import numpy as np

from eval.archive import composite

VISIBLE = 0.02  # mean absolute color difference from which truth and two-faced truth tell apart


def silhouette_iou(views: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of {alpha >= 1/2}, per view (V,); 1 where both are empty."""
    mine, true = views[..., 3] >= 128, truth[..., 3] >= 128
    union = (mine | true).sum((1, 2))
    return np.where(union > 0, (mine & true).sum((1, 2)) / np.maximum(union, 1), 1.0)


def color_error(views: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean absolute RGB difference in [0, 1] over the truth's silhouette, per view (V,)."""
    difference = np.abs(composite(views).astype(np.float64) - composite(truth)) / 255
    inside = truth[..., 3] >= 128
    return (difference.mean(-1) * inside).sum((1, 2)) / np.maximum(inside.sum((1, 2)), 1)


def janus(views: np.ndarray, truth: np.ndarray, two_faced: np.ndarray) -> np.ndarray:
    """1 for a view nearer to the two-faced truth than to the truth, 0 otherwise; (V,).

    NaN where the two truths look alike (the front). Nearness is the mean absolute RGB difference over
    the pixels in which the two truths differ.
    """
    mine, one, two = (composite(x).astype(np.float64) / 255 for x in (views, truth, two_faced))
    differs = np.abs(one - two).mean(-1) > 0.05  # (V, H, W)
    to_one = (np.abs(mine - one).mean(-1) * differs).sum((1, 2))
    to_two = (np.abs(mine - two).mean(-1) * differs).sum((1, 2))
    telling = np.abs(one - two).mean((1, 2, 3)) > VISIBLE
    return np.where(telling, (to_two < to_one).astype(np.float64), np.nan)
