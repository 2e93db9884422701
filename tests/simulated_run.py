"""A small finished run on disk whose truth is known: what tests of tables, claims and figures read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from eval.views.archive import write_failure, write_views

METHODS = ("sds", "ism", "cds", "gcs", "sctd")
CONTROLS = ("truth", "start")
PROMPTS = tuple(f"p{number:02d}" for number in range(1, 9))
FAILED = ("ism", "p03", 0)
REASON = "CUDA out of memory"
PROTOCOL = {"clip": "clip_b32_64", "toy_reward": "toy_64"}

# Of every view: clip = 80 + 3 prompt + offset + jitter, which differs from prompt to prompt and view to view.
CLIP = {"sds": -4.0, "ism": 0.0, "cds": -2.0, "gcs": -1.0, "sctd": 0.0, "truth": 3.0, "start": -45.0}
REWARD = {"sds": 1.0, "ism": 0.2, "cds": -1.0, "gcs": 0.0, "sctd": 0.0, "truth": 2.0, "start": -2.0}
SHIFT = {"sds": 0.6, "ism": 0.3, "cds": 0.9, "gcs": 0.45, "sctd": 0.1, "truth": 0.0, "start": 2.5}
SECONDS = {"sds": 18.0, "ism": 24.0, "cds": 20.0, "gcs": 44.0, "sctd": 22.0}


def guided(
    omega: float, perp_neg: bool = True, beg: bool = False, negative: str = "ugly", **own: float
) -> dict:
    """What provenance.json says of an asset's guidance."""
    config = {"prompts": {"perp_neg": perp_neg, "negative": negative}, "brightness": {"enabled": beg}}
    return {"config": config, "hyper_parameters": {"omega": omega, **own}}


GUIDANCE = {
    "sds": guided(100.0, perp_neg=False, negative=""),
    "ism": guided(7.5),
    "gcs": guided(7.5, beg=True),
    "cds": guided(40.0, perp_neg=False, negative="", omega_end=20.0),
    "sctd": guided(7.5),
}


def write_run(
    root: Path, seeds: int = 1, failed: tuple = FAILED, features: bool = True, known: bool = True
) -> Path:
    """The run's folder: scores, costs, provenance, turntables and reference of every asset.

    failed: method, prompt and seed; or less, of all that it begins. known: whether the true scene is, so that
    views have an IoU.
    """
    rng = np.random.default_rng(0)
    for method in (*METHODS, *CONTROLS):
        for number, prompt in enumerate(PROMPTS):
            for seed in range(seeds):
                where = f"{method}/{prompt}/{seed}"
                alive = not failed or (method, prompt, seed)[: len(failed)] != failed
                write_scores(root / "scores" / where, method, number, alive, features, rng, known)
                if method in METHODS and alive:
                    write_asset(root / "assets" / where, method, number)
                    (root / "views" / where).mkdir(parents=True)
                    (root / "views" / where / "turntable.mp4").write_bytes(b"")
    (root / "reference").mkdir(parents=True)
    arrays = {f"clip/{p}": around(number, 0.0, 40, rng) for number, p in enumerate(PROMPTS) if features}
    np.savez(root / "reference/features.npz", **arrays)
    return root


def write_scores(
    folder: Path,
    method: str,
    number: int,
    alive: bool,
    features: bool,
    rng: np.random.Generator,
    known: bool,
) -> None:
    folder.mkdir(parents=True)
    jitter = 0.5 * np.sin(7 * number + 3 * len(method) + ord(method[0]))
    rows = []
    for view in range(6) if alive else ():
        wave = 0.2 * np.cos(view)
        rows += [
            (view, "clip", 80 + 3 * number + CLIP[method] + jitter + wave),
            (view, "toy_reward", REWARD[method] + 0.1 * number + 0.2 * jitter + wave),
            (view, "clip_r", 1.0),
            (view, "iou", 0.8 + CLIP[method] / 200),
            (view, "over_exposure", 0.1 + 0.05 * (method == "gcs") + 0.002 * jitter),
        ]
    rows = [row for row in rows if known or row[1] != "iou"]
    pd.DataFrame(rows, columns=["view", "metric", "value"]).to_csv(folder / "scores.csv", index=False)
    arrays = {"clip": around(number, SHIFT[method], 12, rng)} if alive and features else {}
    np.savez(folder / "features.npz", **arrays)
    record = {
        "status": "ok" if alive else "failed",
        "reason": "" if alive else REASON,
        "protocol": PROTOCOL,
        "protocol_id": "a1b2",
    }
    (folder / "protocol.json").write_text(json.dumps(record))


