"""Render the views of assets: 120 RGBA images with depth on the evaluation orbit, a sheet and a turntable.

    python -m eval.views --asset asset.ply --out FOLDER --scale mini
    python -m eval.views --asset a.ply b.ply --out A B --gpteval3d methods/mine

The second also writes pictures and normals as GPTEval3D reads them. An asset without a single Gaussian is a
failed one: its views.zip states the reason instead (see archive), read from `cost.json` beside it. Of a plan
(--identity), so is one that cannot be read or rendered: the others of the job go on.
"""

from __future__ import annotations

import hashlib
import json
import sys
import textwrap
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segmentdreamer.command import BadUsage, Device, Program, find_device, inputs, outputs, settings
from segmentdreamer.recipe.attempts import attempt, excuse
from segmentdreamer.records import read_record, replacing, write_json

from ..scales import read_scale
from .archive import composite, write_failure, write_views
from .surface import OPAQUE, Surface

SHEET_VIEWS = 8
PLACARD = 256  # pixels of what stands in sheet and turntable of a failed asset
# What is rendered, by default: the official orbit (cameras.orbit) at the size of Stable Diffusion's pictures.
OFFICIAL: dict[str, Any] = {"count": 120, "elevation": 0.0, "radius": 3.5, "fov": 0.55, "size": 512}


def render(asset: Path | str, view: Mapping[str, Any], device: str) -> tuple[np.ndarray, dict]:
    """The views and the record of their cameras, as render_surface has them."""
    return render_surface(Path(asset), view, device)[:2]


def render_surface(asset: Path, view: Mapping[str, Any], device: str) -> tuple[np.ndarray, dict, Surface]:
    """The views (V, size, size, 4) uint8 with straight alpha, the record of their cameras, and their surface.

    view: count, elevation, radius, fov, size (see cameras.orbit), as the workflow's section `views` has them.
    """
    import torch

    from segmentdreamer.scene.cameras import orbit
    from segmentdreamer.scene.gaussians import load_ply
    from segmentdreamer.scene.render import render_asset

    params = {name: value.detach().to(device) for name, value in load_ply(asset).items()}
    if not len(params["means"]):
        cost = asset.with_name("cost.json")
        told = read_record(cost)
        raise FailedAsset(told.get("failed") or "the asset has no Gaussians")
    cameras = orbit(view["count"], view["elevation"], view["radius"], view["fov"], view["size"])
    images = render_asset(params, cameras)  # (V, H, W, 5), premultiplied
    alpha = images[..., 3:4]
    color = torch.where(alpha > 0, images[..., :3] / alpha.clamp(min=1e-6), torch.ones_like(alpha))
    rgba = torch.cat([color, alpha], dim=-1).clamp(0, 1)
    record = {"views": view["count"], **{key: view[key] for key in ("size", "radius", "fov")}}
    record |= {key: getattr(cameras, key).tolist() for key in ("azimuth", "elevation", "viewmats", "Ks")}
    record["convention"] = "world to camera, x right, y down, z forward; azimuth 0 sees the front (+y)"
    views = (rgba * 255).round().to(torch.uint8).cpu().numpy()
    depth = images[..., 4].cpu().numpy()
    return views, record, Surface.behind(views, depth, cameras.viewmats.numpy(), cameras.Ks.numpy())


class FailedAsset(ValueError):
    """An asset that its method could not make; the message is the reason."""


def placard(reason: str) -> np.ndarray:
    """Two views (2, PLACARD, PLACARD, 4) that say why there are none."""
    picture = Image.new("RGBA", (PLACARD, PLACARD), "#e8e8e8")
    text = textwrap.fill(f"failed: {reason}", 32, max_lines=12)
    ImageDraw.Draw(picture).multiline_text((12, 12), text, "black", ImageFont.load_default(14))
    return np.stack([np.asarray(picture)] * 2)


