"""Where an optimization starts, and from which cameras it looks: shapes, clouds, meshes, Point-E, presets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from dry_runs import snakemake
from hypothesis import given, settings
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement
from safetensors.torch import save_file
from scipy import stats
from torch import Tensor

from eval.prompt_table import read_prompts
from segmentdreamer.config import ConfigError, load_config
from segmentdreamer.randomness import generator
from segmentdreamer.scene.cameras import PRESETS, CameraConfig, orbit, relaxed, training_cameras
from segmentdreamer.scene.gaussians import SH_C0, activate, load_ply
from segmentdreamer.scene.render import render_views
from segmentdreamer.start import point_e
from segmentdreamer.start import shapes as start
from segmentdreamer.start.__main__ import main
from segmentdreamer.start.clouds import Cloud, neighbor_scales, read_cloud, read_comments, thin, write_cloud
from segmentdreamer.start.meshes import sample_mesh
from segmentdreamer.start.point_e import PointEError
from segmentdreamer.start.shapes import StartConfig, start_state

ROOT = Path(__file__).parents[3]
OFFICIAL = load_config("paper").start


def random_cloud(count: int, seed: int = 0, colored: bool = True) -> Cloud:
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 3, generator=g) - 0.5
    return Cloud(points, torch.rand(count, 3, generator=g) if colored else None)


def state(config: StartConfig, seed: int = 1) -> dict[str, Tensor]:
    return {
        name: value.detach() for name, value in start_state(start.located(config, "p01", seed), seed).items()
    }


# Shapes


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
    config = StartConfig(kind=kind, count=50)  # type: ignore[arg-type]
    assert all(torch.equal(value, state(config)[name]) for name, value in state(config).items())
    assert not torch.equal(state(config)["means"], state(config, seed=2)["means"])


@pytest.mark.parametrize("kind", ["ball", "sphere", "box"])
def test_official_gaussians_are_gray_faint_round_and_unrotated(kind: str) -> None:
    raw = state(replace(OFFICIAL, kind=kind, count=500))  # type: ignore[arg-type]
    splats = activate(raw)
    assert torch.allclose(splats.colors, torch.full((500, 3), 0.498), atol=1e-6)
    assert torch.allclose(splats.opacities, torch.full((500,), 0.1))
    assert torch.equal(splats.quats, torch.tensor([[1.0, 0, 0, 0]]).expand(500, 4))
    assert torch.equal(raw["scales"], raw["scales"][:, :1].expand(500, 3))
    assert torch.allclose(splats.scales[:, 0], neighbor_scales(splats.means))


# Sizes


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


# Cloud files


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 60), colored=st.booleans())
def test_a_cloud_survives_its_file(tmp_path_factory, seed: int, count: int, colored: bool) -> None:
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


# Point-E


def official_start(tmp_path: Path, seed: int = 1) -> tuple[Cloud, dict[str, Tensor]]:
    cloud = random_cloud(4096)
    write_cloud(cloud, tmp_path / "p01.ply")
    return cloud, state(replace(OFFICIAL, file=f"{tmp_path}/{{prompt_id}}.ply"), seed)


def test_the_paper_starts_from_twenty_copies_of_point_es_points(tmp_path: Path) -> None:
    cloud, raw = official_start(tmp_path)
    assert len(raw["means"]) == 81_920
    placed = cloud.points * torch.tensor([1.0, -1, 1]) + torch.tensor([0, 0, 0.15])
    offsets = raw["means"].view(4096, 20, 3) - placed[:, None]
    assert torch.allclose(offsets, offsets[:1], atol=1e-6)  # shared by all points
    assert float(offsets.norm(dim=-1).max()) <= 0.05 + 1e-6
    assert len(offsets[0].unique(dim=0)) == 20
    splats = activate(raw)
    assert torch.allclose(splats.colors, torch.tensor(0.498)) and torch.allclose(
        splats.opacities, torch.tensor(0.1)
    )
    some = torch.arange(0, 81_920, 8192)
    distances = torch.cdist(raw["means"][some].double(), raw["means"].double()).sort(dim=1).values[:, 1:4]
    torch.testing.assert_close(
        splats.scales[some, 0], distances.square().mean(1).sqrt().float(), rtol=1e-4, atol=0
    )


def test_each_run_draws_its_own_offsets(tmp_path: Path) -> None:
    means = [official_start(tmp_path, seed)[1]["means"] for seed in (1, 1, 2)]
    assert torch.equal(means[0], means[1]) and not torch.equal(means[0], means[2])


def test_a_larger_cloud_gives_no_more_gaussians(tmp_path: Path) -> None:
    write_cloud(random_cloud(12_000), tmp_path / "a.ply")
    assert len(state(replace(OFFICIAL, file=f"{tmp_path}/a.ply", count=2000))["means"]) == 2000


def write_weights(folder: Path) -> Path:
    folder.mkdir()
    for name in ("base_40m_textvec.pt", "upsample_40m.pt"):
        torch.save({"a": torch.arange(3.0)}, folder / name)
    (folder / "ViT-L-14.pt").write_bytes(b"not CLIP")
    return folder


def test_a_cloud_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    weights, out = write_weights(tmp_path / "weights"), tmp_path / "p01.ply"
    request = point_e.describe("a cat.", 0, point_e.find_weights(weights))
    write_cloud(random_cloud(4096), out, [request])
    before = out.read_bytes()
    assert not point_e.make_cloud("a cat.", 0, weights, out, "cpu") and out.read_bytes() == before
    torch.save({"a": torch.zeros(3)}, weights / "upsample_40m.pt")
    assert point_e.describe("a cat.", 0, point_e.find_weights(weights)) != request
    assert point_e.describe("a dog.", 0, point_e.find_weights(weights)) != request


def test_every_seed_of_a_prompt_has_a_cloud_of_its_own(tmp_path: Path) -> None:
    files = point_e.find_weights(write_weights(tmp_path / "weights"))
    assert point_e.describe("a cat.", 0, files) != point_e.describe("a cat.", 1, files)
    paper = ("--configfile", "workflow/config/paper.yaml", "--config", f"results={tmp_path}/r", "seeds=2")
    ran = snakemake(
        "-n", "-p", *paper, "--", *(f"{tmp_path}/r/assets/sctd/p02/{seed}/asset.ply" for seed in (0, 1))
    )
    assert ran.returncode == 0, ran.stderr
    plan = ran.stdout + ran.stderr
    for seed in (0, 1):
        cloud = f"{tmp_path}/r/starts/p02-{seed}.ply"
        assert re.search(rf"segmentdreamer.start.point_e .*--seed {seed} .*--out {cloud}", plan)
        assert re.search(
            rf"input: .*{cloud}.*\n    output: {tmp_path}/r/assets/sctd/p02/{seed}/asset.ply", plan
        )


def test_a_start_file_is_named_by_prompt_and_seed(tmp_path: Path) -> None:
    config = StartConfig(kind="points", file=f"{tmp_path}/{{prompt_id}}-{{seed}}.ply")
    for seed in (0, 1):
        write_cloud(random_cloud(30 + seed), tmp_path / f"p01-{seed}.ply")
    found = [len(start_state(start.located(config, "p01", seed), 0)["means"]) for seed in (0, 1)]
    assert found == [30, 31]


def test_without_the_package_one_line_says_what_to_do(tmp_path: Path, capsys) -> None:
    arguments = ["--prompt", "a cat.", "--out", str(tmp_path / "a.ply")]
    for weights, reason in (
        (tmp_path / "none", "lacks base_40m_textvec.pt, upsample_40m.pt, ViT-L-14.pt"),
        (write_weights(tmp_path / "weights"), "the package point-e is not installed here"),
    ):
        with pytest.raises(SystemExit) as stop:
            point_e.main([*arguments, "--weights", str(weights)])
        message = str(stop.value.code)
        assert message.startswith("error: ") and reason in message and "\n" not in message
        assert "start.kind=sphere" in message and "start.file=" in message
        assert not (tmp_path / "a.ply").exists()


def test_checkpoints_come_from_either_format(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "a.pt")
    save_file(tensors, tmp_path / "a.safetensors")
    (tmp_path / "b.pt").write_bytes(b"junk")
    for name in ("a.pt", "a.safetensors"):
        assert torch.equal(point_e.load_checkpoint(tmp_path / name)["a"], tensors["a"])
    with pytest.raises(PointEError, match=r"b\.pt is not a readable checkpoint"):
        point_e.load_checkpoint(tmp_path / "b.pt")


def test_another_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PointEError, match="ViT-L-14.pt has SHA-256 "):
        point_e.check_clip(write_weights(tmp_path / "weights") / "ViT-L-14.pt")


def test_point_es_output_becomes_points_and_colors(tmp_path: Path) -> None:
    output = torch.rand(6, 4096, generator=torch.Generator().manual_seed(0))
    output[3:] = 300 * output[3:] - 20
    cloud = point_e.to_cloud(output)
    assert torch.equal(cloud.points, output[:3].T) and cloud.colors is not None
    assert torch.allclose(cloud.colors, output[3:].T.clamp(0, 255) / 255, atol=0.5 / 255 + 1e-6)
    write_cloud(cloud, tmp_path / "a.ply")
    assert torch.equal(read_cloud(tmp_path / "a.ply").colors, cloud.colors)
    for bad in (output[:, :100], output.where(output != output[0, 0], torch.nan)):
        with pytest.raises(PointEError, match="instead of"):
            point_e.to_cloud(bad)


def test_point_es_environment_needs_little_of_the_project() -> None:
    """What the module imports must be in workflow/envs/point_e.txt, or be Python's."""
    code = (
        "import sys, segmentdreamer.start.point_e; "
        "print(*sorted(m for m in sys.modules if m.startswith('segmentdreamer.')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert loaded.stdout.split() == [
        f"segmentdreamer.{name}"
        for name in ("randomness", "records", "start", "start.clouds", "start.point_e")
    ]
    pins = (ROOT / "workflow/envs/point_e.txt").read_text()
    for name in ("torch==", "numpy==", "plyfile==", "safetensors", "point-e @ git+"):
        assert f"\n{name}" in pins


