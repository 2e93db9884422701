"""Ablations: variants and their paths, pathology metrics, tables, plots and grids."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text

from eval import ablation as ablation_table
from eval.guidance import Guidance
from eval.plots import ablation as plots
from eval.plots import grid
from eval.plots.style import errors, look
from eval.report import published
from eval.scores.pathology import detail, over_exposure, saturation
from eval.statistics.intervals import mean_interval
from eval.variants import describe, fields_of, official_variants, read_ablation, variants
from eval.views.archive import write_views
from segmentdreamer.methods import load_method

ROOT = Path(__file__).parents[3]
SPACES = ROOT / "workflow/config/ablations.yaml"
TITLES = {"sds": "SDS", "sctd": "SCTD"}
ABLATION = {
    "title": "Segments",
    "official": [{"N": 1, "redraw_t": False}],
    "x": "N",
    "lines": "redraw_t",
    "panels": ["clip", "detail", "collapsed", "seconds"],
    "space": [{"method": ["sctd"], "N": [1, 10], "redraw_t": [False, True]}],
}
POINTS = ["sctd/N~1/redraw_t~False", "sctd/N~1/redraw_t~True",
          "sctd/N~10/redraw_t~False", "sctd/N~10/redraw_t~True"]  # fmt: skip
PROMPTS = ["p01", "p02", "p03", "p04", "p05", "p06"]


@pytest.mark.parametrize("name", yaml.safe_load(SPACES.read_text()))
def test_every_panel_is_a_known_metric_and_every_category_has_a_label(name: str) -> None:
    entry = read_ablation(SPACES, name)
    assert set(entry["panels"]) <= set(ablation_table.ablation_columns())
    assert "x" in entry or all(variant.label for variant in variants(entry))


@pytest.mark.parametrize("name", yaml.safe_load(SPACES.read_text()))
def test_every_ablation_names_the_official_variant_that_the_others_are_compared_with(name: str) -> None:
    entry = read_ablation(SPACES, name)
    against = official_variants(variants(entry), entry["official"])
    assert set(against) == {variant.name for variant in variants(entry)}
    official = set(against.values())
    assert all(against[name] == name for name in official)
    several = name in ("cfg", "stress_views")
    assert len(official) == (len({v.method for v in variants(entry)}) if several else 1)


@pytest.mark.parametrize("name", ["n", "segmentation", "threshold", "approx"])
def test_the_official_variant_of_sctds_ablations_is_sctd_as_it_is(name: str) -> None:
    entry = read_ablation(SPACES, name)
    (official,) = {*official_variants(variants(entry), entry["official"]).values()}
    assert load_method("sctd", fields_of(official)) == load_method("sctd", {})


def test_variants_are_compared_within_their_method_or_with_the_only_official_one() -> None:
    chosen = variants({"space": [{"method": ["sds", "sctd"], "omega": [7.5, 100]}]})
    names = [variant.name for variant in chosen]
    own = official_variants(chosen, [{"method": "sds", "omega": 100}, {"omega": 7.5}])
    assert own == dict(zip(names, [names[1], names[1], names[2], names[2]], strict=True))
    assert set(official_variants(chosen, [{"method": "sctd", "omega": 7.5}]).values()) == {names[2]}
    assert set(official_variants(chosen, []).values()) == {names[0]}


@pytest.mark.parametrize(
    ("official", "message"),
    [
        ([{"omega": 3}], "official .*'omega': 3.* names nothing to compare sds/omega~7.5"),
        ([{"method": "sctd"}], "fits sctd/omega~7.5, sctd/omega~100; it must name one of sctd"),
    ],
)
def test_an_official_variant_that_is_none_or_two_is_told(official: list, message: str) -> None:
    chosen = variants({"space": [{"method": ["sds", "sctd"], "omega": [7.5, 100]}]})
    with pytest.raises(ValueError, match=message):
        official_variants(chosen, official)


def test_an_unknown_ablation_is_told() -> None:
    with pytest.raises(ValueError, match="no ablation 'nope'; known: n, "):
        read_ablation(SPACES, "nope")


def test_texts_name_what_varies() -> None:
    assert next(iter(describe(variants(ABLATION), TITLES).values())) == "segments N = 1, t lifted"
    both = {"space": [{"method": ["sds", "sctd"], "omega": [5]}]}
    assert list(describe(variants(both), TITLES).values()) == ["SDS", "SCTD"]
    labeled = {"space": [{"label": "exact", "method": ["sctd"], "approx_G": [False]}]}
    assert describe(variants(labeled), TITLES)["sctd/approx_G~False"] == "exact"


# Pathologies ------------------------------------------------------------------------------------------


def textured(side: int = 32) -> np.ndarray:
    """Two RGBA views of a colored noise square on an empty ground."""
    rng = np.random.default_rng(0)
    views = np.zeros((2, side, side, 4), np.uint8)
    views[:, 4:-4, 4:-4, :3] = rng.integers(60, 180, (2, side - 8, side - 8, 3))
    views[:, 4:-4, 4:-4, 3] = 255
    return views


def blurred(views: np.ndarray) -> np.ndarray:
    out = views.astype(float)
    for axis in (1, 2):
        out = (np.roll(out, 1, axis) + 2 * out + np.roll(out, -1, axis)) / 4
    return np.concatenate([out[..., :3], views[..., 3:]], -1).round().astype(np.uint8)


def test_blurring_takes_detail_away() -> None:
    views = textured()
    assert (detail(blurred(views)) < 0.5 * detail(views)).all()
    flat = views.copy()
    flat[..., :3] = 90
    assert detail(flat).max() == pytest.approx(0, abs=1e-9)


def test_a_bright_dot_has_the_laplacian_of_the_formula() -> None:
    view = np.zeros((1, 7, 7, 4), np.uint8)
    view[..., 3] = 255
    view[0, 3, 3, :3] = 100  # Laplacian -400 on it, 100 on its four neighbors, over 25 inner pixels
    assert detail(view) == pytest.approx([np.sqrt((400**2 + 4 * 100**2) / 25)])


def test_blown_out_pixels_are_counted() -> None:
    views = textured()
    assert over_exposure(views).max() == 0
    views[0, 4:16, 4:-4, 0] = 255  # half of the square, one channel
    assert over_exposure(views) == pytest.approx([0.5, 0])


def test_saturation_is_that_of_hsv() -> None:
    view = np.zeros((1, 4, 4, 4), np.uint8)
    view[..., 3] = 255
    view[..., :3] = (200, 100, 50)
    assert saturation(view) == pytest.approx([0.75])
    view[..., :3] = 120
    assert saturation(view) == pytest.approx([0])


@pytest.mark.parametrize("metric", [detail, over_exposure, saturation])
def test_the_background_does_not_matter_and_nothing_gives_nan(metric: Any) -> None:
    views = textured()
    painted = views.copy()
    painted[views[..., 3] == 0] = (255, 0, 255, 0)
    assert np.array_equal(metric(views), metric(painted))
    assert np.isnan(metric(np.zeros((1, 8, 8, 4), np.uint8))).all()


# Tables, plots, grids ---------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A finished ablation: prompts differ much in CLIP, and N = 10 gives each 2 to 2.5 more than N = 1.

    A quarter of the draws of N = 10 collapse.
    """
    for name in (*POINTS, "start", "truth"):
        for number, prompt in enumerate(PROMPTS):
            for seed in (0, 1):
                fields = fields_of(name)
                folder = tmp_path / "scores" / name / prompt / str(seed)
                folder.mkdir(parents=True)
                clip = 50 + 5 * number + seed + (2 + number / 10 if fields.get("N") == 10 else 0)
                rows = [(v, m, x) for v in (0, 1) for m, x in (("clip", clip), ("detail", 30), ("hidden", 1))]
                pd.DataFrame(rows, columns=["view", "metric", "value"]).to_csv(
                    folder / "scores.csv", index=False
                )
                write_views(textured(), tmp_path / "views" / name / prompt / str(seed) / "views.zip")
                if fields:
                    write_run(tmp_path / "assets" / name / prompt / str(seed), fields)
    return tmp_path


