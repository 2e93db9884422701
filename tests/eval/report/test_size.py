"""Report and site of 40 prompts x 5 methods are within what is sent and what a repository keeps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eval.metrics import columns
from eval.report import site
from eval.report.content import read_content
from eval.views.render import render, write_all
from segmentdreamer.scene.gaussians import parameters, save_ply

METHODS, PROMPTS, SEEDS = ("sds", "ism", "cds", "gcs", "sctd"), 40, 2
VIEW = {"count": 120, "elevation": 0, "radius": 4.1, "fov": 0.515, "size": 64}  # mini's
POINTS = 1300  # of an asset of mini's
MB = 10**6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four assets of mini's size and number of scores, each under many names."""
    root = tmp_path_factory.mktemp("run")
    for number in range(4):
        write_asset(root / "made", str(number))
    for number, method in enumerate(METHODS):
        for prompt in range(PROMPTS):
            for seed in range(SEEDS):
                for room in ("assets", "views", "scores"):
                    folder = root / room / method / f"p{prompt:02d}" / str(seed)
                    folder.mkdir(parents=True)
                    for path in (root / "made" / room / str((number + prompt) % 4)).iterdir():
                        os.link(path, folder / path.name)
    return root


def write_asset(root: Path, name: str) -> None:
    rng = torch.Generator().manual_seed(int(name))
    places = torch.randn(POINTS, 3, generator=rng) * torch.tensor([0.25, 0.35, 0.4])
    parts = [places, torch.full((POINTS, 3), 0.05), torch.full((POINTS,), 0.8), torch.sigmoid(4 * places)]
    (root / "assets" / name).mkdir(parents=True)
    save_ply(parameters(*parts), root / "assets" / name / "asset.ply")
    (root / "assets" / name / "cost.json").write_text(json.dumps({"seconds": 9, "nfe": 100}))
    write_all(*render(root / "assets" / name / "asset.ply", VIEW, "cpu"), root / "views" / name)
    steps = np.arange(200)
    log = {"step": steps} | {f"log {i}": np.sin(steps * i) for i in range(1, 9)}
    pd.DataFrame(log).to_csv(root / "assets" / name / "train.csv", index=False)
    rows = [(view, metric, np.cos(view)) for metric in [*columns()][:20] for view in range(VIEW["count"])]
    (root / "scores" / name).mkdir(parents=True)
    table = pd.DataFrame(rows, columns=["view", "metric", "value"])
    table.to_csv(root / "scores" / name / "scores.csv", index=False)


@pytest.mark.slow
@pytest.mark.parametrize(("compact", "limit"), [(False, 300 * MB), (True, 12 * MB)])
def test_forty_prompts_of_five_methods_and_two_seeds_fit(
    run: Path, tmp_path: Path, compact: bool, limit: int
) -> None:
    """A site's tables, sheet and figures, which this run has not, are 3 MB more; splats go first."""
    left_out = site.build(read_content(run), tmp_path, compact, limit)
    assert site.folder_size(tmp_path) <= limit and (compact or not left_out)
    assert len([*(tmp_path / "img").glob("*-1.webp")]) == len(METHODS) * PROMPTS
    first = [tmp_path / "index.html", *(tmp_path / "static").glob("report.*")]
    assert sum(path.stat().st_size for path in first) < MB / 4
