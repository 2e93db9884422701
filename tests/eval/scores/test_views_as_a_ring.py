"""Janus index, consistency and floaters of a ring of views: their formulas and invariances."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.scores.pathologies.consistency import consistency, premultiply
from eval.scores.pathologies.floaters import floaters
from eval.scores.pathologies.janus import janus_index
from eval.scores.pathology import score_pathologies
from toybox.scenes import Spec, primitives
from toybox.truth import render_orbit

VIEWS = 40

WORDS = np.eye(4)  # front, right side, back, left side of a CLIP whose words have nothing in common


ASSET = {"janus_index", "consistency"}  # one value an asset; the others have one a view


def ring(seed: int, views: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random views with foregrounds and holes, and random embeddings and texts."""
    rng = np.random.default_rng(seed)
    rgba = rng.integers(0, 256, (views, 16, 16, 4), dtype=np.uint8)
    rgba[..., 3] = np.where(rng.random((views, 16, 16)) < 0.3, rgba[..., 3], 0)
    rgba[:, 4:10, 4:10, 3] = 255
    texts = rng.normal(size=(4, 8))
    return rgba, rng.normal(size=(views, 8)), texts / np.linalg.norm(texts, axis=1, keepdims=True)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), start=st.integers(1, 11))
def test_a_ring_may_start_anywhere(seed: int, start: int) -> None:
    views, embeddings, texts = ring(seed)
    here = score_pathologies(views, embeddings, texts)
    there = score_pathologies(np.roll(views, start, 0), np.roll(embeddings, start, 0), texts)
    for metric, values in here.items():
        expected = values if metric in ASSET else np.roll(values, start)
        np.testing.assert_allclose(there[metric], expected, rtol=1e-9, atol=1e-12, err_msg=metric)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_ring_may_turn_either_way(seed: int) -> None:
    views, embeddings, texts = ring(seed)
    left, right = janus_index(embeddings, texts), janus_index(embeddings[::-1], texts)
    assert left == pytest.approx(right) and consistency(views) == pytest.approx(consistency(views[::-1]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_lies_under_no_alpha_does_not_matter(seed: int) -> None:
    views, embeddings, texts = ring(seed)
    painted = views.copy()
    painted[views[..., 3] == 0, :3] = np.random.default_rng(seed + 1).integers(0, 256, 3)
    here, there = (score_pathologies(v, embeddings, texts) for v in (views, painted))
    assert all(np.array_equal(here[metric], there[metric]) for metric in here)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), views=st.integers(8, 20))
def test_shares_stay_between_0_and_1(seed: int, views: int) -> None:
    rgba, embeddings, texts = ring(seed, views)
    scores = score_pathologies(rgba, embeddings, texts)
    for metric in ("janus_index", "consistency", "over_exposure", "saturation", "floaters"):
        assert (scores[metric] >= 0).all() and (scores[metric] <= 1).all(), metric


def seen_as(*places: int) -> np.ndarray:
    """Embeddings of views that each show one word's side and no other's, three views a side."""
    return WORDS[np.repeat(places, 3)]


def test_one_face_has_index_0_faces_all_around_1_and_views_that_say_nothing_a_half() -> None:
    assert janus_index(seen_as(0, 1, 2, 3), WORDS) < 0.01
    assert janus_index(seen_as(0, 1, 0, 3), WORDS) > 0.99
    assert janus_index(seen_as(0, 0, 0, 0), WORDS) > 0.99
    assert janus_index(np.zeros((12, 4)), WORDS) == pytest.approx(0.5)


def test_a_face_on_the_side_counts_too() -> None:
    assert janus_index(seen_as(0, 0, 2, 3), WORDS) > 0.1 > janus_index(seen_as(0, 1, 2, 3), WORDS)


def test_three_view_words_are_enough_and_two_are_not() -> None:
    assert janus_index(seen_as(0, 1, 2, 1)[:, :3], WORDS[:3, :3]) < 0.01
    with pytest.raises(ValueError, match="front, side and back"):
        janus_index(seen_as(0, 1, 2, 1), WORDS[:2])


def plain_index(embeddings: np.ndarray, texts: np.ndarray) -> float:
    """The formula once more, view by view, with the ring's Gaussian written out."""
    n = len(embeddings)
    cosines = np.array([[(e @ t) / np.sqrt(e @ e) for t in texts] for e in embeddings])
    weights = np.exp(100 * (cosines - 0.75 * sum(cosines) / n))
    shares = [w / sum(w) for w in weights]
    odds = [np.log(w[0]) - np.log(sum(w[1:])) for w in weights]
    sigma = 10 * n / 360
    reach = int(4 * sigma + 0.5)
    kernel = {k: np.exp(-0.5 * (k / sigma) ** 2) for k in range(-reach, reach + 1)}
    total = sum(kernel.values())

    def smooth(values: list, v: int) -> np.ndarray:
        return sum(g * values[(v + k) % n] for k, g in kernel.items()) / total

    best = max(range(n), key=lambda v: smooth(odds, v))
    away = [v for v in range(n) if min((v - best) % n, (best - v) % n) * 360 / n >= 90]
    face, back = (sum(smooth(shares, v)[place] for v in away) for place in (0, 2))
    return face / (face + back)


@pytest.mark.parametrize("views", [8, 13, 36, 120])
def test_the_janus_index_is_its_formula(views: int) -> None:
    _, embeddings, texts = ring(views, views)
    embeddings *= np.random.default_rng(0).uniform(0.5, 50, (views, 1))  # lengths do not matter
    assert janus_index(embeddings, texts) == pytest.approx(plain_index(embeddings, texts), rel=1e-9)