def write_run(folder: Path, fields: dict) -> None:
    folder.mkdir(parents=True)
    collapsed = [int(fields["N"] == 10), 0, 0, 0]
    pd.DataFrame({"step": range(4), "collapsed": collapsed}).to_csv(folder / "train.csv", index=False)
    cost = {"seconds": 7.0, "nfe": 80, "peak_memory_mib": 900.0}
    (folder / "cost.json").write_text(json.dumps(cost))
    config = {"train": {"steps": 4}, "extra": fields["N"], "methods": {"sctd": fields},
              "prompts": {"perp_neg": fields["redraw_t"], "negative": ""}}  # fmt: skip
    record = {"config": config, "hyper_parameters": fields | {"omega": 7.5}, "asset_sha256": "0",
              "prompt": "x", "weights_sha256": "1", "versions": {}, "machine": {}}  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(record))


@pytest.fixture
def table(results: Path) -> pd.DataFrame:
    return tabulate(results, PROMPTS)


def tabulate(results: Path, prompts: list[str]) -> pd.DataFrame:
    spaces = results / "spaces.yaml"
    spaces.write_text(yaml.safe_dump({"n": ABLATION}))
    ablation_table.main([
        "--results", str(results), "--name", "n", "--spaces", str(spaces), "--prompts", *prompts,
        "--seeds", "2", "--controls", "start", "truth",
    ])  # fmt: skip
    return ablation_table.read_table(results / "tables/ablation_n.csv")


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
        ablation_table.main(["--results", str(tmp_path), "--name", "n", "--spaces", str(SPACES),
                             "--prompts", "p01"])  # fmt: skip


