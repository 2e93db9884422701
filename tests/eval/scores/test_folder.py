"""Anyone's views, scored without Snakemake: layouts, alphas, prompts, failures, batch size, protocol."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from folders_of_views import ROOT, TEXTS, orbit_of, write_pictures
from pngs import write_png

from eval.prompt_table import read_texts
from eval.protocol import Protocol
from eval.scores.asset import Models
from eval.scores.clip import embed_images, load_clip
from eval.scores.folder import score_folder
from eval.scores.scorers import load_models, prepare
from eval.statistics.intervals import mean_intervals
from eval.views.archive import composite, write_views
from eval.views.remarks import Setting
from eval.views.ring import RING_METRICS


@pytest.fixture(scope="module")
def models() -> Models:
    models = ROOT / "toybox/models"
    return load_models("toybox-clip", str(models / "clip/model.safetensors"), models / "reward")


@pytest.fixture(scope="module")
def ring() -> np.ndarray:
    return orbit_of("duck", 40)


Told = tuple[pd.DataFrame, dict]  # scores, protocol.json


def run(models: Models, folder: Path, texts: dict[str, str] | None = None, **setting: object) -> Told:
    """The scores of a folder in process, under these prompts or TEXTS."""
    out, table = folder.with_name(f"{folder.name}-out"), folder.with_name(f"{folder.name}.json")
    table.write_text(json.dumps(texts or TEXTS))
    score_folder(prepare(models, read_texts(table)), folder, out, Setting(**setting))
    return pd.read_csv(out / "scores.csv"), json.loads((out / "protocol.json").read_text())


def notes(told: Told) -> str:
    return " | ".join(told[1]["notes"])


def metrics(told: Told) -> set[str]:
    return set(told[0]["metric"])


def halved(azimuths: np.ndarray) -> str:
    return json.dumps({"azimuth": azimuths.tolist(), "elevation": [0.0] * len(azimuths)})


def test_metrics_of_the_ring_need_a_full_one_of_enough_views(
    models: Models, ring: np.ndarray, tmp_path: Path
) -> None:
    write_pictures(ring, tmp_path / "whole/duck")
    whole = run(models, tmp_path / "whole")
    assert set(RING_METRICS) <= metrics(whole) and "taken for a full ring in even steps" in notes(whole)
    write_pictures(ring[::2], tmp_path / "few/duck")
    few = run(models, tmp_path / "few")
    assert "no janus_index and consistency: they need 36 views" in notes(few)
    half = run(models, tmp_path / "whole", arc=180)
    assert "no janus_index and consistency: the views go around 180 degrees" in notes(half)
    (tmp_path / "whole/duck/rgb_017.png").unlink()
    gap = run(models, tmp_path / "whole")
    assert "the sequence lacks number 17" in notes(gap)
    for told in (few, half, gap):
        assert not set(RING_METRICS) & metrics(told) and {"clip", "floaters"} <= metrics(told)


@pytest.mark.parametrize("place", [".", "duck", "duck/0"])
def test_cameras_tell_half_a_ring_from_a_whole_one(
    models: Models, ring: np.ndarray, tmp_path: Path, place: str
) -> None:
    write_views(ring, tmp_path / "mine/duck/0/views.zip")
    for turn, kept in ((360, True), (180, False)):
        (tmp_path / "mine" / place / "cameras.json").write_text(halved(np.arange(40) * turn / 40))
        told = run(models, tmp_path / "mine")
        assert (set(RING_METRICS) <= metrics(told)) is kept
        assert ("by their cameras the views do not go once around" in notes(told)) is not kept
        assert "taken for a full ring" not in notes(told)


# What is measured against a true scene needs one of the view's own size.
OF_SCENES = ("chamfer", "depth_error", "f_score", "normal_error", "texture_high", "texture_low")


def test_a_view_that_is_not_square_is_scored_as_its_center_and_another_size_is_said(
    models: Models, ring: np.ndarray, tmp_path: Path
) -> None:
    wide = np.pad(ring, ((0, 0), (0, 0), (16, 16), (0, 0)))
    write_pictures(ring, tmp_path / "square/duck")
    write_pictures(wide, tmp_path / "wide/duck")
    square, same = (run(models, tmp_path / name, size=64) for name in ("square", "wide"))
    pd.testing.assert_frame_equal(square[0], same[0], rtol=1e-5, check_exact=False)
    assert "views are 96 x 64 px, the scale's 64 x 64" in notes(same)
    assert "not square: networks see the central 64 x 64 px" in notes(same)
    assert "px" not in notes(square) and "(short side, center crop)" in same[1]["protocol"]["clip"]
    assert {n for n, how in same[1]["protocol"].items() if "(short side, center crop)" not in how} == {
        *OF_SCENES
    }


def test_sixteen_bit_views_get_the_scores_of_eight_bits(
    models: Models, ring: np.ndarray, tmp_path: Path
) -> None:
    write_pictures(ring, tmp_path / "eight/duck")
    (tmp_path / "sixteen/duck").mkdir(parents=True)
    for i, view in enumerate(ring):
        (tmp_path / f"sixteen/duck/rgb_{i}.png").write_bytes(write_png(view.astype(int) * 257, 16, 6))
    eight, sixteen = (run(models, tmp_path / name)[0] for name in ("eight", "sixteen"))
    pd.testing.assert_frame_equal(eight, sixteen)


def test_what_is_in_or_not_in_the_pictures_is_said(models: Models, tmp_path: Path) -> None:
    views = orbit_of("bear", 4)
    write_pictures(views, tmp_path / "mine/duck")
    write_pictures(views, tmp_path / "mine/car", alpha="none")
    write_pictures(np.zeros_like(views), tmp_path / "mine/bear")
    write_pictures(views, tmp_path / "mine/p99")
    write_pictures(views[:1], tmp_path / "sheets")
    (tmp_path / "sheets/rgb_000.png").rename(tmp_path / "mine/duck/sheet_1.png")
    told = run(models, tmp_path / "mine")[1]["notes"]
    assert told["views are opaque: no pathologies, which need alpha"] == ["car/0"]
    assert told["nothing is visible: alpha is 0 everywhere"] == ["bear/0"]
    assert told["sheet_1.png and its kind are not read; alpha is read from alpha_*.png"] == ["duck/0"]
    assert told["4 views, not 120: compare at equal numbers of views"] == ["duck/0", "car/0", "bear/0"]
    assert told["these folders hold views of no prompt or no seed, not scored: p99"] == []
    assert "note: duck/0, car/0, bear/0: 4 views, not 120" in (tmp_path / "mine-out/summary.md").read_text()
    write_pictures(np.concatenate([views[:3], np.full_like(views[:1], 255)]), tmp_path / "odd/duck")
    faint = views // [1, 1, 1, 2]
    soft = np.concatenate([faint[..., :3] * (faint[..., 3:] / 255), faint[..., 3:]], axis=-1)
    write_pictures(soft.astype(np.uint8), tmp_path / "odd/car")
    write_pictures(faint.astype(np.uint8), tmp_path / "odd/bear")
    odd = run(models, tmp_path / "odd")[1]["notes"]
    assert odd["1 of 4 views are opaque, the others not"] == ["duck/0"]
    assert odd["no color exceeds its alpha: premultiplied? Expected are straight colors"] == ["car/0"]
    write_pictures(views ^ np.array([0, 0, 0, 255], np.uint8), tmp_path / "inverted/duck")
    inverted = run(models, tmp_path / "inverted")[1]["notes"]
    assert "the corners of all views are opaque: is alpha inverted, or a background part of it?" in inverted
    write_pictures(np.minimum(views, 1), tmp_path / "ones/duck")
    with pytest.raises(ValueError, match="ones/duck: alpha is 0 or 1 of 255; expected 255 where opaque"):
        run(models, tmp_path / "ones")


def test_prompts_beyond_a_text_models_context_are_scored_and_said(models: Models, tmp_path: Path) -> None:
    long = "a yellow duck that stands on a very small green hill " * 8
    write_pictures(orbit_of("duck", 36), tmp_path / "mine/p01")
    told = run(models, tmp_path / "mine", {"p01": long, "p02": "a car"})
    assert "the prompt fills CLIP's context: what goes beyond it is not read" in notes(told)
    assert "no janus_index: the view words do not fit into CLIP's context" in notes(told)
    assert "toy_reward reads 16 words of the prompt, not all 88" in notes(told)
    assert {"clip", "consistency"} <= metrics(told)
    assert told[0].query("metric == 'janus_index'")["value"].isna().all()
    short = run(models, tmp_path / "mine", {"p01": "a yellow duck"})
    assert "context" not in notes(short) and "toy_reward" not in notes(short)
    assert short[0].query("metric == 'janus_index'")["value"].notna().all()


def test_several_seeds_get_the_interval_of_two_levels(models: Models, tmp_path: Path) -> None:
    names = [f"p{i:02d}" for i in range(1, 7)]
    for name in names:
        for seed, thing in enumerate(("duck", "bear")):
            write_views(orbit_of(thing, 2), tmp_path / "mine" / name / str(seed) / "views.zip")
    told = run(models, tmp_path / "mine", {name: f"a duck and {name}" for name in names})
    assert told[0].groupby("prompt")["seed"].nunique().eq(2).all()
    summary = pd.read_csv(tmp_path / "mine-out/summary.csv").set_index("metric")
    expected = mean_intervals(told[0].assign(method="mine")).set_index("metric")
    ours, theirs = (x.loc["clip", ["mean", "low", "high"]].astype(float) for x in (summary, expected))
    assert np.allclose(ours, theirs, rtol=1e-3)  # scores.csv is rounded
    pooled = told[0].groupby(["prompt", "metric"], as_index=False)["value"].mean()
    single = mean_intervals(pooled.assign(method="mine", seed=0, view=0)).set_index("metric").loc["clip"]
    assert ours["high"] - ours["low"] > single["high"] - single["low"]


def reference(path: Path, names: list[str], columns: int = 64, **record: object) -> Path:
    rng = np.random.default_rng(0)
    arrays = {f"clip/{name}": rng.normal(size=(16, columns)) for name in names}
    np.savez(path, **arrays, **({"record": np.array(json.dumps(record))} if record else {}))
    return path


def test_distances_say_what_they_lack(models: Models, tmp_path: Path) -> None:
    write_pictures(orbit_of("duck", 4), tmp_path / "mine/duck")
    path = reference(tmp_path / "features.npz", ["duck", "car"])
    one = run(models, tmp_path / "mine", reference=path)
    assert "no distances: they need two prompts (5 for an interval), there are 1" in notes(one)
    assert "it does not say of which texts and weights it was made" in notes(one)
    write_pictures(orbit_of("car", 4), tmp_path / "mine/car")
    write_pictures(orbit_of("bear", 4), tmp_path / "mine/bear")
    two = run(models, tmp_path / "mine", reference=path)
    assert "no interval of distances: they need 5 prompts, there are 2" in notes(two)
    assert "distances are without prompts that lack two pictures on a side: bear" in notes(two)
    found = pd.read_csv(tmp_path / "mine-out/summary.csv").set_index("metric").loc["fid_clip"]
    assert found["prompts"] == 2 and found["mean"] > 0 and np.isnan(found["low"])


def test_the_interval_of_a_distance_is_the_tables(models: Models, tmp_path: Path) -> None:
    from scipy.stats import t

    from eval.distances.paired import estimate, jackknife_error

    names = [f"p{i:02d}" for i in range(1, 7)]
    for i, name in enumerate(names):
        write_pictures(orbit_of("duck", 8)[i % 3 :: 2], tmp_path / "mine" / name)
    path = reference(tmp_path / "features.npz", names)
    run(models, tmp_path / "mine", {name: f"a duck and {name}" for name in names}, reference=path)
    mine, theirs = np.load(tmp_path / "mine-out/features.npz"), np.load(path)
    values, left_out = estimate(
        "fid_clip", {"m": [mine[f"clip/{n}/0"] for n in names]}, [theirs[f"clip/{n}"] for n in names]
    )
    found = pd.read_csv(tmp_path / "mine-out/summary.csv").set_index("metric").loc["fid_clip"]
    reach = t.ppf(0.975, 5) * jackknife_error(left_out)[0]
    assert [found["low"], found["high"]] == pytest.approx([values[0] - reach, values[0] + reach], rel=1e-4)


def test_a_reference_of_other_prompts_or_another_scorer_is_refused(models: Models, tmp_path: Path) -> None:
    write_pictures(orbit_of("duck", 4), tmp_path / "mine/duck")
    names, weights = list(TEXTS), models.weights
    kept = {"texts": TEXTS, "weights": weights}
    told = run(models, tmp_path / "mine", reference=reference(tmp_path / "good.npz", names, **kept))
    assert "it does not say" not in notes(told)
    other = {"texts": TEXTS | {"car": "a blue car"}, "weights": weights}
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "record.npz", record=np.array("no JSON"), **{"clip/duck": np.zeros((2, 64))})
    np.savez(tmp_path / "nan.npz", **{f"clip/{name}": np.full((2, 64), np.nan) for name in names})
    np.save(tmp_path / "array.npy", np.zeros(3))
    cases = {
        "its car is 'a blue car', here it is 'a green car with a white roof'": reference(
            tmp_path / "a.npz", names, **other
        ),
        "made by another clip scorer: its weights have SHA-256 abababababab": reference(
            tmp_path / "b.npz", names, texts=TEXTS, weights={"clip": "ab" * 32}
        ),
        "another scorer's: its clip features are of another width": reference(
            tmp_path / "c.npz", names, columns=32
        ),
        r"features of p01, and of none of these prompts \(duck, car, bear\)": reference(
            tmp_path / "d.npz", ["p01"]
        ),
        "no reference features at": tmp_path / "none.npz",
        "record.npz is no features.npz of eval.reference: its record is no JSON": tmp_path / "record.npz",
        "nan.npz: clip/duck is no array": tmp_path / "nan.npz",
        "text.npz is no features.npz": tmp_path / "text.npz",
        "array.npy is no features.npz": tmp_path / "array.npy",
    }
    for words, path in cases.items():
        with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
            write_pictures(orbit_of("car", 4), tmp_path / path.stem / "car")
            write_pictures(orbit_of("duck", 4), tmp_path / path.stem / "duck")
            run(models, tmp_path / path.stem, reference=path)
        assert "\n" not in str(caught.value)


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
