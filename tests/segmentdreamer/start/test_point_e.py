"""Point-E's clouds: the official start, one a prompt and seed, read where they lie."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dry_runs import snakemake
from safetensors.torch import save_file
from starts import OFFICIAL, ROOT, random_cloud, state
from torch import Tensor

from segmentdreamer.scene.gaussians import activate
from segmentdreamer.start import point_e
from segmentdreamer.start import shapes as start
from segmentdreamer.start.clouds import Cloud, read_cloud, write_cloud
from segmentdreamer.start.point_e import PointEError
from segmentdreamer.start.shapes import StartConfig, start_state


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
            rf"input: .*{cloud}.*\n    output: .*{tmp_path}/r/assets/sctd/p02/{seed}/asset.ply", plan
        )


def test_a_start_file_is_named_by_prompt_and_seed(tmp_path: Path) -> None:
    config = StartConfig(kind="points", file=f"{tmp_path}/{{prompt_id}}-{{seed}}.ply")
    for seed in (0, 1):
        write_cloud(random_cloud(30 + seed), tmp_path / f"p01-{seed}.ply")
    found = [len(start_state(start.located(config, "p01", seed), 0)["means"]) for seed in (0, 1)]
    assert found == [30, 31]


def test_without_the_package_one_line_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
        for name in (
            "randomness",
            "records",
            "scene",
            "scene.gaussians",
            "start",
            "start.clouds",
            "start.point_e",
        )
    ]
    pins = (ROOT / "workflow/envs/point_e.txt").read_text()
    for name in ("torch==", "numpy==", "plyfile==", "safetensors", "point-e @ git+"):
        assert f"\n{name}" in pins


def test_clouds_of_ones_own_take_point_es_place_in_the_workflow(tmp_path: Path) -> None:
    for number in range(1, 6):  # a job makes five assets, and each wants its own
        write_cloud(random_cloud(4096), tmp_path / f"p{number:02}.ply")
    asset = f"{tmp_path}/results/assets/sctd/p02/0/asset.ply"
    overrides = f'overrides=["start.file={tmp_path}/{{prompt_id}}.ply"]'
    ran = snakemake(
        "-n", "-p", "--configfile", "workflow/config/paper.yaml",
        "--config", f"results={tmp_path}/results", overrides, "--", asset,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    plan = ran.stdout + ran.stderr
    assert "rule generate_1:" in plan
    assert "--camera-preset animal animal animal animal object" in plan  # p05 is a road bike
    assert f"start.file={tmp_path}/{{prompt_id}}.ply" in plan and "rule point_e:" not in plan
