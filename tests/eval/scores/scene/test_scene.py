"""Surface, points and texture against the true scene: 0 for the truth, more for larger planted errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.prompt_table import read_prompts
from eval.scores.scene.points import MOST, NEAR, cloud, compare_clouds
from eval.scores.scene.surface import depth_error, normal_error
from eval.scores.scene.texture import texture_errors
from eval.scores.scorers import Scorers, load_models, prepare, score_asset
from eval.views.archive import read_asset, write_views
from eval.views.surface import Surface
from toybox.scenes import CLASSES, Spec, primitives
from toybox.truth import trace_orbit

ROOT = Path(__file__).parents[4]
VIEWS = 24
MEASURES = {"depth_error", "normal_error", "chamfer", "f_score", "texture_low", "texture_high"}
Look = tuple[np.ndarray, Surface]


def look(rows: np.ndarray) -> Look:
    return trace_orbit(rows, VIEWS, 0.0, 64)


def measure(mine: Look, true: Look) -> dict[str, float]:
    """All measures; 1 - F-score, so that 0 is the truth and more is worse."""
    found = {
        "depth_error": depth_error(mine[1], true[1]),
        "normal_error": normal_error(mine[1], true[1]),
        **compare_clouds(cloud(mine[1]), cloud(true[1])),
        **texture_errors(mine[0], true[0]),
    }
    found["f_score"] = 1 - found["f_score"]
    return {name: float(np.nanmean(values)) for name, values in found.items()}


def scene(cls: str) -> np.ndarray:
    return primitives(Spec(cls, "green"))


def shifted(rows: np.ndarray, by: float) -> Look:
    moved = rows.copy()
    moved[:, 1] += by
    return look(moved)


def scaled(rows: np.ndarray, by: float) -> Look:
    grown = rows.copy()
    grown[:, 1:7] *= 1 - by  # centers and sizes
    return look(grown)


def bumpy(rows: np.ndarray, by: float) -> Look:
    """The truth with noise of depth and of color, of standard deviations `by` and 255 `by`."""
    rgba, surface = look(rows)
    rng = np.random.default_rng(1)
    depth = surface.depth + by * rng.normal(size=surface.depth.shape)
    colors = rgba[..., :3] + 255 * by * rng.normal(size=rgba[..., :3].shape)
    pictures = np.concatenate([colors.round().clip(0, 255).astype(np.uint8), rgba[..., 3:]], -1)
    return pictures, Surface.behind(rgba, depth, surface.viewmats, surface.Ks)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_true_scene_has_no_error_at_all(cls: str) -> None:
    true = look(scene(cls))
    assert measure(true, look(scene(cls))) == dict.fromkeys(MEASURES, 0)


@pytest.mark.parametrize("plant", [shifted, scaled, bumpy])
@pytest.mark.parametrize("cls", ["bear", "house", "tree"])
def test_a_larger_planted_error_is_worse_by_every_measure(
    cls: str, plant: Callable[[np.ndarray, float], Look]
) -> None:
    true = look(scene(cls))
    found = [measure(plant(scene(cls), by), true) for by in (0.0, 0.03, 0.09, 0.18)]
    for name in MEASURES:
        values = [measured[name] for measured in found]
        # A threshold sees nothing of errors below it.
        assert values[0] == 0 and values == sorted(values) and values[3] > values[1], name
        assert values[1] > 0 or name == "f_score", name


def test_depth_and_distance_of_a_shift_are_in_world_units() -> None:
    surface = look(scene("bear"))[1]
    nearer = replace(surface, depth=np.where(surface.seen, surface.depth - 0.1, 0).astype(np.float32))
    assert depth_error(nearer, surface) == pytest.approx(np.full(VIEWS, 0.1), abs=1e-5)
    assert depth_error(nearer, surface) == pytest.approx(depth_error(surface, nearer))
    apart = cloud(surface) + np.float32([0, 0, 10])
    assert compare_clouds(apart, cloud(surface))["chamfer"] == pytest.approx([10], abs=2)
    assert compare_clouds(apart, cloud(surface))["f_score"] == [0]


def test_the_angle_of_a_tilted_plane_is_its_tilt() -> None:
    side, K = 16, np.array([[[160.0, 0, 8], [0, 160, 8], [0, 0, 1]]])
    x = (np.arange(side) + 0.5 - 8) / 160
    flat = Surface(np.full((1, side, side), 4, np.float32), np.eye(4)[None], K)
    tilt = np.tan(np.radians(30))  # z = 4 + tilt x_world, so z = 4 / (1 - tilt x)
    depth = np.broadcast_to(4 / (1 - tilt * x), (1, side, side)).astype(np.float32)
    assert normal_error(Surface(depth, np.eye(4)[None], K), flat) == pytest.approx([30], abs=0.05)


def test_color_moves_the_coarse_band_and_small_spots_the_fine_one() -> None:
    rgba, _ = look(scene("bear"))
    tinted, spotted = rgba.copy(), rgba.copy()
    tinted[..., 0] = np.clip(tinted[..., 0].astype(int) + 40, 0, 255)
    spotted[:, ::5, ::5, :3] = 255
    tint, spots = texture_errors(tinted, rgba), texture_errors(spotted, rgba)
    assert tint["texture_low"].mean() > 5 * tint["texture_high"].mean()
    assert spots["texture_high"].mean() > 0.5 * spots["texture_low"].mean()


def test_what_lies_outside_the_common_silhouette_does_not_count_in_the_texture() -> None:
    rgba, _ = look(scene("bear"))
    half = rgba.copy()
    half[:, :, 32:] = 0
    assert max(values.max() for values in texture_errors(half, rgba).values()) == 0


def test_nothing_to_compare_is_no_value_but_the_worst_f_score() -> None:
    rgba, surface = look(scene("car"))
    empty = np.zeros_like(rgba), replace(surface, depth=np.zeros_like(surface.depth))
    assert np.isnan(depth_error(empty[1], surface)).all() and np.isnan(normal_error(empty[1], surface)).all()
    assert np.isnan(texture_errors(empty[0], rgba)["texture_low"]).all()
    found = compare_clouds(cloud(empty[1]), cloud(surface))
    assert np.isnan(found["chamfer"]).all() and found["f_score"] == [0]


def test_points_are_drawn_the_same_each_time_and_no_more_than_needed() -> None:
    _, surface = trace_orbit(scene("house"), 12, 0.0, 128)
    assert surface.seen.sum() > MOST == len(cloud(surface))
    assert np.array_equal(cloud(surface), cloud(surface)) and 0 < NEAR < 0.1


# In the scores of an asset -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scorers() -> Scorers:
    models = load_models("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))
    return prepare(models, read_prompts(ROOT / "prompts/toybox.tsv"))


def test_views_with_depth_are_scored_and_others_have_all_but_geometry(
    tmp_path: Path, scorers: Scorers
) -> None:
    rgba, surface = look(primitives(Spec("duck", "yellow")))
    write_views(rgba, tmp_path / "views.zip", surface)
    write_views(rgba, tmp_path / "two_faced.zip")
    surface = read_asset(tmp_path / "views.zip").surface
    scores = score_asset(scorers, rgba, "p03", tmp_path, surface=surface)[0]
    means = scores.groupby("metric")["value"].mean()
    assert means[sorted(MEASURES)].tolist() == [0, 0, 1, 0, 0, 0]
    without = set(score_asset(scorers, rgba, "p03", tmp_path)[0]["metric"])
    assert MEASURES - without == {"depth_error", "normal_error", "chamfer", "f_score"}


def test_a_truth_without_depth_gives_no_geometry(tmp_path: Path, scorers: Scorers) -> None:
    rgba, surface = look(primitives(Spec("duck", "yellow")))
    for name in ("views.zip", "two_faced.zip"):
        write_views(rgba, tmp_path / name)
    found = set(score_asset(scorers, rgba, "p03", tmp_path, surface=surface)[0]["metric"])
    assert "iou" in found and "depth_error" not in found
