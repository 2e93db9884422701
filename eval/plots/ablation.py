"""The picture of an ablation's table: a panel a metric, with the differences that it is for.

    python -m eval.plots --table results/mini/tables/ablation_n.csv --name n --out ablation_n.svg

A point is the mean difference, within prompts, to the official variant, a bar its interval; the official
level stands above each panel. A numeric axis gives curves, over a field or, logarithmic, over what was
measured (nfe); categories give points; dashed and dotted lines are the true scene and the start, where they
are near. As wide as a column of a two-column page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd

from segmentdreamer.command import Program, Titles, inputs, outputs

from ..ablation import SPACES, ablation_columns, compared_with, heading, read_table
from ..guidance import from_columns, tell
from ..metrics import CONTROL_TITLES, read_titles
from ..tables.formats import NOTHING, minus
from ..variants import NAMES, in_words, read_ablation
from .style import draw_legend, errors, legend_columns, look, panels, save, style, use

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, LINE = 1.3, 0.115  # inches: the least height of a panel, a line of its categories' names
CLOSE = 0.16  # of the axis: ticks nearer to each other are written aslant
ABREAST = 3  # official levels in a line above a panel
DASHES = ("-", "--", ":", "-.")  # of the curves of one method
CONTROL_LINES = {"truth": ("true scene", "--"), "start": ("start", ":")}


@style()
def draw_ablation(table: pd.DataFrame, ablation: dict[str, Any], titles: Mapping[str, str]) -> Figure:
    """The figure of one ablation's table (see ablation.tabulate); metrics without values get no panel."""
    if measured(ablation):
        table = table.assign(**{ablation["x"]: table["variant"].map(levels_of(table, ablation["x"]))})
    points = table[~table["variant"].isin(CONTROL_TITLES)]
    shown = [m for m in ablation["panels"] if table.loc[table["metric"] == m, "level"].notna().any()]
    texts, shared = label_variants(points.drop_duplicates("variant"), ablation, titles)
    curved, rows = "x" in ablation, math.ceil(len(shown) / 2)
    names = sum(text.count("\n") + 1 for text in texts.values())
    lines = math.ceil(len({*texts.values()}) / legend_columns(texts.values())) if curved else 0
    figure, axes = panels(
        rows,
        2,
        (PANEL if curved else max(PANEL, 0.5 + LINE * names)) * rows + 0.55 + 0.14 * lines,
        sharex=curved and "all",
        sharey=not curved and "all",
    )
    for axis, metric in zip(axes.flat, shown, strict=False):
        draw_panel(axis, table[table["metric"] == metric], ablation.get("x"), texts)
    lowest = use(axes, len(shown), 2)
    for axis in lowest if curved else ():
        if not measured(ablation):
            ticks = np.unique(points[ablation["x"]].astype(float))
            close = np.diff(ticks).min(initial=np.inf) < CLOSE * np.ptp(ticks)
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks], rotation=45 if close else 0)
        axis.set_xlabel(symbol(ablation["x"]))
        axis.tick_params(labelbottom=True)  # also above an empty place
    (figure.supylabel if curved else figure.supxlabel)(describe(points[points["metric"].isin(shown)]))
    draw_legend(figure, axes.flat, title=shared)
    return figure


def measured(ablation: Mapping[str, Any]) -> bool:
    """Whether the horizontal axis is a metric and no field of the variants."""
    return ablation.get("x") in ablation_columns()


def levels_of(table: pd.DataFrame, metric: str) -> dict[str, float]:
    """variant -> its level of a metric."""
    rows = table[table["metric"] == metric]
    return dict(zip(rows["variant"], rows["level"], strict=True))