def add_views(root: Path, side: int = 16, count: int = 8) -> None:
    """views.zip of every asset: a square in its method's color with a line that goes around; or a failure."""
    for folder in sorted((root / "scores").glob("*/*/*")):
        where = folder.relative_to(root / "scores")
        method, place = where.parts[0], root / "views" / where
        record = json.loads((folder / "protocol.json").read_text())
        if record["status"] == "failed":
            write_failure(record["reason"], place / "views.zip")
            continue
        rgba = np.zeros((count, side, side, 4), np.uint8)
        for view in range(count):
            rgba[view, 2:-2, 2:-2] = [*(np.frombuffer(method.ljust(3).encode()[:3], np.uint8)), 255]
            rgba[view, 2:-2, view * side // count, :3] = 255
        write_views(rgba, place / "views.zip")


def add_image_reward(root: Path) -> None:
    """What another program scored, beside every asset's scores: the toy reward under ImageReward's name."""
    for scores in root.glob("scores/*/*/*/scores.csv"):
        table = pd.read_csv(scores)
        mine = table[table["metric"] == "toy_reward"].assign(metric="image_reward")
        mine.to_csv(scores.with_name("image_reward.csv"), index=False)
        record = json.loads(scores.with_name("protocol.json").read_text())
        record |= {"protocol_id": "c3d4", "protocol": {"image_reward": "blip_224"}}
        scores.with_name("image_reward.json").write_text(json.dumps(record))


def around(number: int, shift: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Features (count, 6) about the prompt's own place, `shift` away from the reference."""
    center = np.array([np.cos(number), np.sin(number), 0.5, 0.0, 0.0, 0.0])
    return (center + shift / 2 + 0.3 * rng.normal(size=(count, 6))).astype(np.float32)


def write_asset(folder: Path, method: str, number: int) -> None:
    folder.mkdir(parents=True)
    cost = {
        "seconds": SECONDS[method] + 0.1 * number,
        "nfe": 100 * SECONDS[method],
        "device": "cpu",
        "peak_memory_mib": 400,
    }
    (folder / "cost.json").write_text(json.dumps(cost))
    (folder / "provenance.json").write_text(json.dumps({"asset_sha256": "0", **GUIDANCE[method]}))


def choose(arguments: list[str], methods: list[str]) -> list[str]:
    """The same command line for some of the methods."""
    start, end = arguments.index("--methods") + 1, arguments.index("--controls")
    return [*arguments[:start], *methods, *arguments[end:]]


def write_prompts(path: Path) -> Path:
    rows = [f"{p}\ta thing number {p}\ta thing.\tobject\tno" for p in PROMPTS]
    path.write_text("\n".join(["id\tprompt\tinit_prompt\tcamera\tsymmetric", *rows]) + "\n")
    return path


def arguments(root: Path, scale: str = "mini", seeds: int = 1) -> list[str]:
    """The command line of eval.tables.table1 for this run."""
    prompts = write_prompts(root / "prompts.tsv")
    return [
        "--results", str(root), "--prompts", str(prompts), "--methods", *METHODS, "--controls", *CONTROLS,
        "--seeds", str(seeds), "--scale", scale, "--titles", "baselines/methods.yaml",
        "--paper", "baselines/paper.yaml",
    ]  # fmt: skip


def lines_of(page: str) -> dict[str, list[str]]:
    """The first row of each title in a pipe table: its cells after the guidance."""
    rows: dict[str, list[str]] = {}
    for line in page.splitlines():
        cells = [text.strip() for text in line.strip("|").split(" | ")]
        rows.setdefault(cells[0].split(" <sup>")[0].strip(), cells[2:])
    return rows


def columns_of(page: str) -> dict[str, dict[str, str]]:
    """The first row of each title: its cells by the column's name."""
    rows = lines_of(page.replace("\\", ""))
    names = [re.sub(" [↑↓]", "", name) for name in rows["Method"]]
    return {title: dict(zip(names, cells, strict=False)) for title, cells in rows.items()}
