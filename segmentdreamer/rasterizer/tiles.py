"""Numba kernel: which Gaussians touch which 8 x 8 tile of one view, near to far.

A Gaussian touches a pixel where u^2 + v^2 <= log2(255 opacity), an ellipse. For each row of tiles
the exact span of that ellipse is taken, so that a thin diagonal one is not listed in its whole box.
"""

import math

import numpy as np

from segmentdreamer.rasterizer.conventions import ALPHA_THRESHOLD
from segmentdreamer.rasterizer.jit import kernel

TILE = 8
LOG2_THRESHOLD = math.log2(ALPHA_THRESHOLD)
SLACK = 1e-5  # more than float32 can err on the threshold: the pixel loop has the last word


@kernel
def _pixel_range(low, high, count):
    """First and past-the-last pixel whose center lies in [low, high], within the image."""
    first = math.ceil(min(max(low - 0.5, 0.0), np.float64(count)))
    last = math.floor(min(max(high - 0.5, -1.0), count - 1.0))
    return np.int64(first), np.int64(last) + 1


@kernel
def _reach(whitening, i):
    """Squared whitened radius of the touched ellipse."""
    return (whitening[i, 5] - LOG2_THRESHOLD) * (1 + SLACK) + SLACK


@kernel
def _rightmost(reach, slope, scale, low, high):
    """Largest x offset on the ellipse where v lies in [low, high]: slope v + scale u."""
    peak = slope * math.sqrt(reach / (slope * slope + scale * scale))
    v = min(max(peak, low), high)
    return slope * v + scale * math.sqrt(max(reach - v * v, 0.0))


@kernel
def _tile_span(whitening, i, row, width):
    """First and past-the-last tile that the ellipse touches in a row of tiles."""
    x, y = whitening[i, 0], whitening[i, 1]
    scale = 1 / whitening[i, 2]
    slope = -whitening[i, 3] * scale / whitening[i, 4]
    reach = _reach(whitening, i)
    limit = math.sqrt(reach)
    low = min(max(whitening[i, 4] * (row * TILE + 0.5 - y), -limit), limit)
    high = min(max(whitening[i, 4] * (row * TILE + TILE - 0.5 - y), -limit), limit)
    right = _rightmost(reach, slope, scale, low, high)
    left = -_rightmost(reach, slope, scale, -high, -low)
    first, end = _pixel_range(x + left - SLACK, x + right + SLACK, width)
    if first >= end:
        return 0, 0
    return first // TILE, (end - 1) // TILE + 1


@kernel
def _pixel_rows(order, whitening, height):
    """First and past-the-last pixel row of each Gaussian, (N, 2), and how many tile rows in all."""
    rows = np.zeros((whitening.shape[0], 2), np.int32)
    total = 0
    for i in order:
        half = math.sqrt(_reach(whitening, i)) / whitening[i, 4] + SLACK
        first, end = _pixel_range(whitening[i, 1] - half, whitening[i, 1] + half, height)
        if first < end:
            rows[i, 0] = first
            rows[i, 1] = end
            total += (end - 1) // TILE + 1 - first // TILE
    return rows, total


@kernel
def bin_gaussians(order, whitening, width, height):
    """Sort one view's drawn Gaussians, indices `order` near to far, into tiles.

    Returns `starts` (tiles + 1,), the list `ids` that it cuts into tiles (row-major), and `rows`
    (N, 2): the first and past-the-last pixel row that each Gaussian touches.
    """
    across = (width + TILE - 1) // TILE
    tiles = across * ((height + TILE - 1) // TILE)
    rows, total = _pixel_rows(order, whitening, height)
    spans = np.empty((total, 3), np.int32)  # Gaussian, first tile, past the last tile
    starts = np.zeros(tiles + 1, np.int64)
    n = 0
    for i in order:
        for row in range(rows[i, 0] // TILE, (rows[i, 1] + TILE - 1) // TILE):
            first, end = _tile_span(whitening, i, row, width)
            spans[n, 0] = i
            spans[n, 1] = row * across + first
            spans[n, 2] = row * across + end
            n += 1
            for tile in range(row * across + first, row * across + end):
                starts[tile + 1] += 1
    for tile in range(tiles):
        starts[tile + 1] += starts[tile]
    ids = np.empty(starts[-1], np.int32)
    cursor = starts[:-1].copy()
    for n in range(total):
        for tile in range(spans[n, 1], spans[n, 2]):
            ids[cursor[tile]] = spans[n, 0]
            cursor[tile] += 1
    return starts, ids, rows
