"""What the suite offers to Python: the scores of views, and a run with all that lies there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated

from eval import load_run, score_views
from eval.run import read_run
from eval.scales import read_scale
from eval.score import score
from eval.views.archive import write_views
from toybox.scenes import Spec, primitives, two_faced
from toybox.truth import render_orbit

ROOT = Path(__file__).parents[2]
TEXT = "a red bear with a blue hat"


@pytest.fixture(scope="module")
def bear() -> np.ndarray:
    return render_orbit(primitives(Spec("bear", "red", "blue")), 40, 0.0, 64)


def means(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("metric")["value"].mean()


def test_an_array_an_archive_and_a_folder_of_the_same_views_have_the_same_scores(
    bear: np.ndarray, tmp_path: Path
) -> None:
    from PIL import Image

    write_views(bear, tmp_path / "views.zip")
    (tmp_path / "mine").mkdir()
    for i, view in enumerate(bear):
        Image.fromarray(view, "RGBA").save(tmp_path / f"mine/rgb_{i:03d}.png")
    first = score_views(bear, TEXT)
    assert list(first.columns) == ["view", "metric", "value"] and len(first.query("metric == 'clip'")) == 40
    for place in (tmp_path / "views.zip", str(tmp_path / "mine")):
        pd.testing.assert_frame_equal(score_views(place, TEXT), first)
    noted = score_views(tmp_path / "views.zip", TEXT).attrs
    assert "clip" in noted["protocol"] and any("40 views, not 120" in note for note in noted["notes"])
    assert first.attrs["notes"] == noted["notes"]


def test_they_are_the_programs_scores(bear: np.ndarray, tmp_path: Path) -> None:
    write_views(bear, tmp_path / "views.zip")
    write_views(
        render_orbit(two_faced(primitives(Spec("bear", "red", "blue"))), 40, 0.0, 64),
        tmp_path / "p02/two_faced.zip",
    )
    write_views(bear, tmp_path / "p02/views.zip")
    command = ["-m", "eval.score", "--views", str(tmp_path / "views.zip"), "--prompt-id", "p02",
               "--prompts", "prompts/toybox.tsv", "--scale", "mini", "--truth", str(tmp_path),
               "--out", str(tmp_path / "out")]  # fmt: skip
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    theirs = pd.read_csv(tmp_path / "out/scores.csv")
    mine = score_views(bear, "p02", prompts="prompts/toybox.tsv", truth=tmp_path / "p02")
    pd.testing.assert_frame_equal(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_prompt_is_named_by_its_text_or_its_id_and_ranks_among_the_others(bear: np.ndarray) -> None:
    among = score_views(bear, TEXT, prompts=["a yellow duck", "a red  bear with a blue hat"])
    assert means(among)["clip_r"] == 1 and "clip_r" not in set(score_views(bear, TEXT)["metric"])
    by_id, by_text = (score_views(bear, name, prompts="prompts/toybox.tsv") for name in ("p02", TEXT))
    pd.testing.assert_frame_equal(by_id, by_text)
    assert means(by_id)["judge_class"] == 1


def test_a_folder_is_scored_from_python_by_paths_as_texts(bear: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "views/p02").mkdir(parents=True)
    write_views(bear, tmp_path / "views/p02/views.zip")
    score(folder=str(tmp_path / "views"), prompts="prompts/toybox.tsv", out=[str(tmp_path / "out")])
    assert "judge_class" in set(pd.read_csv(tmp_path / "out/scores.csv")["metric"])
    both, nothing, arc = {"views": ["b"]}, {"folder": None}, {"prompts": "b", "arc": 0}
    for wrong in ({}, both, nothing, arc):
        with pytest.raises(ValueError, match=r"give|degrees"):
            score(**({"folder": "a"} | wrong))


def test_an_arc_has_no_metric_of_the_ring(bear: np.ndarray) -> None:
    known = set(score_views(bear, TEXT, arc=180)["metric"])
    assert "detail" in known and not {"janus_index", "consistency"} & known


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"views": np.zeros((2, 8, 8, 3), np.uint8)}, r"views are \(2, 8, 8, 3\) uint8, not"),
        ({"views": np.zeros((2, 8, 8, 4))}, "float64, not"),
        ({"prompt": "p77", "prompts": "prompts/toybox.tsv"}, "has no prompt 'p77'"),
        ({"prompt": ""}, "an empty prompt"),
        ({"views": np.zeros((0, 8, 8, 4), np.uint8)}, r"views are \(0, 8, 8, 4\) uint8, not"),
        ({"views": np.ones((4, 8, 8, 4), np.uint8)}, "alpha is 0 or 1 of 255"),
        ({"arc": 0}, "arc is above 0 and at most 360"),
        ({"arc": 720}, "arc is above 0 and at most 360"),
    ],
)
def test_what_cannot_be_scored_is_told_in_one_line(bear: np.ndarray, change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        score_views(**({"views": bear, "prompt": TEXT} | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a", "expected a mapping"),
        ("", "expected a mapping"),
        ("a: [", "is not YAML"),
        ("clips: {name: x}", "'clips' was unexpected"),
        ("clip: abc", "clip: 'abc' is not of type 'object'"),
        ("views: {sise: 8}", "'sise' was unexpected"),
        ("views: {size: abc}", "views.size: 'abc' is not of type 'integer'"),
        ("generation: 5", "generation: 5 is not of type 'string'"),
    ],
)
def test_a_scale_that_the_workflow_would_refuse_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        read_scale(str(tmp_path / "mine.yaml"))
    assert "\n" not in str(caught.value)


def test_a_run_is_found_as_it_lies(tmp_path: Path) -> None:
    root = simulated.write_run(tmp_path, seeds=2)
    (root / "scores/sctd/N~3/p01/0").mkdir(parents=True)  # a variant is no method
    (root / "scores/sctd/N~3/p01/0/scores.csv").write_text("view,metric,value\n")
    found = load_run(str(root))
    asked = read_run(root, sorted(simulated.METHODS), sorted(simulated.CONTROLS), simulated.PROMPTS, 2)
    assert found.methods == asked.methods and set(found.controls) == set(asked.controls)
    assert found.prompts == asked.prompts and found.guidance == asked.guidance
    order = ["method", "prompt", "seed", "metric", "view"]
    pd.testing.assert_frame_equal(
        found.scores.sort_values(order, ignore_index=True), asked.scores.sort_values(order, ignore_index=True)
    )
    assert found.failed()[["method", "prompt", "seed"]].values.tolist() == [list(simulated.FAILED)]


def test_a_run_of_which_some_assets_are_missing_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    import shutil

    root = simulated.write_run(tmp_path)
    shutil.rmtree(root / "scores/gcs/p01")
    found = load_run(root)
    assert "p01" not in set(found.scores.query("method == 'gcs'")["prompt"]) and "gcs" in found.methods


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run at .*scores/METHOD/PROMPT/SEED/scores.csv"):
        load_run(tmp_path)


def test_reading_a_run_needs_no_torch() -> None:
    code = "import sys, eval; eval.load_run; assert 'torch' not in sys.modules; assert not hasattr(eval, 'x')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