def uniform(levels: list[int]) -> np.ndarray:
    """Opaque gray views of these levels."""
    views = np.full((len(levels), 4, 4, 4), 255, np.uint8)
    views[..., :3] = np.array(levels)[:, None, None, None]
    return views


def test_consistency_is_1_where_change_adds_up_and_0_where_views_alternate() -> None:
    assert consistency(uniform([90] * 12)) == 1
    assert consistency(uniform([0, 10, 20, 30, 40, 50, 60, 50, 40, 30, 20, 10])) > 0.9
    assert consistency(uniform([0, 200] * 6)) == 0


def test_consistency_is_its_formula_the_same_over_the_whole_frame_as_over_the_object() -> None:
    levels = np.random.default_rng(0).integers(0, 60, 24)
    once, twice = (np.abs(levels - np.roll(levels, -k)).mean() * 0.75 / 255 for k in (1, 2))
    views = uniform(levels.tolist())
    expected = 1 - 4 * (2 * once - twice)
    framed = np.pad(views, ((0, 0), (5, 7), (3, 9), (0, 0)))
    assert 0.5 < expected < 1
    assert consistency(views) == pytest.approx(expected, abs=1e-6)
    assert consistency(framed) == pytest.approx(expected, abs=1e-6)


def test_views_with_colors_of_their_own_have_no_consistency() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 4), dtype=np.uint8)
    colors[..., 3] = 255
    once, twice = 1 / 3, 1 / 3  # of uniform colors, of three in four channels
    assert 1 - 4 * 0.75 * (2 * once - twice) == 0 and consistency(colors) < 0.01
    noise = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 4), dtype=np.uint8)
    assert consistency(noise) < 0.05


def test_a_body_of_revolution_and_a_plain_sphere_are_wholly_consistent() -> None:
    body = render_orbit(primitives(Spec("snowman", "red"))[:3], VIEWS, 0.0, 64)
    sphere = render_orbit(primitives(Spec("snowman", "white"))[:1], VIEWS, 0.0, 64)  # only its shade changes
    assert consistency(body) > 0.99 and consistency(sphere) > 0.99


def test_consistency_is_the_same_of_large_views_and_of_their_block_means() -> None:
    rng = np.random.default_rng(0)
    small = render_orbit(primitives(Spec("car", "blue")), VIEWS, 0.0, 64)
    large = small.repeat(3, axis=1).repeat(3, axis=2)
    assert consistency(large) == pytest.approx(consistency(small), abs=1e-6)
    ragged = np.pad(large, ((0, 0), (0, 2), (0, 1), (0, 0)))  # what makes no whole block is left out
    assert consistency(ragged) == pytest.approx(consistency(small), abs=1e-6)
    fine = large.astype(int)
    fine[..., :3] += rng.integers(-20, 21, (*large.shape[:3], 1))  # grain that blocks average out
    fine = fine.clip(0, 255).astype(np.uint8)
    assert consistency(fine) > consistency(fine[:, ::3, ::3]) + 0.02


def test_floaters_are_the_share_of_alpha_apart() -> None:
    views = np.zeros((4, 24, 24, 4), np.uint8)
    views[:, 2:12, 2:12, 3] = 255
    views[1:, 16:20, 16:21, 3] = 255  # 20 pixels beside 100
    views[2, 16:20, 16:21, 3] = 20  # too faint to see
    views[3, 12:16, 12:16, 3] = 255  # a corner joins the two
    assert floaters(views).tolist() == pytest.approx([0, 20 / 120, 0, 0])


def test_without_anything_to_see_every_metric_is_nan_and_silent() -> None:
    _, embeddings, texts = ring(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_pathologies(np.zeros((12, 16, 16, 4), np.uint8), embeddings, texts)
    assert len(scores) == 7 and all(np.isnan(values).all() for values in scores.values())


def test_an_empty_view_is_nan_alone() -> None:
    views, embeddings, texts = ring(0)
    views[3, ..., 3] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_pathologies(views, embeddings, texts)
    for metric, values in scores.items():
        assert len(values) == (1 if metric in ASSET else 12)
        assert np.flatnonzero(np.isnan(values)).tolist() == ([] if metric in ASSET else [3]), metric


def test_a_symmetric_object_has_no_janus_index_but_all_else() -> None:
    scores = score_pathologies(*ring(0), symmetric=True)
    assert [metric for metric, values in scores.items() if np.isnan(values).any()] == ["janus_index"]


def test_views_and_embeddings_must_match() -> None:
    views, embeddings, texts = ring(0)
    with pytest.raises(ValueError, match="11 embeddings"):
        score_pathologies(views, embeddings[1:], texts)
    with pytest.raises(ValueError, match="do not match"):
        score_pathologies(views, embeddings, texts[:, :5])


@pytest.mark.parametrize(("side", "block"), [(127, 1), (128, 2), (192, 3)])
def test_large_views_are_averaged_over_blocks_of_colors_times_alpha(side: int, block: int) -> None:
    view = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (side, side, 4), dtype=np.uint8))
    found, layer = premultiply(view), view.double() / 255
    layer[..., :3] *= layer[..., 3:]
    assert found.shape == (side // block, side // block, 4)
    expected = layer[block : 2 * block, 3 * block : 4 * block].mean((0, 1))
    torch.testing.assert_close(found[1, 3].double(), expected, atol=1e-6, rtol=1e-5)
