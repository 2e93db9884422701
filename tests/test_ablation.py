"""Ablations: variants and their paths, pathology metrics, tables, plots and grids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from eval import ablation as ablation_table
from eval import grid, plots, publish
from eval.archive import write_views
from eval.pathology import detail, over_exposure, saturation
from eval.variants import describe, fields_of, overrides, read_ablation, variants
from segmentdreamer.config import load_config
from segmentdreamer.methods import load_method

ROOT = Path(__file__).parent.parent
SPACES = ROOT / "workflow/config/ablations.yaml"
TITLES = {"sds": "SDS", "sctd": "SCTD (ours)"}
ABLATION = {
    "title": "Segments",
    "x": "N",
    "lines": "redraw_t",
    "panels": ["clip", "detail", "collapsed", "seconds"],
    "space": [{"method": ["sctd"], "N": [1, 10], "redraw_t": [False, True]}],
}
POINTS = ["sctd/N~1/redraw_t~False", "sctd/N~1/redraw_t~True",
          "sctd/N~10/redraw_t~False", "sctd/N~10/redraw_t~True"]  # fmt: skip
PROMPTS = ["p01", "p02", "p03"]


# Variants ---------------------------------------------------------------------------------------------


def test_a_space_becomes_paths_in_its_order() -> None:
    assert [v.name for v in variants(ABLATION)] == POINTS
    mixed = {"space": [{"method": ["a", "b"], "omega": [3.5, 15], "end": [None]}]}
    assert [v.name for v in variants(mixed)][:2] == ["a/omega~3.5/end~null", "a/omega~15/end~null"]
    assert [v.name for v in variants({"space": [{"method": ["a"]}]})] == ["a"]


@pytest.mark.parametrize("name", yaml.safe_load(SPACES.read_text()))
def test_every_variant_of_every_ablation_reaches_its_method_as_it_was_meant(name: str) -> None:
    for variant in variants(read_ablation(SPACES, name)):
        config = load_config("mini", overrides(variant.name))
        method = load_method(variant.method, config.methods[variant.method])
        assert fields_of(variant.name) == variant.fields
        for field, value in variant.fields.items():
            assert getattr(method, field) == value


def test_the_ablations_share_what_they_can() -> None:
    cfg, loss = ({v.name for v in variants(read_ablation(SPACES, name))} for name in ("cfg", "loss"))
    assert len(loss - cfg) == 2 and len(loss) == 6  # CDS on the shared schedule, with either noise


@pytest.mark.parametrize("name", yaml.safe_load(SPACES.read_text()))
def test_every_panel_is_a_known_metric_and_every_category_has_a_label(name: str) -> None:
    entry = read_ablation(SPACES, name)
    assert set(entry["panels"]) <= set(ablation_table.columns())
    assert "x" in entry or all(variant.label for variant in variants(entry))


def test_an_unknown_ablation_is_told() -> None:
    with pytest.raises(ValueError, match="no ablation 'nope'; known: n, "):
        read_ablation(SPACES, "nope")


def test_texts_name_what_varies() -> None:
    assert list(describe(variants(ABLATION), TITLES).values())[0] == "N = 1, redraw_t = false"
    both = {"space": [{"method": ["sds", "sctd"], "omega": [5]}]}
    assert list(describe(variants(both), TITLES).values()) == ["SDS", "SCTD (ours)"]
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
def test_the_background_does_not_matter_and_nothing_gives_nan(metric) -> None:  # noqa: ANN001
    views = textured()
    painted = views.copy()
    painted[views[..., 3] == 0] = (255, 0, 255, 0)
    assert np.array_equal(metric(views), metric(painted))
    assert np.isnan(metric(np.zeros((1, 8, 8, 4), np.uint8))).all()


# Tables, plots, grids ---------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A finished ablation: CLIP is 10 N + prompt + seed, a quarter of the draws of N = 10 collapse."""
    for name in (*POINTS, "start", "truth"):
        for number, prompt in enumerate(PROMPTS):
            for seed in (0, 1):
                fields = fields_of(name)
                folder = tmp_path / "scores" / name / prompt / str(seed)
                folder.mkdir(parents=True)
                clip = 10 * fields.get("N", 5) + number + seed
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
    config = {"train": {"steps": 4}, "extra": fields["N"], "methods": {"sctd": fields}}
    record = {"config": config, "hyper_parameters": fields, "asset_sha256": "0", "prompt": "x",
              "weights_sha256": "1", "versions": {}, "machine": {}}  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(record))


