"""Pathology metrics: planted defects are found, laws hold, and nothing to look at is NaN."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from eval.scores.clip import Clip, embed_images, embed_texts, load_clip
from eval.scores.ground_truth import detail_error
from eval.scores.pathologies.consistency import consistency
from eval.scores.pathologies.floaters import floaters, label_on_cpu, label_on_device, shares_apart
from eval.scores.pathologies.janus import janus_index
from eval.scores.pathology import detail, over_exposure, score_pathologies
from eval.views.archive import composite
from toybox import calibrate_pathologies as calibration
from toybox import data, defects, looks
from toybox.render import _distance
from toybox.scenes import CLASSES, Spec, primitives
from toybox.truth import render_orbit

VIEWS = 40

ROOT = Path(__file__).parents[3]


COLORS = ("purple", "red", "yellow", "green", "orange", "pink", "blue", "white")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return load_clip("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))


def look(scene: np.ndarray) -> np.ndarray:
    return render_orbit(scene, VIEWS, 0.0, 64)


def measures(clip: Clip, spec: Spec, plain: np.ndarray) -> dict[str, Callable[[np.ndarray], float]]:
    """Each defect's own metric, more is worse, as a function of views; Janus of every second view."""
    texts = embed_texts(clip, [data.view_caption(spec.caption(), word) for word in data.VIEWS])
    sharp = detail(plain[::4]).mean()
    return {
        "two_faced": lambda v: janus_index(embed_images(clip, composite(v[::2])), texts),
        "flicker": lambda v: 1 - consistency(v),
        "over_exposed": lambda v: over_exposure(v).mean(),
        "blurred": lambda v: detail_error(v[::4], plain[::4]).mean() / sharp,
        "floaters": lambda v: floaters(v).mean(),
        "speckled": lambda v: 1 - consistency(v),
    }


@pytest.fixture(scope="module")
def found(clip: Clip) -> dict[str, dict[str, list[float]]]:
    """Each defect's own metric of healthy objects, and of objects with the clear defect."""
    values: dict[str, dict[str, list[float]]] = {d: {"healthy": [], "sick": []} for d in defects.DEFECTS}
    for i, (cls, color) in enumerate(zip(CLASSES, COLORS, strict=True)):
        spec, rng = Spec(cls, color), np.random.default_rng(i)
        rows, finish = primitives(spec), defects.soften(rng)
        plain, worn = look(rows), finish(look(defects.wear(rows, rng)))
        for defect, measure in measures(clip, spec, plain).items():
            values[defect]["healthy"] += [measure(plain), measure(worn)]
            values[defect]["sick"].append(measure(defects.plant(defect, 1, rows, plain, look, rng)))
    return values


@pytest.mark.parametrize(
    ("defect", "bound"),
    [
        ("two_faced", 0.9),
        ("flicker", 0.95),
        ("over_exposed", 0.95),
        ("blurred", 0.95),
        ("floaters", 0.95),
        ("speckled", 0.95),
    ],
)
def test_a_clear_defect_is_found_by_its_own_metric(found: dict, defect: str, bound: float) -> None:
    sick, healthy = np.array(found[defect]["sick"]), np.array(found[defect]["healthy"]).reshape(-1, 2)
    assert calibration.wins(sick, healthy).mean() > bound


@pytest.mark.parametrize("defect", defects.DEFECTS)
def test_a_stronger_defect_moves_its_metric_further(defect: str, clip: Clip) -> None:
    spec, rng = Spec("robot", "purple"), np.random.default_rng(0)
    rows = primitives(spec)
    plain = look(rows)
    measure = measures(clip, spec, plain)[defect]
    seen = [plain, *(defects.plant(defect, level, rows, plain, look, rng) for level in range(3))]
    values = [measure(views) for views in seen]
    if defect == "two_faced":  # a third face is another defect rather than more of this one
        assert values.pop() > values[1]
    assert values == sorted(set(values))


