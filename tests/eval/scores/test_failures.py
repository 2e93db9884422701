"""Failed assets: a row with a reason from the optimization to the scores, never black images."""

from __future__ import annotations

import json
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
from segmentdreamer.scene.gaussians import load_ply

ROOT = Path(__file__).parents[3]


def run(out: Path, *settings: str) -> None:
    sets = [word for setting in settings for word in ("--set", setting)]
    generate.main(["--prompt", "a yellow duck", "--prompt-id", "p03", "--method", "sds", "--out", str(out),
                   "--scale", str(ROOT / "segmentdreamer/scales/mini.yaml"), "--quiet", *sets])  # fmt: skip


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
    score.main(["--views", str(tmp_path / "views.zip"), "--prompt-id", "p03", "--out", str(tmp_path / "s"),
                "--prompts", "prompts/toybox.tsv", "--scale", "mini"])  # fmt: skip
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
