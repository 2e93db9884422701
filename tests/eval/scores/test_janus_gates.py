"""The Janus index is withheld where consistency or CLIP say that it means nothing; a record says when."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.prompt_table import read_prompts
from eval.scores.asset import Models, PromptTexts
from eval.scores.clip import Clip
from eval.scores.pathologies.consistency import GATE, consistency, gate
from eval.scores.pathologies.janus import FIRST, LEAST, withhold
from eval.scores.pathology import Pathologies
from eval.scores.scorers import Scorers, load_models, prepare, score_asset
from toybox import calibrate_pathologies, defects, looks
from toybox.scenes import CLASSES, Spec, primitives
from toybox.truth import render_orbit

ROOT = Path(__file__).parents[3]
RECORD = json.loads((ROOT / "toybox/models/pathologies.json").read_text())
VIEWS = 60


def scores(
    index: float = 0.4, consistent: float = 1.0, clip: float = 90.0, first: float | None = 1.0
) -> dict:
    found = {"janus_index": np.array([index]), "consistency": np.array([consistent])}
    found["clip"] = np.full(120, clip)
    return found if first is None else found | {"clip_r": (np.arange(120) < 120 * first).astype(float)}


def index_of(found: dict, least: float = 75.0) -> tuple[float, float]:
    """The index after the gates, and whether it is withheld."""
    gated = withhold(found, least)
    return float(gated["janus_index"][0]), float(gated["janus_withheld"][0])


def test_an_index_stands_where_views_are_consistent_and_clip_sees_the_prompt() -> None:
    assert index_of(scores()) == (0.4, 0)
    assert index_of(scores(consistent=GATE, clip=75.0, first=FIRST)) == (0.4, 0)
    assert index_of(scores(first=None)) == (0.4, 0)  # a table of one prompt


@pytest.mark.parametrize(
    "wrong",
    [{"consistent": GATE - 1e-3}, {"clip": 74.9}, {"first": FIRST - 0.01}, {"consistent": float("nan")}],
)
def test_each_gate_alone_withholds_it(wrong: dict) -> None:
    index, withheld = index_of(scores(**wrong))
    assert np.isnan(index) and withheld == 1


def test_where_there_is_no_index_nothing_is_withheld() -> None:
    assert np.isnan(index_of(scores(index=float("nan")))).all()
    assert np.isnan(index_of(scores(index=float("nan"), consistent=0.0))).all()


def test_a_sparser_ring_misses_more_of_a_smooth_change_and_its_gate_is_lower() -> None:
    assert gate(120) == GATE
    assert gate(30) == pytest.approx(1 - 4**2.4 * (1 - GATE)) and gate(5) == 0
    truth = render_orbit(primitives(Spec("house", "red", "blue")), 120, 0.0, 64)
    for step in (1, 2, 3, 5):
        assert consistency(truth[::step]) > gate(120 // step)


def test_a_scorer_that_is_not_calibrated_has_no_gate_of_its_clip_score_but_all_others() -> None:
    assert index_of(scores(clip=1.0), LEAST.get("ViT-L-14-quickgelu", -np.inf)) == (0.4, 0)
    for name in ("toybox-clip", "ViT-L-14-quickgelu"):
        clip = Clip(name, None, None, 224, *torch.zeros(2, 3, 1, 1))
        nobody = PromptTexts([], [], np.zeros((0, 4)), np.zeros((0, 3, 4)), [], [], [])
        models = Models(clip, view_words=("front", "side", "back"))
        text = Pathologies(models, nobody).protocol["janus_index"]
        assert f"consistency {GATE}" in text and f"first in {FIRST}" in text
        assert (f"clip {LEAST['toybox-clip']}" in text) == (name == "toybox-clip")


# Assets -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scorers() -> Scorers:
    models = load_models("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))
    return prepare(models, read_prompts(ROOT / "prompts/toybox.tsv"))


def scored(scorers: Scorers, views: np.ndarray, own: str = "p04") -> dict[str, float]:
    return score_asset(scorers, views, own)[0].groupby("metric")["value"].mean().to_dict()


def test_a_healthy_scene_keeps_its_index_and_what_only_flickers_or_shows_something_else_does_not(
    scorers: Scorers,
) -> None:
    rows, rng = primitives(Spec("robot", "green", "blue")), np.random.default_rng(0)
    truth = render_orbit(rows, VIEWS, 0.0, 64)
    seen = scored(scorers, truth)
    assert seen["janus_withheld"] == 0 and seen["janus_index"] < 0.2
    others = {"flicker": defects.flicker(truth, 12.0, rng), "white": defects.expose(truth, 1.5)}
    for name, views in others.items():
        assert scored(scorers, views)["janus_withheld"] == 1, name
    assert scored(scorers, truth, "p03")["janus_withheld"] == 1  # no duck


def test_a_scene_low_in_a_clip_that_is_not_calibrated_keeps_its_index(scorers: Scorers) -> None:
    clip = dataclasses.replace(scorers.models.clip, name="another")
    models = dataclasses.replace(scorers.models, clip=clip)
    other = prepare(models, read_prompts(ROOT / "prompts/toybox.tsv"))
    truth = render_orbit(primitives(Spec("robot", "green", "blue")), VIEWS, 0.0, 64)
    assert scored(other, truth)["janus_withheld"] == 0


def test_a_cloud_of_specks_is_less_consistent_than_the_gate_and_a_second_face_of_most_objects_is_not() -> (
    None
):
    rng, doubles = np.random.default_rng(0), []
    for cls in CLASSES:
        rows = primitives(Spec(cls, "red"))
        plain = render_orbit(rows, 120, 0.0, 64)
        strong, double = (
            defects.plant(defect, level, rows, plain, lambda s: render_orbit(s, 120, 0.0, 64), rng)
            for defect, level in (("speckled", 2), ("two_faced", 1))
        )
        assert consistency(strong) < min(GATE - 0.003, consistency(double)) and consistency(plain) > GATE, cls
        doubles.append(consistency(double))
    assert sum(value >= GATE for value in doubles) >= 6


# The record -------------------------------------------------------------------------------------------


def test_the_record_is_of_the_gates_in_force_and_of_minis_orbit() -> None:
    gates = RECORD["janus_gates"]["gates"]
    assert RECORD["janus_gates"]["scorer"] == looks.scale()["clip"]["name"]
    assert gates["consistency"]["120"] == GATE and gates["clip"] == LEAST["toybox-clip"]
    assert gates["first"] == FIRST and RECORD["views"] == looks.scale()["views"]


def test_the_gates_keep_95_percent_of_the_clean_scenes_that_chose_them() -> None:
    found = RECORD["janus_gates"]
    assert found["gates"]["consistency"]["120"] <= found["clean_quantile"]["consistency"]["120"]
    assert found["gates"]["clip"] <= found["clean_quantile"]["clip"]
    assert found["gates"]["first"] <= found["clean_quantile"]["first"]


def test_on_other_objects_the_gates_keep_clean_scenes_and_second_faces_and_refuse_wrong_indices() -> None:
    judged = RECORD["janus_gates"]["judged"]
    assert judged["clean"]["kept"] >= 0.9 * judged["clean"]["count"]
    assert judged["two_faced clear"]["kept"] >= 0.9 * judged["two_faced clear"]["count"]
    assert judged["speckled"]["kept_above"] <= 0.25 * judged["speckled"]["above"]
    for auc in RECORD["janus_gates"]["auc"].values():
        assert auc["with"] >= auc["without"] - 0.01


def test_the_page_prints_the_record() -> None:
    page = (ROOT / "docs/protocols.md").read_text()
    for name, table in calibrate_pathologies.tables(RECORD).items():
        assert calibrate_pathologies.fill(page, name, table) == page, name


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    page = "a\n<!-- auc -->\nold\n<!-- end -->\nb"
    assert calibrate_pathologies.fill(page, "auc", "new") == "a\n<!-- auc -->\nnew\n<!-- end -->\nb"
    with pytest.raises(ValueError, match="<!-- gates -->"):
        calibrate_pathologies.fill(page, "gates", "new")


def test_each_half_of_the_objects_has_every_class_worn_and_not() -> None:
    for chooses in (True, False):
        mine = [i for i in range(24) if looks.halves(i)[0] == chooses]
        assert {CLASSES[i % len(CLASSES)] for i in mine} == set(CLASSES) and len(mine) == 12
        assert 4 <= sum(looks.halves(i)[1] for i in mine) <= 8


def test_finished_assets_are_found_by_the_prompt_of_their_record(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    made = {
        "cds/p/0": ("a red bear", "back"),
        "cds/q/0": ("a castle", "back"),
        "cds/r/0": ("a red duck", "front"),
    }
    for name, (prompt, behind) in made.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "asset.ply").touch()
        config = {"prompts": {"views": ["front", "side", behind, "side"]}}
        (tmp_path / name / "provenance.json").write_text(json.dumps({"prompt": prompt, "config": config}))
    bear, duck = (tmp_path / name / "asset.ply" for name in ("cds/p/0", "cds/r/0"))
    found = [(bear, Spec("bear", "red"), False), (duck, Spec("duck", "red"), True)]
    assert calibrate_pathologies.find_assets([tmp_path]) == found
    assert "no toy is called 'a castle'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no asset of a toy below"):
        calibrate_pathologies.find_assets([tmp_path / "cds/q"])


def test_gated_figures_are_those_of_the_looks_that_keep_their_index() -> None:
    made = [
        {"janus_index": x, "janus_withheld": w} for x, w in ((0.1, 0.0), (0.5, 0.0), (0.9, 1.0), (0.3, 1.0))
    ]
    assert calibrate_pathologies.judge(made) == {"count": 4, "above": 3, "kept": 2, "kept_above": 1}
    faced = [{"janus_index": 0.4, "janus_withheld": 0.0}]
    assert calibrate_pathologies.area(faced, made) == {"without": 0.5, "with": 0.5}
    assert calibrate_pathologies.area(faced, made[1:]) == {"without": 1 / 3, "with": 0.0}
