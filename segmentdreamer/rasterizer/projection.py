"""Numba kernels: from a 3D Gaussian to its ellipse in one view, and the gradient back.

With T (2 x 3) the derivative of a pixel by a world position, and M = R S (3 x 3) the rotation times
the standard deviations, the ellipse's covariance is P P^T + eps I with P = T M. All of it is in
float64: there are few Gaussians next to pixels, and needles lose every digit in float32.
"""

import math

import numpy as np

from segmentdreamer.rasterizer.conventions import ALPHA_THRESHOLD, MAX_EXTENT, MIN_QUATERNION_NORM
from segmentdreamer.rasterizer.jit import kernel

# A camera, `cpu.camera_vector`, is 20 float64: rotation (0 to 8, by rows), translation (9 to 11),
# fx, fy, cx, cy (12 to 15), and the least and greatest x/z and y/z (16 to 19).

# Alpha is opacity * 2^-(u^2 + v^2), so whitened offsets carry sqrt(log2(e) / 2).
LOG2E_HALF = 0.5 / math.log(2)
MAX_RADIUS = 2.0**31 - 129  # the largest float32 below the int32 limit


@kernel
def _rotation(quat):
    """Rows of the rotation matrix (9), the scaled quaternion (4), and the scale 1 / norm."""
    w, x, y, z = np.float64(quat[0]), np.float64(quat[1]), np.float64(quat[2]), np.float64(quat[3])
    inverse = 1.0 / max(math.sqrt(w * w + x * x + y * y + z * z), MIN_QUATERNION_NORM)
    w *= inverse
    x *= inverse
    y *= inverse
    z *= inverse
    matrix = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return matrix, (w, x, y, z), inverse


@kernel
def _to_camera(mean, camera):
    """Position in the camera's frame: x right, y down, z forward."""
    mx, my, mz = np.float64(mean[0]), np.float64(mean[1]), np.float64(mean[2])
    return (
        camera[0] * mx + camera[1] * my + camera[2] * mz + camera[9],
        camera[3] * mx + camera[4] * my + camera[5] * mz + camera[10],
        camera[6] * mx + camera[7] * my + camera[8] * mz + camera[11],
    )


@kernel
def _jacobian_row(axis, slope, z, camera):
    """A row of T, d(pixel) / d(world), for axis 0 (x) or 1 (y) at a slope x/z or y/z."""
    scale = camera[12 + axis] / z
    return (
        scale * (camera[3 * axis] - slope * camera[6]),
        scale * (camera[3 * axis + 1] - slope * camera[7]),
        scale * (camera[3 * axis + 2] - slope * camera[8]),
    )


@kernel
def _factor_row(row, matrix, scale):
    """A row of P = T R S from a row of T."""
    return (
        scale[0] * (row[0] * matrix[0] + row[1] * matrix[3] + row[2] * matrix[6]),
        scale[1] * (row[0] * matrix[1] + row[1] * matrix[4] + row[2] * matrix[7]),
        scale[2] * (row[0] * matrix[2] + row[1] * matrix[5] + row[2] * matrix[8]),
    )


@kernel
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel
def _clamp(value, low, high):
    return min(max(value, low), high)


@kernel
def _ellipse(mean, quat, scale, camera, eps2d):
    """Center (x, y), depth, covariance (xx, xy, yy) and its determinant, in pixels."""
    x, y, z = _to_camera(mean, camera)
    matrix, _, _ = _rotation(quat)
    p = _factor_row(_jacobian_row(0, _clamp(x / z, camera[16], camera[17]), z, camera), matrix, scale)
    q = _factor_row(_jacobian_row(1, _clamp(y / z, camera[18], camera[19]), z, camera), matrix, scale)
    pp, pq, qq = _dot(p, p), _dot(p, q), _dot(q, q)
    # |p x q|^2 is pp qq - pq^2 without its cancellation, which a needle would not survive.
    cross = (p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0])
    det = _dot(cross, cross) + eps2d * (pp + qq + eps2d)
    center_x = camera[12] * (x / z) + camera[14]
    center_y = camera[13] * (y / z) + camera[15]
    return center_x, center_y, z, pp + eps2d, pq, qq + eps2d, det


