"""The toybox's prompt tables: balanced, apart from each other, and drawn by the rule on their page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.prompt_table import read_prompts
from toybox.scenes import CLASSES, Spec, all_specs, held_out
from toybox.truth import read_specs

PROMPTS = Path(__file__).parents[2] / "prompts"
FACES = ("snowman", "bear", "duck", "robot", "tree")
Cell = tuple[bool, bool]  # two colors, held out
ONE, TWO, HELD = False, True, True

FORTY: dict[str, list[Cell]] = {
    cls: [(ONE, HELD)] + [(TWO, HELD)] * 2 + [(TWO, False)] * 2 for cls in CLASSES
}
FORTY |= {cls: [(ONE, HELD)] + [(ONE, False)] * 4 for cls in ("mushroom", "tree")}
FORTY |= {cls: [(ONE, False)] + [(TWO, HELD)] * 3 + [(TWO, False)] for cls in ("bear", "duck")}
FORTY["snowman"] = [(ONE, HELD)] + [(TWO, False)] * 4
TUNING: dict[str, list[Cell]] = {cls: [(ONE, False), (TWO, HELD)] for cls in ("bear", "duck", "house", "car")}
TUNING |= {
    "snowman": [(TWO, False)],
    "robot": [(TWO, HELD)],
    "mushroom": [(ONE, False)],
    "tree": [(ONE, False)],
}


def specs(*tables: str) -> list[Spec]:
    return [spec for name in tables for spec in read_specs(PROMPTS / f"{name}.tsv").values()]


def draw(cells: dict[str, list[Cell]], taken: list[Spec], seed: int) -> list[Spec]:
    """The rule of prompts/README.md."""
    order = [all_specs()[i] for i in np.random.default_rng(seed).permutation(len(all_specs()))]
    chosen: list[Spec] = []
    for cls in CLASSES:
        for two, held in cells[cls]:
            bodies = [spec.color for spec in chosen if spec.cls == cls]
            color, second = (Counter(getattr(s, name) for s in chosen) for name in ("color", "second"))
            fits = [s for s in order if s.cls == cls and bool(s.second) == two and held_out(s) == held]
            fits = [s for s in fits if s not in [*taken, *chosen] and s.color not in bodies]
            chosen.append(min(fits, key=lambda s: (color[s.color], second[s.second] if s.second else 0)))
    return chosen


def test_the_forty_and_those_for_tuning_follow_from_their_rule() -> None:
    others = specs("toybox", "theory")
    forty = draw(FORTY, others, seed=0)
    assert specs("toybox40") == forty
    assert specs("tuning") == draw(TUNING, others + forty, seed=1)


def test_the_forty_are_balanced_as_far_as_the_world_is() -> None:
    table = read_prompts(PROMPTS / "toybox40.tsv")
    assert Counter(table["class"]) == dict.fromkeys(CLASSES, 5)
    assert pd.crosstab(table["category_colors"], table["category_split"]).to_dict() == {
        "held out": {"one": 6, "two": 12},
        "trained": {"one": 10, "two": 12},
    }
    assert Counter(table["category_front"]) == {"face": 25, "no face": 15}
    assert {4, 5, 6} >= set(Counter(table["color"]).values())
    assert (table.groupby("class")["color"].nunique() == 5).all()


def test_no_prompt_of_the_forty_or_for_tuning_stands_in_another_table() -> None:
    compared, tuned = specs("toybox", "toybox40"), specs("tuning")
    assert len(set(compared)) == 46 and not set(specs("toybox40", "tuning")) & set(specs("toybox", "theory"))
    assert not set(tuned) & set(compared)
    assert 8 <= len(tuned) <= 12 and {spec.cls for spec in tuned} == set(CLASSES)


@pytest.mark.parametrize("name", ["toybox", "toybox40", "tuning"])
def test_each_row_says_what_its_scene_is(name: str) -> None:
    table = read_prompts(PROMPTS / f"{name}.tsv")
    assert table["id"].tolist() == [f"p{number:02d}" for number in range(1, len(table) + 1)]
    assert set(table["camera"]) == {"object"} and set(table["symmetric"]) == {"no"}
    for row, spec in zip(table.to_dict("records"), specs(name), strict=True):
        assert row["prompt"] == spec.caption() and row["init_prompt"] == f"a {spec.cls}."
        assert row["category"] == spec.cls
        assert row["category_colors"] == ("two" if spec.second else "one")
        assert row["category_split"] == ("held out" if held_out(spec) else "trained")
        assert row["category_front"] == ("face" if spec.cls in FACES else "no face")
