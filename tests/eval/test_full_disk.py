"""A full disk ends every program of evaluation with one line; no half-written file bears its final name."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simulated_run as simulated
import torch

from segmentdreamer.scene.gaussians import parameters, save_ply

ROOT = Path(__file__).parents[2]


def views(root: Path) -> list[str]:
    rng = np.random.default_rng(0)
    means, colors = (torch.from_numpy(rng.random((50, 3), np.float32)) for _ in range(2))
    save_ply(parameters(means - 0.5, torch.full((50, 3), 0.1), colors[:, 0], colors), root / "asset.ply")
    return [
        "eval.views",
        "--asset",
        f"{root}/asset.ply",
        "--out",
        f"{root}/new",
        "--size",
        "64",
        "--views",
        "9",
    ]


def scores(root: Path) -> list[str]:
    place = f"{root}/views/sds/p01/0/views.zip"
    return [
        "eval.score",
        "--views",
        place,
        "--prompt-id",
        "p01",
        "--out",
        f"{root}/new",
        "--scale",
        "mini",
        "--prompts",
        f"{root}/prompts.tsv",
    ]


def sheet(root: Path) -> list[str]:
    return [
        "eval.plots.sheet",
        "--results",
        str(root),
        "--prompts",
        f"{root}/prompts.tsv",
        "--methods",
        "sds",
        "ism",
        "--out",
        f"{root}/new.png",
    ]


PROGRAMS: dict[str, tuple[int, Callable[[Path], list[str]]]] = {
    "views": (3000, views),
    "scores": (1000, scores),
    "table": (3000, lambda root: ["eval.tables", *simulated.arguments(root), "--selection", "new"]),
    "figures": (9000, lambda root: ["eval.plots.figures", "--results", str(root)]),
    "claims": (3000, lambda root: ["eval.claims", "--results", str(root)]),
    "sheet": (3000, sheet),
    "report": (9000, lambda root: ["eval.report", str(root)]),
}  # bytes that a file may have


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, mini: Path, program: str
) -> None:
    root = Path(shutil.copytree(mini.parent, tmp_path / "r"))
    simulated.add_views(root)
    limit, words = PROGRAMS[program]
    command = [sys.executable, "-m", *words(root)]
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
    assert len([line for line in ran.stderr.splitlines() if line.startswith("error: ")]) == 1, ran.stderr
    written = [path for path in root.rglob("*") if path.stat().st_mtime_ns != before.get(path)]
    assert all(path.is_dir() or path.stat().st_size < limit for path in written)
    assert not list(root.rglob("*.part"))
