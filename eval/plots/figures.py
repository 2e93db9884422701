"""The figures beside Table 1: quality against cost, prompts against methods, ranks.

    python -m eval.plots.figures --results results/mini

reads RESULTS/tables and writes quality_time, quality_nfe, heat_map and critical_difference, each as svg and
png, into RESULTS/plots. As wide as a column of a two-column page.
"""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd

from segmentdreamer.command import Program, Results, Selection, outputs

from ..metrics import columns, heading
from ..statistics.ranks import CriticalDifference, critical_difference, value_table
from ..tables.formats import NOTHING
from ..tables.layout import printed
from .style import DIVERGING, draw_legend, errors, legend_columns, look, panels, save, style, use

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 1.25  # inches: the height of a row of panels
MAPPED, RANKED = 6, 3  # most panels of the heat map and of the figure of ranks


def draw_nothing(text: str) -> Figure:
    """A figure that says why it is empty."""
    figure, axes = panels(1, 1, 0.5)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", transform=axes[0, 0].transAxes)
    return figure


@style()
def draw_cost(
    summary: pd.DataFrame, cost: str, metrics: list[str], device: str, titles: dict[str, str]
) -> Figure:
    """Quality against cost: a point a method with both intervals, a panel a metric that any method has.

    summary: method, metric, mean, low, high. cost: the metric on the horizontal axis (seconds or nfe), spent
    on `device`. Methods keep their colors from figure to figure, whichever has no cost.
    """
    from matplotlib.ticker import MaxNLocator

    known, spec = columns(), printed(cost, summary)
    table = summary.dropna(subset="mean").set_index(["method", "metric"])[["mean", "low", "high"]]
    shown = [q for q in metrics if any({(m, q), (m, cost)} <= set(table.index) for m in titles)]
    if not shown:
        return draw_nothing(f"no method has both {spec['name']} and a score")
    rows, lines = math.ceil(len(shown) / 2), math.ceil(len(titles) / legend_columns(titles.values()))
    figure, axes = panels(rows, 2, PANEL * rows + 0.2 + 0.14 * lines)
    for axis, metric in zip(axes.flat, shown, strict=False):
        for method, title in titles.items():
            if {(method, metric), (method, cost)} <= set(table.index):
                x, y = table.loc[[(method, cost)]] * spec["factor"], table.loc[[(method, metric)]]
                axis.errorbar(x["mean"], y["mean"], xerr=errors(x), yerr=errors(y), **asdict(look(method)),
                              linestyle="", capsize=1.2, elinewidth=0.7, markersize=4, markeredgewidth=0.3,
                              markeredgecolor="white", label=title)  # fmt: skip
        axis.set_title(heading(known[metric]))
        axis.margins(0.12)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(MaxNLocator(5, min_n_ticks=4))
    for axis in use(axes, len(shown), 2):
        axis.set_xlabel(f"{device} {spec['name'].lower()}" if cost == "seconds" else "network evaluations")
    draw_legend(figure, axes.flat)
    return figure


def deviations(per_prompt: pd.DataFrame, metric: str, methods: list[str]) -> pd.DataFrame:
    """How much better than the prompt's mean over methods each method is: prompts x methods.

    per_prompt: method, prompt, metric, value. Positive is better, whatever the metric's direction.
    """
    mine = per_prompt[per_prompt["metric"] == metric]
    wide = mine.pivot(index="prompt", columns="method", values="value").reindex(columns=methods)
    sign = -1 if columns()[metric].get("better") == "down" else 1
    return sign * wide.sub(wide.mean(axis=1), axis=0)