@pytest.fixture
def table(results: Path) -> pd.DataFrame:
    spaces = results / "spaces.yaml"
    spaces.write_text(yaml.safe_dump({"n": ABLATION}))
    ablation_table.main([
        "--results", str(results), "--name", "n", "--spaces", str(spaces), "--prompts", *PROMPTS,
        "--seeds", "2", "--controls", "start", "truth",
    ])  # fmt: skip
    return ablation_table.read_table(results / "tables/ablation_n.csv")


def test_the_table_has_means_over_prompts_and_no_intervals_of_three(table: pd.DataFrame) -> None:
    row = table[(table["variant"] == POINTS[2]) & (table["metric"] == "clip")].squeeze()
    assert row["mean"] == pytest.approx(101.5) and row["prompts"] == 3
    assert np.isnan([row["low"], row["high"]]).all()
    assert (row["N"], row["redraw_t"], row["method"]) == ("10", "false", "sctd")
    assert list(table["variant"].unique()) == [*POINTS, "start", "truth"]
    assert "hidden" not in set(table["metric"])


def test_the_share_of_collapsed_draws_comes_from_the_log(table: pd.DataFrame) -> None:
    share = table[table["metric"] == "collapsed"].set_index("variant")["mean"]
    assert share.to_dict() == {POINTS[0]: 0, POINTS[1]: 0, POINTS[2]: 0.25, POINTS[3]: 0.25}


def test_costs_are_those_of_the_runs(table: pd.DataFrame) -> None:
    means = table[table["variant"] == POINTS[0]].set_index("metric")["mean"]
    assert (means["seconds"], means["nfe"], means["peak_memory"]) == (7, 80, 900)


def test_the_readable_table_shows_controls_beside_the_variants(results: Path, table: pd.DataFrame) -> None:
    text = (results / "tables/ablation_n.md").read_text().replace("\\", "")
    assert "| N = 10, redraw_t = true | 101.50 |" in text and "Collapsed draws" in text
    assert "| true scene (3D ceiling) | 51.00 |" in text and "Janus ↓ |" not in text


def test_a_missing_asset_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*scores\.csv"):
        ablation_table.main(["--results", str(tmp_path), "--name", "n", "--spaces", str(SPACES),
                             "--prompts", "p01"])  # fmt: skip


def test_the_plot_has_a_panel_a_metric_and_a_curve_a_line(table: pd.DataFrame) -> None:
    figure = plots.draw_ablation(table, ABLATION, TITLES)
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in panels] == ["CLIP ↑", "Detail", "Collapsed draws ↓", "Time (s) ↓"]
    clip = panels[0].containers
    assert len(clip) == 2 and np.allclose(clip[0].lines[0].get_ydata(), [11.5, 101.5])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert set(labels) == {"redraw_t = false", "redraw_t = true", "true scene", "start"}


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
    assert shown == list(dict.fromkeys(table["label"]))[:4]


def test_error_bars_are_empty_without_an_interval() -> None:
    points = pd.DataFrame({"mean": [1.0, 2.0], "low": [0.5, np.nan], "high": [2.0, np.nan]})
    assert plots.errors(points).tolist() == [[0.5, 0], [1.0, 0]]


def test_the_grid_has_a_row_a_variant_and_the_numbers_beside(results: Path, table: pd.DataFrame) -> None:
    from eval.sheet import GAP, TILE

    picture = grid.picture_grid(results, table, dict.fromkeys(PROMPTS, "a thing"), 0)
    rows = len(POINTS) + 1  # and the true scene
    assert picture.height // (TILE + GAP) == rows
    group = table[table["variant"] == POINTS[0]]
    assert grid.numbers(group) == ["Detail 30.0"]


def test_publishing_tells_each_asset_and_what_all_share(results: Path, table: pd.DataFrame) -> None:
    for name in publish.TABLES:
        (results / "tables" / name).write_text("x")
    (results / "plots").mkdir()
    (results / "plots/ablation_n.svg").write_text("x")
    publish.main(["--results", str(results), "--out", str(results / "out")])
    record = json.loads((results / "out/manifest.json").read_text())
    assert len(record["assets"]) == len(POINTS) * len(PROMPTS) * 2
    assert record["shared"]["config"] == {"train.steps": 4}
    assert record["assets"]["sctd/N~10/redraw_t~True/p01/0"]["settings"] == {"extra": 10}
    for name in ("ablation_n.csv", "ablation_n.md", "plots/ablation_n.svg", "sheet.png"):
        assert (results / "out" / name).exists()
