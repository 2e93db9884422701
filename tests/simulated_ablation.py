"""A small ablation as its assets and scores leave it, and the table that is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from eval import ablation
from eval.variants import fields_of
from eval.views.archive import write_views

TITLES = {"sds": "SDS", "sctd": "SCTD"}
ABLATION = {
    "title": "Segments",
    "official": [{"N": 1, "redraw_t": False}],
    "x": "N",
    "lines": "redraw_t",
    "panels": ["clip", "detail", "collapsed", "seconds"],
    "space": [{"method": ["sctd"], "N": [1, 10], "redraw_t": [False, True]}],
}
POINTS = [
    "sctd/N~1/redraw_t~False",
    "sctd/N~1/redraw_t~True",
    "sctd/N~10/redraw_t~False",
    "sctd/N~10/redraw_t~True",
]
PROMPTS = ["p01", "p02", "p03", "p04", "p05", "p06"]


def textured(side: int = 32) -> np.ndarray:
    """Two RGBA views of a colored noise square on an empty ground."""
    rng = np.random.default_rng(0)
    views = np.zeros((2, side, side, 4), np.uint8)
    views[:, 4:-4, 4:-4, :3] = rng.integers(60, 180, (2, side - 8, side - 8, 3))
    views[:, 4:-4, 4:-4, 3] = 255
    return views


def write_ablation(root: Path) -> None:
    """A finished ablation: prompts differ much in CLIP, and N = 10 gives each 2 to 2.5 more than N = 1.

    A quarter of the draws of N = 10 collapse.
    """
    for name in (*POINTS, "start", "truth"):
        for number, prompt in enumerate(PROMPTS):
            for seed in (0, 1):
                fields = fields_of(name)
                folder = root / "scores" / name / prompt / str(seed)
                folder.mkdir(parents=True)
                clip = 50 + 5 * number + seed + (2 + number / 10 if fields.get("N") == 10 else 0)
                rows = [(v, m, x) for v in (0, 1) for m, x in (("clip", clip), ("detail", 30), ("hidden", 1))]
                pd.DataFrame(rows, columns=["view", "metric", "value"]).to_csv(
                    folder / "scores.csv", index=False
                )
                write_views(textured(), root / "views" / name / prompt / str(seed) / "views.zip")
                if fields:
                    write_run(root / "assets" / name / prompt / str(seed), fields)


def write_run(folder: Path, fields: dict) -> None:
    folder.mkdir(parents=True)
    collapsed = [int(fields["N"] == 10), 0, 0, 0]
    pd.DataFrame({"step": range(4), "collapsed": collapsed}).to_csv(folder / "train.csv", index=False)
    cost = {"seconds": 7.0, "nfe": 80, "peak_memory_mib": 900.0}
    (folder / "cost.json").write_text(json.dumps(cost))
    config = {
        "train": {"steps": 4},
        "extra": fields["N"],
        "methods": {"sctd": fields},
        "prompts": {"perp_neg": fields["redraw_t"], "negative": ""},
    }
    record = {
        "config": config,
        "hyper_parameters": fields | {"omega": 7.5},
        "asset_sha256": "0",
        "prompt": "x",
        "weights_sha256": "1",
        "versions": {},
        "machine": {},
    }
    (folder / "provenance.json").write_text(json.dumps(record))


def tabulate(results: Path, prompts: list[str]) -> pd.DataFrame:
    spaces = results / "spaces.yaml"
    spaces.write_text(yaml.safe_dump({"n": ABLATION}))
    ablation.main([
        "--results", str(results), "--name", "n", "--spaces", str(spaces), "--prompts", *prompts,
        "--seeds", "2", "--controls", "start", "truth",
    ])  # fmt: skip
    return ablation.read_table(results / "tables/ablation_n.csv")
