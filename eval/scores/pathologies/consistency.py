"""Adjacent-view consistency: whether the views change as smoothly as a rigid thing seen from a moving camera.

A rigid thing changes over two steps nearly twice as much as over one. What does not add up in this way is
flicker: content of single views, as of a method whose views do not come from one 3D asset, or of a cloud of
specks, of which every view shows others. Below the gate the views do not show one thing well enough for the
amount of detail, or for faces, to mean anything.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...views.pictures import as_tensor

CHANNELS = 4
SIDE = 64  # pixels: larger views are averaged down towards it, for one gate at every scale
GATE = 0.990  # of 120 views; toybox/models/pathologies.json says how it was chosen and what it keeps


def gate(views: int) -> float:
    """The consistency that a ring of this many views must reach: 1 - (1 - GATE) (120 / views)^2.4, or 0.

    What a step misses of a smooth change grows with the square of the step, and faster at edges: the power is
    what clean scenes have in rings of 120, 60 and 40 views.
    """
    return max(0.0, 1 - (1 - GATE) * (120 / views) ** 2.4)


def consistency(views: np.ndarray | Tensor) -> float:
    """C in [0, 1] of a ring of RGBA uint8 views (V, H, W, 4): 1 smooth, 0 as unlike as independent views.

    With D(k) the mean absolute difference of premultiplied RGBA, over ring, pixels and channels, of views k
    steps apart: C = 1 - 4 (2 D(1) - D(2)) / mean alpha, at least 0; the triangle inequality bounds it by 1.
    So 0 is a still silhouette whose colors are uniform and new in every view. Premultiplied, so no background
    matters. Views of 128 pixels and more are averaged over blocks. NaN without alpha or below three views.
    """
    pictures = as_tensor(views)
    if len(pictures) < 3 or not pictures[..., 3].any():
        return float("nan")
    layers = torch.stack([premultiply(view) for view in pictures])
    once, twice = ((layers - layers.roll(k, 0)).abs().mean(dtype=torch.float64) for k in (1, 2))
    flicker = CHANNELS * (2 * once - twice) / layers[..., 3].mean(dtype=torch.float64)
    return float((1 - flicker).clamp(0, 1))


def premultiply(view: Tensor) -> Tensor:
    """Colors times alpha, and alpha, in [0, 1]: (H, W, 4) float32, of large views the means of blocks."""
    layer = view.float() / 255
    layer[..., :3] *= layer[..., 3:]
    block = max(1, min(view.shape[:2]) // SIDE)
    if block == 1:
        return layer
    rows, columns = (length // block for length in view.shape[:2])
    cut = layer[: rows * block, : columns * block]
    return cut.reshape(rows, block, columns, block, CHANNELS).mean((1, 3))
