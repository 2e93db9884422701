"""Camera presets and prompts: the official ones, as published."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from starts import OFFICIAL, ROOT

from eval.prompt_table import read_prompts
from segmentdreamer.config import ConfigError, load_config
from segmentdreamer.scene.cameras import PRESETS, CameraConfig, relaxed, training_cameras
from segmentdreamer.scene.gaussians import SH_C0


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
        batch=2,
        radius=(3.8, 4.4),
        radius_min=3.8,
        radius_max=4.4,
        polar=(55, 100),
        polar_max=(55, 100),
        fov=(0.47, 0.53),
        fov_min=0.47,
        fov_max=0.53,
        relax_every=0,
        jitter_target=0.03,
    )


@pytest.mark.parametrize(
    ("overrides", "preset"),
    [([], "building"), (["cameras.preset=building"], None), (["cameras.preset=[head]"], None)],
)
def test_an_unknown_preset_is_refused(overrides: list[str], preset: str | None) -> None:
    with pytest.raises(ConfigError, match=r"building|cameras\.preset"):
        load_config("paper", overrides, camera_preset=preset)


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
