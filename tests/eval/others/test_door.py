"""What another program made, taken in: formats, axes and sizes, and what is refused at the door."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from eval.others import door, program
from eval.views.archive import read_asset, read_views
from eval.views.remarks import Setting, judge
from segmentdreamer.scene.gaussians import activate, load_ply, parameters, save_ply
from segmentdreamer.start.clouds import Cloud, write_cloud

BOX = (0.4, 0.6, 0.8)


def enter(source: Path, out: Path, **options: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    told = door.enter(source, out, **options)
    assert json.loads((out / "provenance.json").read_text()).items() >= told.items()
    return told, {name: value.detach() for name, value in load_ply(out / "asset.ply").items()}


def gaussians(path: Path, **changed: Any) -> Path:
    g = torch.Generator().manual_seed(0)
    raw = parameters(
        0.3 * torch.randn(50, 3, generator=g),
        torch.full((50, 3), 0.05),
        torch.full((50,), 0.9),
        torch.rand(50, 3, generator=g),
    )
    save_ply({name: value.detach() for name, value in raw.items()} | changed, path)
    return path


def test_a_3dgs_ply_keeps_its_harmonics_and_is_turned_and_scaled(tmp_path: Path) -> None:
    source = gaussians(tmp_path / "theirs.ply", shN=torch.full((50, 8, 3), 0.1))
    told, found = enter(source, tmp_path / "out", up="y", scale=1.5)
    given = load_ply(source)
    assert (told["as"], told["sh_degree"], told["up"], told["scale"]) == ("gaussians", 2, "y", 1.5)
    torch.testing.assert_close(found["means"][:, 2], 1.5 * given["means"][:, 1].detach())
    torch.testing.assert_close(found["scales"], given["scales"].detach() + np.log(1.5), atol=1e-6, rtol=0)
    assert found["shN"].shape == (50, 8, 3)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb", ".stl"])
def test_a_mesh_becomes_opaque_gaussians_on_its_surface(suffix: str, tmp_path: Path) -> None:
    trimesh.creation.box(extents=BOX).export(source := tmp_path / f"box{suffix}")
    told, found = enter(source, tmp_path / "out")
    means = found["means"].numpy()
    half = np.array(BOX)[[0, 2, 1] if suffix == ".glb" else [0, 1, 2]] / 2  # whose up is y
    assert told["as"] == "mesh" and len(means) == door.SURFACE
    assert (np.abs(means) <= half + 1e-5).all() and np.isclose(np.abs(means) / half, 1, atol=1e-4).any(
        1
    ).all()
    assert float(activate(found).opacities.min()) > 0.98


def test_an_asset_that_stands_on_the_ground_can_be_centered(tmp_path: Path) -> None:
    raised = trimesh.creation.box(extents=BOX)
    raised.apply_translation([0, 0, BOX[2] / 2])
    raised.export(source := tmp_path / "box.stl")
    told, found = enter(source, tmp_path / "out", center=True, scale=0.5)
    assert told["center"] and float(found["means"][:, 2].abs().max()) == pytest.approx(BOX[2] / 4, abs=1e-3)


def test_points_keep_their_colors(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    cloud = Cloud(torch.rand(200, 3, generator=g) - 0.5, torch.rand(200, 3, generator=g))
    write_cloud(cloud, source := tmp_path / "points.ply")
    told, found = enter(source, tmp_path / "out")
    assert told["as"] == "points" and cloud.colors is not None
    torch.testing.assert_close(activate(found).colors, cloud.colors, atol=0.003, rtol=0)


def test_views_enter_as_the_archive_that_is_scored(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    for number in range(3):
        Image.new("RGBA", (8, 8), (10 * number, 0, 0, 255)).save(tmp_path / f"theirs/rgb_{number:03d}.png")
    told = door.enter(tmp_path / "theirs", tmp_path / "out")
    assert told["as"] == "views" and told["views"] == 3
    assert read_views(tmp_path / "out/views.zip")[:, 0, 0, 0].tolist() == [0, 10, 20]


def test_what_is_known_of_views_is_kept_when_they_enter(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Their cameras and the gaps of their numbers: half a ring does not become a whole one."""
    for name, numbers in (("half", range(40)), ("gap", [*range(20), *range(21, 41)])):
        (tmp_path / name).mkdir()
        for number in numbers:
            Image.new("RGBA", (8, 8), (9, 9, 9, 120)).save(tmp_path / name / f"rgb_{number:03d}.png")
    cameras = json.dumps({"azimuth": [4.5 * i for i in range(40)], "elevation": [0.0] * 40})
    (tmp_path / "half/cameras.json").write_text(cameras)
    for name, reason in (("half", "do not go once around"), ("gap", "lacks number 20")):
        door.enter(tmp_path / name, tmp_path / "out" / name)
        assert reason in capsys.readouterr().err
        archive = tmp_path / "out" / name / "views.zip"
        whole, notes = judge(read_asset(archive), archive, archive.parent, Setting())
        assert not whole and any(reason in note for note in notes)


