"""The surface behind views: depth to points and normals, into an archive and back, and to GPTEval3D."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eval.views.archive import read_asset, write_views
from eval.views.render import main as render_views
from eval.views.surface import LEVELS, Surface
from segmentdreamer.scene.gaussians import save_ply
from toybox.scenes import Spec, primitives
from toybox.truth import render_orbit, trace_orbit

RADIUS = 0.7


def ball(views: int = 6, elevation: float = 20.0) -> tuple[np.ndarray, Surface]:
    rows = np.array([[0, 0, 0, 0, RADIUS, RADIUS, RADIUS, 2, 1, 0, 0, 0]], dtype=np.float32)
    return trace_orbit(rows, views, elevation, 64)


def inner(surface: Surface) -> np.ndarray:
    """Pixels away from the outline, where supersampling mixes near and far."""
    seen = surface.seen
    return seen & np.all([np.roll(seen, s, a) for a in (1, 2) for s in (-2, 2)], axis=0)


def test_pixels_of_a_ball_lie_on_it_and_its_normals_point_outwards() -> None:
    _, surface = ball()
    inside = inner(surface)
    points, normals = surface.points[inside], surface.normals[inside]
    distance = np.linalg.norm(points, axis=-1)
    assert inside.sum() > 3000 and np.abs(distance - RADIUS).max() < 0.012
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(np.ones(len(normals)), abs=1e-5)
    assert (normals * points).sum(-1).min() > 0.95 * RADIUS


def test_there_is_no_normal_where_there_is_no_surface_and_one_at_every_edge() -> None:
    _, surface = ball()
    known = np.isfinite(surface.normals).all(-1)
    assert np.array_equal(known, surface.seen)
    lonely = np.zeros((1, 5, 5), np.float32)
    lonely[0, 2, 2] = 4
    assert np.isnan(Surface(lonely, surface.viewmats[:1], surface.Ks[:1]).normals).all()


def test_a_surface_at_the_frame_has_no_neighbor_on_the_other_side() -> None:
    whole = Surface(np.full((1, 8, 8), 4, np.float32), np.eye(4)[None], np.diag([8.0, 8, 1])[None])
    assert whole.normals == pytest.approx(np.broadcast_to([0, 0, -1], (1, 8, 8, 3)), abs=1e-6)


def test_an_archive_keeps_depth_to_half_a_level_and_pictures_as_they_are(tmp_path: Path) -> None:
    rgba, surface = ball()
    write_views(rgba, tmp_path / "deep.zip", surface)
    write_views(rgba, tmp_path / "flat.zip")
    deep, flat = (read_asset(tmp_path / name) for name in ("deep.zip", "flat.zip"))
    assert np.array_equal(deep.rgba, rgba) and np.array_equal(flat.rgba, rgba)
    assert flat.surface is None and not deep.unread
    assert deep.surface and np.array_equal(deep.surface.seen, surface.seen)
    assert np.abs(deep.surface.depth - surface.depth).max() <= 0.51 * surface.depth.max() / LEVELS


def test_the_depth_of_a_toys_120_views_takes_less_than_half_a_megabyte() -> None:
    _, surface = trace_orbit(primitives(Spec("house", "red", "blue")), 120, 0.0, 64)
    assert len(surface.pack()) < 500_000


@pytest.mark.parametrize(("content", "said"), [(b"nothing", "cannot be read"), (None, "is of other views")])
def test_a_depth_that_is_not_of_these_views_is_refused_by_name(content: bytes | None, said: str) -> None:
    rgba, surface = ball()
    with pytest.raises(ValueError, match=f"views.zip: depth.npz {said}"):
        Surface.unpack(content or surface.pack(), "views.zip: depth.npz", rgba[:3])


def test_the_pictures_of_a_toy_are_the_same_with_and_without_depth() -> None:
    rows = primitives(Spec("duck", "red"))
    assert np.array_equal(trace_orbit(rows, 3, 0.0, 64)[0], render_orbit(rows, 3, 0.0, 64))


# Gaussians ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An asset: opaque Gaussians on a sphere."""
    g = torch.Generator().manual_seed(0)
    means = RADIUS * torch.nn.functional.normalize(torch.randn(4000, 3, generator=g), dim=1)
    params = {
        "means": means,
        "scales": torch.full((4000, 3), 0.03).log(),
        "quats": torch.tensor([[1.0, 0, 0, 0]]).expand(4000, 4),
        "opacities": torch.full((4000,), 4.0),
        "sh0": torch.zeros(4000, 3),
    }
    path = tmp_path_factory.mktemp("shell") / "asset.ply"
    save_ply(params, path)
    return path


def test_the_depth_of_gaussians_is_that_of_the_surface_they_make(shell: Path, tmp_path: Path) -> None:
    render_views(["--asset", str(shell), "--out", str(tmp_path), "--scale", "mini", "--views", "4"])
    surface = read_asset(tmp_path / "views.zip").surface
    assert surface
    inside = inner(surface)
    distance = np.linalg.norm(surface.points[inside], axis=-1)
    assert inside.sum() > 1000 and np.abs(np.median(distance) - RADIUS) < 0.03


def test_gpteval3d_finds_pictures_and_normals_where_it_looks(shell: Path, tmp_path: Path) -> None:
    method = tmp_path / "methods/mine"
    render_views([
        "--asset", str(shell), str(shell), "--out", str(tmp_path / "a"), str(tmp_path / "b"),
        "--size", "32", "--views", "12", "--gpteval3d", str(method),
    ])  # fmt: skip
    assert sorted(int(folder.name) for folder in method.iterdir()) == [0, 1]
    place = method / "1/0"
    expected = {f"{kind}_{number}.png" for kind in ("rgb", "normal") for number in range(12)}
    assert {path.name for path in place.iterdir()} == expected
    shapes = {np.asarray(Image.open(path)).shape for path in place.iterdir()}
    assert shapes == {(32, 32, 3)}
    front, right = (np.asarray(Image.open(place / f"normal_{n}.png")).astype(int) for n in (0, 3))
    assert front[16, 16].argmax() == 1 and front[0, 0].tolist() == [0, 0, 0]  # +y, and black around it
    assert right[16, 16].argmax() == 0  # +x
