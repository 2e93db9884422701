"""Gaussians of others: colors beyond degree 0 as meant, other axes and sizes, a run that goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData
from scipy.special import sph_harm_y
from torch import Tensor

from eval.views.render import render
from segmentdreamer.scene.cameras import orbit
from segmentdreamer.scene.gaussians import harmonics, load_ply, parameters, save_ply, view_colors
from segmentdreamer.scene.render import render_asset
from segmentdreamer.scene.turning import moved, upright
from segmentdreamer.start.shapes import StartConfig, start_state

VIEW = {"count": 4, "elevation": 0.0, "radius": 3.5, "fov": 0.55, "size": 33}


def real_harmonic(degree: int, order: int, directions: np.ndarray) -> np.ndarray:
    """The textbook's, with the phase of Condon and Shortley, from the complex ones."""
    polar, azimuth = np.arccos(directions[:, 2]), np.arctan2(directions[:, 1], directions[:, 0])
    value = sph_harm_y(degree, abs(order), polar, azimuth)
    return value.real if order == 0 else np.sqrt(2) * (value.real if order > 0 else value.imag)


def asset(count: int = 1, degree: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Gaussians with colors up to this degree, well within [0, 1] from everywhere; one lies in the middle."""
    g = torch.Generator().manual_seed(seed)
    means = torch.zeros(1, 3) if count == 1 else 0.3 * torch.randn(count, 3, generator=g)
    sizes = 0.1 + 0.1 * torch.rand(count, 3, generator=g)
    raw = parameters(means, sizes, torch.full((count,), 0.9), torch.full((count, 3), 0.5))
    found = {name: value.detach() for name, value in raw.items()}
    found["quats"] = torch.randn(count, 4, generator=g)
    return found | {"shN": 0.1 * torch.randn(count, (degree + 1) ** 2 - 1, 3, generator=g)}


def test_the_basis_is_the_textbooks_real_harmonics_in_3dgs_order() -> None:
    directions = np.random.default_rng(0).normal(size=(50, 3))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    found = harmonics(torch.from_numpy(directions), 25).numpy()
    for degree in range(5):
        for order in range(-degree, degree + 1):
            expected = real_harmonic(degree, order, unit)
            np.testing.assert_allclose(found[:, degree**2 + degree + order], expected, atol=1e-9)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_gaussian_has_in_every_view_the_color_that_the_formula_gives(
    degree: int, device: str, tmp_path: Path
) -> None:
    params = asset(degree=degree)
    save_ply(params, tmp_path / "asset.ply")
    views, _ = render(tmp_path / "asset.ply", VIEW, device)
    for azimuth, view in zip((0, 90, 180, 270), views, strict=True):
        turn = np.radians(azimuth)
        unit = -np.array([[np.sin(turn), np.cos(turn), 0.0]])  # from the camera to the Gaussian
        rest = [(d, m) for d in range(1, degree + 1) for m in range(-d, d + 1)]
        basis = np.concatenate([real_harmonic(d, m, unit) for d, m in rest])
        color = 0.5 + basis @ params["shN"][0].numpy()
        np.testing.assert_allclose(view[16, 16, :3] / 255, color, atol=1.5 / 255)


def test_a_color_below_zero_is_black() -> None:
    params = asset(degree=1)
    params["shN"] = torch.full((1, 3, 3), 9.0)
    assert float(view_colors(params, orbit(4).viewmats).min()) == 0


def test_coefficients_beyond_degree_0_are_stored_red_before_green_before_blue(tmp_path: Path) -> None:
    params = asset(5, degree=2)
    save_ply(params, tmp_path / "asset.ply")
    vertex = PlyData.read(str(tmp_path / "asset.ply"))["vertex"]
    for color in range(3):
        for k in range(8):
            assert np.array_equal(vertex[f"f_rest_{8 * color + k}"], params["shN"][:, k, color].numpy())
    assert torch.equal(load_ply(tmp_path / "asset.ply")["shN"].detach(), params["shN"])


def test_another_number_of_coefficients_is_refused(tmp_path: Path) -> None:
    params = asset(5, degree=1)
    params["shN"] = params["shN"][:, :2]
    save_ply(params, tmp_path / "asset.ply")
    with pytest.raises(ValueError, match="6 fields f_rest"):
        load_ply(tmp_path / "asset.ply")


@pytest.mark.parametrize("degree", [1, 3])
def test_an_asset_that_is_turned_looks_as_before_from_a_camera_that_turns_along(degree: int) -> None:
    params, cameras = asset(20, degree), orbit(4, size=33)
    before = render_asset(params, cameras)
    after = render_asset(moved(params, upright("z", turn=-90.0)), cameras)  # azimuths grow clockwise
    torch.testing.assert_close(after.roll(-1, dims=0), before, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("up", "top", "front"), [("y", [0, 1, 0], [0, 0, 1]), ("-y", [0, -1, 0], [0, 0, -1])]
)
def test_a_world_of_another_upward_axis_stands_up_and_shows_its_front(
    up: str, top: list[int], front: list[int]
) -> None:
    rotation = upright(up)
    assert np.allclose(rotation @ top, [0, 0, 1]) and np.allclose(rotation @ front, [0, 1, 0])
    assert np.isclose(np.linalg.det(rotation), 1)


def test_a_run_goes_on_from_gaussians_with_their_positions_colors_and_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    params = asset(30)
    params["opacities"][0] = torch.inf
    save_ply(params, path := tmp_path / "asset.ply")
    state = start_state(StartConfig(kind="gaussians", file=str(path), count=10), seed=0)
    kept = load_ply(path)
    assert {*state} == {*kept} - {"shN"} and "degree 0 alone" in capsys.readouterr().err
    assert all(torch.equal(state[name], kept[name]) for name in state if name != "opacities")
    assert torch.isfinite(state["opacities"]).all() and float(state["opacities"][0].detach()) > 9
    assert torch.equal(state["opacities"][1:], kept["opacities"][1:])


def test_gaussians_to_start_from_can_be_turned_and_fitted(tmp_path: Path) -> None:
    params = asset(30)
    save_ply(params, path := tmp_path / "asset.ply")
    state = start_state(StartConfig(kind="gaussians", file=str(path), up="y", fit=1.0), seed=0)
    reach = state["means"].detach().norm(dim=1).max()
    assert float(reach) == pytest.approx(1.0, abs=1e-5)
    grown = (state["scales"] - params["scales"]).detach()
    torch.testing.assert_close(grown, grown[0, 0].expand_as(grown))