def test_clouds_of_ones_own_take_point_es_place_in_the_workflow(tmp_path: Path) -> None:
    write_cloud(random_cloud(4096), tmp_path / "p02.ply")
    asset = f"{tmp_path}/results/assets/sctd/p02/0/asset.ply"
    overrides = f'overrides=["start.file={tmp_path}/{{prompt_id}}.ply"]'
    ran = snakemake(
        "-n", "-p", "--configfile", "workflow/config/paper.yaml",
        "--config", f"results={tmp_path}/results", overrides, "--", asset,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    plan = ran.stdout + ran.stderr
    assert "rule generate:" in plan and "--camera-preset animal" in plan  # p02 is a pig
    assert f"start.file={tmp_path}/{{prompt_id}}.ply" in plan and "rule point_e:" not in plan


# Meshes


def write_mesh(path: Path, extents: tuple[float, float, float] = (1, 2, 4)) -> Path:
    """A box, away from the origin, red where x is low and blue where it is high."""
    mesh = trimesh.creation.box(extents)
    low = mesh.vertices[:, :1] < 0
    mesh.visual.vertex_colors = np.where(low, [[255, 0, 0, 255]], [[0, 0, 255, 255]]).astype(np.uint8)
    mesh.apply_translation([3, 5, 7])
    mesh.export(path)
    return path


def test_a_mesh_is_sampled_by_area_on_its_surface(tmp_path: Path) -> None:
    points = sample_mesh(write_mesh(tmp_path / "box.obj"), 20_000, seed=1, radius=0).points.double().numpy()
    inside = np.abs(points - [3, 5, 7]) / [0.5, 1, 2]  # 1 on the box's sides
    assert np.allclose(inside.max(axis=1), 1, atol=1e-5)
    sides = np.bincount(inside.argmax(axis=1), minlength=3)
    areas = np.array([2 * 4, 1 * 4, 1 * 2])
    assert stats.chisquare(sides, 20_000 * areas / areas.sum()).pvalue > 1e-3


def test_a_mesh_fills_the_unit_ball(tmp_path: Path) -> None:
    mesh = write_mesh(tmp_path / "box.obj")
    config = replace(OFFICIAL, kind="mesh", file=str(mesh), count=20_000)
    for fit, reach in ((None, 1.0), (0.5, 0.5)):
        means = state(replace(config, fit=fit))["means"]
        side = 2 * reach / 21**0.5  # of a box 1 x 2 x 4 whose corners lie at `reach`
        extents = means.amax(0) - means.amin(0)
        assert torch.allclose(extents, side * torch.tensor([1.0, 2, 4]), rtol=0.01)
        assert torch.allclose(means.amax(0) + means.amin(0), torch.zeros(3), atol=0.01)
        assert float(means.norm(dim=1).max()) <= reach + 1e-6


def test_a_mesh_depends_on_its_seed_alone(tmp_path: Path) -> None:
    config = replace(OFFICIAL, kind="mesh", file=str(write_mesh(tmp_path / "box.obj")), count=100)
    assert torch.equal(state(config)["means"], state(config)["means"])
    assert not torch.equal(state(config)["means"], state(config, seed=2)["means"])


def test_a_gltf_stands_upright_and_looks_at_the_first_camera(tmp_path: Path) -> None:
    """glTF: y up, front +z, so that its +x is the object's left; here z up, front +y, left -x."""
    nose = trimesh.creation.box((0.1, 0.1, 0.1))
    scene = trimesh.Scene()
    for place in ([0, 2, 0], [0, -2, 0], [0, 0, 1], [0.5, 0, 0]):  # head, foot, nose, left hand
        scene.add_geometry(nose, transform=trimesh.transformations.translation_matrix(place))
    scene.export(tmp_path / "figure.glb")
    points = sample_mesh(tmp_path / "figure.glb", 4000, seed=1, radius=0).points
    for place in ([0, 0, 2], [0, 0, -2], [0, 1, 0], [-0.5, 0, 0]):
        assert 800 < ((points - torch.tensor(place)).abs().amax(1) < 0.06).sum() < 1200
    untouched = sample_mesh(tmp_path / "figure.glb", 4000, seed=1, radius=0, y_up=False).points
    x, y, z = untouched.T
    assert torch.equal(points, torch.stack([-x, z, y], dim=1))


def test_other_meshes_are_turned_only_if_asked(tmp_path: Path) -> None:
    config = replace(OFFICIAL, kind="mesh", file=str(write_mesh(tmp_path / "a.obj")), count=5000)
    tallest = [
        int((state(replace(config, up=up))["means"].std(dim=0)).argmax())  # type: ignore[arg-type]
        for up in ("auto", "z", "y")
    ]
    assert tallest == [2, 2, 1]  # its z is taken for the front


@pytest.mark.parametrize("suffix", [".obj", ".glb", ".ply"])
def test_a_mesh_lends_its_colors_if_asked(tmp_path: Path, suffix: str) -> None:
    config = replace(OFFICIAL, kind="mesh", file=str(write_mesh(tmp_path / f"a{suffix}")), count=2000, up="z")
    assert torch.allclose(activate(state(config)).colors, torch.tensor(0.498))
    splats = activate(state(replace(config, use_colors=True)))
    low = splats.means[:, 0] < -0.2182  # the side of low x, and none of the others
    assert low.sum() > 500
    assert torch.allclose(splats.colors[low], torch.tensor([1.0, 0, 0]), atol=0.01)


# What is wrong with a start file


def spoil(folder: Path) -> None:
    """Files that no start can be read from."""
    (folder / "empty.ply").touch()
    (folder / "empty.obj").touch()
    (folder / "junk.ply").write_text("hello\nworld\n")
    (folder / "junk.npz").write_text("hello\nworld\n")
    (folder / "junk.glb").write_text("hello\nworld\n")
    (folder / "cloud.xyz").write_text("0 0 0\n")
    (folder / "dots.obj").write_text("v 0 0 0\nv 1 0 0\n")
    write_cloud(Cloud(torch.zeros(0, 3)), folder / "none.ply")
    write_cloud(Cloud(torch.full((9, 3), torch.nan)), folder / "nan.ply")
    write_cloud(Cloud(torch.rand(2, 3)), folder / "two.ply")
    write_cloud(Cloud(torch.ones(9, 3)), folder / "same.ply")


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ('kind=points file=""', "start.kind=points needs start.file"),
        ("kind=mesh file=lost.obj", "no file at lost.obj (start.file)"),
        ("kind=points file=./{prompt_id}.ply", "no file at p01.ply (start.file)"),
        ("kind=points file={prompt_id}.ply", "start.file={prompt_id}.ply' is not YAML after"),
        ("kind=points file=empty.ply", "empty.ply is not a readable point cloud: "),
        ("kind=points file=junk.ply", "junk.ply is not a readable point cloud: "),
        ("kind=points file=junk.npz", "junk.npz is not a readable point cloud: "),
        ("kind=points file=cloud.xyz", "cloud.xyz is no point cloud: expected one of .ply, .npz"),
        ("kind=points file=none.ply", "none.ply holds no points"),
        ("kind=points file=nan.ply", "nan.ply holds points that are not finite"),
        ("kind=points file=two.ply", "two.ply: 2 points: at least 4 are needed"),
        ("kind=points file=two.ply use_colors=true", "two.ply: there are no colors to take"),
        ("kind=points file=same.ply fit=1.0", "same.ply: all points coincide"),
        ("kind=mesh file=cloud.xyz", "cloud.xyz is no mesh: expected one of .glb, "),
        ("kind=mesh file=empty.obj", "empty.obj has no surface"),
        ("kind=mesh file=dots.obj", "dots.obj has no surface"),
        ("kind=mesh file=junk.glb", "junk.glb is not a readable mesh: "),
        ("kind=point-e", "make a cloud with `python -m segmentdreamer.start.point_e`"),
        ("kind=cube", "start.kind: expected one of ball, sphere, box, points, mesh, point-e, got 'cube'"),
    ],
)
def test_a_bad_start_is_one_clear_line(choice: str, reason: str, tmp_path: Path, monkeypatch) -> None:
    spoil(tmp_path)
    monkeypatch.chdir(tmp_path)
    overrides = [word for item in choice.split() for word in ("--set", f"start.{item}")]
    with pytest.raises(SystemExit) as stop:
        main(["--scale", "paper", "--prompt-id", "p01", "--out", "out.ply", *overrides])
    message = str(stop.value.code)
    assert message.startswith("error: ") and reason in message and "\n" not in message
    assert not Path("out.ply").exists()