@kernel
def project(
    means, quats, scales, opacities, camera, width, height, near, far, radius_clip, eps2d,
    means2d, covars2d, depths, radii, whitening,
):  # fmt: skip
    """Fill one view's ellipses (the last five arguments); `radii` is 0 for what is not drawn.

    `whitening` (N, 6) holds the center, the triangular matrix (a, b; 0, c) that maps a pixel's
    offset to (u, v), and log2(opacity): alpha is 2^(log2(opacity) - u^2 - v^2).
    """
    for i in range(means.shape[0]):
        radii[i, 0] = 0
        radii[i, 1] = 0
        opacity = np.float64(opacities[i])
        x, y, z, xx, xy, yy, det = _ellipse(means[i], quats[i], scales[i], camera, eps2d)
        depths[i] = z
        if not (near <= z <= far):
            continue
        means2d[i, 0] = x
        means2d[i, 1] = y
        # Written so that NaN fails every test.
        if not (opacity >= ALPHA_THRESHOLD and 0 < det < np.inf and math.isfinite(x + y)):
            continue
        covars2d[i, 0] = xx
        covars2d[i, 1] = xy
        covars2d[i, 2] = yy
        extent = min(MAX_EXTENT, math.sqrt(2 * math.log(max(opacity / ALPHA_THRESHOLD, 1.0))))
        radius_x = math.ceil(extent * math.sqrt(xx))
        radius_y = math.ceil(extent * math.sqrt(yy))
        if radius_x <= radius_clip and radius_y <= radius_clip:
            continue
        if x + radius_x <= 0 or x - radius_x >= width:
            continue
        if y + radius_y <= 0 or y - radius_y >= height:
            continue
        radii[i, 0] = np.int32(min(radius_x, MAX_RADIUS))
        radii[i, 1] = np.int32(min(radius_y, MAX_RADIUS))
        a = math.sqrt(LOG2E_HALF * yy / det)
        whitening[i, 0] = x
        whitening[i, 1] = y
        whitening[i, 2] = a
        whitening[i, 3] = -a * xy / yy
        whitening[i, 4] = math.sqrt(LOG2E_HALF / yy)
        whitening[i, 5] = math.log2(opacity)


@kernel
def unwhiten(sums, whitening, opacities, radii, g_means2d, g_covars2d, g_opacities, g_colors, g_depths):
    """Turn one view's `sums` into gradients: the first two are filled, the others added to.

    With W the whitening matrix, m and S the first and second whitened moments of dL/d(log alpha),
    the gradients by center and covariance are W^T m and W^T S W / 2.
    """
    for i in range(sums.shape[0]):
        if radii[i, 0] <= 0:
            continue
        a, b, c = whitening[i, 2], whitening[i, 3], whitening[i, 4]
        m, mu, mv = sums[i, 0], sums[i, 1], sums[i, 2]
        muu, muv, mvv = sums[i, 3], sums[i, 4], sums[i, 5]
        g_means2d[i, 0] = a * mu / LOG2E_HALF
        g_means2d[i, 1] = (b * mu + c * mv) / LOG2E_HALF
        scale = 0.5 / (LOG2E_HALF * LOG2E_HALF)
        g_covars2d[i, 0] = scale * a * a * muu
        g_covars2d[i, 1] = scale * 2 * a * (b * muu + c * muv)
        g_covars2d[i, 2] = scale * (b * b * muu + 2 * b * c * muv + c * c * mvv)
        g_opacities[i] += m / opacities[i]
        for k in range(3):
            g_colors[i, k] += sums[i, 6 + k]
        g_depths[i] += sums[i, 9]


@kernel
def _quaternion_gradient(quat, inverse, g):
    """Gradient by the given quaternion, from g (9) by the rotation of the scaled one."""
    w, x, y, z = quat
    gw = 2 * (x * (g[7] - g[5]) + y * (g[2] - g[6]) + z * (g[3] - g[1]))
    gx = 2 * (-2 * x * (g[4] + g[8]) + y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]))
    gy = 2 * (x * (g[1] + g[3]) - 2 * y * (g[0] + g[8]) + z * (g[5] + g[7]) + w * (g[2] - g[6]))
    gz = 2 * (x * (g[2] + g[6]) + y * (g[5] + g[7]) - 2 * z * (g[0] + g[4]) + w * (g[3] - g[1]))
    along = gw * w + gx * x + gy * y + gz * z
    if inverse * MIN_QUATERNION_NORM >= 1:  # scaled by a constant, hence no projection
        along = 0.0
    return (
        inverse * (gw - along * w),
        inverse * (gx - along * x),
        inverse * (gy - along * y),
        inverse * (gz - along * z),
    )


@kernel
def _slope_gradient(axis, value, slope, row, g_row, z, camera):
    """Gradient by (x, z) or (y, z) of a row of T, whose slope is x/z unless clamped."""
    g_z = -_dot(row, g_row) / z
    if slope != value:
        return 0.0, g_z
    along = (camera[6], camera[7], camera[8])
    g_slope = -camera[12 + axis] / z * _dot(along, g_row)
    return g_slope / z, g_z - g_slope * slope / z


