"""Means by category: a table for each column of the prompt table that divides the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..metrics import columns, heading
from ..run import Run
from ..statistics.intervals import KIND, SMALLEST_SAMPLE, mean_intervals
from .analysis import SUMMARY, Analysis, cut_intervals
from .formats import Block, Cell, Row, Table
from .layout import Setting, number, printed

COLUMNS = ["by", "category", *SUMMARY]


def summarize_categories(analysis: Analysis, run: Run, setting: Setting) -> pd.DataFrame:
    """Mean and interval over the complete prompts of each category: COLUMNS.

    The methods' columns of Table 1 that are means over prompts, costs aside. Empty without categories.
    """
    known = columns()
    shown = [m for m in analysis.primary if not any(map(known[m].get, ("pooled", "cost", "study")))]
    scores = run.scores[run.scores["method"].isin(run.methods) & run.scores["metric"].isin(shown)]
    parts = [pd.DataFrame(columns=COLUMNS)]
    for by, values in setting.categories.items():
        for category in dict.fromkeys(values.values()):
            members = [prompt for prompt in analysis.complete if values[prompt] == category]
            rows = mean_intervals(scores[scores["prompt"].isin(members)]).set_axis(SUMMARY, axis=1)
            parts.append(cut_intervals(rows).assign(by=by, category=category))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)[COLUMNS]


def category_tables(summary: pd.DataFrame, analysis: Analysis, setting: Setting) -> list[Table]:
    """A table for each column of categories, in which each value has a block of methods."""
    tables = []
    for by, rows in summary.groupby("by", sort=False):
        specs = {m: printed(m, rows) for m in analysis.primary if m in set(rows["metric"])}
        blocks = [
            Block(f"{category}: {count_prompts(mine['n'].max())}", category_rows(mine, specs, setting))
            for category, mine in rows.groupby("category", sort=False)
        ]
        text = (
            f"Mean over the prompts of each value of the column {by} [95 % interval: {KIND}; none below "
            f"{SMALLEST_SAMPLE} prompts]. Nothing is tested here."
        )
        tables.append(Table(title_of(str(by)), text, ["Method", *map(heading, specs.values())], blocks))
    return tables


def category_rows(rows: pd.DataFrame, specs: dict[str, dict[str, Any]], setting: Setting) -> list[Row]:
    """A row a method, of the figures of one category."""
    figures = rows.set_index(["method", "metric"]).to_dict("index")
    return [
        Row(
            setting.title(method),
            [show(figures.get((method, metric)), spec) for metric, spec in specs.items()],
        )
        for method in dict.fromkeys(rows["method"])
    ]


def title_of(by: str) -> str:
    """What the table of a column is called: By colors, of category_colors."""
    return "By " + (by.removeprefix("category").strip("_").replace("_", " ") or "category")


def count_prompts(n: float) -> str:
    return f"{n:.0f} prompt{'' if n == 1 else 's'}"


def show(figures: Mapping[Any, Any] | None, spec: dict[str, Any]) -> Cell:
    """One mean with its interval, if it has one."""
    if figures is None:
        return Cell()
    low, high = figures["low"], figures["high"]
    interval = f"[{number(low, spec)}, {number(high, spec)}]" if low == low else ""
    text = number(figures["mean"], spec)
    return Cell(
        figures["mean"] * spec["factor"], text, interval, details=f"n = {count_prompts(figures['n'])}"
    )
