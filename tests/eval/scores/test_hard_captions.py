"""R-precision against captions that differ in one attribute: which they are, and what they find out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.metrics import columns, primary_columns
from eval.prompt_table import read_prompts
from eval.scores.asset import Models
from eval.scores.hard_captions import caption, hard_captions, neighbors, swaps
from eval.scores.scorers import load_models, prepare, score_asset
from toybox import scenes
from toybox.truth import render_orbit

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors"))


def difference(one: scenes.Spec, other: scenes.Spec) -> int:
    return (one.cls != other.cls) + (one.color != other.color) + (one.second != other.second)


def test_the_neighbors_of_a_toy_are_the_worlds_toys_that_differ_in_one_attribute() -> None:
    world = scenes.all_specs()
    for spec in world:
        expected = {other.caption() for other in world if difference(spec, other) == 1}
        told = {"kind": spec.cls, "color": spec.color, "second": spec.second or ""}
        assert set(neighbors(**told)) - {caption(**told)} == expected, spec
        assert caption(**told) == spec.caption()


def test_a_prompt_that_says_more_than_its_spec_stands_against_the_table() -> None:
    spec = {"class": "duck", "color": "yellow", "second": ""}
    assert len(hard_captions("A yellow  duck", spec, ["x"])) == 21  # 7 classes, 7 colors, 7 hats: chance 1/22
    assert hard_captions("a yellow duck on a lake", spec, ["x", "a yellow duck on a lake"]) == ["x"]
    assert hard_captions("a cat", {}, ["a cat", "A  cat", "a dog", "a dog"]) == ["a dog"]


def test_the_papers_prompts_stand_against_all_and_their_swaps() -> None:
    texts = read_prompts(ROOT / "prompts/dreamfusion40.tsv")["prompt"].tolist()
    table = [*texts, *(changed for text in texts for changed in swaps(text))]
    assert {len(hard_captions(text, {}, table)) for text in texts} == {128}  # chance 1/129


def test_swaps_change_one_word_and_the_article_before_it() -> None:
    found = list(swaps("A red cat and two wooden owls"))
    assert "An orange cat and two wooden owls" in found and "A red cat and three wooden owls" in found
    assert "A red cat and two glass owls" in found
    assert len(found) == len(set(found)) == 10 + 5 + 9
    assert list(swaps("a credit to everyone")) == []
    assert "a blue bird" in swaps("an orange bird")


def means(models: Models, table: pd.DataFrame, spec: scenes.Spec, prompt: str) -> pd.Series:
    views = render_orbit(scenes.primitives(spec), 12, 0.0, 64)
    return score_asset(prepare(models, table), views, prompt)[0].groupby("metric")["value"].mean()


def test_a_wrong_color_passes_the_tables_prompts_and_not_the_hard_ones(models: Models) -> None:
    table = read_prompts(ROOT / "prompts/toybox.tsv")
    right = means(models, table, scenes.Spec("bear", "red", "blue"), "p02")
    wrong = means(models, table, scenes.Spec("bear", "red", "green"), "p02")
    assert right["clip_r"] == wrong["clip_r"] == 1
    assert right["clip_r_hard"] > 0.7 and wrong["clip_r_hard"] < 0.1


def test_prompts_without_a_spec_stand_against_the_table_and_its_swaps(models: Models) -> None:
    table = read_prompts(ROOT / "prompts/toybox.tsv").drop(columns=["class", "color", "second"])
    assert means(models, table, scenes.Spec("bear", "red", "blue"), "p02")["clip_r_hard"] > 0.7
    alone = pd.DataFrame({"id": ["p1"], "prompt": ["a bear"], "symmetric": ["no"]})
    assert "clip_r_hard" not in means(models, alone, scenes.Spec("bear", "red"), "p1")


def test_the_captions_are_part_of_the_protocol(models: Models) -> None:
    table = read_prompts(ROOT / "prompts/toybox.tsv")
    told = [prepare(models, rows).protocol.metrics["clip_r_hard"] for rows in (table, table, table[:3])]
    assert told[0] == told[1] != told[2]


def test_each_prompts_captions_are_embedded_once(models: Models) -> None:
    table = read_prompts(ROOT / "prompts/toybox.tsv")
    scorers = prepare(models, table)
    views = np.full((2, 64, 64, 4), 255, np.uint8)
    score_asset(scorers, views, "p01")
    known = dict(models.texts)
    score_asset(scorers, views, "p01")
    assert models.texts.keys() == known.keys()


def test_it_stands_beside_the_precision_that_saturates() -> None:
    assert "clip_r_hard" in primary_columns(set(columns()))