@kernel
def _factor_gradient(p, q, g_xx, g_xy, g_yy):
    """Gradient by the rows of P, from the gradient by P P^T (xx, xy, yy)."""
    xx, yy = 2 * g_xx, 2 * g_yy
    return (
        (xx * p[0] + g_xy * q[0], xx * p[1] + g_xy * q[1], xx * p[2] + g_xy * q[2]),
        (g_xy * p[0] + yy * q[0], g_xy * p[1] + yy * q[1], g_xy * p[2] + yy * q[2]),
    )


@kernel
def _jacobian_row_gradient(g_p, matrix, scale):
    """Gradient by a row of T, from the gradient by that row of P."""
    a, b, c = g_p[0] * scale[0], g_p[1] * scale[1], g_p[2] * scale[2]
    return (
        matrix[0] * a + matrix[1] * b + matrix[2] * c,
        matrix[3] * a + matrix[4] * b + matrix[5] * c,
        matrix[6] * a + matrix[7] * b + matrix[8] * c,
    )


@kernel
def _scale_gradient(row_x, row_y, g_p, g_q, matrix, scale, g_scale):
    """Add the gradient by the standard deviations to `g_scale`; return that by R (9, by rows)."""
    g = (
        row_x[0] * g_p[0] + row_y[0] * g_q[0],
        row_x[0] * g_p[1] + row_y[0] * g_q[1],
        row_x[0] * g_p[2] + row_y[0] * g_q[2],
        row_x[1] * g_p[0] + row_y[1] * g_q[0],
        row_x[1] * g_p[1] + row_y[1] * g_q[1],
        row_x[1] * g_p[2] + row_y[1] * g_q[2],
        row_x[2] * g_p[0] + row_y[2] * g_q[0],
        row_x[2] * g_p[1] + row_y[2] * g_q[1],
        row_x[2] * g_p[2] + row_y[2] * g_q[2],
    )
    for k in range(3):
        g_scale[k] += matrix[k] * g[k] + matrix[3 + k] * g[3 + k] + matrix[6 + k] * g[6 + k]
    a, b, c = scale[0], scale[1], scale[2]
    return (
        g[0] * a, g[1] * b, g[2] * c,
        g[3] * a, g[4] * b, g[5] * c,
        g[6] * a, g[7] * b, g[8] * c,
    )  # fmt: skip


@kernel
def project_backward(
    means, quats, scales, camera, radii, g_means2d, g_covars2d, g_depths,
    g_means, g_quats, g_scales,
):  # fmt: skip
    """Add one view's gradients by means, quats and scales (float64) to the last three arguments."""
    for i in range(means.shape[0]):
        if radii[i, 0] <= 0:
            continue
        x, y, z = _to_camera(means[i], camera)
        matrix, quat, inverse = _rotation(quats[i])
        slope_x = _clamp(x / z, camera[16], camera[17])
        slope_y = _clamp(y / z, camera[18], camera[19])
        row_x = _jacobian_row(0, slope_x, z, camera)
        row_y = _jacobian_row(1, slope_y, z, camera)
        g_p, g_q = _factor_gradient(
            _factor_row(row_x, matrix, scales[i]),
            _factor_row(row_y, matrix, scales[i]),
            g_covars2d[i, 0],
            g_covars2d[i, 1],
            g_covars2d[i, 2],
        )
        g_row_x = _jacobian_row_gradient(g_p, matrix, scales[i])
        g_row_y = _jacobian_row_gradient(g_q, matrix, scales[i])
        g_x, g_zx = _slope_gradient(0, x / z, slope_x, row_x, g_row_x, z, camera)
        g_y, g_zy = _slope_gradient(1, y / z, slope_y, row_y, g_row_y, z, camera)
        g_cx, g_cy = camera[12] / z * g_means2d[i, 0], camera[13] / z * g_means2d[i, 1]
        g_z = g_zx + g_zy + g_depths[i] - (g_cx * x + g_cy * y) / z
        g_x += g_cx
        g_y += g_cy
        for k in range(3):
            g_means[i, k] += camera[k] * g_x + camera[3 + k] * g_y + camera[6 + k] * g_z

        g_matrix = _scale_gradient(row_x, row_y, g_p, g_q, matrix, scales[i], g_scales[i])
        g_quat = _quaternion_gradient(quat, inverse, g_matrix)
        for k in range(4):
            g_quats[i, k] += g_quat[k]
