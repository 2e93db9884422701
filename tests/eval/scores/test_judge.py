"""The judge as a metric: what a prompt asks for is in the views or not, and on the right side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.metrics import columns, primary_columns
from eval.prompt_table import read_prompts
from eval.scores.judge import sides_of
from eval.scores.scorers import Scorers, load_models, prepare, score_asset
from toybox.data import view_word
from toybox.scenes import Spec, primitives, two_faced
from toybox.truth import render_orbit

ROOT = Path(__file__).parents[3]
NAMES = ("judge_class", "judge_color", "judge_second", "judge_side")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return read_prompts(ROOT / "prompts/toybox.tsv")


def of(table: pd.DataFrame) -> Scorers:
    return prepare(load_models("toybox-clip", str(ROOT / "toybox/models/clip/model.safetensors")), table)


@pytest.fixture(scope="module")
def scorers(table: pd.DataFrame) -> Scorers:
    return of(table)


def judged(scorers: Scorers, views: np.ndarray, prompt: str = "p02", ring: bool = True) -> dict[str, float]:
    rows = score_asset(scorers, views, prompt, ring=ring)[0]
    means = rows.groupby("metric")["value"].mean()
    return {name: means[name] for name in NAMES if name in means}


@pytest.fixture(scope="module")
def bear() -> np.ndarray:
    return render_orbit(primitives(Spec("bear", "red", "blue")), 40, 0.0, 64)


def test_the_true_scene_is_judged_right_and_another_prompts_wrong(scorers: Scorers, bear: np.ndarray) -> None:
    assert min(judged(scorers, bear).values()) > 0.9
    other = judged(scorers, bear, "p03")  # a yellow duck, without hat
    assert max(other[name] for name in NAMES[:3]) < 0.1


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        (Spec("duck", "red", "blue"), "judge_class"),
        (Spec("bear", "green", "blue"), "judge_color"),
        (Spec("bear", "red"), "judge_second"),
    ],
)
def test_each_column_tells_its_own_mistake(scorers: Scorers, spec: Spec, wrong: str) -> None:
    found = judged(scorers, render_orbit(primitives(spec), 40, 0.0, 64))
    assert found[wrong] < 0.2
    assert min(found[name] for name in NAMES[:3] if name != wrong) > 0.8


def test_a_second_face_and_a_turned_ring_show_the_wrong_sides(scorers: Scorers, bear: np.ndarray) -> None:
    whole = judged(scorers, bear)["judge_side"]
    faces = render_orbit(two_faced(primitives(Spec("bear", "red", "blue"))), 40, 0.0, 64)
    assert judged(scorers, faces)["judge_side"] < whole - 0.15
    assert judged(scorers, np.roll(bear, 20, axis=0))["judge_side"] < 0.1


def test_sides_are_the_worlds_own_sectors() -> None:
    for views in (36, 41, 120):
        assert sides_of(views) == [view_word(360 * view / views) for view in range(views)]


def test_views_that_are_no_ring_and_symmetric_prompts_have_no_side(
    scorers: Scorers, table: pd.DataFrame, bear: np.ndarray
) -> None:
    assert set(judged(scorers, bear, ring=False)) == set(NAMES[:3])
    assert "judge_side" not in judged(of(table.assign(symmetric="yes")), bear)


def test_what_the_judge_has_no_words_for_is_not_judged(table: pd.DataFrame, bear: np.ndarray) -> None:
    assert judged(of(table.replace({"class": {"bear": "dragon"}})), bear) == {}
    plain = of(table.drop(columns=["class", "color", "second"]))
    assert judged(plain, bear) == {} and "judge_class" not in plain.protocol.metrics
    assert {"judge_class"} <= set(of(table).protocol.metrics) and "judge" in of(table).protocol.weights


def test_the_judge_stands_in_the_extended_table_alone() -> None:
    assert set(NAMES) <= set(columns()) and not set(NAMES) & set(primary_columns(set(columns())))
