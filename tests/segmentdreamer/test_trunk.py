"""The trunk: cameras, view prompts, Gaussians, regularizers, configuration."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from segmentdreamer.config import ConfigError, load_config
from segmentdreamer.methods import load_method
from segmentdreamer.prior.view_prompts import view_weights
from segmentdreamer.scene.cameras import CameraConfig, orbit, position, relaxed, training_cameras
from segmentdreamer.scene.gaussians import activate, load_ply, parameters, save_ply
from segmentdreamer.scene.optimizer import (
    OptimizerConfig,
    build_optimizers,
    clip_gradients,
    set_learning_rates,
)
from segmentdreamer.scene.render import (
    RegularizerConfig,
    RenderConfig,
    Rendered,
    draw_backgrounds,
    regularization,
    to_disparity,
    total_variation,
)
from segmentdreamer.start.shapes import StartConfig, start_state


def test_the_first_orbit_camera_stands_before_the_front() -> None:
    cameras = orbit(views=120)
    eye = -cameras.viewmats[0, :3, :3].T @ cameras.viewmats[0, :3, 3]
    assert torch.allclose(eye, torch.tensor([0.0, 3.5, 0.0]), atol=1e-5)
    assert cameras.azimuth[:3].tolist() == [0.0, 3.0, 6.0] and len(cameras.azimuth) == 120


def test_every_orbit_camera_sees_the_origin_in_its_center_and_z_up() -> None:
    cameras = orbit(views=12, elevation=30, size=64)
    center = cameras.viewmats @ torch.tensor([0.0, 0, 0, 1])
    up = cameras.viewmats @ torch.tensor([0.0, 0, 0.1, 1])
    assert torch.allclose(center[:, :2], torch.zeros(12, 2), atol=1e-5)
    assert torch.allclose(center[:, 2], torch.full((12,), 3.5), atol=1e-5)
    assert (up[:, 1] < center[:, 1]).all()


def test_azimuth_ninety_stands_at_plus_x() -> None:
    p = position(torch.tensor([90.0]), torch.tensor([0.0]), torch.tensor([2.0]))
    assert torch.allclose(p, torch.tensor([[2.0, 0.0, 0.0]]), atol=1e-6)


def test_training_cameras_depend_on_seed_and_step_alone_and_share_fov_in_sets() -> None:
    config = CameraConfig()
    a, b = training_cameras(config, 7, 3, 64), training_cameras(config, 7, 3, 64)
    assert torch.equal(a.viewmats, b.viewmats)
    drawn = torch.cat([training_cameras(config, step, 3, 64).fov for step in range(5)])
    assert len(drawn) == 20 and len(drawn[:10].unique()) == len(drawn[10:].unique()) == 1


def test_relaxation_gives_the_published_ranges() -> None:
    config = CameraConfig()
    for step, fov_low, radius in (
        (500, 0.24, (4.94, 5.23)),
        (1000, 0.18, (4.69, 5.0)),
        (1500, 0.16, (4.46, 5.0)),
    ):
        r = relaxed(config, step)
        assert r.fov[0] == pytest.approx(fov_low, abs=0.005)
        assert r.radius == pytest.approx(radius, abs=0.02)
    late = relaxed(config, 4500)
    assert late.fov == (0.16, 0.60) and late.radius == pytest.approx((3.5, 5.0), abs=0.15)


def test_a_set_of_cameras_has_the_ranges_of_the_step_that_opened_it() -> None:
    """Sets of 10 in batches of 4 are opened at steps 0, 2 and 5; ranges halve every 2 steps."""
    config = CameraConfig(fov=(0.4, 0.4), fov_min=0.01, relax_fov=(0.5, 0.5), relax_every=2)
    fov = torch.cat([training_cameras(config, step, 0, 64).fov for step in range(8)])
    expected = [0.4] * 10 + [0.2] * 10 + [0.1] * 10 + [0.05] * 2
    assert torch.allclose(fov, torch.tensor(expected))


def test_view_words_mix_linearly_on_the_circle() -> None:
    w = view_weights(torch.tensor([0.0, 30.0, 135.0, -90.0, -45.0, 360.0]))
    expected = [
        [1, 0, 0, 0],
        [2 / 3, 1 / 3, 0, 0],
        [0, 0.5, 0.5, 0],
        [0, 0, 0, 1],
        [0.5, 0, 0, 0.5],
        [1, 0, 0, 0],
    ]
    assert torch.allclose(w, torch.tensor(expected), atol=1e-5)


def test_hard_view_words_switch_halfway() -> None:
    w = view_weights(torch.tensor([44.0, 46.0, -44.0, -46.0]), "hard")
    assert w.argmax(1).tolist() == [0, 1, 0, 3] and torch.equal(w.sum(1), torch.ones(4))


def test_an_asset_survives_its_ply(tmp_path: Path) -> None:
    params = start_state(StartConfig(count=50), seed=1)
    save_ply(params, tmp_path / "a.ply")
    again = load_ply(tmp_path / "a.ply")
    for name, value in params.items():
        assert torch.allclose(again[name], value, atol=1e-6), name
    save_ply(again, tmp_path / "b.ply")
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()


def test_a_ply_has_the_fields_that_splat_viewers_read(tmp_path: Path) -> None:
    save_ply(start_state(StartConfig(count=3), seed=1), tmp_path / "a.ply")
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header")[0].decode()
    for name in ("x", "nx", "f_dc_2", "opacity", "scale_2", "rot_3"):
        assert f"property float {name}\n" in header
    assert "binary_little_endian" in header


@pytest.mark.parametrize(
    "content", [b"", b"not a ply", b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n"]
)
def test_an_unreadable_ply_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.ply"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.ply"):
        load_ply(path)


def test_activations_invert_the_start_values() -> None:
    means, scales = torch.randn(5, 3), torch.rand(5, 3) + 0.01
    opacities, colors = torch.rand(5) * 0.9 + 0.05, torch.rand(5, 3)
    s = activate(parameters(means, scales, opacities, colors))
    for a, b in ((s.means, means), (s.scales, scales), (s.opacities, opacities), (s.colors, colors)):
        assert torch.allclose(a, b, atol=1e-5)


def test_the_start_ball_is_gray_inside_its_radius_and_equal_for_equal_seeds() -> None:
    a, b, c = start_state(StartConfig(), 1), start_state(StartConfig(), 1), start_state(StartConfig(), 2)
    assert torch.equal(a["means"], b["means"]) and not torch.equal(a["means"], c["means"])
    assert a["means"].norm(dim=1).max() <= 0.5
    assert torch.allclose(activate(a).colors, torch.full((1000, 3), 0.5))


def test_total_variation_of_a_ramp_is_its_squared_slopes() -> None:
    ramp = (0.1 * torch.arange(8.0)[:, None] + 0.2 * torch.arange(8.0)).expand(2, 3, 8, 8)
    assert float(total_variation(ramp)) == pytest.approx(2 * (0.01 + 0.04), rel=1e-5)


def test_the_regularizers_are_the_weighted_variation_and_the_mean_size() -> None:
    ramp = (0.1 * torch.arange(8.0)[:, None] + 0.2 * torch.arange(8.0)).expand(2, 3, 8, 8)
    scales = torch.arange(12.0).reshape(4, 3)
    rendered = Rendered(ramp, torch.ones(2, 1, 8, 8), 2 * ramp[:, :1], scales, {})
    weighted = regularization(rendered, RegularizerConfig(tv=3.0, scale=0.5))
    assert float(weighted) == pytest.approx(0.5 * 5.5 + 3 * (0.1 + 4 * 0.1), rel=1e-5)
    official = regularization(replace(rendered, disparity=None), RegularizerConfig())
    assert float(official) == pytest.approx(5.5 + 0.1, rel=1e-5)


def test_disparity_of_an_empty_frame_is_finite() -> None:
    empty = to_disparity(torch.zeros(2, 4, 4), torch.ones(2, 4, 4), torch.full((2,), 0.5))
    assert torch.isfinite(empty).all() and empty.shape == (2, 1, 4, 4)


def test_disparity_is_one_at_the_nearest_and_zero_at_the_farthest_surface() -> None:
    depth, transmittance = torch.full((1, 2, 2), 4.0), torch.zeros(1, 2, 2)
    depth[0, 0, 0], depth[0, 1, 1], transmittance[0, 1, 1] = 2.0, 0.0, 1.0
    d = to_disparity(depth, transmittance, torch.tensor([0.5]))[0, 0]
    assert d[0, 0] == 1 and d[0, 1] == 0 and d[1, 1] == 0


def test_backgrounds_keep_their_official_shares() -> None:
    colors = draw_backgrounds(30_000, RenderConfig(), torch.Generator().manual_seed(0))
    black = (colors == 0).all(1).float().mean()
    assert float(black) == pytest.approx(0.67, abs=0.01)


def test_gradients_are_clipped_by_tensor_at_a_rising_limit() -> None:
    params = parameters(torch.zeros(4, 3), torch.ones(4, 3), torch.full((4,), 0.5), torch.ones(4, 3))
    for step, limit in ((0, 2.0), (500, 5.0), (5000, 8.0)):
        for value in params.values():
            value.grad = torch.full_like(value, 100.0)
        clip_gradients(params, OptimizerConfig(), step)
        assert all(float(v.grad.norm()) == pytest.approx(limit, rel=1e-3) for v in params.values())


def test_learning_rates_decay_log_linearly_from_first_to_last() -> None:
    params = parameters(torch.zeros(1, 3), torch.ones(1, 3), torch.full((1,), 0.5), torch.ones(1, 3))
    optimizers = build_optimizers(params, OptimizerConfig())
    for step, rate in ((0, 1.6e-4 * 3.5), (2500, math.sqrt(1.6e-4 * 1.6e-6) * 3.5), (5000, 1.6e-6 * 3.5)):
        set_learning_rates(optimizers, OptimizerConfig(), step, 5000)
        assert optimizers["means"].param_groups[0]["lr"] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.stepz=3", "unknown key 'train.stepz'"),
        ("train.steps=many", "train.steps: expected int"),
        ("cameras.fov=[1.0]", "cameras.fov: expected 2 values"),
        ("prompts.mix=cubic", "prompts.mix: expected one of linear, hard"),
        ("steps", "not of the form"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load_config("mini", [override])
    assert "\n" not in str(caught.value)


def test_an_unknown_method_or_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown method 'sdss'"):
        load_method("sdss", {})
    with pytest.raises(ConfigError, match=r"methods\.sds\.omga"):
        load_method("sds", {"omga": 1.0})
