"""Error of high frequencies against the true scene: 0 for the truth, worse with blur and with speckle."""

from __future__ import annotations

import numpy as np
import pytest

from eval.metrics import columns
from eval.scores.ground_truth import detail_error, score_truth
from eval.scores.pathology import detail, laplacian
from toybox import defects
from toybox.scenes import CLASSES, Spec, primitives, two_faced
from toybox.truth import render_orbit

COLORS = ("purple", "red", "yellow", "green", "orange", "pink", "blue", "white")
SPECS = [Spec(cls, color) for cls, color in zip(CLASSES, COLORS, strict=True)]


def look(scene: np.ndarray) -> np.ndarray:
    return render_orbit(scene, 8, 0.0, 64)


def speckled(views: np.ndarray, deviation: float, seed: int = 0) -> np.ndarray:
    """Views whose pixels are off by independent noise of this deviation, the same in all channels."""
    noise = deviation * np.random.default_rng(seed).normal(size=(*views.shape[:3], 1))
    colors = (views[..., :3] + noise).round().clip(0, 255).astype(np.uint8)
    return np.concatenate([colors, views[..., 3:]], -1)


def flat(side: int = 24, level: int = 128) -> np.ndarray:
    """Two opaque gray views."""
    return np.concatenate([np.full((2, side, side, 3), level), np.full((2, side, side, 1), 255)], -1).astype(
        np.uint8
    )


# Closed forms -----------------------------------------------------------------------------------------


def plain_error(view: np.ndarray, truth: np.ndarray) -> float:
    """The formula once more for one view, pixel by pixel."""
    (mine,), _ = (part.numpy() for part in laplacian(view[None]))
    (true,), (core,) = (part.numpy() for part in laplacian(truth[None]))
    places = [tuple(place) for place in np.argwhere(core)]
    least = []
    for x in places:
        weights = {y: np.exp(-((y[0] - x[0]) ** 2 + (y[1] - x[1]) ** 2) / (2 * 2**2)) for y in places}
        weights = {y: g for y, g in weights.items() if max(abs(y[0] - x[0]), abs(y[1] - x[1])) <= 8}
        found = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                there = {y: (y[0] + down, y[1] + right) for y in weights}
                values = {
                    y: mine[at] if 0 <= at[0] < mine.shape[0] and 0 <= at[1] < mine.shape[1] else 0.0
                    for y, at in there.items()
                }
                found.append(sum(g * (values[y] - true[y]) ** 2 for y, g in weights.items()))
        least.append(min(found) / sum(weights.values()))
    return float(np.sqrt(np.mean(least)))


def test_the_detail_error_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    view, truth = rng.integers(0, 256, (2, 1, 14, 16, 4), dtype=np.uint8)
    truth[..., 3] = np.where(rng.random((1, 14, 16)) < 0.8, 255, 0)
    view[..., 3] = np.where(rng.random((1, 14, 16)) < 0.9, 255, 0)
    truth[:, 3:10, 4:12, 3] = view[:, 4:11, 4:13, 3] = 255
    assert detail_error(view, truth)[0] == pytest.approx(plain_error(view[0], truth[0]), rel=1e-9)


def test_independent_noise_of_deviation_s_costs_sqrt_20_s_less_what_the_best_shift_saves() -> None:
    found = detail_error(speckled(flat(96), 10.0), flat(96))
    assert (found < np.sqrt(20) * 10).all() and (found > 0.8 * np.sqrt(20) * 10).all()


def test_a_view_without_any_detail_has_about_the_detail_of_the_truth() -> None:
    for spec in SPECS:
        truth = look(primitives(spec))
        smooth = truth.copy()
        smooth[..., :3] = truth[truth[..., 3] > 0][:, :3].mean(0)
        assert detail_error(smooth, truth).mean() == pytest.approx(detail(truth).mean(), rel=0.1), spec


def test_a_view_of_nothing_lacks_all_detail_and_a_truth_of_nothing_has_no_value() -> None:
    truth = look(primitives(SPECS[0]))
    nothing = np.zeros_like(truth)
    assert detail_error(nothing, truth).mean() == pytest.approx(detail(truth).mean(), rel=0.1)
    assert np.isnan(detail_error(truth, nothing)).all()


