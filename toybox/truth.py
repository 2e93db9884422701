"""What the toybox's prompts mean: their true views, and those of their two-faced versions.

    python -m toybox.truth --prompts prompts/toybox.tsv --out results/mini/truth

writes PROMPT/views.zip (with depth) and PROMPT/two_faced.zip in the evaluation orbit, for the metrics that
need a ground truth and for the table's ceiling row.
"""

import argparse
from pathlib import Path

import numpy as np

from eval.prompt_table import read_prompts
from eval.views.archive import write_views
from eval.views.surface import Surface
from segmentdreamer.scene.cameras import orbit
from toybox.render import trace
from toybox.scenes import Spec, primitives, spec_of, two_faced

RADIUS, FOV = 4.1, 0.515  # views.radius and views.fov of the mini scale: the unit ball is in the frame


def read_specs(prompts: Path) -> dict[str, Spec]:
    """The scene of every prompt, by the columns class, color and second; ValueError for one without."""
    rows = read_prompts(prompts).to_dict("records")
    specs = {row["id"]: spec_of({str(k): v for k, v in row.items()}) for row in rows}
    if lacking := [name for name, spec in specs.items() if spec is None]:
        raise ValueError(f"{prompts}: no true scene for the prompts {', '.join(lacking)}")
    return {name: spec for name, spec in specs.items() if spec}


def render_orbit(
    rows: np.ndarray, views: int, elevation: float, size: int, radius: float = RADIUS, fov: float = FOV
) -> np.ndarray:
    """A scene's views (V, size, size, 4) uint8 on the evaluation orbit (see cameras.orbit)."""
    return trace_orbit(rows, views, elevation, size, radius, fov)[0]


def trace_orbit(
    rows: np.ndarray, views: int, elevation: float, size: int, radius: float = RADIUS, fov: float = FOV
) -> tuple[np.ndarray, Surface]:
    """A scene's views and the surface behind them."""
    cameras = orbit(views, elevation, radius, fov, size)
    viewmats, Ks = cameras.viewmats.numpy(), cameras.Ks.numpy()
    rgba, depth = trace([rows] * views, viewmats, Ks, size)
    return rgba, Surface.behind(rgba, depth, viewmats, Ks)


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the true views of toybox prompts.")
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--views", type=int, default=120)
    parser.add_argument("--elevation", type=float, default=0.0)
    parser.add_argument("--radius", type=float, default=RADIUS)
    parser.add_argument("--fov", type=float, default=FOV, help="radians")
    args = parser.parse_args()
    for name, spec in read_specs(args.prompts).items():
        rows = primitives(spec)
        view = (args.views, args.elevation, args.size, args.radius, args.fov)
        rgba, surface = trace_orbit(rows, *view)
        write_views(rgba, args.out / name / "views.zip", surface)
        write_views(render_orbit(two_faced(rows), *view), args.out / name / "two_faced.zip")


if __name__ == "__main__":
    main()
