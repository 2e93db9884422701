"""Floaters: what hangs in the air beside the object."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor

from ...views.pictures import as_tensor

VISIBLE = 0.1  # alpha, from which a pixel counts


def floaters(views: np.ndarray | Tensor) -> np.ndarray:
    """Share of the visible alpha outside the largest connected piece, per RGBA uint8 view: (V,) in [0, 1).

    Pieces are connected over edges and corners where alpha is at least .1; the largest holds the most alpha.
    A floater in front of or behind the object counts only in the views that show it apart. NaN for a view
    in which nothing is visible.
    """
    alpha = as_tensor(views)[..., 3]
    visible = torch.where(alpha >= 255 * VISIBLE, alpha, 0)
    label_pieces = label_on_device if alpha.is_cuda else label_on_cpu
    pieces = label_pieces(visible > 0)
    return shares_apart(visible, pieces).cpu().numpy()


def shares_apart(visible: Tensor, pieces: Tensor) -> Tensor:
    """1 - the largest piece's share of all alpha, by view; both (V, H, W), pieces numbered below H W."""
    weight = visible.flatten(1).double()
    mass = torch.zeros_like(weight).scatter_add_(1, pieces.flatten(1), weight)
    total = weight.sum(1)
    return torch.where(total > 0, 1 - mass.amax(1) / total, torch.nan)


def label_on_cpu(visible: Tensor) -> Tensor:
    """Numbers (V, H, W) int64 of the connected pieces of every view, 0 where nothing is visible."""
    numbered = [label(view, structure=np.ones((3, 3)))[0] for view in visible.numpy()]
    return torch.from_numpy(np.stack(numbered)).long()


def label_on_device(visible: Tensor) -> Tensor:
    """Numbers as above, each the last pixel of its piece; 0 where nothing is visible.

    Every pixel points to one of its piece. It takes over the largest number around it, then the number of the
    pixel that this points to, which doubles the reach with every round.
    """
    views, height, width = visible.shape
    pixels = torch.arange(height * width, device=visible.device)
    pieces = torch.where(visible, pixels.reshape(height, width), 0)
    while True:
        # Pooling knows no integers; float64 holds them all.
        around = torch.nn.functional.max_pool2d(pieces[:, None].double(), 3, 1, 1)[:, 0].long()
        wider = torch.where(visible, around, 0).flatten(1)
        wider = torch.where(visible, wider.gather(1, wider).reshape(views, height, width), 0)
        if torch.equal(wider, pieces):
            return pieces
        pieces = wider
