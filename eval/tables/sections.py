"""What stands below Table 1 on its page: the paper's order, all metrics, and every prompt with its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..metrics import columns
from ..run import Run, path_of
from .analysis import Analysis
from .formats import NOTHING, Block, Cell, Row, Table
from .layout import Setting
from .page import Section
from .paper import SCALE

ORDER_HEADER = ["Metric", "Here", "Paper", "Kendall's tau"]
FILES = {
    "video": "views/{}/turntable.mp4",
    "sheet": "views/{}/sheet.webp",
    "origin": "assets/{}/provenance.json",
    "splats": "assets/{}/asset.ply",
    "scores": "scores/{}/scores.csv",
}


def order_rows(orders: pd.DataFrame, setting: Setting) -> list[list[str]]:
    """Metric, our order, the paper's, tau: as text, methods by title."""
    known = columns()

    def named(order: str) -> str:
        return " > ".join(setting.title(method) for method in order.split(" > "))

    return [
        [known[metric]["name"], named(ours), named(theirs), f"{tau:.2f}" if tau == tau else NOTHING]
        for metric, ours, theirs, tau, _ in orders.itertuples(index=False, name=None)
    ]


def order_text(setting: Setting) -> str:
    text = (
        "The order of the methods, best first, here and in the paper (whose baselines ran as whole systems)"
    )
    other = "" if setting.scale == SCALE else "; its figures belong to another scale and are not shown"
    return f"{text}{other}."


def sections(
    extended: Table, orders: pd.DataFrame, analysis: Analysis, run: Run, setting: Setting, root: str
) -> list[Section]:
    """The page's sections, those with nothing to say left out; root: the way from the page to RESULTS."""
    found = []
    if len(orders):
        rows = [
            Row(first, [Cell(text=text) for text in rest]) for first, *rest in order_rows(orders, setting)
        ]
        found.append(Section("Against the paper's order", order_text(setting), plain(ORDER_HEADER, rows)))
    found.append(Section("All metrics", "Those of Table 1 and the others.", extended))
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
        Row(prompt, [describe_asset(values, run, method, prompt, metric, shown, root) for method in methods])
        for prompt in run.prompts
    ]
    return plain(["Prompt", *map(setting.title, methods)], rows)


def describe_asset(
    values: Mapping[Any, float], run: Run, method: str, prompt: str, metric: str,
    shown: list[str], root: str,
) -> Cell:  # fmt: skip
    """One method on one prompt: its figure, its other figures or why it failed, and its files."""
    known = columns()
    found = {m: values.get((method, prompt, m), float("nan")) for m in shown}
    texts = [f"{known[m]['name']} {v:.{known[m]['digits']}f}" for m, v in found.items() if v == v]
    assets = run.assets[(run.assets["method"] == method) & (run.assets["prompt"] == prompt)]
    texts += [f"seed {a.seed} failed: {a.reason}" for a in assets.itertuples() if a.status == "failed"]
    value = found[metric]
    text = f"{value:.{known[metric]['digits']}f}" if value == value else NOTHING
    several = len(assets) > 1
    links = [x for s in assets["seed"] for x in link_files(run.results, root, method, prompt, s, several)]
    return Cell(value, text, details="; ".join(texts), links=links)


def link_files(
    results: Path, root: str, method: str, prompt: str, seed: int, several: bool
) -> list[tuple[str, str]]:
    """The files of one asset that exist: names and paths from the page, whose way to RESULTS is `root`."""
    links = []
    for name, pattern in FILES.items():
        path = pattern.format(path_of(method, prompt, seed))
        if (results / path).exists():
            links.append((f"{name} {seed}" if several else name, os.path.join(root, path)))
    return links