@style()
def draw_heat_map(per_prompt: pd.DataFrame, metrics: list[str], titles: dict[str, str]) -> Figure:
    """Prompts x methods, a panel a metric, colored by the distance to the prompt's mean (better: blue)."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Patch

    colors = LinearSegmentedColormap.from_list("worse to better", DIVERGING).with_extremes(bad="0.8")
    if not metrics:
        return draw_nothing("no prompt has a score of every method")
    prompts = len(per_prompt["prompt"].unique())
    rows = math.ceil(len(metrics) / 3)
    height = rows * (0.75 + max(0.075, min(0.16, 3 / prompts)) * prompts) + 0.45
    figure, axes = panels(rows, 3, height, sharey=True)
    image, gaps = None, False
    for axis, metric in zip(axes.flat, metrics, strict=False):
        table = deviations(per_prompt, metric, list(titles))
        gaps |= bool(table.isna().any(axis=None))
        limit = np.nanmax(np.abs(table.to_numpy())) or 1.0
        image = axis.imshow(table / limit, cmap=colors, vmin=-1, vmax=1, aspect="auto", interpolation="none")
        spec = columns()[metric]
        axis.set_title(f"{heading(spec)}\n±{limit:.{spec['digits']}f}")
        axis.set_xticks(range(len(titles)), list(titles.values()), rotation=90)
        axis.set_yticks(range(len(table)), list(table.index), fontsize=5 if prompts > 20 else None)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    use(axes, len(metrics), 3)
    if image is not None:
        bar = figure.colorbar(image, ax=axes, location="bottom", aspect=40, shrink=0.6, pad=0.02)
        bar.set_ticks([-1, 0, 1], labels=["worse", "mean of the prompt", "better"])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
    if gaps:
        figure.legend(
            handles=[Patch(facecolor="0.8", label="no value")],
            loc="outside upper right",  # below stand the bar and the note
            frameon=False,
            handlelength=1,
        )
    return figure


@style()
def draw_ranks(per_prompt: pd.DataFrame, metrics: list[str], titles: dict[str, str]) -> Figure:
    """Critical-difference diagrams, one a metric: mean ranks, and bars over methods that may be equal."""
    if not metrics:
        return draw_nothing("no prompt has scores of two methods or more to rank")
    figure, axes = panels(len(metrics), 1, (0.62 + 0.13 * len(titles)) * len(metrics))
    for axis, metric in zip(axes.flat, metrics, strict=True):
        ranks = critical_difference(per_prompt, metric, columns()[metric]["better"], list(titles))
        draw_rank_axis(axis, ranks, titles)
        figures = [f"n = {ranks.n}", f"CD = {ranks.difference:.2f}"]
        figures += [] if np.isnan(ranks.friedman_p) else [f"Friedman p = {ranks.friedman_p:.2g}"]
        axis.set_title(f"{heading(columns()[metric])}: {', '.join(figures)}", loc="left")
    return figure


def draw_rank_axis(axis: Axes, ranks: CriticalDifference, titles: dict[str, str]) -> None:
    """One diagram: the axis of ranks on top, bars of groups below it, then a line a method to its name."""
    count = len(ranks.methods)
    half = (count + 1) // 2  # that many names stand on the left
    bars = len(ranks.groups)
    names_need = 0.8 * (count - 1)  # a third of the width on either side
    axis.set_xlim(1 - names_need, count + names_need)
    axis.set_ylim(-(bars * 0.35 + 0.6 + half), 0.9)
    axis.set_axis_off()
    axis.plot([1, count], [0, 0], color="black", linewidth=0.8, clip_on=False)
    for tick in range(1, count + 1):
        axis.plot([tick, tick], [0, 0.15], color="black", linewidth=0.8)
        axis.text(tick, 0.25, str(tick), ha="center", va="bottom", fontsize=6)
    place = dict(zip(ranks.methods, ranks.mean_ranks, strict=True))
    apart = spread([float(rank) for rank in ranks.mean_ranks], 0.018 * np.ptp(axis.get_xlim()))
    beside = dict(zip(ranks.methods, apart, strict=True))
    for level, group in enumerate(ranks.groups):
        ends = beside[group[0]] - 0.04, beside[group[-1]] + 0.04
        axis.plot(ends, [-0.35 * (level + 1)] * 2, color="0.35", linewidth=2.2, solid_capstyle="butt")
    left, right = ranks.methods[:half], ranks.methods[half:][::-1]
    for names, end, side in ((left, 0.9, "right"), (right, count + 0.1, "left")):
        for depth, method in enumerate(names):
            y = -(bars * 0.35 + 0.6 + depth)
            x = beside[method]
            axis.plot([x, x, end], [0, y, y], color=look(method).color, linewidth=0.8)
            axis.plot([x], [0], **asdict(look(method)))
            shift = (-0.01 if side == "right" else 0.01) * count
            axis.text(
                end + shift, y, f"{titles[method]} {place[method]:.2f}", ha=side, va="center", fontsize=6.5
            )


def spread(places: list[float], gap: float) -> list[float]:
    """Ascending places moved apart until neighbors are `gap` from each other, each group about its middle."""
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and reach(groups[-2], gap)[1] + gap > reach(groups[-1], gap)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [reach(group, gap)[0] + gap * i for group in groups for i in range(len(group))]


def reach(group: list[float], gap: float) -> tuple[float, float]:
    """The first and last place of a group whose members stand `gap` apart."""
    middle, half = sum(group) / len(group), gap * (len(group) - 1) / 2
    return middle - half, middle + half


def add_note(figure: Figure, titles: dict[str, str], told: dict[str, str]) -> Figure:
    """The figure with lines below it that say each method's guidance; told: method -> text, where known."""
    parts = [f"{titles[m]}: {told[m]}".replace(" ", "\N{NO-BREAK SPACE}") for m in titles if m in told]
    figure.supxlabel(textwrap.fill("; ".join(parts), 75), fontsize=5.5, color="0.3")
    return figure