# The command


def test_the_start_command_writes_the_state_that_a_run_starts_from(tmp_path: Path) -> None:
    mesh = write_mesh(tmp_path / "head.glb")
    settings = ["--set", "start.kind=mesh", "--set", f"start.file={mesh}"]
    main(["--prompt-id", "p01", "--seed", "3", "--out", str(tmp_path / "a.ply"), *settings])
    config = load_config("mini", settings[1::2])
    expected = start_state(config.start, start.start_seed("p01", 3))
    for name, value in load_ply(tmp_path / "a.ply").items():
        assert torch.equal(value, expected[name])


def test_the_sphere_control_is_opaque_gray_and_round(tmp_path: Path) -> None:
    main(["--shape", "sphere", "--out", str(tmp_path / "a.ply")])
    cameras = orbit(views=5, elevation=20, size=64)
    rgba = render_views(activate(load_ply(tmp_path / "a.ply")), cameras)
    row, column = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    off = ((row - 32) ** 2 + (column - 32) ** 2).sqrt()
    silhouette = float(cameras.Ks[0, 0, 0]) * 0.5 / (3.5**2 - 0.5**2) ** 0.5  # pixels; tangent rays
    inside, outside = off < silhouette - 1, off > silhouette + 3
    assert rgba[:, inside, 3].min() > 0.98 and rgba[:, outside, 3].max() < 0.02
    gray = rgba[:, inside, :3] / rgba[:, inside, 3:]
    assert torch.allclose(gray, torch.tensor(0.5), atol=1e-3)


