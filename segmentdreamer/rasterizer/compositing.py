"""Numba kernels: blend one view's Gaussians into pixels, and the gradient back.

A tile's 64 pixels live in one float32 scratch array, plane after plane; LLVM turns the loops over
them into vector code. The gradient goes front to back once more, noting each layer's alpha and
weight, and then back to front, where all it needs from behind a layer is what would be seen there:
neither division nor difference of nearly equal numbers.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from segmentdreamer.rasterizer import conventions
from segmentdreamer.rasterizer.jit import kernel
from segmentdreamer.rasterizer.tiles import TILE

PIXELS = TILE * TILE
MIDDLE = TILE / 2
# Unsigned, or each access would test for an index that counts from the end.
X, Y, LIGHT, RED, GREEN, BLUE, DEPTH, BEHIND = (np.uint64(PIXELS * k) for k in range(8))
PLANES = 8
ALPHA = BEHIND  # one is for drawing, the other for the gradient
WEIGHT = np.uint64(PIXELS)  # a layer is a plane of alphas and a plane of weights

ZERO, ONE = np.float32(0), np.float32(1)
MAX_ALPHA = np.float32(conventions.MAX_ALPHA)
ALPHA_THRESHOLD = np.float32(conventions.ALPHA_THRESHOLD)
MIN_TRANSMITTANCE = np.float32(conventions.MIN_TRANSMITTANCE)

# 2^f on [-1, 0]: the interpolant of degree 6 at Chebyshev's nodes, relative error 2.5e-9.
_NODES = np.cos(np.pi * (np.arange(7) + 0.5) / 7) / 2 - 0.5
C6, C5, C4, C3, C2, C1, C0 = np.polyfit(_NODES, 2**_NODES, 6).astype(np.float32)
LOWEST = np.float32(-30)  # far below the threshold, far above where the exponent would wrap
BIAS, MANTISSA = np.int32(127), np.int32(23)

# Sums over a tile's pixels of dL/d(log alpha) times 1, u, v, uu, uv, vv, and of dL/d(color, z).
SUMS = 10


@intrinsic
def _float_from_bits(typing_context, bits):
    """The float32 that has the bits of an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@kernel
def exp2(power):
    """2^power for float32 power <= 0, relative error 2e-7; vectorises, unlike math.exp2."""
    power = power if power > LOWEST else LOWEST
    whole = np.int32(power)
    f = power - np.float32(whole)
    series = (((((C6 * f + C5) * f + C4) * f + C3) * f + C2) * f + C1) * f + C0
    return series * _float_from_bits(np.int32((whole + BIAS) << MANTISSA))


