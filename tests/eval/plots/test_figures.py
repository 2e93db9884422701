"""The figures beside Table 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_run as simulated
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from eval.plots import figures
from eval.plots.style import WIDTH, look, save
from eval.tables import table1 as table

TITLES = {"sds": "SDS", "ism": "ISM", "cds": "CDS", "gcs": "GCS", "sctd": "SCTD"}
NAMES = ("quality_time", "quality_nfe", "heat_map", "critical_difference")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = simulated.write_run(tmp_path_factory.mktemp("run"))
    table.main(simulated.arguments(root))
    figures.main(["--results", str(root)])
    return root


@pytest.fixture(scope="module")
def drawn(results: Path) -> dict[str, Figure]:
    """The same figures, drawn once more."""
    return figures.draw_all(results / "tables")


@pytest.fixture
def summary(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "tables/summary.csv")


@pytest.fixture
def per_prompt(results: Path) -> pd.DataFrame:
    values = pd.read_csv(results / "tables/per_prompt.csv")
    return values[values["method"].isin(TITLES) & (values["prompt"] != "p03")]


def test_a_run_gets_each_figure_as_vector_and_as_picture_of_a_columns_width(results: Path) -> None:
    for name in NAMES:
        assert (results / f"plots/{name}.svg").read_text().lstrip().startswith("<?xml")
        assert Image.open(results / f"plots/{name}.png").width == round(WIDTH * 300)


def test_equal_tables_give_equal_figures(results: Path, drawn: dict[str, Figure], tmp_path: Path) -> None:
    for name, figure in drawn.items():
        save(figure, tmp_path / f"{name}.svg")
        assert (tmp_path / f"{name}.svg").read_bytes() == (results / f"plots/{name}.svg").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_no_text_leaves_the_figure(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    edge = 0.01
    assert box.x0 > -edge and box.x1 < width + edge and box.y0 > -edge and box.y1 < height + edge
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert sizes and min(sizes) >= 5


def test_each_method_is_a_point_with_both_of_its_intervals(summary: pd.DataFrame) -> None:
    figure = figures.draw_cost(summary, "seconds", ["clip"], "CPU", TITLES)
    clip = figure.axes[0]
    assert clip.get_title() == "CLIP ↑" and len(clip.containers) == 5
    known = summary.set_index(["method", "metric"])
    for container, method in zip(clip.containers, TITLES, strict=True):
        point, _, bars = container
        assert point.get_xdata() == pytest.approx([known.loc[(method, "seconds"), "mean"]])
        assert point.get_ydata() == pytest.approx([known.loc[(method, "clip"), "mean"]])
        ends = bars[1].get_segments()[0][:, 1]
        assert ends == pytest.approx(known.loc[(method, "clip"), ["low", "high"]].to_list())
    assert [t.get_text() for t in figure.legends[0].get_texts()] == list(TITLES.values())


def test_a_method_keeps_its_color_when_another_has_no_cost(summary: pd.DataFrame) -> None:
    known = summary[~((summary["method"] == "sds") & (summary["metric"] == "nfe"))]
    points = [
        container[0]
        for container in figures.draw_cost(known, "nfe", ["clip"], "CPU", TITLES).axes[0].containers
    ]
    assert [point.get_color() for point in points] == [look(m).color for m in ("ism", "cds", "gcs", "sctd")]


def test_long_times_are_drawn_in_minutes(summary: pd.DataFrame) -> None:
    longer = summary.copy()
    longer.loc[longer["metric"] == "seconds", ["mean", "low", "high"]] *= 60
    figure = figures.draw_cost(longer, "seconds", ["clip", "iou"], "GPU", TITLES)
    assert figure.axes[-1].get_xlabel() == "GPU time (min)"
    assert 10 < figure.axes[0].containers[0][0].get_xdata()[0] < 30


def test_without_costs_the_figure_says_so(summary: pd.DataFrame) -> None:
    figure = figures.draw_cost(summary[summary["metric"] != "nfe"], "nfe", ["clip"], "CPU", TITLES)
    assert figure.axes[0].texts[0].get_text() == "no method has both NFE and a score"


def test_deviations_are_around_the_prompts_mean_and_positive_for_better(per_prompt: pd.DataFrame) -> None:
    clip = figures.deviations(per_prompt, "clip", list(TITLES))
    assert clip.shape == (7, 5) and clip.mean(axis=1).abs().max() < 1e-9
    assert (clip["sctd"] > 0).all() and (clip["sds"] < 0).all()
    flipped = per_prompt.assign(metric=per_prompt["metric"].replace({"clip": "janus", "janus": "clip"}))
    assert np.allclose(figures.deviations(flipped, "janus", list(TITLES)), -clip)


def test_the_best_cell_is_blue_and_the_worst_orange(per_prompt: pd.DataFrame) -> None:
    figure = figures.draw_heat_map(per_prompt, ["clip", "toy_reward"], TITLES)
    image = figure.axes[0].images[0]
    shown = image.to_rgba(image.get_array())[..., :3]
    worst = np.unravel_index(np.argmin(image.get_array()), shown.shape[:2])
    assert np.allclose(shown[worst], to_rgb("#D55E00"), atol=0.05)
    reward = figure.axes[1].images[0]
    best = np.unravel_index(np.argmax(reward.get_array()), reward.get_array().shape)
    assert np.allclose(reward.to_rgba(reward.get_array())[best][:3], to_rgb("#0072B2"), atol=0.05)
    assert figure.axes[0].get_title().startswith("CLIP ↑\n±")


def test_metrics_that_tell_no_method_apart_are_not_mapped(per_prompt: pd.DataFrame) -> None:
    primary = ["clip", "clip_r", "toy_reward", "fid_clip", "iou", "seconds"]
    assert figures.telling_metrics(per_prompt, primary, list(TITLES)) == ["clip", "toy_reward", "iou"]
    assert figures.telling_metrics(per_prompt, ["clip_r"], list(TITLES)) == ["clip_r"]


def test_a_diagram_of_ranks_shows_mean_ranks_and_joins_what_may_be_equal(per_prompt: pd.DataFrame) -> None:
    figure = figures.draw_ranks(per_prompt, ["toy_reward"], TITLES)
    axis = figure.axes[0]
    labels = [text.get_text() for text in axis.texts]
    assert "SDS 1.00" in labels and "CDS 5.00" in labels
    assert axis.get_title(loc="left").startswith("ToyReward ↑: n = 7, CD = 2.31, Friedman p =")
    bars = [line.get_xdata() for line in axis.lines if line.get_linewidth() == 2.2]
    assert bars and all(high - low < 2.31 + 0.1 for low, high in bars)
    assert min(low for low, _ in bars) == pytest.approx(1, abs=0.05)


def test_no_line_of_a_rank_diagram_is_cut_however_the_ranks_lie() -> None:
    """All methods but one at the better end, the worst case for the names on one side."""
    rows = [
        (method, f"p{p}", "clip", -100.0 if method == "sctd" else float((place + p) % 4))
        for place, method in enumerate(TITLES)
        for p in range(8)
    ]
    values = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    axis = figures.draw_ranks(values, ["clip"], TITLES).axes[0]
    low, high = axis.get_ylim()
    for line in axis.lines:
        assert low + 0.3 < min(line.get_ydata()) and max(line.get_ydata()) <= high
    assert {label.get_text().rsplit(" ", 1)[0] for label in axis.texts} >= set(TITLES.values())


def test_equal_ranks_stand_beside_each_other() -> None:
    assert figures.spread([1.0, 2.0, 2.0, 4.0], 0.2) == pytest.approx([1.0, 1.9, 2.1, 4.0])
    apart = np.array(figures.spread([2.0, 2.0, 2.0, 2.25], 0.2))
    assert np.diff(apart) == pytest.approx([0.2] * 3) and apart.mean() == pytest.approx(2.0625)
    rows = [(m, f"p{p}", "clip", float(m != "sds")) for m in TITLES for p in range(6)]
    values = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    axis = figures.draw_ranks(values, ["clip"], TITLES).axes[0]
    markers = [line.get_xdata()[0] for line in axis.lines if line.get_marker() not in ("None", "")]
    assert len(markers) == 5 and np.diff(sorted(markers)).min() > 0.1


def test_an_axis_has_enough_ticks_to_read_a_value(drawn: dict[str, Figure]) -> None:
    for axis in drawn["quality_time"].axes:
        for ticks, (low, high) in (
            (axis.get_xticks(), axis.get_xlim()),
            (axis.get_yticks(), axis.get_ylim()),
        ):
            assert sum(low <= tick <= high for tick in ticks) >= 3


def test_a_missing_value_stands_in_the_legend_of_the_map(per_prompt: pd.DataFrame) -> None:
    def told(values: pd.DataFrame) -> list[str]:
        figure = figures.draw_heat_map(values, ["clip"], TITLES)
        return [text.get_text() for legend in figure.legends for text in legend.get_texts()]

    assert told(per_prompt) == []
    assert told(per_prompt[(per_prompt["method"] != "sds") | (per_prompt["prompt"] != "p01")]) == ["no value"]


def test_a_method_without_a_point_is_not_in_the_legend() -> None:
    from eval.plots.style import draw_legend, panels

    figure, axes = panels(1, 1, 1)
    axes[0, 0].errorbar([1], [2], yerr=[[1], [1]], label="seen")
    axes[0, 0].errorbar([1], [np.nan], label="empty")
    axes[0, 0].axhline(0, label="line")
    draw_legend(figure, axes.flat)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["line", "seen"]


def test_the_map_of_forty_prompts_fits_a_page() -> None:
    rng = np.random.default_rng(0)
    metrics = ["clip", "clip_r", "image_reward", "janus_index", "iou", "color_error"]
    rows = [(m, f"p{p:02d}", q, rng.normal()) for m in TITLES for p in range(40) for q in metrics]
    values = pd.DataFrame(rows, columns=["method", "prompt", "metric", "value"])
    figure = figures.draw_heat_map(values, metrics, TITLES)
    assert figure.get_figheight() < 9  # inches
    for axis in figure.axes[:6]:
        assert [label.get_text() for label in axis.get_xticklabels()] == list(TITLES.values())


def test_a_run_without_a_table_ends_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*table1\.json"):
        figures.main(["--results", str(tmp_path)])
