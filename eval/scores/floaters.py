"""Floaters: what hangs in the air beside the object."""

from __future__ import annotations

import numpy as np

VISIBLE = 0.1  # alpha, from which a pixel counts


def floaters(views: np.ndarray) -> np.ndarray:
    """Share of the visible alpha outside the largest connected piece, per RGBA uint8 view: (V,) in [0, 1).

    Pieces are connected over edges and corners where alpha is at least .1; the largest holds the most alpha.
    A floater in front of or behind the object counts only in the views that show it apart. NaN for a view
    in which nothing is visible.
    """
    return np.array([share_apart(view[..., 3]) for view in views])


def share_apart(alpha: np.ndarray) -> float:
    from scipy.ndimage import label

    visible = np.where(alpha >= 255 * VISIBLE, alpha, 0).astype(np.int64)
    pieces, count = label(visible > 0, structure=np.ones((3, 3)))
    if count == 0:
        return float("nan")
    mass = np.bincount(pieces.ravel(), visible.ravel())
    return float(1 - mass.max() / mass.sum())
