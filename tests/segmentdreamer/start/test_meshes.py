"""Starts from a mesh: sampled on its surface, scaled, turned, colored; and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy import stats
from starts import OFFICIAL, state

from segmentdreamer.config import load_config
from segmentdreamer.scene.cameras import orbit
from segmentdreamer.scene.gaussians import activate, load_ply
from segmentdreamer.scene.render import render_views
from segmentdreamer.start import shapes as start
from segmentdreamer.start.__main__ import main
from segmentdreamer.start.clouds import Cloud, write_cloud
from segmentdreamer.start.meshes import sample_mesh
from segmentdreamer.start.shapes import start_state


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
    tallest = [int((state(replace(config, up=up))["means"].std(dim=0)).argmax()) for up in ("auto", "z", "y")]
    assert tallest == [2, 2, 1]  # its z is taken for the front


@pytest.mark.parametrize("suffix", [".obj", ".glb", ".ply"])
def test_a_mesh_lends_its_colors_if_asked(tmp_path: Path, suffix: str) -> None:
    config = replace(OFFICIAL, kind="mesh", file=str(write_mesh(tmp_path / f"a{suffix}")), count=2000, up="z")
    assert torch.allclose(activate(state(config)).colors, torch.tensor(0.498))
    splats = activate(state(replace(config, use_colors=True)))
    low = splats.means[:, 0] < -0.2182  # the side of low x, and none of the others
    assert low.sum() > 500
    assert torch.allclose(splats.colors[low], torch.tensor([1.0, 0, 0]), atol=0.01)


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
        ("kind=cube", "start.kind: expected one of ball, sphere, box, points, mesh, point-e, gaussians, got"),
    ],
)
def test_a_bad_start_is_one_clear_line(
    choice: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(tmp_path)
    monkeypatch.chdir(tmp_path)
    overrides = [word for item in choice.split() for word in ("--set", f"start.{item}")]
    with pytest.raises(SystemExit) as stop:
        main(["--scale", "paper", "--prompt-id", "p01", "--out", "out.ply", *overrides])
    message = str(stop.value.code)
    assert message.startswith("error: ") and reason in message and "\n" not in message
    assert not Path("out.ply").exists()


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


def test_a_start_belongs_to_a_prompt(capsys: pytest.CaptureFixture[str]) -> None:
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
