"""The folder of pages, and what lies in it: tables, plots, pictures, splats, one page an asset."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from segmentdreamer.records import write_text

from ..metrics import columns, heading
from ..plots.style import look
from ..tables.formats import minus
from .ablations import ablations
from .charts import curves, polar, ranges
from .content import Asset, Content
from .front import front
from .pictures import FEW, FRAMES, STILLS, pack, shrink, write_pictures, write_splats
from .published import copy_files

HERE = Path(__file__).parent
ORBIT = {"radius": 3.5, "fov": 0.55}  # of cameras.json, where an asset has none
PLOTS = 4  # and curves of an asset in a small site
FOREMOST = 6  # metrics that are compared
MIB = 2**20


def build(content: Content, out: Path, compact: bool, limit: int) -> list[Asset]:
    """Write everything into `out`, within `limit` bytes; the assets whose splats found no room.

    compact: no videos, fewer frames and no views at full size, and no pages of variants, for a repository.
    """
    out.mkdir(parents=True, exist_ok=True)
    run, content = content, content.small() if compact else content
    slugs = {a.path: a.slug for a in (content.main if compact else content.assets)}
    files = copy_files(content.results, content.selection, slugs, out, compact)
    shutil.copytree(HERE / "static", out / "static", dirs_exist_ok=True)
    shutil.copyfile(HERE / "viewer/LICENSES.txt", out / "static/LICENSES.txt")
    packed = pack((HERE / "viewer/viewer.js").read_bytes())
    write_text(out / "static/viewer.js", f'receive("viewer", "{packed}");\n')
    for name in [name for name in files if compact and name.endswith(".png")]:
        shrink(out / name)
    shown = [asset for asset in content.assets if not asset.failed]
    for asset in shown:
        write_pictures(asset, out, frames_of(asset.method in content.titles, compact), compact)
    write_pages(content, out, front(run, content, files), compact)
    names = {asset.slug for asset in shown}
    for old in [*(out / "img").glob("*"), *(out / "data").glob("*")]:  # of a run that lies there no more
        if old.stem.removesuffix("-views") not in names or old.parent.name == "data":
            old.unlink()
    spare = limit - folder_size(out)
    ranked = sorted(shown, key=lambda asset: (asset.seed, asset.method not in content.methods))
    return write_splats(ranked, out, spare)


def frames_of(has_page: bool, compact: bool) -> int:
    """The frames of an asset's strip; those of a small site's variants, which have no page, are few."""
    return FRAMES if not compact else FEW if has_page else FEW // 2


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_pages(content: Content, out: Path, first: dict[str, Any], compact: bool) -> None:
    """index, gallery, compare, a page an ablation, and assets/SLUG.html; first: what index.html shows."""
    pages = environment(content, compact)
    studies = ablations(content)
    pages.globals["ablations"] = studies

    def write(name: str, template: str, **given: Any) -> None:
        write_text(out / name, pages.get_template(template).render(**given))

    data = gallery(content)
    write("gallery.html", "gallery.html", root="", page="gallery", data=data)
    write("compare.html", "compare.html", root="", page="compare", data=foremost(data))
    for study in studies:
        write(
            f"ablation_{study['name']}.html",
            "ablation.html",
            root="",
            page=study["name"],
            study=study | {"linked": not compact},
            frames=frames_of(False, compact),
        )
    most = PLOTS if compact else None
    limits = dict([*ranges(content).items()][:most])
    for asset in content.main if compact else content.assets:
        write(
            f"assets/{asset.slug}.html",
            "asset.html",
            root="../",
            page="",
            asset=asset,
            view=view_of(asset),
            plots=polar(asset, limits),
            scores=named_values(asset),
            curves=curves(asset)[:most],
            siblings=siblings(content, asset),
            record=asset.record("assets", "provenance.json"),
            cost=asset.record("assets", "cost.json"),
            protocol=asset.record("scores", "protocol.json"),
        )
    write("index.html", "index.html", root="", page="front", **first)  # last: all is there


def environment(content: Content, compact: bool) -> Environment:
    """Templates that escape every text."""
    folder = FileSystemLoader(HERE / "templates", encoding="utf-8")
    pages = Environment(loader=folder, trim_blocks=True, lstrip_blocks=True, autoescape=True)
    pages.globals |= {
        "content": content,
        "compact": compact,
        "title": content.title,
        "frames": frames_of(True, compact),
        "stills": STILLS,
    }
    return pages


def view_of(asset: Asset) -> dict[str, float]:
    """The orbit that the asset was rendered on."""
    orbit = asset.record("views", "cameras.json")
    elevation = float(orbit["elevation"][0]) if orbit.get("elevation") else 0.0
    return {key: orbit.get(key, value) for key, value in ORBIT.items()} | {"elevation": elevation}


def named_values(asset: Asset) -> list[tuple[str, str]]:
    known = columns()
    found = {m: spec for m, spec in known.items() if m in asset.values}
    return [(heading(spec), minus(f"{asset.values[m]:.{spec['digits']}f}")) for m, spec in found.items()]


def siblings(content: Content, asset: Asset) -> Iterable[Asset]:
    """The assets of the same prompt and seed."""
    return (a for a in content.main if (a.prompt, a.seed) == (asset.prompt, asset.seed))


def gallery(content: Content) -> dict[str, Any]:
    """The data of gallery and comparison: methods, prompts, metrics, and of each asset its values."""
    assets = content.main
    present = {metric for asset in assets for metric in asset.values}
    first = [
        *content.table.get("confirmatory", ()),
        *content.table.get("primary", ()),
    ]  # what tests decide by
    specs = {m: columns()[m] for m in dict.fromkeys([*first, *columns()]) if m in present}
    metrics = [
        {"id": m, "name": heading(spec), "down": spec.get("better") == "down", "digits": spec["digits"]}
        for m, spec in specs.items()
    ]
    rows = [
        {
            "slug": a.slug,
            "method": a.method,
            "prompt": a.prompt,
            "seed": a.seed,
            "failed": a.failed,
            "values": {m: float(f"{a.values[m]:.6g}") for m in specs if m in a.values},
        }
        for a in assets
    ]
    methods = [
        {"id": m, "title": title, "color": look(m).color, "control": m not in content.methods}
        for m, title in content.titles.items()
    ]
    view = view_of(assets[0]) if assets else ORBIT
    return {
        "methods": methods,
        "metrics": metrics,
        "assets": rows,
        "view": view,
        "prompts": [{"id": p, **spec} for p, spec in content.prompts.items()],
    }


def foremost(data: dict[str, Any]) -> dict[str, Any]:
    """The data of the comparison: those of the gallery with the first metrics alone."""
    metrics = data["metrics"][:FOREMOST]
    ids = {metric["id"] for metric in metrics}
    assets = [a | {"values": {m: v for m, v in a["values"].items() if m in ids}} for a in data["assets"]]
    return data | {"metrics": metrics, "assets": assets}
