"""The scoring command: layouts of the same views, opaque pictures, absent prompts, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from folders_of_views import ROOT, TEXTS, orbit_of, score, write_pictures

from eval import score as program
from eval.scores.clip import embed_images, load_clip
from eval.views.archive import composite, write_failure, write_views


def prompt_table(path: Path) -> Path:
    path.write_text("id\tprompt\n" + "".join(f"{name}\t{text}\n" for name, text in TEXTS.items()))
    return path


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
    features = {
        f"clip/p{i:02d}": embed_images(clip, composite(orbit_of(name, 16))) for i, name in enumerate(TEXTS, 1)
    }
    np.savez(tmp_path / "reference.npz", **features)
    ran = score(
        tmp_path / "mine",
        "--prompts",
        tmp_path / "prompts.txt",
        "--out",
        tmp_path / "out",
        "--reference",
        tmp_path / "reference.npz",
    )
    summary = pd.read_csv(tmp_path / "out/summary.csv").set_index("metric")["mean"]
    assert ran.returncode == 0, ran.stderr
    assert summary["fid_clip"] >= 0 and abs(summary["kid_clip_pp"]) < 1 and summary["cmmd"] >= 0
    assert not any(name in summary for name in ("fid_clean", "fid_pytorch", "kid_pp"))


def test_bad_input_ends_the_program_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    write_pictures(orbit_of("duck", 2), tmp_path / "mine/duck")
    damaged = tmp_path / "mine/duck/rgb_001.png"
    damaged.write_bytes(damaged.read_bytes()[:100])
    (tmp_path / "file").write_text("")
    prompts = str(prompt_table(tmp_path / "prompts.tsv"))
    for arguments, words in [
        ((tmp_path / "mine", "--prompts", prompts), "mine/duck: rgb_001.png cannot be read"),
        ((tmp_path / "mine", "--prompts", tmp_path), "Is a directory"),
        ((tmp_path / "file", "--prompts", prompts), "it is a file"),
    ]:
        with pytest.raises(SystemExit) as caught:
            program.main([*map(str, arguments), "--out", str(tmp_path / "out")])
        told = str(caught.value.code)
        assert told.startswith("error: ") and words in told and "\n" not in told
        assert not (tmp_path / "out").exists()
    capsys.readouterr()


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
