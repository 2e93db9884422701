"""Anyone's views, scored without Snakemake: layouts, alphas, prompts, failures, batch size, protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eval.archive import composite, write_failure, write_views
from eval.clip_score import embed_images, load_clip
from eval.protocol import Protocol
from toybox.scenes import Spec, primitives
from toybox.truth import render_orbit

ROOT = Path(__file__).parent.parent
SPECS = {
    "duck": Spec("duck", "yellow"),
    "car": Spec("car", "green", "white"),
    "bear": Spec("bear", "red", "blue"),
}
TEXTS = {
    "duck": "a yellow duck",
    "car": "a green car with a white roof",
    "bear": "a red bear with a blue hat",
}


def orbit_of(name: str, views: int = 12) -> np.ndarray:
    return render_orbit(primitives(SPECS[name]), views, 0.0, 64)


def write_pictures(rgba: np.ndarray, folder: Path, alpha: str = "inside") -> None:
    """rgb_000.png ..., as RGBA, with alpha beside, or opaque over white."""
    folder.mkdir(parents=True)
    for i, view in enumerate(rgba):
        if alpha == "inside":
            Image.fromarray(view, "RGBA").save(folder / f"rgb_{i:03d}.png")
            continue
        straight = view[..., :3] if alpha == "beside" else composite(view)
        Image.fromarray(straight, "RGB").save(folder / f"rgb_{i:03d}.png")
        if alpha == "beside":
            Image.fromarray(view[..., 3], "L").save(folder / f"alpha_{i:03d}.png")


def prompt_table(path: Path) -> Path:
    path.write_text("id\tprompt\n" + "".join(f"{name}\t{text}\n" for name, text in TEXTS.items()))
    return path


def score(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "eval.score", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def means(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "scores.csv").groupby(["prompt", "metric"])["value"].mean().unstack()


def test_every_layout_of_the_same_views_gets_the_same_scores(tmp_path: Path) -> None:
    prompts, mine = prompt_table(tmp_path / "prompts.tsv"), tmp_path / "mine"
    write_pictures(orbit_of("duck"), mine / "duck")
    write_pictures(orbit_of("car"), mine / "a_green_car_with_a_white_roof" / "0", alpha="beside")
    write_views(orbit_of("bear"), mine / "bear" / "0" / "views.zip")
    write_views(orbit_of("bear"), mine / "bear" / "1" / "views.zip")
    ran = score(mine, "--prompts", prompts, "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert "12 views, not 120" in ran.stderr and "| clip |" in ran.stdout
    for name in TEXTS:
        write_pictures(orbit_of(name), tmp_path / "plain" / name)
    assert score(tmp_path / "plain", "--prompts", prompts, "--out", tmp_path / "again").returncode == 0
    pd.testing.assert_frame_equal(means(tmp_path / "out"), means(tmp_path / "again"), rtol=1e-5)
    assert means(tmp_path / "out").loc["duck", "clip_r"] == 1


def test_opaque_pictures_get_no_pathologies_but_the_same_clip_score(tmp_path: Path) -> None:
    prompts = prompt_table(tmp_path / "prompts.tsv")
    for name in TEXTS:
        write_pictures(orbit_of(name), tmp_path / "alpha" / name)
        write_pictures(orbit_of(name), tmp_path / "opaque" / name, alpha="none")
    for kind in ("alpha", "opaque"):
        assert score(tmp_path / kind, "--prompts", prompts, "--out", tmp_path / f"{kind}-out").returncode == 0
    alpha, opaque = means(tmp_path / "alpha-out"), means(tmp_path / "opaque-out")
    assert np.allclose(alpha["clip"], opaque["clip"], atol=1e-4)
    assert "floaters" in alpha and "floaters" not in opaque and "over_exposure" not in opaque


def test_a_prompt_without_views_is_a_failed_row_and_not_a_black_image(tmp_path: Path) -> None:
    prompts, mine = prompt_table(tmp_path / "prompts.tsv"), tmp_path / "mine"
    write_views(orbit_of("duck"), mine / "duck" / "views.zip")
    write_failure("out of memory", mine / "car" / "views.zip")
    ran = score(mine, "--prompts", prompts, "--out", tmp_path / "out")
    record = json.loads((tmp_path / "out/protocol.json").read_text())
    assert ran.returncode == 0 and record["failed"] == {"car/0": "out of memory", "bear": "no views"}
    assert set(pd.read_csv(tmp_path / "out/scores.csv")["prompt"]) == {"duck"}
    assert "failed: bear: no views" in ran.stdout


def test_prompts_may_be_a_text_file_and_distances_need_a_reference(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\n".join(TEXTS.values()) + "\n")
    for text, name in zip(TEXTS.values(), TEXTS, strict=True):
        write_pictures(orbit_of(name), tmp_path / "mine" / text)
    clip = load_clip("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))
    features = {f"clip/p{i:02d}": embed_images(clip, composite(orbit_of(name, 16)))
                for i, name in enumerate(TEXTS, 1)}  # fmt: skip
    np.savez(tmp_path / "reference.npz", **features)
    ran = score(tmp_path / "mine", "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "out",
                "--reference", tmp_path / "reference.npz")  # fmt: skip
    summary = pd.read_csv(tmp_path / "out/summary.csv").set_index("metric")["mean"]
    assert ran.returncode == 0, ran.stderr
    assert summary["fid_clip"] >= 0 and abs(summary["kid_clip_pp"]) < 1 and summary["cmmd"] >= 0
    assert not any(name in summary for name in ("fid_clean", "fid_pytorch", "kid_pp"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere", "--prompts", "prompts/toybox.tsv"), "no folder nowhere"),
        (("tests", "--prompts", "prompts/toybox.tsv"), "tests has no views: expected p01/rgb_000.png"),
        (("tests", "--prompts", "missing.tsv"), "missing.tsv"),
        (("tests", "--prompts", "prompts/toybox.tsv", "--scale", "nope"), "no scale 'nope'"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    ran = score(*arguments)
    assert ran.returncode != 0 and words in ran.stderr and len(ran.stderr.strip().splitlines()) == 1


def test_an_asset_of_the_workflow_is_scored_by_the_named_scorers_alone(tmp_path: Path) -> None:
    """A scale without ToyReward must not get it from another scale's configuration."""
    write_views(orbit_of("duck", 8), tmp_path / "views.zip")
    asset = ("--views", tmp_path / "views.zip", "--prompt-id", "p03", "--prompts", "prompts/toybox.tsv")
    clip = ("--clip", "toybox-clip", "--clip-weights", "toybox/models/clip/model.safetensors")
    ran = score(*asset, *clip, "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert "toy_reward" not in set(pd.read_csv(tmp_path / "out/scores.csv")["metric"])
    assert "toy_reward" not in json.loads((tmp_path / "out/protocol.json").read_text())["protocol"]
    refused = score(*asset, "--out", tmp_path / "none")
    assert refused.returncode != 0 and "name the scorers" in refused.stderr


def test_batch_size_never_changes_a_score() -> None:
    clip = load_clip("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))
    images = composite(orbit_of("bear", 30))
    single, whole = embed_images(clip, images, batch=1), embed_images(clip, images, batch=30)
    assert np.abs(single - whole).max() < 1e-3


def test_a_protocols_id_changes_with_weights_and_words_alone() -> None:
    one = Protocol({"clip": "100 cos"}, {"clip": "ab"})
    assert one.id == Protocol({"clip": "100 cos"}, {"clip": "ab"}).id
    assert one.id != Protocol({"clip": "100 cos"}, {"clip": "cd"}).id
    assert one.id != Protocol({"clip": "100 cos, no"}, {"clip": "ab"}).id
    record = one.record("0" * 64)
    assert record["status"] == "ok" and len(record["code_sha256"]) == 64 and record["protocol_id"] == one.id
