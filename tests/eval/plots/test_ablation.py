"""An ablation's table, its grid of pictures, and what is published of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated_ablation import POINTS, PROMPTS, tabulate

from eval import ablation as ablation_table
from eval.plots import grid
from eval.report import published
from eval.statistics.intervals import mean_interval

SPACES = Path(__file__).parents[3] / "workflow/config/ablations.yaml"


def test_the_table_has_the_level_and_the_paired_difference_to_the_official_variant(
    table: pd.DataFrame,
) -> None:
    row = table[(table["variant"] == POINTS[2]) & (table["metric"] == "clip")].squeeze()
    assert (row["level"], row["difference"], row["n"]) == pytest.approx((65.25, 2.25, 6))
    low, high = mean_interval(2 + np.arange(6) / 10)
    assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-5)
    assert (row["N"], row["redraw_t"], row["method"]) == ("10", "false", "sctd")
    assert list(table["variant"].unique()) == [*POINTS, "start", "truth"]
    assert "hidden" not in set(table["metric"])


def test_what_prompts_differ_by_is_not_in_the_interval(table: pd.DataFrame) -> None:
    """Prompts differ by 25 in CLIP, their differences by .5: an interval of the level would hold 0."""
    row = table[(table["variant"] == POINTS[2]) & (table["metric"] == "clip")].squeeze()
    assert 0 < row["high"] - row["low"] < 0.6 and row["low"] > 0


def test_the_official_variant_and_controls_have_a_level_alone(table: pd.DataFrame) -> None:
    clip = table[table["metric"] == "clip"].set_index("variant")
    alone = clip.loc[[POINTS[0], "start", "truth"]]
    assert alone["level"].notna().all() and alone[["difference", "low", "high"]].isna().all(axis=None)
    assert clip["official"].to_dict() == dict.fromkeys(POINTS, POINTS[0]) | {"start": "", "truth": ""}


def test_below_five_prompts_there_is_a_difference_and_no_interval(results: Path) -> None:
    made = tabulate(results, PROMPTS[:4])
    row = made[(made["variant"] == POINTS[2]) & (made["metric"] == "clip")].squeeze()
    assert row["difference"] == pytest.approx(2.15) and row["n"] == 4 and np.isnan(row["low"])
    assert "| 60.15 (+2.15) |" in (results / "tables/ablation_n.md").read_text().replace("\\", "")


def test_only_prompts_with_both_values_are_paired() -> None:
    values = [("a", "p1", "clip", 1.0), ("a", "p2", "clip", 9.0), ("b", "p1", "clip", 3.0)]
    found = ablation_table.tabulate(
        pd.DataFrame(values, columns=["method", "prompt", "metric", "value"]), {"a": "a", "b": "a"}, {}, {}
    ).set_index("variant")
    assert found.loc["b", ["level", "difference", "n"]].tolist() == [3, 2, 1] and found.loc["a", "n"] == 2


def test_the_share_of_collapsed_draws_comes_from_the_log(table: pd.DataFrame) -> None:
    share = table[table["metric"] == "collapsed"].set_index("variant")["level"]
    assert share.to_dict() == {POINTS[0]: 0, POINTS[1]: 0, POINTS[2]: 0.25, POINTS[3]: 0.25}


def test_costs_are_those_of_the_runs(table: pd.DataFrame) -> None:
    levels = table[table["variant"] == POINTS[0]].set_index("metric")["level"]
    assert (levels["seconds"], levels["nfe"], levels["peak_memory"]) == (7, 80, 900)


def test_the_readable_table_shows_differences_and_the_controls_levels(
    results: Path, table: pd.DataFrame
) -> None:
    text = (results / "tables/ablation_n.md").read_text().replace("\\", "")
    assert "| segments N = 10, t redrawn | Perp-Neg 7.5 | 65.25 (+2.25 [+" in text
    assert "| segments N = 1, t lifted | CFG 7.5 | 63.00 |" in text
    assert "| true scene (3D ceiling) | – | 62.50 |" in text
    assert "Collapsed draws" in text and "Janus ↓ |" not in text


def test_the_caption_says_what_the_differences_are_to_and_what_the_intervals_are(
    results: Path, table: pd.DataFrame
) -> None:
    top = " ".join((results / "tables/ablation_n.md").read_text().replace("\\", "").splitlines()[0].split())
    assert "the mean difference within prompts to segments N = 1, t lifted" in top
    assert (
        "the 95 % interval of these paired differences over prompts" in top and "none below 5 prompts" in top
    )


def test_methods_with_official_variants_of_their_own_are_named_by_what_those_share() -> None:
    names = ["sds/omega~7.5", "cds/omega~7.5/omega_end~null"]
    rows = pd.DataFrame({"variant": names, "official": names, "label": names})
    assert ablation_table.compared_with(rows) == "the same method at guidance scale = 7.5"


def test_two_settings_in_one_variant_are_refused(results: Path, table: pd.DataFrame) -> None:
    path = results / "assets" / POINTS[1] / "p02/1/provenance.json"
    path.write_text(path.read_text().replace('"omega": 7.5', '"omega": 100'))
    with pytest.raises(SystemExit, match=r"error: two settings in one table: .* 7.5.*p02/1/prov.* 100"):
        tabulate(results, PROMPTS)


def test_a_missing_asset_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*scores\.csv"):
        ablation_table.main(
            ["--results", str(tmp_path), "--name", "n", "--spaces", str(SPACES), "--prompts", "p01"]
        )


def test_the_grid_has_a_row_a_variant_and_the_numbers_beside(results: Path, table: pd.DataFrame) -> None:
    rows = grid.strips(results, table, PROMPTS, 0)
    assert len(rows) == len(POINTS) + 1  # and the true scene
    assert rows[0].text.splitlines()[:2] == ["segments N = 1, t lifted", "CFG 7.5"]
    assert grid.picture_grid(results, table, dict.fromkeys(PROMPTS, "a thing"), 0).width > 200
    group = table[table["variant"] == POINTS[0]]
    assert grid.numbers(group) == ["Detail 30.0"]


def test_publishing_tells_each_asset_and_what_all_share(results: Path, table: pd.DataFrame) -> None:
    (results / "tables/sheet.png").write_text("x")
    (results / "plots").mkdir()
    (results / "plots/ablation_n.svg").write_text("x")
    published.copy_files(results, "", {}, results / "out")
    record = json.loads((results / "out/manifest.json").read_text())
    assert len(record["assets"]) == len(POINTS) * len(PROMPTS) * 2
    assert record["shared"]["config"] == {"train.steps": 4, "prompts.negative": ""}
    settings = record["assets"]["sctd/N~10/redraw_t~True/p01/0"]["settings"]
    assert settings == {"extra": 10, "prompts.perp_neg": True}
    for name in ("ablation_n.csv", "ablation_n.md", "plots/ablation_n.svg", "sheet.png"):
        assert (results / "out" / name).exists()