def test_the_starts_of_several_prompts_are_those_of_each(tmp_path: Path) -> None:
    for words in (["p01", "p02"], ["p02"]):
        places = [str(tmp_path / f"{name}-of-{len(words)}.ply") for name in words]
        main(["--prompt-id", *words, "--seed", "3", "--out", *places])
    one, other = (tmp_path / f"p02-of-{n}.ply" for n in (1, 2))
    assert one.read_bytes() == other.read_bytes() != (tmp_path / "p01-of-2.ply").read_bytes()


def test_a_start_belongs_to_a_prompt(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["--out", "a.ply"])
    assert "Give --prompt-id" in capsys.readouterr().err


def test_generate_starts_from_a_mesh_and_records_it(tmp_path: Path) -> None:
    from segmentdreamer import generate
    from segmentdreamer.records import file_digest

    mesh = write_mesh(tmp_path / "head.glb")
    chosen = ["train.steps=1", "start.kind=mesh", f"start.file={mesh}", "start.count=300",
              "cameras.preset=prompt", "optimizer.refine_start=1000"]  # fmt: skip
    generate.main([
        "--prompt", "a duck", "--method", "sds", "--out", str(tmp_path), "--quiet", "--device", "cpu",
        "--camera-preset", "head", *(word for item in chosen for word in ("--set", item)),
    ])  # fmt: skip
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["start_sha256"] == file_digest(mesh)
    assert record["config"]["cameras"]["preset"] == "head" and record["config"]["cameras"]["gamma"] == 1.5
    moved = load_ply(tmp_path / "asset.ply")["means"]
    config = load_config("mini", chosen).start
    first = start_state(config, start.start_seed("a-duck", 0))["means"]
    assert 0 < (moved - first).abs().max() < 0.02  # one step from the mesh


