"""The toybox world: eight kinds of toy, eight colors, hats and roofs, each with an exaggerated front.

A scene is a list of signed-distance primitives inside the unit ball, z up, front towards +y (so that
azimuth 0 of the camera convention in ``segmentdreamer.scene.cameras`` sees the front).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

COLORS = {
    "red": (0.86, 0.10, 0.10),
    "orange": (0.98, 0.50, 0.05),
    "yellow": (0.97, 0.87, 0.12),
    "green": (0.12, 0.62, 0.20),
    "blue": (0.12, 0.26, 0.90),
    "purple": (0.52, 0.14, 0.70),
    "pink": (0.99, 0.55, 0.75),
    "white": (0.95, 0.95, 0.95),
}
BLACK, BROWN, GRAY = (0.06, 0.06, 0.07), (0.42, 0.25, 0.12), (0.50, 0.50, 0.53)
CREAM, CARROT, LAMP, GLASS = ((0.96, 0.86, 0.70), (1.0, 0.45, 0.0), (1.0, 0.95, 0.45), (0.65, 0.88, 1.0))

CLASSES = ("snowman", "bear", "duck", "robot", "mushroom", "house", "car", "tree")
HAT_CENTERS = {  # where a hat sits: (y, z) of its brim
    "snowman": (0.0, 0.58),
    "bear": (-0.02, 0.50),
    "duck": (0.26, 0.45),
    "robot": (0.0, 0.55),
}
ROOFED = ("house", "car")

ELLIPSOID, BOX, CONE = 0, 1, 2
COLUMNS = 12  # kind, center (3), size (3), axis, color (3), part
BODY, FRONT, BACK = 0, 1, 2  # part: what a two-faced object repeats, and what it loses
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Spec:
    """What a prompt asks for: a class, its color, and the color of its hat or roof (None: no hat)."""

    cls: str
    color: str
    second: str | None = None

    @property
    def second_noun(self) -> str:
        return "roof" if self.cls in ROOFED else "hat"

    def caption(self) -> str:
        """The prompt in the toybox's language, e.g. ``a red bear with a blue hat``."""
        text = f"{_article(self.color)} {self.color} {self.cls}"
        if self.second is not None:
            text += f" with {_article(self.second)} {self.second} {self.second_noun}"
        return text


def spec_of(row: Mapping[str, str]) -> Spec | None:
    """What a prompt table's row says of its scene in the columns class, color and second, if it is one."""
    cls, color, second = (row.get(name) or "" for name in ("class", "color", "second"))
    room = {"", *(COLORS if cls in HAT_CENTERS or cls in ROOFED else ())}
    return Spec(cls, color, second or None) if cls in CLASSES and color in COLORS and second in room else None


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def all_specs() -> list[Spec]:
    """Every combination of the world, held out or not, in a fixed order."""
    return [
        Spec(cls, color, second)
        for cls in CLASSES
        for color in COLORS
        for second in (None, *(COLORS if cls in HAT_CENTERS or cls in ROOFED else ()))
        if second != color
    ]


def held_out(spec: Spec) -> bool:
    """Whether training never shows this combination (about one in eight; each single word is seen)."""
    names = list(COLORS)
    color = names.index(spec.color)
    second = 8 if spec.second is None else names.index(spec.second)
    return (CLASSES.index(spec.cls) + 3 * color + 5 * second) % 8 == 0


def training_specs() -> list[Spec]:
    return [spec for spec in all_specs() if not held_out(spec)]


def held_out_specs() -> list[Spec]:
    return [spec for spec in all_specs() if held_out(spec)]


def primitives(spec: Spec) -> np.ndarray:
    """The scene of a spec: (P, 12) float32 rows of kind, center, size, axis, color, part."""
    color = COLORS[spec.color]
    second = COLORS[spec.second] if spec.second else None
    rows = list(_BUILDERS[spec.cls](color, second))
    if second is not None and spec.cls in HAT_CENTERS:
        y, z = HAT_CENTERS[spec.cls]
        rows.append(_cone((0, y, z), 0.31, 0.31, 0.035, second))
        rows.append(_cone((0, y, z + 0.17), 0.20, 0.18, 0.15, second))
    return np.array(rows, dtype=np.float32)


def two_faced(rows: np.ndarray) -> np.ndarray:
    """The Janus version of a scene: its front features stand on the back too, its back ones are gone."""
    mirrored = rows[rows[:, 11] == FRONT].copy()
    mirrored[:, 2] *= -1
    return np.concatenate([rows[rows[:, 11] != BACK], mirrored])