# Order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.cls)
def test_the_truth_has_none_and_every_step_of_blur_or_speckle_more(spec: Spec) -> None:
    truth = look(primitives(spec))
    blurred = [detail_error(defects.blur(truth, s), truth).mean() for s in (0.5, 0.8, 1.2, 2.0, 3.2)]
    noisy = [detail_error(speckled(truth, s), truth).mean() for s in (2, 5, 12, 30)]
    assert detail_error(truth, truth).max() == 0
    assert blurred == sorted(set(blurred)) and blurred[0] > 1
    assert noisy == sorted(set(noisy)) and noisy[0] > 1


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.cls)
def test_it_ranks_the_truth_before_blur_and_speckle_which_detail_alone_puts_on_top(spec: Spec) -> None:
    truth = look(primitives(spec))
    blurred = defects.blur(truth, 1.2)
    specks = look(defects.add_specks(primitives(spec), 100, 0.045, np.random.default_rng(0)))
    assert detail(specks).mean() > detail(truth).mean() > detail(blurred).mean()
    assert detail_error(truth, truth).mean() < min(
        detail_error(blurred, truth).mean(), detail_error(specks, truth).mean()
    )


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.cls)
def test_of_a_soft_and_slightly_wrong_asset_blur_and_speckle_are_both_worse(spec: Spec) -> None:
    """As a finished asset is: errors compared pixel by pixel would call the blur an improvement."""
    rng = np.random.default_rng(1)
    rows = primitives(spec)
    off = rows.copy()
    off[:, 1:4] += rng.normal(0, 0.03, (len(rows), 3))
    truth, asset = look(rows), defects.blur(look(off), 0.9)
    specks = defects.blur(look(defects.add_specks(off, 100, 0.045, rng)), 0.9)
    mine = detail_error(asset, truth).mean()
    assert mine < detail_error(defects.blur(asset, 1.4), truth).mean()
    assert mine < detail_error(specks, truth).mean()


def test_detail_a_pixel_off_its_place_is_better_than_none() -> None:
    for spec in SPECS:
        truth = look(primitives(spec))
        moved = detail_error(np.roll(truth, 1, axis=2), truth).mean()
        assert moved < 0.5 * detail_error(defects.blur(truth, 3.2), truth).mean(), spec


# Invariance -------------------------------------------------------------------------------------------


def test_neither_the_background_nor_what_stands_outside_the_silhouette_matters() -> None:
    truth = look(primitives(SPECS[1]))
    view = look(two_faced(primitives(SPECS[1])))
    painted = view.copy()
    painted[view[..., 3] == 0, :3] = np.random.default_rng(0).integers(0, 256, 3)
    apart = painted.copy()
    apart[:, :4, :4] = (255, 0, 0, 255)  # a floater far outside the truth's silhouette
    under = truth.copy()
    under[truth[..., 3] == 0, :3] = 77
    found = detail_error(view, truth)
    assert found.max() > 1
    assert np.array_equal(detail_error(painted, truth), found)
    assert np.array_equal(detail_error(apart, truth), found)
    assert np.array_equal(detail_error(view, under), found)


def test_every_view_is_compared_with_its_own() -> None:
    truth = look(primitives(SPECS[3]))
    found = detail_error(truth[::-1], truth)
    assert np.array_equal(found[::-1], detail_error(truth, truth[::-1])) and found[0] > 0
    assert detail_error(truth[2:3], truth[2:3]).tolist() == [0]


# Tables -----------------------------------------------------------------------------------------------


def test_assets_of_known_scenes_are_scored_with_it() -> None:
    truth = look(primitives(SPECS[0]))
    scores = score_truth(defects.blur(truth, 1.2), truth, truth)
    assert len(scores["detail_error"]) == 8 and scores["detail_error"].min() > 1


def test_less_detail_error_is_better_and_detail_alone_is_no_contest() -> None:
    known = columns()
    assert known["detail_error"]["better"] == "down" and not known["detail_error"].get("primary")
    assert "better" not in known["detail"] and "consistency" in known["detail"]["note"]
