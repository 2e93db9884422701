"""Planted defects: true scenes with one known pathology each, in three strengths, to calibrate the metrics.

Second faces, floaters and speckle are planted in 3D, so they move as an asset's would; flicker, exposure and
blur in the finished views. Speckle is what an asset looks like whose views never agreed on a surface. What
they are measured against is healthy, but not perfect: the true scene, and a `worn` copy with shapes, places
and colors a little off, dust, soft outlines and a tint.
"""

import math
from collections.abc import Callable

import numpy as np

from toybox.render import _distance
from toybox.scenes import BODY, CONE, ELLIPSOID, FRONT, two_faced

DEFECTS = ("two_faced", "flicker", "over_exposed", "blurred", "floaters", "speckled")
STRENGTHS = ("mild", "clear", "strong")
FLICKER = (5.0, 12.0, 30.0)  # standard deviation, 8-bit levels
STOPS = (0.5, 1.0, 1.5)  # of exposure
BLUR = (1.2, 2.0, 3.2)  # pixels of a 64-pixel view
FLOATERS = ((3, 0.03), (8, 0.04), (16, 0.05))  # how many, and their mean radius; the ball has radius 1
SPECKS = (40, 90, 160)  # how many balls of mean radius .045 stick in the surface
MARGIN = 0.10  # between a floater and the object
DUST = (2, 0.012)  # of a worn scene

Look = Callable[[np.ndarray], np.ndarray]  # a scene's rows (P, 12) to views (V, H, W, 4)


def plant(
    defect: str, level: int, rows: np.ndarray, plain: np.ndarray, look: Look, rng: np.random.Generator
) -> np.ndarray:
    """Views (V, H, W, 4) uint8 of the scene `rows` with a defect of strength `level` (0, 1, 2).

    plain: its views without; look: what makes views of a scene. The mild two-faced scene has a
    half-transparent second face, the strong one a third face on its side.
    """
    if defect == "two_faced":
        if level == 2:
            return look(np.concatenate([two_faced(rows), turned_faces(rows)]))
        return cross_fade(plain, look(two_faced(rows)), (0.5, 1.0)[level])
    if defect == "floaters":
        count, radius = FLOATERS[level]
        return look(add_floaters(rows, count, radius, rng))
    if defect == "speckled":
        return look(add_specks(rows, SPECKS[level], 0.045, rng))
    if defect == "flicker":
        return flicker(plain, FLICKER[level], rng)
    if defect == "over_exposed":
        return expose(plain, STOPS[level])
    if defect == "blurred":
        return blur(plain, BLUR[level] * plain.shape[1] / 64)
    raise ValueError(f"no defect {defect!r}; there are {', '.join(DEFECTS)}")


def wear(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The scene as a decent method leaves it: places, sizes, colors a few percent off, and some dust."""
    worn = rows.copy()
    worn[:, 1:4] += rng.normal(0, 0.012, (len(rows), 3))
    worn[:, 4:7] *= rng.uniform(0.94, 1.06, (len(rows), 1))
    worn[:, 8:11] = (worn[:, 8:11] + rng.normal(0, 0.03, (len(rows), 3))).clip(0, 1)
    return add_floaters(worn, *DUST, rng)


def soften(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A finish for views: outlines and details softened by .5 to .9 pixels of 64, and a tint."""
    sigma, tint = rng.uniform(0.5, 0.9), rng.uniform(0.88, 1.0, 3)

    def finish(views: np.ndarray) -> np.ndarray:
        soft = blur(views, sigma * views.shape[1] / 64)
        soft[..., :3] = np.round(soft[..., :3] * tint)
        return soft

    return finish


def turned_faces(rows: np.ndarray) -> np.ndarray:
    """The front features turned by 90 degrees, to face azimuth 90."""
    front = rows[rows[:, 11] == FRONT]
    turned = front.copy()
    turned[:, 1], turned[:, 2] = front[:, 2], -front[:, 1]
    cone = front[:, 0] == CONE
    turned[~cone, 4], turned[~cone, 5] = front[~cone, 5], front[~cone, 4]
    turned[cone, 7] = np.array([1, 0, 2])[front[cone, 7].astype(int)]
    return turned


def add_floaters(rows: np.ndarray, count: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Balls in the scene's own colors, of .6 to 1.4 times `radius`, inside the unit ball, off the object."""
    return np.concatenate([rows, scatter(rows, count, radius, lambda gap, r: gap > r + MARGIN, rng)])


def add_specks(rows: np.ndarray, count: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Balls of .6 to 1.4 times `radius` in the surface, in colors between the scene's own and random ones."""
    specks = scatter(rows, count, radius, lambda gap, r: -0.5 * r < gap < 1.5 * r, rng)
    share = rng.uniform(0.3, 1.0, (count, 1))
    specks[:, 8:11] = (1 - share) * specks[:, 8:11] + share * rng.random((count, 3))
    return np.concatenate([rows, specks])


def scatter(
    rows: np.ndarray,
    count: int,
    radius: float,
    fits: Callable[[float, float], bool],
    rng: np.random.Generator,
) -> np.ndarray:
    """Balls (count, 12) in the scene's colors where `fits` (distance of center to object, radius of ball)."""
    balls: list[list[float]] = []
    while len(balls) < count:
        point = rng.normal(size=3)
        point *= 0.92 * rng.random() ** (1 / 3) / np.linalg.norm(point)
        r = radius * rng.uniform(0.6, 1.4)
        if fits(min(_distance(row, *point) for row in rows), r):
            color = rows[rng.integers(len(rows)), 8:11]
            balls.append([ELLIPSOID, *point, r, r, r, 2, *color, BODY])
    return np.array(balls, dtype=np.float32)


def flicker(views: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Views whose colors change from each to the next: blotches and a shift of color, new in every view."""
    from scipy.ndimage import gaussian_filter

    blotches = gaussian_filter(rng.normal(size=(*views.shape[:3], 3)), (0, 1.5, 1.5, 0))
    noise = blotches / blotches.std() + rng.normal(size=(len(views), 1, 1, 3))
    colors = views[..., :3] + deviation * noise / math.sqrt(2)
    return np.concatenate([colors.round().clip(0, 255).astype(np.uint8), views[..., 3:]], -1)


def expose(views: np.ndarray, stops: float) -> np.ndarray:
    """Views 2^stops times as bright, blown at white."""
    colors = np.minimum(views[..., :3] * 2.0**stops, 255).round().astype(np.uint8)
    return np.concatenate([colors, views[..., 3:]], -1)


def blur(views: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of each view, `sigma` in pixels; colors weigh by alpha, so no background leaks in."""
    from scipy.ndimage import gaussian_filter

    alpha = views[..., 3:] / 255.0
    mass = gaussian_filter(alpha, (0, sigma, sigma, 0))
    colors = gaussian_filter(views[..., :3] * alpha, (0, sigma, sigma, 0)) / np.maximum(mass, 1e-6)
    return np.concatenate([colors, 255 * mass], -1).round().clip(0, 255).astype(np.uint8)


def cross_fade(views: np.ndarray, others: np.ndarray, share: float) -> np.ndarray:
    """Views that show `others` through `views` with weight `share`."""
    a, b = (1 - share) * views[..., 3:], share * others[..., 3:]
    colors = (views[..., :3] * a + others[..., :3] * b) / np.maximum(a + b, 1e-6)
    return np.concatenate([colors, a + b], -1).round().astype(np.uint8)
