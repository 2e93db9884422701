"""Failed assets: a row with a reason from the optimization to the scores, never black images."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from eval import score
from eval.views import render as views
from eval.views.archive import read_failure, read_views, write_failure, write_views
from segmentdreamer import generate, optimize
from segmentdreamer.scene.gaussians import load_ply, parameters, save_ply

ROOT = Path(__file__).parents[3]


def run(out: Path, *settings: str) -> None:
    sets = [word for setting in settings for word in ("--set", setting)]
    generate.main(
        [
            "--prompt",
            "a yellow duck",
            "--prompt-id",
            "p03",
            "--method",
            "sds",
            "--out",
            str(out),
            "--scale",
            str(ROOT / "segmentdreamer/scales/mini.yaml"),
            "--quiet",
            *sets,
        ]
    )


@pytest.fixture
def _in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("_in_root")
def test_an_asset_that_loses_all_its_gaussians_fails_with_a_reason(tmp_path: Path) -> None:
    run(
        tmp_path / "a",
        "train.steps=60",
        "optimizer.prune_opacity=0.9999",
        "optimizer.refine_start=1",
        "optimizer.refine_every=2",
    )
    cost = json.loads((tmp_path / "a/cost.json").read_text())
    assert "every Gaussian was pruned" in cost["failed"] and cost["steps"] < 60
    assert len(load_ply(tmp_path / "a/asset.ply")["means"]) == 0
    views.main(["--asset", str(tmp_path / "a/asset.ply"), "--out", str(tmp_path / "v"), "--size", "64"])
    assert read_failure(tmp_path / "v/views.zip") == cost["failed"]


@pytest.mark.usefixtures("_in_root")
def test_gradients_that_stay_infinite_end_the_asset_before_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = optimize.distill

    def broken(*args: Any) -> Any:  # what a diverged network gives
        gradient, picture, pull = honest(*args)
        return gradient, picture, torch.full_like(pull, torch.nan)

    monkeypatch.setattr(optimize, "distill", broken)
    run(tmp_path / "a", "train.steps=60", "train.patience=20")
    cost = json.loads((tmp_path / "a/cost.json").read_text())
    assert cost["failed"].startswith("20 gradients in a row were not finite") and cost["steps"] == 20


@pytest.mark.usefixtures("_in_root")
def test_a_failed_assets_score_file_states_the_reason_and_holds_no_number(tmp_path: Path) -> None:
    write_failure("it\ndiverged", tmp_path / "views.zip")
    score.main(
        [
            "--views",
            str(tmp_path / "views.zip"),
            "--prompt-id",
            "p03",
            "--out",
            str(tmp_path / "s"),
            "--prompts",
            "prompts/toybox.tsv",
            "--scale",
            "mini",
        ]
    )
    record = json.loads((tmp_path / "s/protocol.json").read_text())
    assert (record["status"], record["reason"]) == ("failed", "it diverged")
    assert len(pd.read_csv(tmp_path / "s/scores.csv")) == 0
    assert not np.load(tmp_path / "s/features.npz").files


def test_views_and_failures_are_told_apart(tmp_path: Path) -> None:
    write_failure("no memory", tmp_path / "failed.zip")
    write_views(np.zeros((2, 4, 4, 4), np.uint8), tmp_path / "good.zip")
    assert (
        read_failure(tmp_path / "failed.zip") == "no memory" and read_failure(tmp_path / "good.zip") is None
    )
    with pytest.raises(ValueError, match="no memory"):
        read_views(tmp_path / "failed.zip")


def write_asset(path: Path, mean: float = 0.0) -> Path:
    """An asset of one Gaussian; or one that is not finite."""
    one = torch.tensor([[0.5, 0.5, 0.5]])
    state = parameters(torch.full((1, 3), mean), 0.2 * one, one[0, :1], one)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_ply(state, path)
    return path


def test_in_a_plan_an_asset_that_cannot_be_rendered_has_failed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged, cut off, not finite, not to be read, too large: each by its reason; alone it is an error."""
    assets = [write_asset(tmp_path / name / "asset.ply") for name in ("whole", "cut", "huge", "last")]
    assets[1].write_bytes(assets[1].read_bytes()[:-5])
    assets.insert(1, write_asset(tmp_path / "infinite/asset.ply", float("inf")))
    assets.insert(2, tmp_path / "text/asset.ply")
    for path, content in ((assets[2], b"no ply"),):
        path.parent.mkdir()
        path.write_bytes(content)
    honest = views.render_surface

    def render(asset: Path, *rest: Any) -> Any:
        if "huge" in str(asset):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return honest(asset, *rest)

    monkeypatch.setattr(views, "render_surface", render)
    names = [path.parent.name for path in assets]
    words = ["--asset", *map(str, assets), "--views", "4", "--size", "32", "--out"]
    views.main([*words, *(str(tmp_path / "v" / n) for n in names), "--identity", *names])
    told = {name: read_failure(tmp_path / "v" / name / "views.zip") for name in names}
    assert told.pop("whole") is None and told.pop("last") is None
    assert "not finite" in told["infinite"] and "no PLY" in told["text"] and "memory" in told["huge"]
    assert all(told.values()) and not list(tmp_path.rglob(".attempt"))
    assert all((tmp_path / "v" / name / "turntable.mp4").stat().st_size for name in names)
    with pytest.raises(SystemExit, match="error: .*no PLY"):
        views.main([*words[:1], str(assets[2]), *words[-5:], str(tmp_path / "w")])
    assert not (tmp_path / "w").exists()


@pytest.mark.usefixtures("_in_root")
def test_in_a_plan_foreign_views_that_cannot_be_scored_have_failed_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    """Damaged, of another number than the run's, with gaps: each by its reason; alone it is an error."""
    rgba = np.zeros((4, 16, 16, 4), np.uint8)
    rgba[:, 4:12, 4:12] = 255
    for name, count in (("whole", 4), ("few", 3), ("damaged", 4), ("gap", 4), ("last", 4)):
        write_views(rgba[:count], tmp_path / name / "views.zip")
    (tmp_path / "damaged/views.zip").write_bytes((tmp_path / "whole/views.zip").read_bytes()[:-30])
    rename_member(tmp_path / "gap/views.zip", "003.png", "007.png")
    names = ["whole", "few", "damaged", "gap", "last"]
    words = ["--prompts", "prompts/toybox.tsv", "--scale", "mini", "--count", "4", "--views"]
    archives = [str(tmp_path / name / "views.zip") for name in names]
    score.main(
        [
            *words,
            *archives,
            "--prompt-id",
            *["p03"] * 5,
            "--identity",
            *names,
            "--out",
            *(str(tmp_path / "s" / name) for name in names),
        ]
    )
    told = {name: json.loads((tmp_path / "s" / name / "protocol.json").read_text()) for name in names}
    reasons = {name: record["reason"] for name, record in told.items() if record["status"] == "failed"}
    assert list(reasons) == ["few", "damaged", "gap"]
    assert "it has 3 views; the run has 4" in reasons["few"] and "sequence" in reasons["gap"]
    assert all(len(pd.read_csv(tmp_path / "s" / name / "scores.csv")) == 0 for name in reasons)
    with pytest.raises(SystemExit, match="error: .*it has 3 views"):
        score.main([*words, archives[1], "--prompt-id", "p03", "--out", str(tmp_path / "t")])


def rename_member(path: Path, old: str, new: str) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(new if name == old else name, content)
