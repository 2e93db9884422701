"""Detail, over-exposure and saturation of views, against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from simulated_ablation import textured

from eval.scores.pathology import detail, over_exposure, saturation


def blurred(views: np.ndarray) -> np.ndarray:
    out = views.astype(float)
    for axis in (1, 2):
        out = (np.roll(out, 1, axis) + 2 * out + np.roll(out, -1, axis)) / 4
    return np.concatenate([out[..., :3], views[..., 3:]], -1).round().astype(np.uint8)


def test_blurring_takes_detail_away() -> None:
    views = textured()
    assert (detail(blurred(views)) < 0.5 * detail(views)).all()
    flat = views.copy()
    flat[..., :3] = 90
    assert detail(flat).max() == pytest.approx(0, abs=1e-9)


def test_a_bright_dot_has_the_laplacian_of_the_formula() -> None:
    view = np.zeros((1, 7, 7, 4), np.uint8)
    view[..., 3] = 255
    view[0, 3, 3, :3] = 100  # Laplacian -400 on it, 100 on its four neighbors, over 25 inner pixels
    assert detail(view) == pytest.approx([np.sqrt((400**2 + 4 * 100**2) / 25)])


def test_blown_out_pixels_are_counted() -> None:
    views = textured()
    assert over_exposure(views).max() == 0
    views[0, 4:16, 4:-4, 0] = 255  # half of the square, one channel
    assert over_exposure(views) == pytest.approx([0.5, 0])


def test_saturation_is_that_of_hsv() -> None:
    view = np.zeros((1, 4, 4, 4), np.uint8)
    view[..., 3] = 255
    view[..., :3] = (200, 100, 50)
    assert saturation(view) == pytest.approx([0.75])
    view[..., :3] = 120
    assert saturation(view) == pytest.approx([0])


@pytest.mark.parametrize("metric", [detail, over_exposure, saturation])
def test_the_background_does_not_matter_and_nothing_gives_nan(metric: Any) -> None:
    views = textured()
    painted = views.copy()
    painted[views[..., 3] == 0] = (255, 0, 255, 0)
    assert np.array_equal(metric(views), metric(painted))
    assert np.isnan(metric(np.zeros((1, 8, 8, 4), np.uint8))).all()
