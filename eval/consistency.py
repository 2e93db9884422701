"""Adjacent-view consistency: whether the views change as smoothly as a rigid thing seen from a moving camera.

A rigid thing changes over two steps nearly twice as much as over one. What does not add up in this way is
flicker: content of single views, as of a method whose views do not come from one 3D asset.
"""

from __future__ import annotations

from collections import deque

import numpy as np

REACH = 30.0  # degrees: the change that flicker is compared with
LEVEL = 1 / 255  # the least change of an 8-bit view
GATE = 0.9  # below it, views do not show one thing, and detail and faces in them mean nothing


def consistency(views: np.ndarray) -> float:
    """C in [0, 1] of a ring of RGBA uint8 views (V, H, W, 4): 1 smooth, 0 as unlike as independent views.

    With D(k) the mean absolute difference of premultiplied RGBA, over the ring and its pixels, between views
    k steps apart: C = 1 - (2 D(1) - D(2)) / D(30 degrees), at least 0; the triangle inequality bounds it by
    1. Below D(30 degrees) = half an 8-bit level of the object's area, that level is the measure instead.
    Premultiplied, so no background matters. NaN without any alpha or for fewer than three views.
    """
    if len(views) < 3 or not views[..., 3].any():
        return float("nan")
    reach = max(2, round(REACH * len(views) / 360))
    once, twice, far = changes(views, (1, 2, reach))
    least = 0.5 * LEVEL * float(views[..., 3].mean() / 255)
    return float(np.clip(1 - (2 * once - twice) / max(far, least), 0, 1))


def changes(views: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """D(k) for each k of `steps`; no more views than the largest step are held as floats at once."""
    held: deque[np.ndarray] = deque(maxlen=max(steps) + 1)
    totals = np.zeros(len(steps))
    for i in range(len(views) + max(steps)):
        held.append(premultiply(views[i % len(views)]))
        for n, k in enumerate(steps):
            if k <= i < len(views) + k:
                totals[n] += np.abs(held[-1] - held[-1 - k]).mean()
    return totals / len(views)


def premultiply(view: np.ndarray) -> np.ndarray:
    """Colors times alpha, and alpha, in [0, 1]: (H, W, 4) float32."""
    layer = view.astype(np.float32) / 255
    layer[..., :3] *= layer[..., 3:]
    return layer
