"""The toybox world: scenes, renderer, captions, held-out combinations, shipped weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from eval.views.archive import composite
from segmentdreamer.scene.cameras import orbit
from toybox import data, scenes
from toybox.render import render
from toybox.truth import read_specs

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "toybox" / "models"


def views_of(rows: np.ndarray, count: int = 8) -> np.ndarray:
    cameras = orbit(views=count, size=64)
    return render([rows] * count, cameras.viewmats.numpy(), cameras.Ks.numpy(), 64)


def test_a_ball_renders_as_the_disc_that_perspective_makes_of_it() -> None:
    radius = 0.5
    rows = np.array([[0, 0, 0, 0, radius, radius, radius, 2, 1, 0, 0, 0]], dtype=np.float32)
    cameras = orbit(views=3, size=64)
    alpha = render([rows] * 3, cameras.viewmats.numpy(), cameras.Ks.numpy(), 64, 4)[..., 3] / 255
    focal = float(cameras.Ks[0, 0, 0])
    expected = np.pi * (focal * radius / np.sqrt(3.5**2 - radius**2)) ** 2
    assert alpha.sum((1, 2)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("cls", scenes.CLASSES)
def test_every_toy_fills_the_frame_and_stays_inside(cls: str) -> None:
    second = "blue" if cls in {*scenes.HAT_CENTERS, *scenes.ROOFED} else None
    rgba = views_of(scenes.primitives(scenes.Spec(cls, "red", second)))
    covered = (rgba[..., 3] > 127).mean((1, 2))
    assert covered.min() > 0.10
    border = np.concatenate([rgba[:, 0, :, 3], rgba[:, :, 0, 3], rgba[:, :, -1, 3]], axis=1)
    assert (border > 0).mean() < 0.05


@pytest.mark.parametrize("cls", scenes.CLASSES)
def test_front_and_back_differ_and_a_two_faced_toy_hides_that(cls: str) -> None:
    rows = scenes.primitives(scenes.Spec(cls, "green"))

    def front_to_mirrored_back(shown: np.ndarray) -> float:
        views = composite(views_of(shown)).astype(float) / 255
        return float(np.abs(views[0] - views[4][:, ::-1]).mean())

    assert front_to_mirrored_back(rows) > 0.015
    assert front_to_mirrored_back(scenes.two_faced(rows)) < front_to_mirrored_back(rows)


def test_the_right_side_shows_the_front_on_the_right() -> None:
    duck = scenes.primitives(scenes.Spec("duck", "blue"))
    right = composite(views_of(duck, 4)[1]).astype(int)
    bill = (right[..., 0] > 200) & (right[..., 1] < 160) & (right[..., 2] < 60)
    assert bill[:44].nonzero()[1].mean() > 40  # the orange bill, feet aside


def test_view_words_name_the_sector_of_the_azimuth() -> None:
    words = [data.view_word(a) for a in (0, 44, 46, 90, 180, -180, -90, -46, -44, 270, 360)]
    assert words == ["front", "front", "right side", "right side", "back", "back", "left side",
                     "left side", "front", "left side", "front"]  # fmt: skip


def test_held_out_combinations_are_never_drawn_for_training_but_their_words_are() -> None:
    training, held = scenes.training_specs(), scenes.held_out_specs()
    assert not set(training) & set(held) and set(training) | set(held) == set(scenes.all_specs())
    assert 0.05 < len(held) / len(scenes.all_specs()) < 0.25
    drawn = data.draw_pictures(300, np.random.default_rng(0)).specs
    assert not any(scenes.held_out(spec) for spec in drawn)
    for spec in held:
        assert any(s.cls == spec.cls for s in training) and any(s.color == spec.color for s in training)


def test_captions_read_as_english() -> None:
    assert scenes.Spec("duck", "orange").caption() == "an orange duck"
    assert scenes.Spec("house", "red", "orange").caption() == "a red house with an orange roof"
    assert scenes.Spec("bear", "red", "blue").caption() == "a red bear with a blue hat"


def test_the_prompt_set_uses_seen_and_held_out_combinations() -> None:
    specs = read_specs(ROOT / "prompts" / "toybox.tsv")
    kinds = {scenes.held_out(spec) for spec in specs.values()}
    assert len(specs) >= 6 and kinds == {True, False}


@pytest.mark.parametrize("name", ["toybox", "theory"])
def test_the_prompts_say_what_their_scenes_show(name: str) -> None:
    import pandas as pd

    path = ROOT / "prompts" / f"{name}.tsv"
    table = pd.read_csv(path, sep="\t").set_index("id")
    for prompt, spec in read_specs(path).items():
        assert table.loc[prompt, "prompt"] == spec.caption()


def test_shipped_weights_are_those_of_the_manifest_and_small() -> None:
    manifest = json.loads((MODELS / "manifest.json").read_text())
    files = {p.relative_to(MODELS).as_posix(): p for p in MODELS.rglob("*.safetensors")}
    assert set(manifest) == set(files)
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest[name], name
    assert sum(p.stat().st_size for p in MODELS.rglob("*")) < 25 * 2**20


def test_shipped_weights_are_half_precision() -> None:
    from safetensors import safe_open

    for path in MODELS.rglob("*.safetensors"):
        with safe_open(path, "pt") as stored:
            kinds = {str(stored.get_slice(key).get_dtype()) for key in stored.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}, path


def test_the_priors_samples_show_what_their_prompts_name() -> None:
    from segmentdreamer.prior.diffusers_prior import DiffusersPrior
    from toybox.evaluate_prior import accuracy, draw_captions, draw_samples

    specs, views = draw_captions(48, seed=123)
    captions = [data.view_caption(s.caption(), v) for s, v in zip(specs, views, strict=True)]
    images = draw_samples(DiffusersPrior(MODELS / "prior"), captions, 5.0, 25, seed=123)
    right = accuracy(images, specs, views, MODELS / "judge")
    assert right["class"] >= 0.9 and right["color"] >= 0.85 and right["view"] >= 0.7  # of 48