# Cameras


def test_the_presets_are_the_official_ones() -> None:
    everywhere = (-180.0, 180.0)
    for name, polar, azimuth, gamma in (
        ("object", (45, 105), everywhere, 1.0),
        ("animal", (60, 90), everywhere, 1.5),
        ("head", (45, 90), (-80, 80), 1.5),
    ):
        config = load_config("paper", camera_preset=name).cameras
        assert (config.preset, config.polar, config.polar_max, config.gamma) == (name, polar, polar, gamma)
        assert (config.azimuth, config.azimuth_max) == (azimuth, everywhere)
        assert (config.radius, config.radius_min, config.radius_max) == ((5.2, 5.5), 3.5, 5.0)


def test_the_default_cameras_are_those_of_objects() -> None:
    assert load_config("paper").cameras == CameraConfig(preset="object")
    assert CameraConfig(**PRESETS["object"]) == CameraConfig()


def test_a_head_is_seen_from_its_front_first() -> None:
    config = load_config("paper", camera_preset="head").cameras
    widths = [relaxed(config, step).azimuth[1] for step in (0, 499, 500, 1000, 5000)]
    assert widths == [80, 80, 120, 180, 180]
    drawn = torch.cat([training_cameras(config, step, 1, 64).azimuth for step in range(100)])
    assert drawn.abs().max() <= 80


