"""A small run whose every file is real: two methods and a control, two prompts, rendered, scored, tabled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import yaml

from eval.prompt_table import read_prompts
from eval.score import score
from eval.tables.table1 import tabulate
from eval.views.render import render_assets
from segmentdreamer.records import describe_machine, file_digest, package_versions, write_json
from segmentdreamer.scene.gaussians import parameters, save_ply

METHODS, CONTROL, PROMPTS = ["sds", "sctd"], "sphere", ["p01", "p02"]
VIEW = {"count": 6, "elevation": 0, "radius": 4.1, "fov": 0.515, "size": 64}
CLIP = {"name": "toybox-clip", "weights": "toybox/models/clip/model.safetensors"}
WORDS = ["front", "right side", "back", "left side"]
HERE = Path(__file__).parents[3]


def write_finished(root: Path) -> Path:
    """The run's folder."""
    keys = [(method, prompt) for method in [*METHODS, CONTROL] for prompt in PROMPTS]
    prompts = read_prompts(HERE / "prompts/toybox.tsv")
    table = prompts[prompts["id"].isin(PROMPTS)]
    table.to_csv(root / "prompts.tsv", sep="\t", index=False)
    for number, (method, prompt) in enumerate(keys):
        write_asset(root / "assets" / method / prompt / "0", number, method != CONTROL)
    places = {room: [root / room / m / p / "0" for m, p in keys] for room in ("assets", "views", "scores")}
    options = {"views" if key == "count" else key: value for key, value in VIEW.items()}
    render_assets(
        [place / "asset.ply" for place in places["assets"]], places["views"], device="cpu", **options
    )
    score(
        root / "prompts.tsv",
        views=[place / "views.zip" for place in places["views"]],
        prompt_id=[p for _, p in keys],
        out=places["scores"],
        clip=CLIP["name"],
        clip_weights=CLIP["weights"],
        reward=Path("toybox/models/reward"),
        view_words=WORDS,
        orbit="six views",
        device="cpu",
    )
    write_reference(root, table)
    titles = HERE / "baselines/methods.yaml"
    tabulate(
        root,
        root / "prompts.tsv",
        METHODS,
        "mini",
        controls=[CONTROL],
        titles=titles,
        paper=HERE / "baselines/paper.yaml",
    )
    rows = {row.pop("id"): row for row in table.to_dict("records")}
    flat = {f"texts.{name}.{key}": value for name, row in rows.items() for key, value in row.items()}
    flat |= {f"views.{key}": value for key, value in VIEW.items()}
    flat |= {f"clip.{key}": value for key, value in CLIP.items()}
    flat |= {
        "generation": "segmentdreamer/scales/mini.yaml",
        "reward": "toybox/models/reward",
        "truth": False,
    }
    (root / "settings.yaml").write_text(yaml.safe_dump(flat, sort_keys=False))
    return root


def write_asset(folder: Path, number: int, ours: bool) -> None:
    """A cloud of its own color, and of a method what made it and what it cost."""
    g = torch.Generator().manual_seed(number)
    points, colors = 0.5 * torch.randn(60, 3, generator=g), torch.rand(60, 3, generator=g)
    folder.mkdir(parents=True)
    save_ply(
        parameters(points, torch.full((60, 3), 0.15), torch.full((60,), 0.9), colors), folder / "asset.ply"
    )
    if ours:
        told = {"asset_sha256": file_digest(folder / "asset.ply"), "versions": package_versions()}
        write_json(folder / "provenance.json", told | {"machine": describe_machine("cpu")})
        write_json(folder / "cost.json", {"seconds": 3.0 + number, "nfe": 800, "device": "cpu"})


def write_reference(root: Path, table: object) -> None:
    """Features about those of a control, as the prior's would be."""
    (root / "reference").mkdir()
    rng, arrays = np.random.default_rng(0), {}
    for prompt in PROMPTS:
        with np.load(root / "scores" / CONTROL / prompt / "0/features.npz") as stored:
            arrays[f"clip/{prompt}"] = stored["clip"] + 0.01 * rng.normal(size=stored["clip"].shape)
    np.savez(root / "reference/features.npz", **arrays)