def label_variants(
    variants: pd.DataFrame, ablation: Mapping[str, Any], titles: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """variant -> the name of its curve or of its category; and the guidance, if it is the same for all.

    variants: a row each. Guidance that is not the same for all is part of the names.
    """
    guidance = {row["variant"]: from_columns(row) for row in variants.to_dict("records")}
    lines = ablation.get("lines") if "x" in ablation else "variant"
    groups = variants.groupby(apart(variants, ablation, lines), sort=False) if lines else [(("",), variants)]
    told = {tell([own], guidance.values()) for own in guidance.values()}
    texts: dict[str, str] = {}
    for (key, *_), group in groups:
        name = in_words(lines, str(key)) if lines else ""
        if lines in ("variant", "method"):
            name = group["label"].iloc[0] if lines == "variant" else titles.get(str(key), str(key))
        own = tell([guidance[name] for name in group["variant"]], guidance.values())
        if len(told) > 1:
            parts = [" ".join(name.split()), own]
            name = (", " if "x" in ablation else "\n").join(part for part in parts if part)
        texts |= dict.fromkeys(group["variant"], name)
    methods = ", ".join(titles.get(method, method) for method in variants["method"].unique())
    return texts, f"{methods}: {told.pop()}" if len(told) == 1 and NOTHING not in told else ""


def apart(variants: pd.DataFrame, ablation: Mapping[str, Any], lines: str) -> list[str]:
    """What tells curves or categories apart: `lines`, and each field but x that still varies within one."""
    fields = dict.fromkeys(field for product in ablation["space"] for field in product)
    others = [field for field in fields if field not in ("label", "method", ablation.get("x"), lines)]
    others = [] if measured(ablation) else others  # which are what the points of a curve differ in
    varying = [field for field in others if variants.groupby(lines)[field].nunique().max() > 1]
    return [lines, *(varying if "x" in ablation else [])]


def describe(points: pd.DataFrame) -> str:
    """What the axis of differences shows: to what, and on how many prompts."""
    pairs = points[points["variant"] != points["official"]]["n"]
    counts = " to ".join(f"{n}" for n in dict.fromkeys((pairs.min(), pairs.max())))
    interval = "95 % interval" if points["low"].notna().any() else "no interval"
    return f"difference to {compared_with(points)}\nwithin prompts (n = {counts}, {interval})"


def draw_panel(axis: Axes, table: pd.DataFrame, x: str | None, texts: Mapping[str, str]) -> None:
    """One metric: its variants about the official level, which stands above, then the controls."""
    spec = ablation_columns()[table["metric"].iloc[0]]
    official = table["variant"] == table["official"]
    points = table[table["variant"].isin(texts)].assign(difference=table["difference"].mask(official, 0.0))
    (axis.axhline if x else axis.axvline)(0, color="0.8", linewidth=0.6, zorder=0)
    if x:
        draw_curves(axis, points, x, texts)
    else:
        draw_categories(axis, points, texts)
    if official.sum() == 1:
        draw_controls(axis, table, float(table.loc[official, "level"].iloc[0]), upright=x is None)
    rows = table[official].to_dict("records")
    levels = [(minus(f"{row['level']:.{spec['digits']}f}"), row["method"]) for row in rows]
    axis.set_title(heading(spec), pad=12 + 7.5 * max(0, math.ceil(len(levels) / ABREAST) - 1))
    if levels:
        draw_levels(axis, levels)


def draw_levels(axis: Axes, levels: list[tuple[str, str]]) -> None:
    """The official levels (text, method) between title and panel; of several, each in its method's color."""
    from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker

    colors = [look(method).color for _, method in levels] if len(levels) > 1 else ["0.35"]
    parts = [(text, color) for (text, _), color in zip(levels, colors, strict=True)]
    rows: list[Artist] = []
    for first in range(0, len(parts), ABREAST):
        row = [("at 0:", "0.35")] * (first == 0) + parts[first : first + ABREAST]
        areas: list[Artist] = [TextArea(text, textprops={"color": c, "fontsize": 5.5}) for text, c in row]
        rows.append(HPacker(children=areas, pad=0, sep=3))
    box = VPacker(children=rows, pad=0, sep=1.5, align="center")
    axis.add_artist(
        AnchoredOffsetbox("lower center", child=box, frameon=False, pad=0, borderpad=0.3,
                          bbox_to_anchor=(0.5, 1.0), bbox_transform=axis.transAxes)
    )  # fmt: skip


def draw_controls(axis: Axes, table: pd.DataFrame, level: float, upright: bool) -> None:
    """Lines at the controls' distances from the official level, as far as they lie within the panel."""
    low, high = sorted(axis.get_xlim() if upright else axis.get_ylim())
    for name, (label, dashes) in CONTROL_LINES.items():
        looks: dict[str, Any] = {"linestyle": dashes, "label": label, "color": "0.45", "linewidth": 0.8}
        for value in table.loc[table["variant"] == name, "level"].dropna() - level:
            if low < value < high:
                (axis.axvline if upright else axis.axhline)(value, zorder=0, **looks)


def draw_curves(axis: Axes, points: pd.DataFrame, x: str, texts: Mapping[str, str]) -> None:
    """A curve a name, in its method's color; they stand slightly apart, so that intervals do not overlap."""
    logarithmic = x in ablation_columns()
    ticks = points[x].astype(float).unique()
    curves = list(points.groupby(points["variant"].map(texts), sort=False))
    drawn: Counter[str] = Counter()  # curves of each method: the second is dashed and hollow
    for i, (name, group) in enumerate(curves):
        mine, method = group.sort_values(x, key=pd.to_numeric), str(group["method"].iloc[0])
        shift = 0 if logarithmic else 0.02 * np.ptp(ticks) * (i - (len(curves) - 1) / 2)
        at = mine[x].astype(float) + shift
        number = drawn[method]
        drawn[method] += 1
        axis.errorbar(at, mine["difference"], errors(mine, "difference"), **asdict(look(method)), capsize=1.5,
                      elinewidth=0.7, linestyle=DASHES[number % len(DASHES)], label=name or None,
                      markerfacecolor="white" if number % 2 else None)  # fmt: skip
    if logarithmic:
        axis.set_xscale("log", base=4)
        axis.xaxis.set_major_formatter("{x:.0f}")


def draw_categories(axis: Axes, points: pd.DataFrame, texts: Mapping[str, str]) -> None:
    """A point a variant in its method's color, the first on top."""
    places = {name: place for place, name in enumerate(texts)}
    for _, row in points.iterrows():
        axis.errorbar([row["difference"]], [places[row["variant"]]], capsize=1.5, elinewidth=0.7,
                      xerr=errors(row.to_frame().T, "difference"), **asdict(look(row["method"])))  # fmt: skip
    axis.set_yticks(range(len(texts)), list(texts.values()))
    axis.set_ylim(len(texts) - 0.5, -0.5)
    axis.locator_params(axis="x", nbins=3)


def symbol(field: str) -> str:
    letters = {"t_tau": r" $t_\tau$", "omega": r" $\omega$"}
    return NAMES.get(field, field) + letters.get(field, "")


def draw(
    table: Annotated[Path, inputs("the CSV of eval.ablation")],
    name: Annotated[str, inputs("an ablation of --spaces")],
    out: Annotated[list[Path], outputs("the suffix is the format", metavar="FILE...")],
    spaces: Annotated[Path, inputs("YAML")] = SPACES,
    titles: Titles = None,
) -> None:
    """Draw the table of an ablation."""
    figure = draw_ablation(read_table(table), read_ablation(spaces, name), read_titles(titles))
    for path in out:
        save(figure, path)


main = Program(draw)