def test_pictures_cannot_be_turned(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    with pytest.raises(ValueError, match="cannot be turned, scaled or centered"):
        door.enter(tmp_path / "theirs", tmp_path / "out", scale=0.5)


def test_an_asset_in_large_units_is_brought_to_this_world(tmp_path: Path) -> None:
    """The logarithms of its scales are above 0, and right."""
    large = gaussians(tmp_path / "a.ply")
    raw = {name: value.detach() for name, value in load_ply(large).items()}
    save_ply(raw | {"means": 300 * raw["means"], "scales": raw["scales"] + np.log(300.0)}, large)
    _, found = enter(large, tmp_path / "out", scale=1 / 300)
    torch.testing.assert_close(found["scales"], raw["scales"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"opacities": torch.full((50,), -torch.inf)}, {}, "all Gaussians are transparent"),
        ({"opacities": torch.full((50,), -20.0)}, {}, "all Gaussians are transparent"),
        ({}, {"scale": -1.0}, "scale above 0"),
        ({}, {"turn": float("nan")}, "turn and scale are finite"),
        ({}, {"scale": 40.0}, "pictures show 1; --scale 0."),
        ({}, {"scale": 1e-3}, "pictures show 1; --scale"),
        ({"scales": torch.full((50, 3), 0.05)}, {}, "3DGS stores their logarithms"),
        ({"means": torch.full((50, 3), torch.nan)}, {}, "holds means that are not finite"),
        ({"shN": torch.zeros(50, 2, 3)}, {}, "6 fields f_rest"),
    ],
)
def test_an_asset_that_could_not_be_scored_as_it_is_meant_is_refused(
    change: dict[str, Any], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    source = gaussians(tmp_path / "theirs.ply", **change)
    with pytest.raises(ValueError, match=words):
        door.enter(source, tmp_path / "out", **options)
    assert not (tmp_path / "out/asset.ply").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.splat", "an asset is a 3DGS PLY"),
        ("a.ply", "expected a PLY"),
        ("a.obj", "has no surface"),
    ],
)
def test_a_file_of_another_format_is_refused(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x00nothing")
    with pytest.raises(ValueError, match=words):
        door.enter(tmp_path / name, tmp_path / "out")


def test_what_looks_odd_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    means = 0.1 * torch.randn(50, 3) + torch.tensor([1.2, 0, 0])
    door.enter(gaussians(tmp_path / "a.ply", means=means, opacities=torch.full((50,), 0.5)), tmp_path / "out")
    told = capsys.readouterr().err
    assert "pictures show 1" in told and "from the origin" in told and "3DGS stores logits" in told


def test_a_program_is_measured_from_outside_and_its_record_says_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that wants a settings file of its own, and writes a PLY that is called by it."""
    entry = {
        "title": "Theirs",
        "license": "MIT",
        "commit": "abc",
        "deviations": ["none"],
        "up": "y",
        "settings": {
            "base": "base.yaml",
            "file": "{prompt_id}.yaml",
            "set": {"a": {"text": "{prompt}", "n": "{seed}"}},
        },
        "makes": "made/{prompt_id}-{seed}.ply",
    }
    (tmp_path / "checkout/made").mkdir(parents=True)
    (tmp_path / "checkout/base.yaml").write_text("a: {text: theirs, kept: 1}")
    (tmp_path / "foreign.yaml").write_text(json.dumps({"theirs": entry}))
    monkeypatch.setattr(program, "REGISTRY", str(tmp_path / "foreign.yaml"))
    made = gaussians(tmp_path / "asset.ply")
    code = (
        "import shutil, sys, yaml; a = yaml.safe_load(open(sys.argv[1]))['a']; sum(range(10**6));"
        "assert a == {'text': 'a \\'red\\' duck', 'n': 3, 'kept': 1}, a;"
        f"shutil.copy({str(made)!r}, sys.argv[2])"
    )
    command = [sys.executable, "-c", code, "p01.yaml", "made/p01-3.ply"]
    program.run_program(
        "theirs", command, "a 'red' duck", "p01", tmp_path / "checkout", tmp_path / "out", seed=3
    )
    record, cost = (
        json.loads((tmp_path / f"out/{name}.json").read_text()) for name in ("provenance", "cost")
    )
    assert record["program"] == {"commit": "abc", "license": "MIT", "deviations": ["none"]}
    assert (record["prompt"], record["up"], record["as"]) == ("a 'red' duck", "y", "gaussians")
    assert cost["seconds"] > 0 and cost["cpu_seconds"] > 0 and cost["gaussians"] == 50 and "nfe" not in cost


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("null", "has no program 'theirs'"),
        ("{}", "makes: a path in its folder is needed"),
        ("{makes: /tmp/a.ply}", "makes: a path in its folder is needed"),
        ("{makes: a.ply, up: sideways}", "up: one of auto, z, y, -y, not 'sideways'"),
        ("{makes: a.ply, scale: big}", "scale and turn are numbers"),
        ("{makes: '{nope}.ply'}", "has no placeholders but prompt"),
    ],
)
def test_an_entry_that_does_not_say_what_is_made_is_told_in_one_line(
    entry: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreign.yaml").write_text(f"theirs: {entry}")
    monkeypatch.setattr(program, "shipped", lambda name: tmp_path / "foreign.yaml")
    options = {"prompt": "a duck", "prompt_id": "p01", "checkout": tmp_path, "out": tmp_path / "out"}
    with pytest.raises(ValueError, match=re.escape(words)):
        program.run_program("theirs", [sys.executable, "-c", ""], **options)


def test_the_words_of_a_programs_command_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "foreign.yaml").write_text(json.dumps({"theirs": {"makes": "{prompt_id}.ply"}}))
    monkeypatch.setattr(program, "REGISTRY", str(tmp_path / "foreign.yaml"))
    gaussians(tmp_path / "p01.ply")
    said = [sys.executable, "-c", "import sys; sys.exit(sys.argv[1:] != ['--name', 'x', '--prompt', 'y'])"]
    program.main(
        [
            "theirs",
            "--prompt",
            "a duck",
            "--prompt-id",
            "p01",
            "--checkout",
            str(tmp_path),
            "--out",
            str(tmp_path / "out"),
            "--",
            *said,
            "--name",
            "x",
            "--prompt",
            "y",
        ]
    )
    assert json.loads((tmp_path / "out/provenance.json").read_text())["prompt"] == "a duck"


def test_a_program_that_fails_or_writes_nothing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "foreign.yaml").write_text(json.dumps({"theirs": {"makes": "none.ply"}}))
    monkeypatch.setattr(program, "REGISTRY", str(tmp_path / "foreign.yaml"))
    for code, words in (("raise SystemExit(3)", "ended with 3"), ("pass", r"wrote no none\.ply")):
        with pytest.raises(ValueError, match=words):
            program.run_program(
                "theirs", [sys.executable, "-c", code], "x", "p01", tmp_path, tmp_path / "out"
            )
