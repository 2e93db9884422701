"""The picture of an ablation's table: six panels of a metric each, with intervals over prompts.

    python -m eval.plots --table results/mini/tables/ablation_n.csv --name n --out ablation_n.svg

A numeric axis gives curves, categories give points; dashed and dotted lines are the true scene and the
start. As wide as a column of a two-column page.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from eval.ablation import SPACES, columns, heading, read_table
from eval.columns import CONTROL_TITLES
from eval.variants import read_ablation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 3.5, 1.28  # inches: of the figure, of a row of panels
# Okabe and Ito's colors, which the color-blind tell apart; markers and their order say the same again.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[Any, Any] = {
    "font.size": 6.5, "axes.titlesize": 7, "axes.labelsize": 6.5, "legend.fontsize": 6.5,
    "xtick.labelsize": 6, "ytick.labelsize": 6, "axes.linewidth": 0.6, "lines.linewidth": 1.0,
    "lines.markersize": 3, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlepad": 3, "axes.labelpad": 2, "xtick.major.size": 2, "ytick.major.size": 2,
}  # fmt: skip


def draw_ablation(table: pd.DataFrame, ablation: dict[str, Any], titles: dict[str, str]) -> Figure:
    """The figure of one ablation's table (see ablation.tabulate); metrics without values get no panel."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    known = columns()
    shown = [m for m in ablation["panels"] if table.loc[table["metric"] == m, "mean"].notna().any()]
    rows = math.ceil(len(shown) / 2)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, 2, figsize=(WIDTH, HEIGHT * rows + 0.5), layout="constrained", squeeze=False,
            sharex="x" in ablation and "all", sharey="x" not in ablation and "all",
        )  # fmt: skip
        for axis, metric in zip(axes.flat, shown, strict=False):
            mine = table[table["metric"] == metric]
            draw_panel(axis, mine, ablation, titles)
            axis.set_title(heading(known[metric]))
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        if "x" in ablation:
            for axis in axes[-1]:
                axis.set_xlabel(symbol(ablation["x"]))
        draw_legend(figure, list(axes.flat))
    return figure


def draw_legend(figure: Figure, axes: list[Axes]) -> None:
    """One legend above all panels: whatever any of them shows."""
    shown = [zip(*axis.get_legend_handles_labels(), strict=True) for axis in axes]
    lines = {label: line for pairs in shown for line, label in pairs}
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=min(4, len(lines)),
                  frameon=False, handlelength=1.8, columnspacing=1.0)  # fmt: skip


def draw_panel(axis: Axes, table: pd.DataFrame, ablation: dict[str, Any], titles: dict[str, str]) -> None:
    """One metric: its variants, then the references."""
    points = table[~table["variant"].isin(CONTROL_TITLES)]
    if "x" in ablation:
        draw_curves(axis, points, ablation["x"], ablation.get("lines"), titles)
        draw_references(table, axis.axhline, axis.get_ylim, axis.set_ylim)
    else:
        draw_categories(axis, points)
        draw_references(table, axis.axvline, axis.get_xlim, axis.set_xlim)


def draw_references(table: pd.DataFrame, line: Any, get_limits: Any, set_limits: Any) -> None:
    """Lines at the controls' means; the start, often far away, does not widen the axis."""
    style = {"color": "0.45", "linewidth": 0.8, "zorder": 0}
    for value in table.loc[table["variant"] == "truth", "mean"].dropna():
        line(value, linestyle="--", label="true scene", **style)
    limits = get_limits()
    for value in table.loc[table["variant"] == "start", "mean"].dropna():
        line(value, linestyle=":", label="start", **style)
    set_limits(limits)


def draw_curves(axis: Axes, points: pd.DataFrame, x: str, lines: str | None, titles: dict[str, str]) -> None:
    """A curve for each value of `lines`; they stand slightly apart, so that intervals do not overlap."""
    ticks = points[x].astype(float).unique()
    names = list(points[lines].unique()) if lines else [""]
    for i, name in enumerate(names):
        mine = (points[points[lines] == name] if lines else points).sort_values(x, key=pd.to_numeric)
        at = mine[x].astype(float) + 0.02 * np.ptp(ticks) * (i - (len(names) - 1) / 2)
        label = titles.get(name, name) if lines == "method" else f"{lines} = {name}" if lines else None
        axis.errorbar(at, mine["mean"], errors(mine), color=COLORS[i % len(COLORS)], label=label,
                      marker=MARKERS[i % len(MARKERS)], capsize=1.5, elinewidth=0.7)  # fmt: skip
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def draw_categories(axis: Axes, points: pd.DataFrame) -> None:
    """A point a variant, the first on top."""
    at = np.arange(len(points))
    for i, (_, row) in enumerate(points.iterrows()):
        axis.errorbar([row["mean"]], [at[i]], xerr=errors(row.to_frame().T), color=COLORS[i % len(COLORS)],
                      marker=MARKERS[i % len(MARKERS)], capsize=1.5, elinewidth=0.7)  # fmt: skip
    axis.set_yticks(at, points["label"])
    axis.set_ylim(len(points) - 0.5, -0.5)


def errors(points: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars below and above the means (2, n); zero where there is no interval."""
    mean, low, high = (points[name].to_numpy(dtype=float) for name in ("mean", "low", "high"))
    return np.nan_to_num(np.clip([mean - low, high - mean], 0, None))


def symbol(field: str) -> str:
    return {"t_tau": r"$t_\tau$", "omega": r"guidance scale $\omega$", "N": "segments N"}.get(field, field)


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format of the path's suffix; equal figures give equal bytes."""
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context({"svg.hashsalt": "bench"}):
        figure.savefig(path, dpi=300, metadata={"Date": None} if path.suffix == ".svg" else None)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Draw the table of an ablation.")
    parser.add_argument("--table", type=Path, required=True, help="the CSV of eval.ablation")
    parser.add_argument("--name", required=True, help="an ablation of --spaces")
    parser.add_argument("--spaces", type=Path, default=SPACES, help=f"YAML (default: {SPACES})")
    parser.add_argument("--titles", type=Path, help="YAML: method -> {title}")
    parser.add_argument("--out", type=Path, nargs="+", required=True, help="files; the suffix is the format")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        ablation = read_ablation(args.spaces, args.name)
        registered = yaml.safe_load(args.titles.read_text()) if args.titles else {}
        titles = {name: spec["title"] for name, spec in registered.items()}
        figure = draw_ablation(read_table(args.table), ablation, titles)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    for path in args.out:
        save(figure, path)


if __name__ == "__main__":
    main()
