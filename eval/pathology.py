"""Pathologies as numbers: over-exposure, saturation, and detail, whose lack is over-smoothing.

All look at the foreground {alpha >= 1/2} of straight-alpha views alone, so no background matters, and need
no reference; the true scene's own values say what is healthy. Each gives NaN for a view without foreground.
"""

from __future__ import annotations

import numpy as np

BLOWN = 0.98  # of full brightness
LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601


def over_exposure(views: np.ndarray) -> np.ndarray:
    """Share of the foreground whose brightest channel exceeds .98, per RGBA uint8 view: (V,) in [0, 1]."""
    return mean_inside(views[..., :3].max(-1) > 255 * BLOWN, foreground(views))


def saturation(views: np.ndarray) -> np.ndarray:
    """Mean HSV saturation of the foreground, per RGBA uint8 view: (V,) in [0, 1]; black counts as 0."""
    colors = views[..., :3].astype(np.float64)
    high, low = colors.max(-1), colors.min(-1)
    return mean_inside((high - low) / np.maximum(high, 1), foreground(views))


def detail(views: np.ndarray) -> np.ndarray:
    """Root mean square Laplacian of the foreground's luminance, per RGBA uint8 view: (V,), 8-bit levels.

    Pixels count whose four neighbors are foreground too: the outline is no detail.
    """
    inside = foreground(views)
    core = inside[:, 1:-1, 1:-1] & inside[:, :-2, 1:-1] & inside[:, 2:, 1:-1]
    core &= inside[:, 1:-1, :-2] & inside[:, 1:-1, 2:]
    y = views[..., :3] @ LUMA  # (V, H, W)
    around = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
    return np.sqrt(mean_inside((around - 4 * y[:, 1:-1, 1:-1]) ** 2, core))


def foreground(views: np.ndarray) -> np.ndarray:
    return views[..., 3] >= 128


def mean_inside(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Mean of values (V, H, W) where `inside`, per view; NaN where nothing is inside."""
    count = inside.sum((1, 2))
    total = np.where(inside, values, 0).sum((1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def score_pathologies(
    views: np.ndarray,
    embeddings: np.ndarray,
    view_texts: np.ndarray,
    symmetric: bool = False,
    reference_detail: float | None = None,
) -> dict[str, np.ndarray]:
    """All pathologies of one asset (see the modules of each)."""
    return {"over_exposure": over_exposure(views), "saturation": saturation(views), "detail": detail(views)}
