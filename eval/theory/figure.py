"""What `eval.theory.experiment` measured, as a figure of four panels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..plots.style import SHADES, look
from .fit import EDGE, FIXED, LARGEST, SHOWN, segment_errors
from .page import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = {f"to t = {EDGE}": "-", "to t = 0": "--", "to t = -1": ":"}  # CDS's targets


def draw(points: pd.DataFrame, folder: Path) -> None:
    """theory.svg and theory.png, the same bytes for the same numbers."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style: dict[Any, Any] = {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "theory",
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(2, 2, figsize=(6.8, 6.2), layout="constrained")
        for panel, part, bound in zip(axes.flat, ("step", "length", "jump"), (1, 1, 2), strict=False):
            draw_sweep(panel, points, part, bound)
        draw_places(axes[1, 1], points)
        handles = [panel.get_legend_handles_labels() for panel in axes.flat[:3]]
        named = {label: line for lines, labels in handles for line, label in zip(lines, labels, strict=True)}
        figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=3,
                      handlelength=2.4, columnspacing=1.2)  # fmt: skip
        figure.savefig(folder / "theory.svg", metadata={"Date": None})
        figure.set_layout_engine("none")  # it stays as laid out
        figure.savefig(folder / "theory.png", dpi=200, metadata={"Software": None})
        plt.close(figure)


def draw_sweep(axes: Axes, points: pd.DataFrame, part: str, bound: int) -> None:
    """Mean error over starts against the part's variable, with the stated slope dashed."""
    variable, unit = ("step", "step Δt") if part == "step" else ("length", "length of the stretch")
    mine = points[points["part"] == part]
    for (method, region), group in mine.groupby(["method", "region"], sort=False):
        over = {variable: "mean", "error": "max" if region == LARGEST else "mean"}
        line = group.groupby(["start", "point"]).agg(over).groupby("point").mean()
        bold = method != "SCTD" or region == LARGEST
        color = "black" if region == LARGEST else look(str(method).lower()).color
        weight = {"lw": 1.8, "marker": "o", "ms": 3} if bold else {"lw": 1, "alpha": 0.8}
        weight |= {"lw": 3.2, "ms": 4.5, "zorder": 1.5} if region == LARGEST else {}  # seen below another
        axes.loglog(line[variable], line["error"], LINES.get(str(region), "-"), color=color,
                    label=name_curve(str(method), str(region), points), **weight)  # fmt: skip
    low, high, top = mine[variable].min(), mine[variable].max(), mine["error"].max()
    slope = [top * (low / high) ** bound, top]
    axes.loglog([low, high], slope, color="0.75", lw=3, label="slope of the bound", zorder=0)
    bottom = mine.groupby(["region", "point", "t", "target"])["error"].mean().min()
    axes.set(xlabel=f"{unit} (timesteps)", ylabel="RMS error of z at the target", title=TITLES[part])
    axes.set_ylim(bottom / 2, top * 3)


def name_curve(method: str, region: str, points: pd.DataFrame) -> str:
    """A curve's entry in the legend, with its target."""
    if method == "CDS":
        return f"CDS, {region}".replace("-1", "−1, clean")
    if region == LARGEST:
        return "SCTD, largest of N segments"
    mine = points.loc[(points["method"] == method) & (points["region"] != LARGEST), "target"]
    kind = "random e" if method == "GCS" else "five edges"
    return f"{method}, to {kind}, t = {mine.min()} to {mine.max()}"


def draw_places(axes: Axes, points: pd.DataFrame) -> None:
    """Each segment's error at the fixed step, over its place on the trajectory."""
    from matplotlib.ticker import NullFormatter

    errors = segment_errors(points, "length")
    for n, shade in zip(SHOWN, SHADES, strict=True):
        mine = errors[errors["segments"] == n]
        axes.hlines(mine["error"], mine["target"], mine["t"], color=shade, lw=2.2, label=f"N = {n}")
    axes.set_yscale("log")
    shown = errors[errors["segments"].isin(SHOWN)]["error"]
    axes.set_ylim(shown.min() / 3, shown.max() * 2)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="timestep t", ylabel="RMS error of z at its lower edge")
    axes.set_title(f"each segment's error, Δt = {FIXED}")
    axes.legend(loc="lower right", ncols=2)
