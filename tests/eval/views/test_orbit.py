"""The evaluation orbit: whole objects at mini's scale, the official one at the paper's, and what it cuts."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from dry_runs import snakemake

from eval import score
from eval.scales import read_scale
from eval.scores.pathology import touches_border
from eval.views.archive import write_views
from eval.views.render import main as render_views
from segmentdreamer.config import load_config
from segmentdreamer.scene.cameras import orbit
from segmentdreamer.scene.gaussians import save_ply
from segmentdreamer.start.shapes import StartConfig, start_state
from toybox import truth
from toybox.scenes import Spec, primitives

ROOT = Path(__file__).parents[3]
MINI, PAPER = (read_scale(name)["views"] for name in ("mini", "paper"))


def test_minis_orbit_holds_the_unit_ball_and_stands_among_the_training_cameras() -> None:
    cameras = load_config("mini").cameras
    assert 1.03 < math.tan(MINI["fov"] / 2) / math.tan(math.asin(1 / MINI["radius"])) < 1.06
    assert cameras.radius[0] < MINI["radius"] < cameras.radius[1]
    assert cameras.fov[0] < MINI["fov"] < cameras.fov[1]
    assert (MINI["radius"], MINI["fov"]) == (truth.RADIUS, truth.FOV)


def test_the_papers_orbit_is_the_official_one() -> None:
    official = {name: p.default for name, p in inspect.signature(orbit).parameters.items()}
    assert {**PAPER, "views": PAPER["count"]} == {**official, "count": official["views"]}


def test_no_toy_of_the_prompt_table_is_cut_at_minis_scale() -> None:
    for name, spec in truth.read_specs(ROOT / "prompts/toybox.tsv").items():
        seen = truth.render_orbit(primitives(spec), 12, MINI["elevation"], MINI["size"])
        assert touches_border(seen).max() == 0, name


def test_a_scene_inside_the_frame_touches_it_in_no_view_and_one_that_is_cut_in_all() -> None:
    robot = primitives(Spec("robot", "green", "blue"))
    assert touches_border(truth.render_orbit(robot, 8, 0.0, 64)).tolist() == [0] * 8
    assert touches_border(truth.render_orbit(robot, 8, 0.0, 64, radius=3.0)).tolist() == [1] * 8


@pytest.mark.parametrize("place", [(0, 5), (7, 4), (3, 7), (5, 0), (0, 0)])
def test_one_pixel_on_any_border_is_a_cut_if_it_is_seen_and_an_empty_view_has_no_value(place: tuple) -> None:
    views = np.zeros((3, 8, 8, 4), np.uint8)
    views[:2, 3:5, 3:5, 3] = 255
    views[0][place][3], views[1][place][3] = 128, 127
    np.testing.assert_array_equal(touches_border(views), [1, 0, np.nan])


def cameras_of(folder: Path, *arguments: str) -> dict:
    save_ply(start_state(StartConfig(count=50), 0), folder / "asset.ply")
    render_views(["--asset", str(folder / "asset.ply"), "--out", str(folder / "out"), *arguments])
    return json.loads((folder / "out/cameras.json").read_text())


def test_views_follow_the_scale_that_is_named_and_the_official_orbit_without(tmp_path: Path) -> None:
    few = ("--views", "4")
    mini = cameras_of(tmp_path, "--scale", "mini", *few)
    assert [mini[name] for name in ("radius", "fov", "size", "views")] == [4.1, 0.515, 64, 4]
    official = cameras_of(tmp_path, "--size", "32", *few)
    assert [official[name] for name in ("radius", "fov", "size")] == [3.5, 0.55, 32]
    own = cameras_of(tmp_path, "--scale", "mini", "--radius", "5", "--fov", "0.45", *few)
    assert [own[name] for name in ("radius", "fov", "size")] == [5, 0.45, 64]
    assert np.linalg.norm(np.array(own["viewmats"])[:, :3, 3], axis=1) == pytest.approx(5)


def test_an_unknown_scale_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no scale 'huge'; known: mini, paper"):
        cameras_of(tmp_path, "--scale", "huge")


def test_a_file_that_names_a_part_of_a_scale_stands_over_the_default() -> None:
    smoke = read_scale("workflow/config/smoke.yaml")["views"]
    assert smoke == {**MINI, "count": 8}


def test_scores_of_another_orbit_follow_another_protocol(tmp_path: Path) -> None:
    write_views(truth.render_orbit(primitives(Spec("duck", "red")), 4, 0.0, 64), tmp_path / "views.zip")
    records = []
    for text in ("radius 4.1", "radius 3.5"):
        score.main([
            "--views", str(tmp_path / "views.zip"), "--prompt-id", "p01", "--out", str(tmp_path / text),
            "--prompts", "prompts/toybox.tsv", "--scale", "mini", "--orbit", text,
        ])  # fmt: skip
        records.append(json.loads((tmp_path / text / "protocol.json").read_text()))
    assert [record["protocol"]["views"] for record in records] == ["radius 4.1", "radius 3.5"]
    assert records[0]["protocol_id"] != records[1]["protocol_id"]


def test_the_workflow_renders_assets_and_truth_on_the_configured_orbit(tmp_path: Path) -> None:
    orbit_file = tmp_path / "orbit.yaml"
    orbit_file.write_text(yaml.safe_dump({"views": {"radius": 4.25, "fov": 0.485}}))
    target = f"{tmp_path}/r/scores/sctd/p01/0/scores.csv"
    ran = snakemake(target, "-n", "-p", "--configfile", str(orbit_file), "--config", f"results={tmp_path}/r")
    planned = ran.stdout + ran.stderr
    for program in ("eval.views", "toybox.truth"):
        (command,) = [line for line in planned.splitlines() if f"-m {program} " in line]
        assert "--radius 4.25 --fov 0.485" in command
    assert "--orbit '120 azimuths at elevation 0, radius 4.25, field of view 0.485 rad, 64 px'" in planned
