"""The toybox renderer: sphere tracing of signed-distance primitives from any camera, on the CPU.

Light is fixed to the world and surfaces are matte, so an asset with view-independent color (spherical
harmonics of degree 0) can match every view exactly.
"""

import math

import numpy as np
from numba import njit, prange

LIGHT = np.array([0.25, 0.45, 0.86], dtype=np.float32)
LIGHT /= np.linalg.norm(LIGHT)
AMBIENT = 0.55
HIT = 0.004  # world units: a ray this near to a surface has met it
MAX_STEPS = 48


def render(
    scenes: list[np.ndarray], viewmats: np.ndarray, Ks: np.ndarray, size: int, supersample: int = 2
) -> np.ndarray:
    """The pictures of `trace` alone."""
    return trace(scenes, viewmats, Ks, size, supersample, deep=False)[0]


def trace(
    scenes: list[np.ndarray],
    viewmats: np.ndarray,
    Ks: np.ndarray,
    size: int,
    supersample: int = 2,
    deep: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Render image i of scene i from camera i, and how deep its pixels lie.

    scenes: B arrays (P_i, 12) from `scenes.primitives`; viewmats: (B, 4, 4) world-to-camera, OpenCV
    axes; Ks: (B, 3, 3) in pixels of a `size` x `size` image.
    Returns (B, size, size, 4) uint8 RGBA with straight alpha (alpha is the silhouette's coverage), and, if
    `deep`, (B, size, size) float32: the mean distance along the camera's axis of what a pixel's rays met, up
    to HIT too near; 0 where they met nothing.
    """
    count = np.array([len(rows) for rows in scenes], dtype=np.int64)
    padded = np.zeros((len(scenes), count.max(), scenes[0].shape[1]), dtype=np.float32)
    for i, rows in enumerate(scenes):
        padded[i, : len(rows)] = rows
    out = np.empty((len(scenes), size, size, 4), dtype=np.uint8)
    depth = np.empty((len(scenes), size * deep, size * deep), dtype=np.float32)
    rotations = np.ascontiguousarray(viewmats[:, :3, :3], dtype=np.float32)
    eyes = -np.einsum("bij,bi->bj", rotations, viewmats[:, :3, 3].astype(np.float32))
    _render_batch(padded, count, rotations, eyes, Ks.astype(np.float32), supersample, out, depth)
    return out, depth


@njit(fastmath=True, cache=True, inline="always")
def _distance(row: np.ndarray, x: float, y: float, z: float) -> float:
    dx, dy, dz = x - row[1], y - row[2], z - row[3]
    if row[0] == 0:  # ellipsoid: the usual first-order distance
        ax, ay, az = dx / row[4], dy / row[5], dz / row[6]
        k0 = math.sqrt(ax * ax + ay * ay + az * az)
        bx, by, bz = ax / row[4], ay / row[5], az / row[6]
        return k0 * (k0 - 1) / (math.sqrt(bx * bx + by * by + bz * bz) + 1e-9)
    if row[0] == 1:  # box
        qx, qy, qz = abs(dx) - row[4], abs(dy) - row[5], abs(dz) - row[6]
        inside = min(max(qx, max(qy, qz)), 0.0)
        qx, qy, qz = max(qx, 0.0), max(qy, 0.0), max(qz, 0.0)
        return math.sqrt(qx * qx + qy * qy + qz * qz) + inside
    if row[7] == 0:  # capped cone: turn its axis to z
        dx, dz = dz, dx
    elif row[7] == 1:
        dy, dz = dz, dy
    r = math.sqrt(dx * dx + dy * dy)
    low, high, half = row[4], row[5], row[6]
    cap_r = r - min(r, low if dz < 0 else high)
    cap_z = abs(dz) - half
    slope_r, slope_z = high - low, 2 * half
    along = ((high - r) * slope_r + (half - dz) * slope_z) / (slope_r * slope_r + slope_z * slope_z)
    along = min(max(along, 0.0), 1.0)
    side_r = r - high + slope_r * along
    side_z = dz - half + slope_z * along
    nearest = min(cap_r * cap_r + cap_z * cap_z, side_r * side_r + side_z * side_z)
    return math.copysign(math.sqrt(nearest), -1.0 if side_r < 0 and cap_z < 0 else 1.0)


@njit(fastmath=True, cache=True, inline="always")
def _bound(row: np.ndarray) -> float:
    """Radius of a sphere around the primitive's center that holds it."""
    if row[0] == 0:
        return max(row[4], max(row[5], row[6]))
    if row[0] == 1:
        return math.sqrt(row[4] ** 2 + row[5] ** 2 + row[6] ** 2)
    return math.sqrt(max(row[4], row[5]) ** 2 + row[6] ** 2)


@njit(fastmath=True, cache=True)
def _trace(rows, reach, n, ox, oy, oz, dx, dy, dz, near):
    """March one ray; `near` is scratch for the primitives in reach. Returns (primitive or -1, t)."""
    m, start, end = 0, 1e9, 0.0
    for i in range(n):
        cx, cy, cz = rows[i, 1] - ox, rows[i, 2] - oy, rows[i, 3] - oz
        along = cx * dx + cy * dy + cz * dz
        gap = cx * cx + cy * cy + cz * cz - along * along
        if gap < reach[i] * reach[i]:
            half = math.sqrt(reach[i] * reach[i] - gap)
            start, end = min(start, along - half), max(end, along + half)
            near[m] = i
            m += 1
    t = max(start, 0.0)
    for _ in range(MAX_STEPS):
        if m == 0 or t > end:
            return -1, t
        best, hit = 1e9, -1
        for j in range(m):
            d = _distance(rows[near[j]], ox + t * dx, oy + t * dy, oz + t * dz)
            if d < best:
                best, hit = d, near[j]
        if best < HIT:
            return hit, t
        t += best
    return -1, t


@njit(fastmath=True, cache=True)
def _shade(row, x, y, z, light) -> float:
    e = 0.003
    d = _distance(row, x, y, z)
    nx = _distance(row, x + e, y, z) - d
    ny = _distance(row, x, y + e, z) - d
    nz = _distance(row, x, y, z + e) - d
    norm = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    lambert = (nx * light[0] + ny * light[1] + nz * light[2]) / norm
    return AMBIENT + (1 - AMBIENT) * (0.5 + 0.5 * lambert)


@njit(fastmath=True, cache=True)
def _render_one(rows, n, rotation, eye, K, supersample, light, out, depth):
    size = out.shape[0]
    near = np.empty(n, np.int64)
    reach = np.empty(n, np.float32)
    for i in range(n):
        reach[i] = _bound(rows[i]) + HIT
    samples = supersample * supersample
    for py in range(size):
        for px in range(size):
            r, g, b, deep, hits = 0.0, 0.0, 0.0, 0.0, 0
            for s in range(samples):
                u = (px + (s % supersample + 0.5) / supersample - K[0, 2]) / K[0, 0]
                v = (py + (s // supersample + 0.5) / supersample - K[1, 2]) / K[1, 1]
                dx = rotation[0, 0] * u + rotation[1, 0] * v + rotation[2, 0]
                dy = rotation[0, 1] * u + rotation[1, 1] * v + rotation[2, 1]
                dz = rotation[0, 2] * u + rotation[1, 2] * v + rotation[2, 2]
                norm = 1 / math.sqrt(dx * dx + dy * dy + dz * dz)
                dx, dy, dz = dx * norm, dy * norm, dz * norm
                hit, t = _trace(rows, reach, n, eye[0], eye[1], eye[2], dx, dy, dz, near)
                if hit >= 0:
                    row = rows[hit]
                    shade = _shade(row, eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz, light)
                    r, g, b, hits = (r + row[8] * shade, g + row[9] * shade, b + row[10] * shade, hits + 1)
                    deep += t * norm
            scale = 255.0 / max(hits, 1)
            out[py, px, 0] = np.uint8(min(r * scale, 255.0) + 0.5)
            out[py, px, 1] = np.uint8(min(g * scale, 255.0) + 0.5)
            out[py, px, 2] = np.uint8(min(b * scale, 255.0) + 0.5)
            out[py, px, 3] = np.uint8(255.0 * hits / samples + 0.5)
            if depth.size:
                depth[py, px] = deep / max(hits, 1)


@njit(parallel=True, fastmath=True, cache=True)
def _render_batch(rows, count, rotations, eyes, Ks, supersample, out, depth):
    for i in prange(out.shape[0]):
        _render_one(rows[i], count[i], rotations[i], eyes[i], Ks[i], supersample, LIGHT, out[i], depth[i])
