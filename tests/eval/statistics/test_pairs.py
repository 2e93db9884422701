"""Pairs of methods in Table 1: families of tests, letters, bold and marks, and what is not tested."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.metrics import columns
from eval.statistics.comparison import ALPHA, compare, compare_distances, distance_p, hodges_lehmann, holm
from eval.statistics.pairs import (
    COMPARISONS,
    adjust,
    choose_pairs,
    compare_pairs,
    constant_metrics,
    letter_table,
)
from eval.tables.analysis import cut_intervals
from eval.tables.formats import BETTER, WORSE
from eval.tables.layout import mark, number, separate_best

NAN = float("nan")
TIED = arrays(float, st.integers(8, 12), elements=st.sampled_from([0.0, 0, 0, 1, 0.5, -0.25, -2]))
METRIC = st.sampled_from(["clip", "janus"])  # up and down
MANY_TIES = np.array([0.0] * 15 + [1] * 6)  # Hodges and Lehmann's shift is 0, the mean is not


def means_of(values: dict[str, np.ndarray], metric: str = "clip") -> pd.DataFrame:
    rows = [(m, f"p{p:02d}", metric, v) for m, x in values.items() for p, v in enumerate(x)]
    return pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])


def all_pairs(means: pd.DataFrame, reference: str = "sctd") -> pd.DataFrame:
    """Every pair of the methods in means, none of which has features."""
    order = sorted(means["method"].drop_duplicates(), key=lambda method: method != reference)
    pooled = pd.DataFrame(columns=["method", "against", "metric", "difference", "error", "n"])
    return compare_pairs(means, pooled, order)


# Marks ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(TIED, METRIC)
@example(MANY_TIES, "janus")
@example(-MANY_TIES, "janus")
@example(MANY_TIES, "clip")
@example(0 * MANY_TIES, "clip")
def test_a_mark_never_contradicts_the_mean_difference_however_many_ties(d: np.ndarray, metric: str) -> None:
    spec = columns()[metric] | {"factor": 1.0}
    means = means_of({"sds": 0.5 + d, "sctd": np.full(len(d), 0.5)}, metric)
    row = compare(means, {metric: spec["better"]}).assign(holm=lambda rows: holm(rows["p"])).iloc[0]
    gain = d.mean() * (1 if spec["better"] == "up" else -1)
    shown = mark(row, spec)
    assert shown == ("" if row["p"] >= ALPHA or gain == 0 else BETTER if gain > 0 else WORSE)
    assert number(row["difference"], spec).startswith("-") == (round(d.mean(), spec["digits"]) < 0)


def test_a_worse_method_among_ties_is_marked_worse() -> None:
    """Direction from the shift, which is 0 here, marked it better."""
    assert hodges_lehmann(MANY_TIES) == 0
    row = compare(means_of({"gcs": MANY_TIES, "sctd": 0 * MANY_TIES}, "janus"), {"janus": "down"}).iloc[0]
    assert row["p"] < ALPHA and mark(row.to_dict() | {"holm": row["p"]}, columns()["janus"]) == WORSE


# Families -------------------------------------------------------------------------------------------------


def test_the_family_is_the_references_and_each_tested_metric_has_a_family_of_its_pairs() -> None:
    rng = np.random.default_rng(0)
    shifted = {"sds": 1.0, "cds": 0.2, "sctd": 0.0}
    parts = [
        means_of({m: rng.normal(shift, 1, 12) for m, shift in shifted.items()}, metric)
        for metric in ("clip", "iou", "detail", "consistency")
    ]
    found = adjust(all_pairs(pd.concat(parts)), "sctd", ["clip", "iou"])
    mine = found[found["metric"].isin(["clip", "iou"]) & (found["against"] == "sctd")]
    assert mine["holm"].to_numpy() == pytest.approx(holm(mine["p"].to_numpy())) and len(mine) == 4
    assert found["holm"].notna().sum() == 4
    for metric in ("clip", "iou"):
        pairs = found[found["metric"] == metric]
        assert len(pairs) == 3
        assert pairs["holm_pairs"].to_numpy() == pytest.approx(holm(pairs["p"].to_numpy()))
    assert found.loc[found["metric"].isin(["detail", "consistency"]), "holm_pairs"].isna().all()


def test_each_pair_is_a_row_of_its_own_later_minus_earlier() -> None:
    means = means_of({name: np.arange(6.0) + k for k, name in enumerate(("sctd", "sds", "ism"))})
    found = all_pairs(means)
    assert found.columns.tolist() == COMPARISONS[:-2] and found.index.is_unique
    assert [*zip(found["method"], found["against"], found["difference"], strict=True)] == [
        ("sds", "sctd", 1.0), ("ism", "sctd", 2.0), ("ism", "sds", 1.0)
    ]  # fmt: skip
    both = pd.concat([found, found.rename(columns={"method": "against", "against": "method"})])
    chosen = choose_pairs(both, ["sctd", "sds", "ism"])
    pd.testing.assert_frame_equal(chosen, found)
    assert choose_pairs(both, ["sctd", "ism"])[["method", "against"]].to_numpy().tolist() == [["ism", "sctd"]]


def test_two_methods_at_the_level_itself_share_a_letter() -> None:
    pairs = pd.DataFrame({"method": ["sds", "ism"], "against": ["sctd", "sctd"], "metric": "clip"})
    summary = pd.DataFrame({"method": ["sctd", "sds", "ism"], "metric": "clip", "mean": [3.0, 2.0, 1.0]})
    for p, letters in ((ALPHA, ["a", "a", "a"]), (0.99 * ALPHA, ["a", "ab", "b"])):
        judged = pairs.assign(holm_pairs=[1.0, p])
        assert letter_table(summary, judged, ["sctd", "sds", "ism"])["letters"].tolist() == letters


def test_distances_join_the_families_of_their_column_and_the_table() -> None:
    distances = pd.DataFrame(
        [("sds", "fid_clip", 4.0, 1.0, 11)], columns=["method", "metric", "difference", "error", "n"]
    )
    p = distance_p(4, 1, 11)
    rows = pd.concat([compare_distances(distances), compare_distances(distances).assign(metric="kid")])
    found = adjust(rows.assign(against="sctd"), "sctd", ["fid_clip"])
    assert found["holm"].tolist() == pytest.approx([p, NAN], nan_ok=True)
    assert found["holm_pairs"].tolist() == pytest.approx([p, NAN], nan_ok=True)  # kid is not tested


def test_a_metric_that_is_equal_everywhere_is_constant_though_prompts_differ_or_lack_a_method() -> None:
    prompts = np.arange(1.0, 7)
    same = means_of({"sds": prompts, "sctd": prompts + 1e-15}, "clip_r")
    other = means_of({"sds": prompts, "sctd": np.where(prompts == 6, NAN, prompts)}, "iou")
    apart = means_of({"sds": prompts, "sctd": prompts + (prompts == 3)}, "clip")
    alone = means_of({"sds": prompts}, "janus")
    assert constant_metrics(pd.concat([same, other, apart, alone])) == {"clip_r", "iou"}
    assert compare(same, {"clip_r": "up"})["difference"].item() == 0


# Letters --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(arrays(float, (10, 4), elements=st.sampled_from([0.0, 1, 1.5, 3, 8])), METRIC)
def test_letters_say_of_each_pair_what_its_adjusted_p_says(values: np.ndarray, metric: str) -> None:
    moved = values + np.array([0, 1, 4, 9])
    means = means_of(dict(zip(("sds", "cds", "gcs", "sctd"), moved.T, strict=True)), metric)
    found = adjust(all_pairs(means), "sctd", [metric])
    summary = means.groupby(["method", "metric"], as_index=False)["value"].mean()
    summary = summary.rename(columns={"value": "mean"})
    letters = letter_table(summary, found, ["sds", "cds", "gcs", "sctd"]).set_index("method")["letters"]
    for row in found.itertuples():
        shared = set(letters[row.method]) & set(letters[row.against])
        assert bool(shared) == (row.holm_pairs >= ALPHA)
    best = summary.sort_values("mean", ascending=metric == "janus", kind="stable")["method"].iloc[0]
    assert "a" in letters[best]
    rows = summary.merge(letters.reset_index(), on="method")
    bold = separate_best(rows, columns()[metric])
    apart = found[(found["method"] == best) | (found["against"] == best)]["holm_pairs"] < ALPHA
    assert bold == (best if apart.all() else "")


def test_without_letters_nothing_is_bold() -> None:
    rows = pd.DataFrame({"method": ["a", "b"], "mean": [1.0, 2.0], "letters": ["", ""]})
    assert separate_best(rows, {"better": "up"}) == ""
    assert separate_best(rows.assign(letters=["b", "a"]), {"better": "up"}) == "b"
    assert separate_best(rows.assign(letters=["a", "a"]), {"better": "up"}) == ""
    assert separate_best(rows[:1].assign(letters="a"), {"better": "up"}) == ""
    assert separate_best(rows.drop(columns="letters"), {"better": "up"}) == ""


# What the table says --------------------------------------------------------------------------------------


def test_beside_a_known_scene_distances_have_neither_letters_nor_marks_nor_a_place_in_the_family(
    made: Callable[[str], Path],
) -> None:
    tables = made("mini")
    read, pairs = pd.read_csv(tables / "table1.csv"), pd.read_csv(tables / "comparisons.csv")
    assert "fid_clip" in read and read["fid_clip_letters"].isna().all()
    assert not {"kid_clip_pp", "cmmd_pp"} & set(read)
    assert {"kid_clip_pp", "cmmd_pp"} <= set(pd.read_csv(tables / "table1_extended.csv"))
    distances = pairs[pairs["metric"].isin(["fid_clip", "kid_clip_pp", "cmmd_pp", "kid_clip"])]
    assert len(distances) and distances[["holm", "holm_pairs"]].isna().all(axis=None)
    text = (tables / "table1.md").read_text()
    assert "▼ |" not in text
    assert "The true scene (3D ceiling) itself stands behind 1 of 5 methods in FID (CLIP): the ref" in text


def test_without_a_known_scene_distances_are_tested(made: Callable[[str], Path]) -> None:
    read = pd.read_csv(made("paper") / "table1.csv").set_index("method")
    assert {"kid_clip_pp", "cmmd_pp"} <= set(read)
    assert read.loc["sctd", "fid_clip_letters"] == "a" and read.loc["cds", "fid_clip_p_holm"] < ALPHA


def test_columns_without_tests_have_intervals_and_no_letters(made: Callable[[str], Path]) -> None:
    read = pd.read_csv(made("mini") / "table1_extended.csv").set_index("method")
    tested = {
        name.removesuffix("_letters")
        for name in read
        if read[name].notna().any() and name.endswith("_letters")
    }
    assert (
        tested
        == {"toy_reward", "iou"}
        == set(json.loads((made("mini") / "table1.json").read_text())["confirmatory"])
    )
    assert read.loc["sds", ["clip_low", "over_exposure_low", "clip_difference_low"]].notna().all()
    assert "Confirmatory, decided before any run: ToyReward, IoU;" in (made("mini") / "table1.md").read_text()


def test_a_constant_column_is_named_and_leaves_headline_and_families(made: Callable[[str], Path]) -> None:
    pairs = pd.read_csv(made("mini") / "comparisons.csv")
    same = pairs[pairs["metric"] == "clip_r"]
    assert len(same) == 10 and same[["holm", "holm_pairs"]].isna().all(axis=None)
    text = (made("mini") / "table1.md").read_text()
    assert "Saturated, so in the extended table alone: R-precision (equal for all methods on every" in text
    tables = [pd.read_csv(made("mini") / f"{name}.csv") for name in ("table1", "table1_extended")]
    assert ["clip_r" in table for table in tables] == [False, True]


def test_the_caption_names_both_families_and_letters_stand_in_every_format(
    made: Callable[[str], Path],
) -> None:
    tables = made("mini")
    pairs = pd.read_csv(tables / "comparisons.csv")
    family = pairs["holm"].notna().sum()
    for name in ("table1.md", "table1.tex", "table1.html"):
        text = (tables / name).read_text()
        assert "Methods that share a letter do not differ" in text and "] #" not in text
        assert "Holm over the 10 pairs of a column" in text
        assert f"Holm over all {family} comparisons" in text
    assert r"{\scriptsize a}" in (tables / "table1.tex").read_text()
    assert "] a</small>" in (tables / "table1.html").read_text()
    assert pd.read_csv(tables / "table1.csv")["clip_rank"].notna().sum() == 5


def test_intervals_end_where_a_metrics_range_does(made: Callable[[str], Path]) -> None:
    rows = pd.DataFrame(
        {
            "metric": ["janus", "clip", "kid_pp", "fid_clip", "detail"],
            "low": [-0.1, -1.0, -0.1, -4, NAN],
            "high": [1.2, 104, 0.2, 9, NAN],
        }
    )
    found = cut_intervals(rows)
    assert found["low"].tolist() == pytest.approx([0, -1, -0.1, 0, NAN], nan_ok=True)
    assert found["high"].tolist() == pytest.approx([1, 100, 0.2, 9, NAN], nan_ok=True)
    assert "cut at the metric's range" in (made("mini") / "table1.md").read_text()
