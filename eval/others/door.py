"""The door for what another program made: an asset or its views, checked, turned and scaled to this world.

    segmentdreamer enter theirs.ply --out results/mini/assets/theirs/p01/0 --up y --scale 0.5
    segmentdreamer enter pictures/ --out results/mini/views/theirs/p01/0

An asset is a 3DGS PLY of any degree of harmonics; a mesh, or a PLY of points, becomes opaque Gaussians on its
surface. Views are what eval.score reads. Beside them stands provenance.json: what came in, how it was turned.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from torch import Tensor

from segmentdreamer.command import Program, outputs, settings
from segmentdreamer.records import content_digest, file_digest, write_json
from segmentdreamer.scene.gaussians import load_ply, parameters, read_vertices, save_ply
from segmentdreamer.scene.turning import Up, moved, upright
from segmentdreamer.start.clouds import Cloud, neighbor_scales, read_cloud
from segmentdreamer.start.meshes import SUFFIXES, Y_UP, sample_mesh
from segmentdreamer.start.shapes import extent

from ..views.archive import read_asset, write_views
from ..views.remarks import Setting, describe_cameras, judge

Axis = Literal["auto", "z", "y", "-y"]  # what is up in a file
SURFACE = 20_000  # Gaussians on a mesh
OPACITY = 0.99  # of Gaussians on a surface
FRAME = 1.0  # radius of the ball that the evaluation's pictures show
INNERMOST, FARTHEST = 0.05, 2.0  # reaches at which nothing is to be seen, or little of it
SMALLEST = 0.05  # of the reach: a sound asset has a Gaussian below it
INVISIBLE = -5.5  # logit of an opacity of 1/255, below which the rasterizers leave a Gaussian out


def read_gaussians(path: Path) -> tuple[dict[str, Tensor], str]:
    """The Gaussians of a file, and what it was: gaussians, points or mesh; ValueError for anything else."""
    if path.suffix.lower() == ".ply":
        named = set(read_vertices(path, {"x", "y", "z"}).dtype.names or ())
        if named & {"f_dc_0", "scale_0", "opacity"}:
            return {name: value.detach() for name, value in load_ply(path).items()}, "gaussians"
        if not has_faces(path):
            return on_surface(read_cloud(path)), "points"
    elif path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise ValueError(
            f"{path}: an asset is a 3DGS PLY, a PLY of points, or a mesh ({known}); views are a folder"
        )
    return on_surface(sample_mesh(path, SURFACE, seed=0, radius=0.0, y_up=False)), "mesh"


def has_faces(path: Path) -> bool:
    from plyfile import PlyData

    return any(element.name == "face" and element.count for element in PlyData.read(str(path)).elements)


def on_surface(cloud: Cloud) -> dict[str, Tensor]:
    """Opaque round Gaussians at points, as large as their distances; gray without colors."""
    points, sizes = cloud.points, neighbor_scales(cloud.points)
    colors = torch.full(points.shape, 0.5) if cloud.colors is None else cloud.colors
    raw = parameters(points, sizes[:, None].repeat(1, 3), torch.full((len(points),), OPACITY), colors)
    return {name: value.detach() for name, value in raw.items()}


def check_gaussians(params: Mapping[str, Tensor], path: Path, scale: float) -> list[str]:
    """What is odd about Gaussians in this world; ValueError where pictures would show nothing of them.

    scale: what their size was multiplied by, which the advice is about.
    """
    count = len(params["means"])
    if not count:
        raise ValueError(f"{path} holds no Gaussians")
    reach = float(np.quantile(params["means"].norm(dim=1).numpy(), 0.99))
    smallest = float(params["scales"].min())
    if smallest > np.log(scale) and np.exp(smallest) > SMALLEST * reach:
        raise ValueError(f"{path}: all scales are above 0: 3DGS stores their logarithms")
    advice = f"; --scale {scale * FRAME / max(reach, 1e-9):.2g} would fit it" if reach > 0 else ""
    if not INNERMOST <= reach <= FARTHEST:
        raise ValueError(f"{path} reaches {reach:.3g} world units, and pictures show {FRAME:g}{advice}")
    notes = [f"it reaches {reach:.3g} world units, pictures show {FRAME:g}{advice}"] if reach > FRAME else []
    opacities = params["opacities"]
    if float(opacities.max()) < INVISIBLE:
        raise ValueError(f"{path}: all Gaussians are transparent: nothing of them would be seen")
    if float(params["scales"].max()) > np.log(FARTHEST):
        notes.append(f"its largest Gaussian is {np.exp(float(params['scales'].max())):.3g} world units wide")
    if float(opacities.min()) >= 0 and float(opacities.max()) <= 1:
        notes.append("all opacities lie in 0 to 1: 3DGS stores logits, so these are at least half opaque")
    offset = float(params["means"].mean(0).norm())
    if offset > reach / 2:
        notes.append(
            f"its middle lies {offset:.2g} from the origin, where the cameras look: --center moves it"
        )
    return notes


def enter(
    source: Annotated[Path, typer.Argument(help="a PLY or mesh, or a folder or archive of views")],
    out: Annotated[Path, outputs("folder of the asset or of its views, RUN/assets/METHOD/PROMPT/SEED")],
    up: Annotated[
        Axis,
        settings(
            "its upward axis (auto: y for glTF, else z); its front is then +y for z, +z for y, -z for -y"
        ),
    ] = "auto",
    turn: Annotated[float, settings("degrees about the upward axis, after that")] = 0.0,
    scale: Annotated[float, settings("its size is multiplied by this", min=1e-9)] = 1.0,
    center: Annotated[
        bool, settings("move the middle of its bounding box to the origin", "--center")
    ] = False,
) -> dict[str, Any]:
    """Take an asset or its views of another program into a run.

    Raises ValueError and FileNotFoundError, in one line, for what cannot be scored as it is meant.
    """
    if not source.exists():
        raise FileNotFoundError(f"no file or folder {source}")
    told: dict[str, Any] = {"entered": source.name, "source_sha256": content_digest(source)}
    if source.is_dir() or source.suffix.lower() in (".zip", ".gz", ".tgz"):
        if (up, turn, scale, center) != ("auto", 0.0, 1.0, False):
            raise ValueError(f"{source} holds pictures, which cannot be turned, scaled or centered")
        asset = read_asset(source)
        _, notes = judge(asset, source, source.parent, Setting())
        cameras = describe_cameras(asset, source, source.parent)
        write_views(asset.rgba, out / "views.zip", asset.surface, asset.numbers, cameras)
        told |= {"as": "views", "views": len(asset.rgba), "notes": notes}
    else:
        if not np.isfinite([turn, scale]).all() or scale <= 0:
            raise ValueError(f"turn and scale are finite, scale above 0; they are {turn} and {scale}")
        params, kind = read_gaussians(source)
        usual: Up = "y" if source.suffix.lower() in Y_UP else "z"
        up = usual if up == "auto" else up
        params = moved(params, upright(up, turn), scale, extent(params["means"])[0] if center else None)
        notes = check_gaussians(params, source, scale)
        save_ply(params, out / "asset.ply")
        degree = round((params["shN"].shape[1] + 1) ** 0.5) - 1 if "shN" in params else 0
        told |= {"as": kind, "up": up, "turn": turn, "scale": scale, "center": center, "sh_degree": degree}
        told |= {"gaussians": len(params["means"]), "asset_sha256": file_digest(out / "asset.ply")}
    for note in notes:
        print(f"note: {source}: {note}", file=sys.stderr)
    write_json(out / "provenance.json", {"hyper_parameters": {}, "config": {}, **told})
    return told


main = Program(enter)

if __name__ == "__main__":
    main()
