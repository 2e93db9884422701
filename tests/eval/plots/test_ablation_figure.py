"""An ablation's figure: its panels, curves, bars and texts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text
from simulated_ablation import ABLATION, POINTS, PROMPTS, TITLES

from eval import ablation as ablation_table
from eval.guidance import Guidance
from eval.plots import ablation as plots
from eval.plots.style import errors, look
from eval.statistics.intervals import mean_interval
from eval.variants import describe, official_variants, read_ablation, variants

SPACES = Path(__file__).parents[3] / "workflow/config/ablations.yaml"


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


NFE = {
    "x": "nfe",
    "lines": "method",
    "panels": ["iou", "clip"],
    "official": [{"method": "sctd", "train.stretch": 1.0}],
    "space": [{"method": ["sds", "sctd"], "train.stretch": [0.5, 1.0]}],
}


def test_quality_over_evaluations_is_a_curve_a_method_at_its_measured_cost_against_one_official() -> None:
    chosen = variants(NFE)
    against = official_variants(chosen, NFE["official"])
    assert set(against.values()) == {"sctd/train.stretch~1.0"}
    rng = np.random.default_rng(0)
    cost = {"sds": 800, "sctd": 1900}
    rows = [
        (v.name, prompt, metric, value)
        for v in chosen
        for place, prompt in enumerate(PROMPTS)
        for metric, value in (
            ("nfe", 2 * cost[v.method] * v.fields["train.stretch"] + place),
            ("iou", v.fields["train.stretch"] / 10 + rng.random()),
        )
    ]
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
    values = [
        (v.name, prompt, metric, -0.12345 * (3 + place + at % 4))
        for place, v in enumerate(chosen)
        for at, prompt in enumerate(PROMPTS)
        for metric in entry["panels"]
    ]
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
