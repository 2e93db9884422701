"""Table 1 as one HTML page: sortable, self-contained, every figure with its details, every asset linked.

Below the table stand the paper's order, all metrics, their variance, and every prompt with its files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, Template

from ..metrics import columns
from ..run import Run, path_of
from .analysis import Analysis
from .formats import NOTHING, Block, Cell, Row, Table, minus
from .layout import Setting
from .paper import SCALE

ORDER_HEADER = ["Metric", "Here", "Paper", "Kendall's tau"]
FILES = {
    "video": "views/{}/turntable.mp4",
    "sheet": "views/{}/sheet.webp",
    "origin": "assets/{}/provenance.json",
    "splats": "assets/{}/asset.ply",
    "scores": "scores/{}/scores.csv",
}


@dataclass(frozen=True)
class Section:
    """Something below the table: a heading, a line of text, a table, and what its links lead to, if any."""

    title: str
    text: str
    table: Table
    links: str = ""
    closed: bool = False  # until a reader opens it


def page(table: Table, sections: list[Section]) -> str:
    """The whole document; a click on a header sorts by it."""
    return template().render(table=table, sections=sections) + "\n"


@cache
def template() -> Template:
    def finish(value: Any) -> Any:
        return minus(value) if type(value) is str else value  # what is markup already is done

    folder = FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    return Environment(loader=folder, autoescape=True, finalize=finish).get_template("page.html")


def order_rows(orders: pd.DataFrame, setting: Setting) -> list[list[str]]:
    """Metric, our order, the paper's, tau: as text, methods by title."""
    rows = []
    for metric, *both, tau, _ in orders.itertuples(index=False, name=None):
        named = [" > ".join(map(setting.title, order.split(" > "))) for order in both]
        rows.append([columns()[metric]["name"], *named, f"{tau:.2f}" if tau == tau else NOTHING])
    return rows


def order_text(setting: Setting) -> str:
    other = "" if setting.scale == SCALE else "; its figures belong to another scale and are not shown"
    whose = "the paper (whose baselines ran as whole systems)"
    return f"The order of the methods, best first, here and in {whose}{other}."


def sections(
    extended: Table,
    split: Table,
    orders: pd.DataFrame,
    analysis: Analysis,
    run: Run,
    setting: Setting,
    root: str,
    divided: list[Table],
) -> list[Section]:
    """The page's sections, those with nothing to say left out.

    root: the way from the page to RESULTS; divided: tables by category.
    """
    found = []
    if len(orders):
        rows = [Row(first, [Cell(text=x) for x in rest]) for first, *rest in order_rows(orders, setting)]
        found.append(Section("Against the paper's order", order_text(setting), plain(ORDER_HEADER, rows)))
    found.append(Section("All metrics", "Those of Table 1 and the others.", extended))
    if split.blocks[0].rows:
        found.append(Section("Where the variance comes from", split.caption, split))
    found += [Section(table.title, table.caption, table, closed=True) for table in divided]
    metric = next((m for m in analysis.primary if not columns()[m].get("pooled")), "")
    if metric:
        text = f"{columns()[metric]['name']} of every asset (mean over seeds), others when pointed at."
        links = "Links: turntable, contact sheet, what made it, the splats, its scores."
        found.append(Section("By prompt", text, prompts_section(analysis, run, setting, metric, root), links))
    return found


def plain(header: list[str], rows: list[Row]) -> Table:
    """A table of one block, without title or caption."""
    return Table("", "", header, [Block("", rows)])


def prompts_section(analysis: Analysis, run: Run, setting: Setting, metric: str, root: str) -> Table:
    methods = [*run.methods, *run.controls]
    values = analysis.per_prompt.set_index(["method", "prompt", "metric"])["value"].to_dict()
    shown = [m for m in analysis.primary if not columns()[m].get("pooled")]
    rows = [
        Row(p, [describe_asset(values, run, m, p, metric, shown, root) for m in methods]) for p in run.prompts
    ]
    return plain(["Prompt", *map(setting.title, methods)], rows)


def describe_asset(
    values: Mapping[Any, float],
    run: Run,
    method: str,
    prompt: str,
    metric: str,
    shown: list[str],
    root: str,
) -> Cell:
    """One method on one prompt: its figure, its other figures or why it failed, and its files that exist."""
    known = columns()
    found = {m: values.get((method, prompt, m), float("nan")) for m in shown}
    texts = [f"{known[m]['name']} {v:.{known[m]['digits']}f}" for m, v in found.items() if v == v]
    assets = run.assets[(run.assets["method"] == method) & (run.assets["prompt"] == prompt)]
    texts += [f"seed {a.seed} failed: {a.reason}" for a in assets.itertuples() if a.status == "failed"]
    value = found[metric]
    text = f"{value:.{known[metric]['digits']}f}" if value == value else NOTHING
    links = [
        (f"{name} {seed}" if len(assets) > 1 else name, os.path.join(root, path))
        for seed in assets["seed"]
        for name, pattern in FILES.items()
        if (run.results / (path := pattern.format(path_of(method, prompt, seed)))).exists()
    ]
    return Cell(value, text, details="; ".join(texts), links=links)