def write_sheet(rgba: np.ndarray, path: Path) -> None:
    """Eight views around the object in a row, over white, as WebP."""
    picked = rgba[:: max(1, len(rgba) // SHEET_VIEWS)][:SHEET_VIEWS]
    with replacing(path) as partial:
        Image.fromarray(np.concatenate(list(composite(picked)), axis=1)).save(partial, "WEBP", lossless=True)


def write_turntable(rgba: np.ndarray, path: Path, fps: int = 30, side: int = 256) -> None:
    """All views as an MP4 over white, at least `side` pixels wide (H.264, by PyAV)."""
    import av
    from PIL import Image

    scale = max(1, side // rgba.shape[2])
    width, height = (2 * round(n * scale / 2) for n in (rgba.shape[2], rgba.shape[1]))  # H.264: even
    with replacing(path) as partial, av.open(str(partial), "w", format="mp4") as movie:
        stream = movie.add_stream("libx264", rate=fps, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1  # so that equal views give equal bytes
        for frame in composite(rgba):
            resized = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
            movie.mux(stream.encode(av.VideoFrame.from_image(resized)))
        movie.mux(stream.encode())


def write_gpteval3d(rgba: np.ndarray, surface: Surface, folder: Path) -> None:
    """The pictures rgb_0.png, ... over white and normal_0.png, ... of one asset and seed.

    GPTEval3D looks for them in METHOD/PROMPT/SEED, with prompts numbered from 0 in the order of its
    prompts.json, and no number with zeros in front; it wants 120 views of 512 px (3DTopia/GPTEval3D, GitHub,
    assets/data_format.md and T23DMethod). Normals n are of the world (z up, the front +y), (n + 1) / 2, and
    black where there is nothing, as threestudio draws them, whose renders its own data are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = np.isfinite(surface.normals) & (rgba[..., 3:] >= OPAQUE)
    normals = np.where(known, (np.nan_to_num(surface.normals) + 1) * 127.5, 0).round().astype(np.uint8)
    for kind, pictures in (("rgb", composite(rgba)), ("normal", normals)):
        for number, picture in enumerate(pictures):
            with replacing(folder / f"{kind}_{number}.png") as partial:
                Image.fromarray(picture).save(partial, "PNG")


def write_all(
    rgba: np.ndarray, cameras: dict, out: Path, surface: Surface | None = None, identity: str = ""
) -> None:
    """Views and what goes with them; of a failed asset the reason, and what is given in sheet and turntable.

    views.zip last: it tells that the folder is whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps(cameras).encode()).hexdigest()
    told = {"identity": identity} if identity else {}
    written = cameras if "failed" in cameras else {"sha256": digest, **cameras}
    write_json(out / "cameras.json", written | told)
    write_sheet(rgba, out / "sheet.webp")
    write_turntable(rgba, out / "turntable.mp4")
    if "failed" in cameras:
        write_failure(cameras["failed"], out / "views.zip")
    else:
        write_views(rgba, out / "views.zip", surface)


def render_assets(
    asset: Annotated[list[Path], inputs("3DGS PLY files", metavar="FILE...")],
    out: Annotated[list[Path], outputs("a folder for each asset", metavar="FOLDER...")],
    scale: Annotated[
        str | None,
        inputs("whose views: mini, paper, or a workflow's YAML (default: the official orbit, 512 px)"),
    ] = None,
    size: Annotated[int | None, settings("pixels (official: 512)", min=1)] = None,
    views: Annotated[int | None, settings("azimuths (official: 120)", min=1)] = None,
    elevation: Annotated[float | None, settings("degrees (official: 0)", min=-90, max=90)] = None,
    radius: Annotated[float | None, settings("distance of the cameras (official: 3.5)", min=0.01)] = None,
    fov: Annotated[
        float | None, settings("field of view in radians (official: .55)", min=0.01, max=3.1)
    ] = None,
    gpteval3d: Annotated[
        Path | None,
        outputs("also as GPTEval3D reads them: a folder METHOD, in it 0/0, 1/0, ... in the assets' order"),
    ] = None,
    identity: Annotated[
        list[str] | None,
        inputs("of each asset's views (eval.identity), kept in its records", metavar="DIGEST..."),
    ] = None,
    device: Device = None,
) -> None:
    """Render the evaluation views of 3D Gaussian assets.

    Where no setting is named, the scale's stands, else the official one. Raises ValueError and
    FileNotFoundError, in one line, for a file that is no asset.
    """
    import torch

    known = identity or [""] * len(asset)
    if not len(asset) == len(out) == len(known):
        raise BadUsage("--asset, --out and --identity need as many values as there are assets")
    torch.set_num_threads(1)
    device = find_device(device)
    named = {"size": size, "count": views, "elevation": elevation, "radius": radius, "fov": fov}
    view = OFFICIAL | (read_scale(scale)["views"] if scale else {})
    view |= {name: value for name, value in named.items() if value is not None}
    if odd := [name for name, value in view.items() if not np.isfinite(value)]:
        raise BadUsage(f"--{odd[0]} is no number")
    for number, (path, folder, name) in enumerate(zip(asset, out, known, strict=True)):
        with attempt(folder / ".attempt", name) if name else nullcontext("") as hopeless:
            made, failure = try_to_render(path, view, device, bool(name), hopeless)
            if made is None:
                print(f"{path}: failed: {failure}", file=sys.stderr)
                write_all(placard(failure), {"views": 0, "failed": failure}, folder, identity=name)
                continue
            write_all(*made[:2], folder, made[2], name)
            if gpteval3d:
                write_gpteval3d(made[0], made[2], gpteval3d / str(number) / "0")


def try_to_render(
    asset: Path, view: Mapping[str, Any], device: str, planned: bool, failure: str = ""
) -> tuple[tuple[np.ndarray, dict, Surface] | None, str]:
    """What render_surface gives, or why there is nothing; raises for what is no asset, if not planned."""
    try:
        return (None, failure) if failure else (render_surface(asset, view, device), "")
    except FailedAsset as error:
        return None, str(error)
    except Exception as error:
        if not planned:
            raise
        return None, excuse(error)


main = Program(render_assets)