def _ellipsoid(center: Vector, radii: float | Vector, color: Vector, part: int = BODY) -> list[float]:
    size = (radii,) * 3 if isinstance(radii, (int, float)) else radii
    return [ELLIPSOID, *center, *size, 2, *color, part]


def _box(center: Vector, half: Vector, color: Vector, part: int = BODY) -> list[float]:
    return [BOX, *center, *half, 2, *color, part]


def _cone(
    center: Vector, low: float, high: float, half: float, color: Vector, axis: int = 2, part: int = BODY
) -> list[float]:
    """A capped cone along `axis`, with radius `low` at its negative and `high` at its positive end."""
    return [CONE, *center, low, high, half, axis, *color, part]


Rows = Iterator[list[float]]


def _snowman(color: Vector, second: Vector | None) -> Rows:
    yield _ellipsoid((0, 0, -0.52), 0.42, color)
    yield _ellipsoid((0, 0, 0.0), 0.33, color)
    yield _ellipsoid((0, 0, 0.40), 0.26, color)
    yield _cone((0, 0.40, 0.40), 0.11, 0.01, 0.20, CARROT, axis=1, part=FRONT)
    for x in (-0.12, 0.12):
        yield _ellipsoid((x, 0.21, 0.52), 0.065, BLACK, FRONT)
    for z in (0.12, -0.06):
        yield _ellipsoid((0, 0.32, z), 0.075, BLACK, FRONT)
    for x in (-0.48, 0.48):
        yield _box((x, 0, 0.10), (0.20, 0.04, 0.04), BROWN)


def _bear(color: Vector, second: Vector | None) -> Rows:
    yield _ellipsoid((0, 0, -0.36), (0.40, 0.36, 0.44), color)
    yield _ellipsoid((0, 0, 0.26), (0.34, 0.32, 0.31), color)
    for x in (-1, 1):
        yield _ellipsoid((0.30 * x, -0.02, 0.54), (0.14, 0.10, 0.14), color)
        yield _ellipsoid((0.14 * x, 0.27, 0.38), 0.07, BLACK, FRONT)
        yield _ellipsoid((0.42 * x, 0.08, -0.22), (0.15, 0.17, 0.22), color)
        yield _ellipsoid((0.24 * x, 0.22, -0.78), (0.17, 0.24, 0.15), color)
    yield _ellipsoid((0, 0.36, 0.18), (0.19, 0.20, 0.15), CREAM, FRONT)
    yield _ellipsoid((0, 0.55, 0.24), 0.08, BLACK, FRONT)
    yield _ellipsoid((0, 0.22, -0.36), (0.28, 0.22, 0.32), CREAM, FRONT)
    yield _ellipsoid((0, -0.42, -0.55), 0.16, CREAM, BACK)


def _duck(color: Vector, second: Vector | None) -> Rows:
    yield _ellipsoid((0, -0.12, -0.38), (0.42, 0.58, 0.36), color)
    yield _ellipsoid((0, 0.26, 0.16), 0.32, color)
    yield _cone((0, -0.70, -0.10), 0.05, 0.20, 0.16, color, axis=1)
    yield _ellipsoid((0, 0.66, 0.08), (0.20, 0.25, 0.09), CARROT, FRONT)
    for x in (-1, 1):
        yield _ellipsoid((0.16 * x, 0.49, 0.28), 0.07, BLACK, FRONT)
        yield _ellipsoid((0.40 * x, -0.18, -0.32), (0.10, 0.32, 0.20), color)
        yield _box((0.18 * x, 0.02, -0.78), (0.12, 0.22, 0.05), CARROT)


def _robot(color: Vector, second: Vector | None) -> Rows:
    yield _box((0, 0, -0.16), (0.36, 0.26, 0.34), color)
    yield _box((0, 0, 0.37), (0.28, 0.25, 0.19), color)
    yield _box((0, 0.26, -0.12), (0.24, 0.05, 0.20), (0.95, 0.95, 0.95), FRONT)
    yield _ellipsoid((0, 0.32, -0.12), (0.10, 0.06, 0.10), (0.9, 0.1, 0.1), FRONT)
    for x in (-1, 1):
        yield _ellipsoid((0.13 * x, 0.26, 0.43), (0.10, 0.09, 0.10), LAMP, FRONT)
        yield _box((0.46 * x, 0, -0.14), (0.09, 0.10, 0.32), GRAY)
        yield _box((0.18 * x, 0.04, -0.72), (0.13, 0.17, 0.22), GRAY)
    yield _box((0, 0.27, 0.26), (0.18, 0.06, 0.04), BLACK, FRONT)
    yield _box((0, -0.40, -0.10), (0.26, 0.16, 0.26), GRAY, BACK)


