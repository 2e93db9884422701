"""A broken method, a two-faced one and a perfect one land where they must, in every metric that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.distances import paired as distances
from eval.prompt_table import read_prompts
from eval.scores.asset import Models
from eval.scores.clip import embed_images
from eval.scores.scorers import load_models, prepare, score_asset
from eval.views.archive import composite, write_views
from toybox import data
from toybox.render import render
from toybox.scenes import Spec, primitives, two_faced
from toybox.truth import read_specs, render_orbit

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "toybox/models"
VIEWS, REFERENCES = 40, 40
OTHERS = {
    "bear": Spec("bear", "orange"),
    "tree": Spec("tree", "blue"),
    "house": Spec("house", "white", "red"),
}
FROM_TABLE = ("p01", "p04")
METHODS = ("perfect", "two_faced", "noise")


def noise(number: int) -> np.ndarray:
    """Views of nothing: colors and alpha at random, a quarter of the pixels opaque, anew in each view."""
    rng = np.random.default_rng(number)
    views = rng.integers(0, 256, (VIEWS, 64, 64, 4), dtype=np.uint8)
    views[..., 3] = 255 * (rng.random((VIEWS, 64, 64)) < 0.25)
    return views


def seen_from_anywhere(spec: Spec, rng: np.random.Generator) -> np.ndarray:
    """Pictures of the true object from other cameras than the ring's."""
    viewmats, Ks = data.draw_cameras(rng.uniform(-180, 180, REFERENCES), rng)
    return composite(render([primitives(spec)] * REFERENCES, viewmats, Ks, 64))


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("toybox-clip", str(MODELS / "clip/model.safetensors"), MODELS / "reward")


@pytest.fixture(scope="module")
def landed(models: Models, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict]:
    """Means over views (columns method, prompt, metrics), and features by method and of the reference."""
    shipped = ROOT / "prompts/toybox.tsv"
    extra = [{"id": n, "prompt": s.caption(), "symmetric": "no"} for n, s in OTHERS.items()]
    scorers = prepare(models, pd.concat([read_prompts(shipped), pd.DataFrame(extra)]))
    specs = {name: read_specs(shipped)[name] for name in FROM_TABLE} | OTHERS
    rows, features = [], {method: [] for method in (*METHODS, "reference")}
    for number, (name, spec) in enumerate(specs.items()):
        truth = tmp_path_factory.mktemp(name)
        faces = {"perfect": primitives(spec), "two_faced": two_faced(primitives(spec))}
        views = {method: render_orbit(scene, VIEWS, 0.0, 64) for method, scene in faces.items()}
        write_views(views["perfect"], truth / "views.zip")
        write_views(views["two_faced"], truth / "two_faced.zip")
        for method, seen in (views | {"noise": noise(number)}).items():
            scores, spaces = score_asset(scorers, seen, name, truth)
            means = scores.groupby("metric")["value"].mean()
            rows.append({"method": method, "prompt": name, **means})
            features[method].append(spaces["clip"])
        pictures = seen_from_anywhere(spec, np.random.default_rng(number))
        features["reference"].append(embed_images(models.clip, pictures))
    return pd.DataFrame(rows).set_index(["method", "prompt"]), features


Landed = tuple[pd.DataFrame, dict]


def of(landed: Landed, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The metric of every prompt, of the perfect, the two-faced and the broken method."""
    perfect, double, broken = (landed[0].loc[method, metric].to_numpy() for method in METHODS)
    return perfect, double, broken


def test_text_and_image_agree_for_all_but_noise(landed: Landed) -> None:
    perfect, double, broken = of(landed, "clip")
    assert (perfect > broken + 3).all()
    assert (np.abs(perfect - double) < 0.3 * (perfect - broken)).all()  # the raw prompt names no side


def test_own_prompt_ranks_first_for_all_but_noise(landed: Landed) -> None:
    perfect, double, broken = of(landed, "clip_r")
    assert perfect.min() > 0.9 and double.min() > 0.8 and broken.mean() < 0.3


def test_reward_prefers_one_face_to_two_and_two_to_noise(landed: Landed) -> None:
    perfect, double, broken = of(landed, "toy_reward")
    assert perfect.mean() > double.mean() + 0.1 and (double > broken + 0.5).all()


def test_silhouettes(landed: Landed) -> None:
    perfect, double, broken = of(landed, "iou")
    assert (perfect == 1).all() and double.min() > 0.7 and broken.max() < 0.3


def test_colors(landed: Landed) -> None:
    perfect, double, broken = of(landed, "color_error")
    assert (perfect == 0).all() and (double > 0).all() and (double < broken).all() and broken.min() > 0.1


def test_the_known_scene_tells_one_face_from_two(landed: Landed) -> None:
    perfect, double, _ = of(landed, "janus")
    assert (perfect == 0).all() and (double == 1).all()  # the snowman too, of which little else tells


def test_the_janus_index_tells_one_face_from_two_without_the_scene(landed: Landed) -> None:
    perfect, double, broken = of(landed, "janus_index")
    assert perfect.max() < 0.3 < double.min() and double.mean() > perfect.mean() + 0.4
    assert np.isnan(broken).all()  # views of noise show no one thing, so nothing is said of its faces
    withheld = of(landed, "janus_withheld")
    assert [values.tolist() for values in withheld] == [[0.0] * 5, [0.0] * 5, [1.0] * 5]


def test_only_noise_flickers(landed: Landed) -> None:
    perfect, double, broken = of(landed, "consistency")
    assert perfect.min() > 0.8 and double.min() > 0.8 and broken.max() < 0.1


def test_only_noise_falls_to_pieces(landed: Landed) -> None:
    perfect, double, broken = of(landed, "floaters")
    assert perfect.max() < 0.001 and double.max() < 0.1 and broken.min() > 0.8


def test_exposure_saturation_and_detail_of_noise_are_those_of_random_numbers(landed: Landed) -> None:
    perfect, double, broken = of(landed, "over_exposure")
    assert perfect.max() < 0.02 and double.max() < 0.03
    assert broken == pytest.approx(1 - (250 / 256) ** 3, abs=0.005)  # levels 250 to 255 count
    assert of(landed, "saturation")[2] == pytest.approx(2 / 3, abs=0.01)  # 1 - E[min / max] of three uniform
    perfect, double, broken = of(landed, "detail")
    assert (np.abs(double / perfect - 1) < 0.6).all() and (broken > 2 * perfect).all()


def test_only_the_perfect_method_has_the_detail_of_the_truth(landed: Landed) -> None:
    perfect, double, broken = of(landed, "detail_error")
    assert (perfect == 0).all() and (double > 1).all() and (double < broken).all()


@pytest.mark.parametrize("metric", ["fid_clip", "kid_clip_pp", "cmmd", "cmmd_pp"])
def test_distances_rank_the_perfect_method_first_and_noise_far_last(landed: Landed, metric: str) -> None:
    features = landed[1]
    values, left_out = distances.estimate(metric, {m: features[m] for m in METHODS}, features["reference"])
    perfect, double, broken = values
    assert perfect < double < broken and broken - perfect > 5 * (double - perfect)
    assert broken - double > 5 * distances.jackknife_error(left_out[:, [2]] - left_out[:, [1]])[0]
