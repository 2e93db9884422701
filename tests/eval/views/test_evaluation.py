"""Views, ground-truth metrics, statistics and scores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eval import score
from eval.plots import sheet
from eval.prompt_table import read_prompts
from eval.scores import ground_truth
from eval.statistics.intervals import mean_interval, prompt_means
from eval.views.archive import composite, read_views, write_views
from eval.views.render import main, render, write_all
from segmentdreamer.scene.gaussians import parameters, save_ply
from segmentdreamer.start.shapes import StartConfig, start_state
from toybox.scenes import Spec, primitives, two_faced
from toybox.truth import read_specs, render_orbit

ROOT = Path(__file__).parents[3]
HEADER = "id\tprompt\tinit_prompt\tcamera\tsymmetric\n"


def test_views_survive_their_archive_and_equal_views_give_equal_bytes(tmp_path: Path) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 4), dtype=np.uint8)
    for name in ("a.zip", "b.zip"):
        write_views(rgba, tmp_path / name)
    assert np.array_equal(read_views(tmp_path / "a.zip"), rgba)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_sheet_shows_sides_in_the_order_of_their_azimuth(tmp_path: Path) -> None:
    rgba = np.full((8, 8, 8, 4), 255, np.uint8)
    rgba[..., 0] = np.arange(8)[:, None, None]
    write_views(rgba, tmp_path / "views.zip")
    picked = sheet.pick(tmp_path / "views.zip", list(sheet.SIDES.values()))
    assert picked[:, 0, 0, 0].tolist() == [0, 2, 4, 6]


def test_a_broken_archive_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "views.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"views\.zip"):
        read_views(tmp_path / "views.zip")


def test_compositing_is_exact_at_both_ends() -> None:
    rgba = np.array([[[[10, 20, 30, 0], [10, 20, 30, 255]]]], dtype=np.uint8)
    assert composite(rgba)[0, 0].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert composite(rgba, 0.0)[0, 0].tolist() == [[0, 0, 0], [10, 20, 30]]


@pytest.mark.parametrize("opacity", [0.99, 0.5])
def test_a_views_color_is_the_gaussians_own_whatever_its_opacity(tmp_path: Path, opacity: float) -> None:
    """One Gaussian at the center: straight alpha, so color c and alpha o at the middle of every view."""
    color = torch.tensor([[0.8, 0.4, 0.2]])
    one = parameters(torch.zeros(1, 3), torch.full((1, 3), 0.2), torch.tensor([opacity]), color)
    save_ply(one, tmp_path / "asset.ply")
    view = {"count": 3, "elevation": 0.0, "radius": 4.0, "fov": 0.5, "size": 65}
    rgba, _ = render(str(tmp_path / "asset.ply"), view, "cpu")
    middle = torch.from_numpy(rgba[:, 32, 32].astype(float)) / 255
    assert torch.allclose(middle[:, :3], color.double().expand(3, 3), atol=1 / 255)
    assert torch.allclose(middle[:, 3], torch.tensor(opacity).double(), atol=2 / 255)


def test_an_assets_views_come_with_cameras_sheet_and_turntable(tmp_path: Path) -> None:
    save_ply(start_state(StartConfig(count=200), 0), tmp_path / "asset.ply")
    view = {"count": 8, "elevation": 0.0, "radius": 4.1, "fov": 0.515, "size": 64}
    rgba, cameras = render(tmp_path / "asset.ply", view, "cpu")
    write_all(rgba, cameras, tmp_path / "out")
    assert rgba.shape == (8, 64, 64, 4) and rgba[..., 3].max() > 100
    record = json.loads((tmp_path / "out/cameras.json").read_text())
    assert len(record["viewmats"]) == 8 and len(record["sha256"]) == 64
    assert record["radius"] == 4.1 and record["fov"] == 0.515
    assert all((tmp_path / "out" / name).stat().st_size > 0 for name in ("sheet.webp", "turntable.mp4"))


def test_the_truth_is_perfect_against_itself_and_the_two_faced_truth_is_found() -> None:
    rows = primitives(Spec("bear", "red", "blue"))
    truth, janus = (render_orbit(r, 24, 0.0, 64) for r in (rows, two_faced(rows)))
    assert ground_truth.silhouette_iou(truth, truth).min() == 1
    assert ground_truth.color_error(truth, truth).max() == 0
    assert np.nanmean(ground_truth.janus(truth, truth, janus)) == 0
    assert np.nanmean(ground_truth.janus(janus, truth, janus)) == 1


def test_the_wrong_color_and_the_wrong_shape_cost_what_they_should() -> None:
    red, blue, car = (
        render_orbit(primitives(s), 12, 0.0, 64)
        for s in (Spec("duck", "red"), Spec("duck", "blue"), Spec("car", "red"))
    )
    assert ground_truth.silhouette_iou(red, blue).min() == 1
    assert ground_truth.color_error(red, blue).min() > 0.1
    assert ground_truth.silhouette_iou(car, red).mean() < 0.7


def test_a_pixel_belongs_to_the_silhouette_from_half_its_opacity_on() -> None:
    empty, half, less = (np.full((1, 4, 4, 4), 0, np.uint8) for _ in range(3))
    half[0, 1, 1], less[0, 1, 1] = (0, 0, 0, 128), (0, 0, 0, 127)
    assert ground_truth.silhouette_iou(half, half) == ground_truth.silhouette_iou(empty, less) == 1
    assert ground_truth.silhouette_iou(half, empty) == ground_truth.silhouette_iou(less, half) == 0
    assert ground_truth.color_error(empty, half) == pytest.approx(1 - composite(half)[0, 1, 1, 0] / 255)
    assert ground_truth.color_error(half, less) == 0


def test_the_unit_of_analysis_is_the_prompt() -> None:
    rows = [("sds", p, s, v, "clip", 10.0 * (p == "b") + s) for p in "ab" for s in (0, 1) for v in range(3)]
    scores = pd.DataFrame(rows, columns=["method", "prompt", "seed", "view", "metric", "value"])
    means = prompt_means(scores).set_index("prompt")["value"]
    assert means.to_dict() == {"a": 0.5, "b": 10.5}


def test_intervals_hold_the_mean_and_shrink_with_agreement() -> None:
    low, high = mean_interval(np.array([1.0, 2, 3, 4, 5, 6]))
    assert low < 3.5 < high
    assert np.isnan(mean_interval(np.full(6, 2.0))).all()
    assert np.isnan(mean_interval(np.array([1.0, 2, 3, 4]))).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id\tprompt\na\tx\n", "missing column init_prompt"),
        (HEADER + "a\tx\tx\tobject\tno\na\ty\ty\tobject\tno\n", "duplicate id a"),
        (HEADER + "a/b\tx\tx\tobject\tno\n", "not made of letters and digits"),
        (HEADER + "a\t\tx\tobject\tno\n", "empty prompt"),
        (HEADER, "no prompts"),
    ],
)
def test_a_wrong_prompt_table_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prompts.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_prompts(path)
    assert "prompts.tsv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "camera",
    ["--fov=0", "--fov=4", "--fov=nan", "--radius=0", "--radius=-3", "--radius=inf", "--elevation=nan"],
)
def test_cameras_that_see_nothing_are_refused(
    camera: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--asset", str(tmp_path / "a.ply"), "--out", str(tmp_path / "out"), camera])
    assert stopped.value.code == 2 and camera.partition("=")[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rendering_an_unreadable_ply_gets_one_line_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.ply").write_bytes(b"ply\nnot really")
    command = ["-m", "eval.views", "--asset", str(tmp_path / "broken.ply"), "--out", str(tmp_path / "out")]
    ran = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode != 0 and "broken.ply" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


def test_the_truth_scores_high_under_its_own_prompt_and_low_under_others(tmp_path: Path) -> None:
    specs = read_specs(ROOT / "prompts/toybox.tsv")
    names = ["p02", "p03"]
    for name in names:
        write_views(render_orbit(primitives(specs[name]), 8, 0.0, 64), tmp_path / name / "views.zip")
    score.main([
        "--views", *(str(tmp_path / n / "views.zip") for n in names), "--prompt-id", *names,
        "--out", *(str(tmp_path / n) for n in names), "--prompts", str(ROOT / "prompts/toybox.tsv"),
        "--clip", "toybox-clip", "--clip-weights", str(ROOT / "toybox/models/clip/model.safetensors"),
        "--reward", str(ROOT / "toybox/models/reward"),
    ])  # fmt: skip
    for name in names:
        means = pd.read_csv(tmp_path / name / "scores.csv").groupby("metric")["value"].mean()
        assert means["clip"] > means["clip_shuffled"] + 30 and means["clip_r"] == 1
        assert means["detail"] > 10 and means["over_exposure"] < 0.05 and 0 < means["saturation"] < 1
        assert len(np.load(tmp_path / name / "features.npz")["clip"]) == 8