@kernel
def _whitened(whitening, i, tile, across):
    """A Gaussian's (u, v) at a tile's middle, its matrix and log2(opacity), all float32."""
    # The difference is taken in float64: a needle's center may lie 10^6 pixels away.
    dx = (tile % across) * TILE + MIDDLE - whitening[i, 0]
    dy = (tile // across) * TILE + MIDDLE - whitening[i, 1]
    return (
        np.float32(whitening[i, 2] * dx + whitening[i, 3] * dy),
        np.float32(whitening[i, 4] * dy),
        np.float32(whitening[i, 2]),
        np.float32(whitening[i, 3]),
        np.float32(whitening[i, 4]),
        np.float32(whitening[i, 5]),
    )


@kernel
def _tile_rows(rows, i, tile, across):
    """The part of the scratch planes that holds a Gaussian's pixel rows in a tile."""
    top = (tile // across) * TILE
    first = min(max(rows[i, 0] - top, 0), TILE)
    end = min(max(rows[i, 1] - top, 0), TILE)
    return np.uint64(first * TILE), np.uint64(end * TILE)


@kernel
def _clear(scratch, tile, width, height):
    """Start a tile: pixel offsets from its middle, light 1 within the image, 0 elsewhere."""
    across = (width + TILE - 1) // TILE
    scratch[:] = ZERO
    for q in range(PIXELS):
        x, y = q % TILE, q // TILE
        scratch[q + X] = np.float32(x + 0.5 - MIDDLE)
        scratch[q + Y] = np.float32(y + 0.5 - MIDDLE)
        inside = (tile % across) * TILE + x < width and (tile // across) * TILE + y < height
        scratch[q + LIGHT] = ONE if inside else ZERO


@kernel
def _tile_is_dark(scratch):
    light = ZERO
    for q in range(PIXELS):
        light += max(scratch[q + LIGHT], ZERO)
    return light == ZERO


@kernel
def _alpha(x, y, u0, v0, a, b, c, log2_opacity):
    u = u0 + a * x + b * y
    v = v0 + c * y
    alpha = exp2(log2_opacity - u * u - v * v)
    alpha = alpha if alpha < MAX_ALPHA else MAX_ALPHA
    return alpha if alpha >= ALPHA_THRESHOLD else ZERO


@kernel
def _blend(scratch, first, end, u0, v0, a, b, c, log2_opacity, red, green, blue, depth):
    """Blend one Gaussian into a tile's rows; return the light they still pass on."""
    total = ZERO
    for q in range(first, end):
        alpha = _alpha(scratch[q + X], scratch[q + Y], u0, v0, a, b, c, log2_opacity)
        light = scratch[q + LIGHT]
        rest = light * (ONE - alpha)
        # A pixel that stops keeps its light with a minus sign, and stops at all further Gaussians.
        lit = rest > MIN_TRANSMITTANCE
        weight = light * alpha if lit else ZERO
        scratch[q + LIGHT] = rest if lit else -abs(light)
        total += rest if lit else ZERO
        scratch[q + RED] += weight * red
        scratch[q + GREEN] += weight * green
        scratch[q + BLUE] += weight * blue
        scratch[q + DEPTH] += weight * depth
        scratch[q + ALPHA] += weight
    return total


@kernel
def _note(scratch, layers, layer, first, end, u0, v0, a, b, c, log2_opacity):
    """`_blend` without color, which notes the layer's alphas and weights instead."""
    total = ZERO
    for q in range(first, end):
        alpha = _alpha(scratch[q + X], scratch[q + Y], u0, v0, a, b, c, log2_opacity)
        light = scratch[q + LIGHT]
        rest = light * (ONE - alpha)
        lit = rest > MIN_TRANSMITTANCE
        layers[layer + q] = alpha if lit else ZERO
        layers[layer + q + WEIGHT] = light * alpha if lit else ZERO
        scratch[q + LIGHT] = rest if lit else -abs(light)
        total += rest if lit else ZERO
    return total


@kernel
def _differentiate(scratch, layers, layer, first, end, u0, v0, a, b, c, red, green, blue, depth):
    """One layer's `SUMS`. RED to DEPTH hold dL/d(pixel), BEHIND its product with what is behind."""
    m = mu = mv = muu = muv = mvv = g_red = g_green = g_blue = g_depth = ZERO
    for q in range(first, end):
        y = scratch[q + Y]
        u = u0 + a * scratch[q + X] + b * y
        v = v0 + c * y
        alpha, weight = layers[layer + q], layers[layer + q + WEIGHT]
        pixel_red, pixel_green = scratch[q + RED], scratch[q + GREEN]
        pixel_blue, pixel_depth = scratch[q + BLUE], scratch[q + DEPTH]
        gain = red * pixel_red + green * pixel_green + blue * pixel_blue + depth * pixel_depth
        gain -= scratch[q + BEHIND]
        scratch[q + BEHIND] += alpha * gain
        by_log_alpha = weight * gain if alpha < MAX_ALPHA else ZERO
        by_u, by_v = by_log_alpha * u, by_log_alpha * v
        m += by_log_alpha
        mu += by_u
        mv += by_v
        muu += by_u * u
        muv += by_u * v
        mvv += by_v * v
        g_red += weight * pixel_red
        g_green += weight * pixel_green
        g_blue += weight * pixel_blue
        g_depth += weight * pixel_depth
    return m, mu, mv, muu, muv, mvv, g_red, g_green, g_blue, g_depth


@kernel
def composite(starts, ids, rows, whitening, colors, depths, background, rgb, depth, alpha, passed):
    """Fill one view's images: `rgb` (H, W, 3), `depth`, `alpha`, transmittance `passed` (H, W).

    Alpha is 1 - transmittance, but either has its own sum, exact where the other is nearly 1.

    The first three arguments are `tiles.bin_gaussians`'s, `whitening` is `projection.project`'s,
    `colors` (N, 3) and `depths` (N,) belong to the Gaussians, `background` (3,) to the view.
    """
    height, width = passed.shape
    across = (width + TILE - 1) // TILE
    scratch = np.empty(PLANES * PIXELS, np.float32)
    for tile in range(len(starts) - 1):
        _clear(scratch, tile, width, height)
        for k in range(starts[tile], starts[tile + 1]):
            i = ids[k]
            first, end = _tile_rows(rows, i, tile, across)
            u0, v0, a, b, c, log2_opacity = _whitened(whitening, i, tile, across)
            light = _blend(
                scratch, first, end, u0, v0, a, b, c, log2_opacity,
                colors[i, 0], colors[i, 1], colors[i, 2], np.float32(depths[i]),
            )  # fmt: skip
            if light == ZERO and _tile_is_dark(scratch):
                break
        left, top = (tile % across) * TILE, (tile // across) * TILE
        for y in range(top, min(top + TILE, height)):
            for x in range(left, min(left + TILE, width)):
                q = np.uint64((y - top) * TILE + x - left)
                light = abs(scratch[q + LIGHT])
                rgb[y, x, 0] = scratch[q + RED] + light * background[0]
                rgb[y, x, 1] = scratch[q + GREEN] + light * background[1]
                rgb[y, x, 2] = scratch[q + BLUE] + light * background[2]
                depth[y, x] = scratch[q + DEPTH]
                alpha[y, x] = scratch[q + ALPHA]
                passed[y, x] = light


@kernel
def _load_gradient(scratch, tile, background, passed, g_rgb, g_depth, g_alpha, g_background):
    """Put a tile's dL/d(pixel) into the scratch planes, and its share into `g_background`."""
    height, width = passed.shape
    across = (width + TILE - 1) // TILE
    left, top = (tile % across) * TILE, (tile // across) * TILE
    for y in range(top, min(top + TILE, height)):
        for x in range(left, min(left + TILE, width)):
            q = np.uint64((y - top) * TILE + x - left)
            scratch[q + RED] = g_rgb[y, x, 0]
            scratch[q + GREEN] = g_rgb[y, x, 1]
            scratch[q + BLUE] = g_rgb[y, x, 2]
            scratch[q + DEPTH] = g_depth[y, x]
            # Behind the last Gaussian lies the background, whose light alpha has not.
            behind = -np.float64(g_alpha[y, x])
            for j in range(3):
                behind += np.float64(g_rgb[y, x, j]) * background[j]
                g_background[j] += np.float64(g_rgb[y, x, j]) * passed[y, x]
            scratch[q + BEHIND] = behind


@kernel
def composite_backward(
    starts, ids, rows, whitening, colors, depths, background, passed,
    g_rgb, g_depth, g_alpha, sums, g_background,
):  # fmt: skip
    """Add one view's gradients to `sums` (N, 10) and `g_background` (3,), both float64.

    Arguments up to `passed` are `composite`'s, `g_rgb` to `g_alpha` the gradients of the images.
    """
    height, width = passed.shape
    across = (width + TILE - 1) // TILE
    scratch = np.empty(PLANES * PIXELS, np.float32)
    longest = 0
    for tile in range(len(starts) - 1):
        longest = max(longest, starts[tile + 1] - starts[tile])
    layers = np.empty(2 * PIXELS * longest, np.float32)
    for tile in range(len(starts) - 1):
        _clear(scratch, tile, width, height)
        _load_gradient(scratch, tile, background, passed, g_rgb, g_depth, g_alpha, g_background)
        count = 0
        for k in range(starts[tile], starts[tile + 1]):
            first, end = _tile_rows(rows, ids[k], tile, across)
            u0, v0, a, b, c, log2_opacity = _whitened(whitening, ids[k], tile, across)
            layer = np.uint64(2 * PIXELS * count)
            light = _note(scratch, layers, layer, first, end, u0, v0, a, b, c, log2_opacity)
            count += 1
            if light == ZERO and _tile_is_dark(scratch):
                break
        for back in range(count):
            layer = np.uint64(2 * PIXELS * (count - 1 - back))
            i = ids[starts[tile] + count - 1 - back]
            first, end = _tile_rows(rows, i, tile, across)
            u0, v0, a, b, c, log2_opacity = _whitened(whitening, i, tile, across)
            shares = _differentiate(
                scratch, layers, layer, first, end, u0, v0, a, b, c,
                colors[i, 0], colors[i, 1], colors[i, 2], np.float32(depths[i]),
            )  # fmt: skip
            for j in range(SUMS):
                sums[i, j] += shares[j]