def test_the_plot_has_a_panel_a_metric_and_a_curve_a_line(table: pd.DataFrame) -> None:
    figure = plots.draw_ablation(table, ABLATION, TITLES)
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in panels] == ["CLIP ↑", "Detail", "Collapsed draws ↓", "Time (s) ↓"]
    clip = panels[0].containers
    assert len(clip) == 2 and np.allclose(clip[0].lines[0].get_ydata(), [0, 2.25])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["t lifted, CFG 7.5", "t redrawn, Perp-Neg 7.5"]


def test_the_axis_has_a_tick_a_variant_and_a_level_only_where_the_official_one_has_a_value(
    table: pd.DataFrame,
) -> None:
    """Of the last panel, which shares the axis, N = 1 has no value."""
    official = (table["variant"] == POINTS[0]) & (table["metric"] == "seconds")
    figure = plots.draw_ablation(table[~official], ABLATION, TITLES)
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [tick.get_text() for tick in panels[-1].get_xticklabels()] == ["1", "10"]
    levels = [[text for text in axis.findobj(Text) if text.get_text() == "at 0:"] for axis in panels]
    assert [len(found) for found in levels] == [1, 1, 1, 0]


NFE = {"x": "nfe", "lines": "method", "panels": ["iou", "clip"],
       "official": [{"method": "sctd", "train.stretch": 1.0}],
       "space": [{"method": ["sds", "sctd"], "train.stretch": [0.5, 1.0]}]}  # fmt: skip


def test_quality_over_evaluations_is_a_curve_a_method_at_its_measured_cost_against_one_official() -> None:
    chosen = variants(NFE)
    against = official_variants(chosen, NFE["official"])
    assert set(against.values()) == {"sctd/train.stretch~1.0"}
    rng = np.random.default_rng(0)
    cost = {"sds": 800, "sctd": 1900}
    rows = [(v.name, prompt, metric, value) for v in chosen for place, prompt in enumerate(PROMPTS)
            for metric, value in (("nfe", 2 * cost[v.method] * v.fields["train.stretch"] + place),
                                  ("iou", v.fields["train.stretch"] / 10 + rng.random()))]  # fmt: skip
    values = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    table = ablation_table.tabulate(values, against, describe(chosen, TITLES), {})
    figure = plots.draw_ablation(table, NFE, TITLES)
    (axis,) = [axis for axis in figure.axes if axis.get_visible()]
    assert axis.get_title() == "IoU ↑" and axis.get_xscale() == "log"
    assert axis.get_xlabel() == "network evaluations"
    sds, sctd = axis.containers
    assert [curve.get_label() for curve in (sds, sctd)] == ["SDS", "SCTD"]
    assert sds[0].get_xdata() == pytest.approx([802.5, 1602.5]) and sctd[0].get_ydata()[1] == 0
    wide = values[values["metric"] == "iou"].pivot(index="prompt", columns="method", values="value")
    pairs = wide["sds/train.stretch~0.5"] - wide["sctd/train.stretch~1.0"]
    assert sds[0].get_ydata()[0] == pytest.approx(pairs.mean())
    ends = sds.lines[2][0].get_segments()[0][:, 1]
    assert ends == pytest.approx(mean_interval(pairs.to_numpy()))