def test_animal_cameras_gather_around_the_middle() -> None:
    config = load_config("paper", camera_preset="animal").cameras
    polar = torch.cat([90 - training_cameras(config, step, 1, 64).elevation for step in range(250)])
    offset = ((polar - 75) / 15).abs().double().numpy()
    assert offset.max() <= 1
    assert stats.kstest(offset ** (1 / 1.5), "uniform").pvalue > 1e-3  # mid + half U^1.5


def test_a_preset_gives_way_to_what_is_said_outright() -> None:
    overrides = ["cameras.polar=[50.0, 70.0]", "cameras.gamma=2.0"]
    config = load_config("paper", overrides, camera_preset="animal").cameras
    assert (config.polar, config.polar_max, config.gamma) == ((50, 70), (60, 90), 2.0)
    assert load_config("paper", ["cameras.preset=head"], camera_preset="animal").cameras.preset == "head"


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_the_mini_scale_looks_from_where_it_always_did(preset: str | None) -> None:
    config = load_config("mini", camera_preset=preset).cameras
    assert config == CameraConfig(
        radius=(3.8, 4.4), radius_min=3.8, radius_max=4.4, polar=(55, 100), polar_max=(55, 100),
        fov=(0.47, 0.53), fov_min=0.47, fov_max=0.53, relax_every=0, jitter_target=0.03,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "preset"),
    [([], "building"), (["cameras.preset=building"], None), (["cameras.preset=[head]"], None)],
)
def test_an_unknown_preset_is_refused(overrides: list[str], preset: str | None) -> None:
    with pytest.raises(ConfigError, match=r"building|cameras\.preset"):
        load_config("paper", overrides, camera_preset=preset)


# The published table


def read_table(heading: str) -> list[list[str]]:
    """The rows of the Markdown table in prompts/README.md whose first column is `heading`."""
    lines = (ROOT / "prompts/README.md").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    last = next(i for i in range(first, len(lines) + 1) if i == len(lines) or not lines[i].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[first + 2 : last]]


def test_the_forty_prompts_are_published_as_they_are() -> None:
    table = read_prompts(ROOT / "prompts/dreamfusion40.tsv")
    columns = ["id", "prompt", "init_prompt", "camera", "symmetric"]
    assert read_table("id") == table[columns].to_numpy().tolist()
    assert set(table["camera"]) <= set(PRESETS)
    assert table["init_prompt"].str.fullmatch(r"[a-z -]+\.").all()


def test_the_presets_are_published_as_they_are() -> None:
    published = {row[0].strip("`"): row[1:] for row in read_table("camera")}
    assert published.keys() == PRESETS.keys()
    for name, (polar, azimuth, gamma) in published.items():
        low, high = PRESETS[name]["polar"]
        assert polar == f"{low:g} to {high:g}" and float(gamma) == PRESETS[name]["gamma"]
        assert azimuth.startswith("{:g} to {:g}".format(*PRESETS[name]["azimuth"]))
        assert azimuth.endswith("{:g} to {:g}".format(*PRESETS[name]["azimuth_max"]))


def test_gray_is_the_value_that_eight_bits_leave_of_the_official_noise() -> None:
    assert OFFICIAL.gray == pytest.approx(127 / 255, abs=1e-4)
    assert (OFFICIAL.gray - 0.5) / SH_C0 == pytest.approx(-0.007, abs=2e-4)
