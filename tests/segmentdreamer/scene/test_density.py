"""Density control: the official statistic whatever the batch, a limit, a threshold that no scale moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scenes_of_gaussians import random_scene, trainable, views
from torch import Tensor

from segmentdreamer.config import load_config
from segmentdreamer.methods import trunk_settings
from segmentdreamer.rasterizer import rasterization
from segmentdreamer.scene.density import DensityControl, build_strategy, limit
from segmentdreamer.scene.optimizer import OptimizerConfig

COUNT, SIDE = 40, 48
EVERY_STEP = OptimizerConfig(refine_start=0, refine_every=1, grow_grad=0.0, grow_scale=0.1, prune_opacity=0.0)


def render(params: dict[str, Any], cameras: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    image, _, info = rasterization(
        params["means"],
        params["quats"],
        params["scales"].exp(),
        params["opacities"].sigmoid(),
        params["colors"],
        **cameras,
    )
    return image, info


def one_step(config: OptimizerConfig, batch: int, step: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and parameters after a step whose loss is a sum over the batch's views."""
    params, optimizers = trainable(random_scene(COUNT, spread=0.3))
    strategy = build_strategy(config)
    state = strategy.initialize_state(scene_scale=1.0)
    image, info = render(params, views(batch, SIDE, SIDE))
    strategy.step_pre_backward(params, optimizers, state, step, info)
    image.square().sum().backward()
    strategy.step_post_backward(params, optimizers, state, step, info, packed=False)
    return state, params


def official(batch: int) -> tuple[Tensor, Tensor]:
    """The official statistic, a view at a time: sums of |d loss / d (NDC position)|, and how many views."""
    total, count = torch.zeros(COUNT), torch.zeros(COUNT)
    cameras = views(batch, SIDE, SIDE)
    for view in range(batch):
        params, _ = trainable(random_scene(COUNT, spread=0.3))
        own = cameras | {name: cameras[name][view : view + 1] for name in ("viewmats", "Ks")}
        image, info = render(params, own)
        info["means2d"].retain_grad()
        image.square().sum().backward()
        ndc = info["means2d"].grad[0] * SIDE / 2  # a pixel is 2 / SIDE of NDC
        seen = (info["radii"][0] > 0).all(-1)
        total += torch.where(seen, ndc.norm(dim=-1), 0)
        count += seen
    return total, count


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_the_statistic_is_the_official_one_whatever_the_batch(batch: int) -> None:
    idle = replace(EVERY_STEP, refine_start=10)
    state, _ = one_step(idle, batch)
    total, count = official(batch)
    assert torch.equal(state["count"], count)
    torch.testing.assert_close(state["grad2d"], total, rtol=1e-4, atol=1e-6)


def test_the_threshold_acts_the_same_in_every_batch() -> None:
    """Half of what one view would grow does not become all of it because three more views were rendered."""
    total, count = official(1)
    middle = float((total / count.clamp(min=1)).median())
    config = replace(EVERY_STEP, grow_grad=middle)
    grown = [len(one_step(config, batch)[1]["means"]) - COUNT for batch in (1, 2, 4)]
    assert grown[0] == COUNT // 2 and max(grown) - min(grown) <= COUNT // 4


@pytest.mark.parametrize("room", [0, 1, 7, COUNT])
def test_growth_ends_at_the_limit_and_the_most_wanting_grow_first(room: int) -> None:
    state, params = one_step(replace(EVERY_STEP, max_gaussians=COUNT + room), 2)
    assert len(params["means"]) == COUNT + room
    assert state["held_back"] == COUNT - room


def test_a_full_scene_is_still_pruned() -> None:
    params, optimizers = trainable(random_scene(COUNT) | {"opacities": torch.full((COUNT,), 0.001)})
    strategy = build_strategy(replace(EVERY_STEP, max_gaussians=COUNT, prune_opacity=0.005))
    state = strategy.initialize_state(scene_scale=1.0)
    image, info = render(params, views(1, SIDE, SIDE))
    strategy.step_pre_backward(params, optimizers, state, 1, info)
    (image.sum() + 0 * params["means"].sum() + 0 * info["means2d"].sum()).backward()
    strategy.step_post_backward(params, optimizers, state, 1, info, packed=False)
    assert len(params["means"]) == 0


@given(
    values=st.lists(st.floats(0, 10, width=32), max_size=30),
    threshold=st.floats(0, 10, width=32),
    room=st.integers(0, 40),
)
def test_no_more_than_fit_exceed_the_limit(values: list[float], threshold: float, room: int) -> None:
    statistic = torch.tensor(values)
    above = int((statistic > limit(statistic, threshold, room)).sum())
    wanting = int((statistic > threshold).sum())
    assert above <= room and (above == wanting or wanting > room)


@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 2**31))
def test_growth_by_quantile_does_not_depend_on_the_size_of_a_losss_gradients(scale: float, seed: int) -> None:
    statistic = torch.rand(200, generator=torch.Generator().manual_seed(seed))
    control = DensityControl(grow_quantile=0.9)
    assert int((scale * statistic > control.threshold(scale * statistic)).sum()) == 20


def test_only_losses_without_a_threshold_of_their_authors_grow_by_quantile() -> None:
    def grows_by(method: str) -> str:
        return load_config("paper", trunk_settings(method)).optimizer.grow_by

    assert {m: grows_by(m) for m in ("sds", "cds", "ism", "gcs", "sctd")} == {
        "sds": "quantile",
        "cds": "quantile",
        "ism": "threshold",
        "gcs": "threshold",
        "sctd": "threshold",
    }