def test_the_shipped_calibration_meets_its_goal_and_names_its_size() -> None:
    record = json.loads((ROOT / "toybox/models/pathologies.json").read_text())
    assert record["objects"] >= 24 and record["healthy"] == 2 * record["objects"]
    for metric, defect in calibration.OWN.items():
        figures = record["metrics"][metric]
        assert figures["auc"][defect]["clear"] >= 0.95
        low, high = figures["interval"]["clear"]
        assert low <= figures["auc"][defect]["clear"] <= high


def test_planted_floaters_hang_free_of_the_object_and_move_with_it() -> None:
    rows = primitives(Spec("car", "orange"))
    scene = defects.add_floaters(rows, 8, 0.04, np.random.default_rng(0))
    for ball in scene[len(rows) :]:
        assert min(_distance(row, *ball[1:4]) for row in rows) > ball[4]
    views = render_orbit(scene, 90, 0.0, 64)
    assert floaters(views).min() > 0.005 and consistency(views) > 0.9


def test_auc_is_the_rank_sum_statistic_and_ties_count_half() -> None:
    rng = np.random.default_rng(0)
    sick, healthy = rng.integers(2, 9, 12).astype(float), rng.integers(0, 7, (12, 2)).astype(float)
    expected = mannwhitneyu(sick, healthy.ravel()).statistic / (12 * 24)
    assert calibration.wins(sick, healthy).mean() == pytest.approx(expected)


def test_calibration_draws_every_class_and_no_object_twice() -> None:
    specs = looks.draw_specs(24, np.random.default_rng(0))
    assert {spec.cls for spec in specs} == set(CLASSES) and len(set(specs)) == 24
    assert len({spec.color for spec in specs}) >= 6


def test_an_unknown_defect_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'rust'"):
        defects.plant("rust", 0, np.zeros((1, 12)), np.zeros((1, 8, 8, 4)), look, np.random.default_rng(0))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.2, 0.35, 0.5, 1.0]))
@settings(max_examples=20, deadline=None)
def test_pieces_found_on_a_device_are_those_found_on_a_cpu(seed: int, density: float) -> None:
    draw = np.random.default_rng(seed)
    inside = draw.random((3, 21, 34)) < density
    visible = torch.from_numpy(np.where(inside, draw.integers(26, 256, inside.shape), 0).astype(np.uint8))
    shares = [shares_apart(visible, label(visible > 0)) for label in (label_on_cpu, label_on_device)]
    assert torch.equal(*(share.nan_to_num(-1.0) for share in shares))


def test_a_winding_piece_is_one_piece_on_a_device() -> None:
    maze = torch.zeros(1, 63, 63, dtype=torch.bool)
    maze[:, ::2] = True
    maze[:, 1::4, -1] = maze[:, 3::4, 0] = True
    assert len(label_on_device(maze).unique()) == 2  # the piece, and what is not visible


@pytest.mark.cuda
def test_a_device_scores_as_the_cpu_does() -> None:
    from eval.views.archive import composite, composite_on

    draw = np.random.default_rng(0)
    views = draw.integers(0, 256, (40, 130, 140, 4), dtype=np.uint8)
    views[..., 3] = np.where(draw.random(views.shape[:3]) < 0.3, views[..., 3], 0)
    embeddings, words = draw.standard_normal((40, 16)), np.eye(4, 16)
    on = {name: score_pathologies(views, embeddings, words, device=name) for name in ("cpu", "cuda")}
    for metric, values in on["cpu"].items():
        assert np.allclose(on["cuda"][metric], values, rtol=0, atol=1e-6, equal_nan=True), metric
    assert np.array_equal(composite_on("cuda", views), composite(views))


def test_a_pixel_over_white_never_lies_halfway_between_two_levels() -> None:
    """So rounding is the same by any arithmetic: 2 (c a + 255 (255 - a)) is even, 255 (2 k + 1) is odd."""
    from eval.views.archive import composite

    color, alpha = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([color, color, color, alpha], axis=-1).astype(np.uint8)
    exact = (2 * (color * alpha + 255 * (255 - alpha)) + 255) // 510
    assert np.array_equal(composite(rgba)[..., 0], exact)
