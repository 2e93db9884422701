"""Shared by tests of scoring: views of known scenes in several layouts, the command, its table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from eval.views.archive import composite
from toybox.scenes import Spec, primitives
from toybox.truth import render_orbit

ROOT = Path(__file__).parents[1]


SPECS = {
    "duck": Spec("duck", "yellow"),
    "car": Spec("car", "green", "white"),
    "bear": Spec("bear", "red", "blue"),
}


TEXTS = {
    "duck": "a yellow duck",
    "car": "a green car with a white roof",
    "bear": "a red bear with a blue hat",
}


def orbit_of(name: str, views: int = 12) -> np.ndarray:
    return render_orbit(primitives(SPECS[name]), views, 0.0, 64)


def write_pictures(rgba: np.ndarray, folder: Path, alpha: str = "inside") -> None:
    """rgb_000.png ..., as RGBA, with alpha beside, or opaque over white."""
    folder.mkdir(parents=True)
    for i, view in enumerate(rgba):
        if alpha == "inside":
            Image.fromarray(view, "RGBA").save(folder / f"rgb_{i:03d}.png")
            continue
        straight = view[..., :3] if alpha == "beside" else composite(view)
        Image.fromarray(straight, "RGB").save(folder / f"rgb_{i:03d}.png")
        if alpha == "beside":
            Image.fromarray(view[..., 3], "L").save(folder / f"alpha_{i:03d}.png")


def score(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "eval.score", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
