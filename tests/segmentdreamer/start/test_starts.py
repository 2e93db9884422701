"""Where an optimization starts, and from which cameras it looks: shapes, clouds, meshes, Point-E, presets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement
from scipy import stats
from starts import OFFICIAL, random_cloud, state

from segmentdreamer.config import load_config
from segmentdreamer.randomness import generator
from segmentdreamer.scene.gaussians import activate
from segmentdreamer.start.clouds import Cloud, neighbor_scales, read_cloud, read_comments, thin, write_cloud
from segmentdreamer.start.shapes import StartConfig


def test_the_mini_scale_starts_from_the_same_bytes_as_ever() -> None:
    g = generator(7, "start")
    direction = torch.nn.functional.normalize(torch.randn(1000, 3, generator=g), dim=-1)
    expected = direction * (0.5 * torch.rand(1000, 1, generator=g) ** (1 / 3))
    given_now = state(load_config("mini").start, 7)
    assert torch.equal(given_now["means"], expected)
    assert torch.equal(given_now["scales"], torch.full((1000, 3), 0.05).log())
    assert torch.equal(given_now["opacities"], torch.logit(torch.full((1000,), 0.2)))
    assert torch.equal(given_now["sh0"], torch.zeros(1000, 3))


def test_the_official_sphere_is_uniform_in_distance_and_in_both_angles() -> None:
    x, y, z = state(replace(OFFICIAL, kind="sphere", count=20_000))["means"].double().numpy().T
    distance = np.sqrt(x * x + y * y + z * z)
    polar, azimuth = np.arccos(z / distance), np.arctan2(x, y) % (2 * np.pi)
    for values, most in ((distance, 0.5), (polar, np.pi), (azimuth, 2 * np.pi)):
        assert stats.kstest(values / most, "uniform").pvalue > 1e-3


def test_the_box_is_uniform_along_each_axis() -> None:
    means = state(replace(OFFICIAL, kind="box", count=20_000))["means"].double().numpy()
    for values in means.T:
        assert stats.kstest(values + 0.5, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("kind", ["ball", "sphere", "box"])
def test_a_shape_depends_on_its_seed_alone(kind: str) -> None:
    config = StartConfig(kind=kind, count=50)
    assert all(torch.equal(value, state(config)[name]) for name, value in state(config).items())
    assert not torch.equal(state(config)["means"], state(config, seed=2)["means"])


@pytest.mark.parametrize("kind", ["ball", "sphere", "box"])
def test_official_gaussians_are_gray_faint_round_and_unrotated(kind: str) -> None:
    raw = state(replace(OFFICIAL, kind=kind, count=500))
    splats = activate(raw)
    assert torch.allclose(splats.colors, torch.full((500, 3), 0.498), atol=1e-6)
    assert torch.allclose(splats.opacities, torch.full((500,), 0.1))
    assert torch.equal(splats.quats, torch.tensor([[1.0, 0, 0, 0]]).expand(500, 4))
    assert torch.equal(raw["scales"], raw["scales"][:, :1].expand(500, 3))
    assert torch.allclose(splats.scales[:, 0], neighbor_scales(splats.means))


def test_a_gaussian_is_as_large_as_its_three_nearest_neighbors_are_far() -> None:
    points = random_cloud(300).points
    distances = torch.cdist(points.double(), points.double()).fill_diagonal_(torch.inf)
    nearest = distances.sort(dim=1).values[:, :3]
    expected = nearest.square().mean(dim=1).sqrt().float()
    torch.testing.assert_close(neighbor_scales(points), expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), factor=st.floats(0.1, 10), shift=st.floats(-3, 3))
def test_sizes_follow_the_scene(seed: int, factor: float, shift: float) -> None:
    points = random_cloud(40, seed).points.double()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    turned = points[order][:, [1, 2, 0]] * factor + shift
    torch.testing.assert_close(neighbor_scales(turned), factor * neighbor_scales(points)[order])


def test_coincident_points_keep_a_finite_size() -> None:
    assert torch.allclose(neighbor_scales(torch.zeros(10, 3)), torch.tensor(1e-7).sqrt())


def test_three_points_are_too_few_for_sizes() -> None:
    with pytest.raises(ValueError, match="3 points: at least 4"):
        neighbor_scales(torch.rand(3, 3))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 60), colored=st.booleans())
def test_a_cloud_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, colored: bool
) -> None:
    path = tmp_path_factory.mktemp("cloud") / "a.ply"
    cloud = random_cloud(count, seed, colored)
    write_cloud(cloud, path, ["made by a test"])
    read = read_cloud(path)
    assert torch.equal(read.points, cloud.points) and read_comments(path) == ["made by a test"]
    assert (read.colors is None) == (cloud.colors is None)
    if read.colors is not None and cloud.colors is not None:
        assert (read.colors - cloud.colors).abs().max() <= 0.5 / 255 + 1e-6


def test_clouds_of_other_programs_are_read(tmp_path: Path) -> None:
    cloud = random_cloud(5)
    assert cloud.colors is not None
    x, y, z = cloud.points.T.double().numpy()
    red, green, blue = cloud.colors.T.numpy()
    dtype = [(name, "f8") for name in "xyz"] + [(name, "f4") for name in ("red", "green", "blue")]
    table = np.array(list(zip(x, y, z, red, green, blue, strict=True)), dtype=dtype)
    PlyData([PlyElement.describe(table, "vertex")], text=True).write(str(tmp_path / "text.ply"))
    np.savez(tmp_path / "official.npz", coords=cloud.points.numpy(), R=red, G=green, B=blue)
    for name in ("text.ply", "official.npz"):
        read = read_cloud(tmp_path / name)
        torch.testing.assert_close(read.points, cloud.points)
        torch.testing.assert_close(read.colors, cloud.colors)


def test_a_cloud_starts_where_its_points_are_and_gray(tmp_path: Path) -> None:
    cloud = random_cloud(200)
    write_cloud(cloud, tmp_path / "p01.ply")
    config = replace(OFFICIAL, kind="points", file=f"{tmp_path}/{{prompt_id}}.ply")
    assert torch.equal(state(config)["means"], cloud.points)
    assert torch.allclose(activate(state(config)).colors, torch.tensor(0.498))
    assert cloud.colors is not None
    colored = activate(state(replace(config, use_colors=True))).colors
    assert torch.allclose(colored, cloud.colors, atol=0.5 / 255 + 1e-5)


def test_a_cloud_can_be_fitted_and_turned(tmp_path: Path) -> None:
    cloud = random_cloud(200)
    write_cloud(Cloud(7 + 40 * cloud.points), tmp_path / "a.ply")
    config = replace(OFFICIAL, kind="points", file=f"{tmp_path}/a.ply", fit=0.6)
    means = state(config)["means"]
    assert float(means.norm(dim=1).max()) == pytest.approx(0.6, abs=1e-5)
    assert torch.allclose(means.amax(0), -means.amin(0), atol=1e-5)
    x, y, z = means.T
    assert torch.allclose(state(replace(config, up="y"))["means"], torch.stack([-x, z, y], dim=1), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 50), kept=st.integers(1, 60))
def test_a_thinned_cloud_is_part_of_the_cloud_in_its_order(count: int, kept: int) -> None:
    cloud = Cloud(torch.arange(count).float()[:, None].expand(count, 3))
    first = thin(cloud, kept, torch.Generator().manual_seed(3)).points[:, 0]
    assert len(first) == min(count, kept) == len(first.unique())
    assert torch.equal(first, first.sort().values) and set(first.tolist()) <= set(range(count))


@pytest.mark.parametrize(
    ("kind", "values", "read"),
    [
        ("u2", [0, 65535, 32768], [0, 1, 0.5]),
        ("f4", [0, 1, 0.5], [0, 1, 0.5]),
        ("i4", [0, 255, 51], [0, 1, 0.2]),
    ],
)
def test_colors_of_a_cloud_are_read_in_any_kind_of_number(
    kind: str, values: list[float], read: list[float], tmp_path: Path
) -> None:
    cloud = read_cloud(write_colors(tmp_path / "a.ply", kind, values))
    assert cloud.colors is not None
    torch.testing.assert_close(cloud.colors[:, 0], torch.tensor(read, dtype=torch.float32), atol=1e-4, rtol=0)


@pytest.mark.parametrize("wrong", [np.nan, 255.0, -1.0])
def test_colors_that_are_none_are_refused(wrong: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its colors are not all 0 to 255, or as floats 0 to 1"):
        read_cloud(write_colors(tmp_path / "a.ply", "f4", [0, 1, wrong]))


def write_colors(path: Path, kind: str, values: list[float]) -> Path:
    """Three points whose red, green and blue are these numbers."""
    table = np.zeros(3, [*((axis, "f4") for axis in "xyz"), *((c, kind) for c in ("red", "green", "blue"))])
    for channel in ("red", "green", "blue"):
        table[channel] = values
    PlyData([PlyElement.describe(table, "vertex")]).write(str(path))
    return path
