"""Who ranks what in which order: balance, blinding, checks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulated_study import METHODS, PROMPTS

from eval.study.assignment import add_checks, assign


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 45),
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(2, 6),
    st.integers(1, 3),
    st.integers(0, 9),
)
def test_prompts_positions_and_seeds_are_balanced(
    prompts: int, volunteers: int, groups: int, methods: int, seeds: int, shuffle: int
) -> None:
    names = [f"p{i}" for i in range(prompts)]
    key = assign(names, [f"m{i}" for i in range(methods)], volunteers, groups, seeds, shuffle)
    assert len(key) == volunteers * groups * methods
    once = key[key["position"] == 1]
    counts = once["prompt"].value_counts().reindex(names, fill_value=0)
    assert counts.max() - counts.min() <= 1
    places = pd.crosstab(key["method"], key["position"])
    assert places.max(axis=None) - places.min(axis=None) <= 1
    for _, mine in once.groupby("volunteer"):
        own = mine["prompt"].value_counts().reindex(names, fill_value=0)
        assert own.max() - own.min() <= 1  # so nobody sees a prompt twice before all others once
    for _, group in key.groupby(["volunteer", "group"]):
        assert group["prompt"].nunique() == group["seed"].nunique() == 1 and group["method"].is_unique
    turns = once.groupby(["prompt", "seed"]).size().unstack(fill_value=0)
    assert (turns.max(axis=1) - turns.min(axis=1)).max() <= 1 or turns.shape[1] == 1


def test_the_papers_study_shows_each_prompt_eight_times_and_each_position_alike() -> None:
    key = assign(PROMPTS, METHODS)
    assert set(key.drop_duplicates(["volunteer", "group"])["prompt"].value_counts()) == {8}
    assert set(pd.crosstab(key["method"], key["position"]).to_numpy().ravel()) == {64}


def test_a_plan_follows_from_its_seed_and_names_tell_nothing() -> None:
    key, same, other = (assign(PROMPTS, METHODS, shuffle_seed=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(key, same)
    assert not set(key["video"]) & set(other["video"]) and key["study"][0] != other["study"][0]
    assert key["video"].str.fullmatch(r"[0-9a-f]{12}\.mp4").all()
    assert key.groupby("video")[["method", "prompt", "seed"]].nunique().max(axis=None) == 1
    assert key["video"].nunique() == 200
    ordered = key.drop_duplicates("video").sort_values("video")["method"]
    assert stats.kruskal(*[np.flatnonzero(ordered == m) for m in METHODS]).pvalue > 0.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["sds"]}, "two different"),
        ({"methods": ["sds", "sds"]}, "two different"),
        ({"groups": 0}, "at least one"),
    ],
)
def test_a_plan_that_ranks_nothing_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        assign(**{"prompts": PROMPTS, "methods": METHODS} | change)


def test_checks_add_two_groups_that_no_mean_counts() -> None:
    plain = assign(PROMPTS, METHODS, 12, 6)
    key = add_checks(plain)
    pd.testing.assert_frame_equal(key, add_checks(plain))
    counted = key[key["kind"] == "rank"].drop(columns="group").reset_index(drop=True)
    pd.testing.assert_frame_equal(counted, plain.drop(columns="group"))
    for _, mine in key.groupby("volunteer"):
        kinds = mine.drop_duplicates("group")["kind"].tolist()
        assert kinds == ["rank"] * 3 + ["check"] + ["rank"] * 3 + ["repeat"]
        again = mine[mine["kind"] == "repeat"]
        before = mine[(mine["group"] <= 3) & (mine["prompt"] == again["prompt"].iloc[0])]
        assert set(again["video"]) == set(before["video"])
        assert again["video"].tolist() != before["video"].tolist()