def test_the_bars_are_the_intervals_of_the_differences_and_the_official_level_stands_above(
    table: pd.DataFrame,
) -> None:
    figure = plots.draw_ablation(table, ABLATION, TITLES)
    clip = figure.axes[0]
    row = table[(table["variant"] == POINTS[2]) & (table["metric"] == "clip")].squeeze()
    ends = clip.containers[0].lines[2][0].get_segments()
    assert ends[1][:, 1] == pytest.approx(row[["low", "high"]].tolist()) and np.ptp(ends[0][:, 1]) == 0
    shown = [text.get_text() for text in clip.findobj(Text)]
    assert shown[shown.index("at 0:") + 1] == "63.00"
    assert figure._supylabel.get_text() == (
        "difference to segments N = 1, t lifted\nwithin prompts (n = 6, 95 % interval)"
    )


def test_curves_have_their_methods_color_and_its_second_one_is_dashed(table: pd.DataFrame) -> None:
    lines = [container[0] for container in plots.draw_ablation(table, ABLATION, TITLES).axes[0].containers]
    assert {line.get_color() for line in lines} == {look("sctd").color}
    assert [line.get_linestyle() for line in lines] == ["-", "--"]


def test_what_all_variants_share_of_guidance_is_said_once(table: pd.DataFrame) -> None:
    figure = plots.draw_ablation(table.assign(guidance="CFG"), ABLATION, TITLES)
    assert figure.legends[0].get_title().get_text() == "SCTD: CFG 7.5"
    assert figure.legends[0].get_texts()[0].get_text() == "t lifted"


@pytest.mark.parametrize("name", yaml.safe_load(SPACES.read_text()))
def test_no_text_of_any_ablation_leaves_its_figure(name: str) -> None:
    """Drawn with negative levels and the longest guidance."""
    entry = read_ablation(SPACES, name)
    chosen = variants(entry)
    values = [(v.name, prompt, metric, -0.12345 * (3 + place + at % 4)) for place, v in enumerate(chosen)
              for at, prompt in enumerate(PROMPTS) for metric in entry["panels"]]  # fmt: skip
    guidance = {v.name: Guidance("Perp-Neg", "7.5", "BEG" * (at % 2), "") for at, v in enumerate(chosen)}
    against = official_variants(chosen, entry["official"])
    frame = pd.DataFrame(values, columns=["method", "prompt", "metric", "value"])
    table = ablation_table.tabulate(frame, against, describe(chosen, TITLES), guidance)
    figure = plots.draw_ablation(table, entry, TITLES)
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.01 and box.x1 < width + 0.01 and box.y0 > -0.01 and box.y1 < height + 0.01
    for axis in figure.axes:
        labels = [text.get_window_extent() for text in axis.get_yticklabels() if text.get_text()]
        assert not [one for one, other in pairwise(labels) if one.overlaps(other)]


def test_equal_tables_give_equal_pictures(results: Path, table: pd.DataFrame) -> None:
    for name in ("a", "b"):
        out = [str(results / f"{name}.{suffix}") for suffix in ("svg", "png")]
        plots.main([
            "--table", str(results / "tables/ablation_n.csv"), "--name", "n",
            "--spaces", str(results / "spaces.yaml"), "--out", *out,
        ])  # fmt: skip
    assert (results / "a.svg").read_bytes() == (results / "b.svg").read_bytes()
    assert (results / "a.png").stat().st_size > 0


def test_categories_are_named_beside_their_points(table: pd.DataFrame) -> None:
    entry = {key: value for key, value in ABLATION.items() if key not in ("x", "lines")}
    figure = plots.draw_ablation(table, entry, TITLES)
    shown = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    told = ["CFG 7.5", "Perp-Neg 7.5"] * 2
    names = list(dict.fromkeys(table["label"]))[:4]
    assert shown == [f"{name}\n{text}" for name, text in zip(names, told, strict=True)]


def test_error_bars_are_empty_without_an_interval() -> None:
    points = pd.DataFrame({"mean": [1.0, 2.0], "low": [0.5, np.nan], "high": [2.0, np.nan]})
    assert errors(points).tolist() == [[0.5, 0], [1.0, 0]]


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