def draw_all(tables: Path) -> dict[str, Figure]:
    """Every figure of a run, by name."""
    record = json.loads((tables / "table1.json").read_text("utf-8"))
    summary = pd.read_csv(tables / "summary.csv")
    per_prompt = pd.read_csv(tables / "per_prompt.csv", dtype={"prompt": str})
    alive = set(per_prompt["method"])
    titles = {m: title for m, title in record["methods"].items() if m in alive}
    told = {m: text for m, text in record["guidance"].items() if text != NOTHING}
    labels = {m: f"{title}, {told[m]}" if m in told else title for m, title in titles.items()}
    mine = per_prompt[per_prompt["method"].isin(titles) & per_prompt["prompt"].isin(record["complete"])]
    first = [*dict.fromkeys([*record["confirmatory"], *record["primary"]])]  # what tests decide by
    metrics = telling_metrics(mine, first, list(titles))
    unit = "GPU" if "cuda" in record["device"] else "CPU" if record["device"] else "run"
    figures = {
        "quality_time": draw_cost(summary, "seconds", record["confirmatory"], unit, labels),
        "quality_nfe": draw_cost(summary, "nfe", record["confirmatory"], unit, labels),
        "heat_map": add_note(draw_heat_map(mine, metrics[:MAPPED], titles), titles, told),
    }
    if len(record["methods"]) > 1:
        ranks = metrics[:RANKED] if len(titles) > 1 else []
        figures["critical_difference"] = add_note(draw_ranks(mine, ranks, titles), titles, told)
    return figures


def telling_metrics(per_prompt: pd.DataFrame, metrics: list[str], methods: list[str]) -> list[str]:
    """The metrics of views that some prompt has for all methods; of these, any that tell methods apart."""
    known = columns()
    views = [m for m in metrics if not known[m].get("pooled") and not known[m].get("cost")]
    tables = {m: value_table(per_prompt, m, methods).to_numpy() for m in views}
    measured = [m for m in views if len(tables[m])]
    return [m for m in measured if (np.ptp(tables[m], axis=1) > 0).any()] or measured


def draw(
    results: Results,
    selection: Selection = "",
    out: Annotated[Path | None, outputs("folder (default: RESULTS/plots/NAME)")] = None,
) -> None:
    """Draw the figures beside Table 1."""
    for name, figure in draw_all(results / "tables" / selection).items():
        for suffix in ("svg", "png"):
            save(figure, (out or results / "plots" / selection) / f"{name}.{suffix}")


main = Program(draw)

if __name__ == "__main__":
    main()