def _mushroom(color: Vector, second: Vector | None) -> Rows:
    yield _cone((0, 0, -0.45), 0.34, 0.28, 0.45, CREAM)
    yield _ellipsoid((0, 0, 0.18), (0.72, 0.72, 0.48), color)
    for turn, rise in [*((turn, 0.35) for turn in (0.6, 1.85, 3.1, 4.4, 5.6)), (0, 0.95), (3.14, 0.95)]:
        ring = 0.70 * math.cos(rise)
        spot = (ring * math.sin(turn), ring * math.cos(turn), 0.18 + 0.46 * math.sin(rise))
        yield _ellipsoid(spot, 0.11, (0.97, 0.97, 0.97))
    yield _box((0, 0.32, -0.62), (0.15, 0.06, 0.25), BROWN, FRONT)
    yield _box((0, 0.52, -0.28), (0.24, 0.26, 0.04), GRAY, FRONT)
    for x in (-0.18, 0.18):
        yield _box((x, 0.72, -0.58), (0.035, 0.035, 0.30), GRAY, FRONT)


def _house(color: Vector, second: Vector | None) -> Rows:
    yield _box((0, 0, -0.34), (0.50, 0.46, 0.38), color)
    yield _cone((0, 0, 0.33), 0.78, 0.03, 0.33, second or BROWN)
    yield _box((0, 0.48, -0.48), (0.13, 0.05, 0.24), BROWN, FRONT)
    yield _box((0, 0.66, -0.68), (0.24, 0.22, 0.06), GRAY, FRONT)
    for x in (-0.31, 0.31):
        yield _box((x, 0.47, -0.26), (0.11, 0.04, 0.11), GLASS, FRONT)
    yield _box((0.0, -0.36, 0.42), (0.12, 0.12, 0.34), GRAY, BACK)


def _car(color: Vector, second: Vector | None) -> Rows:
    yield _box((0, 0, -0.22), (0.40, 0.82, 0.19), color)
    yield _box((0, -0.24, 0.08), (0.34, 0.42, 0.18), color)
    yield _box((0, -0.24, 0.30), (0.36, 0.44, 0.06), second or color)
    yield _box((0, 0.19, 0.10), (0.28, 0.03, 0.12), GLASS, FRONT)
    for x in (-1, 1):
        yield _box((0.34 * x, -0.24, 0.10), (0.02, 0.32, 0.11), GLASS)
        yield _ellipsoid((0.24 * x, 0.82, -0.18), (0.12, 0.07, 0.12), LAMP, FRONT)
        for y in (-0.48, 0.48):
            yield _cone((0.38 * x, y, -0.38), 0.22, 0.22, 0.07, BLACK, axis=0)
    yield _box((0, 0.83, -0.34), (0.34, 0.04, 0.06), GRAY, FRONT)
    yield _cone((0, -0.86, -0.14), 0.20, 0.20, 0.07, BLACK, axis=1, part=BACK)


def _tree(color: Vector, second: Vector | None) -> Rows:
    yield _cone((0, 0, -0.70), 0.16, 0.13, 0.22, BROWN)
    yield _cone((0, 0, -0.25), 0.68, 0.22, 0.30, color)
    yield _cone((0, 0, 0.16), 0.54, 0.14, 0.28, color)
    yield _cone((0, 0, 0.58), 0.38, 0.01, 0.32, color)
    yield _ellipsoid((0, 0.52, -0.08), (0.21, 0.17, 0.25), CREAM, FRONT)
    for x in (-0.09, 0.09):
        yield _ellipsoid((x, 0.66, 0.02), 0.075, BLACK, FRONT)
    yield _cone((0, 0.72, -0.10), 0.08, 0.01, 0.10, CARROT, axis=1, part=FRONT)


_BUILDERS = dict(zip(CLASSES, (_snowman, _bear, _duck, _robot, _mushroom, _house, _car, _tree), strict=True))
