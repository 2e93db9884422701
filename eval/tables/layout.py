"""From figures to the cells of Table 1: what is printed, what is bold, what a reader may ask of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ..guidance import NOTE, tell_each
from ..metrics import columns, control_title, heading
from ..plots.style import look
from ..run import Run
from ..statistics.comparison import ALPHA
from ..statistics.saturation import START
from ..study.identity import Identity
from .analysis import Analysis
from .formats import BETTER, NOTHING, WORSE, Block, Cell, Row, Table
from .paper import SCALE, paper_values


@dataclass(frozen=True)
class Setting:
    """What is printed about a run and is not in its score files."""

    scale: str
    scorer: str
    seeds: int
    reference: str
    titles: dict[str, str]
    paper: dict[str, dict[str, Any]]
    study: Identity | None = None
    categories: dict[str, dict[str, str]] = field(default_factory=dict)  # see prompt_table.categories

    def title(self, method: str) -> str:
        primary = self.titles.get(self.reference, self.reference)
        return self.titles.get(method) or control_title(method, primary)


def printed(metric: str, summary: pd.DataFrame) -> dict[str, Any]:
    """How a column is printed: name, better, digits, factor; long times in their longer unit."""
    spec = {"factor": 1.0} | columns()[metric]
    largest = summary.loc[summary["metric"] == metric, "mean"].max()
    return spec | spec["long"] if "long" in spec and largest > spec["long"]["above"] else spec


def build_table(
    analysis: Analysis, run: Run, setting: Setting, metrics: list[str], title: str, caption: str
) -> Table:
    """Methods, then (if anything failed) the same with failures at the floor, then controls."""
    specs = {metric: printed(metric, analysis.summary) for metric in metrics}
    notes, marks = footnotes(run, setting, withheld(analysis.summary, specs))
    ours = replace(setting, paper={})
    blocks = [Block("", build_rows(analysis.summary, run.methods, specs, run, setting, marks))]
    if len(analysis.floor):
        text = f"All {len(run.prompts)} prompts, failed assets counted as {setting.title(START)}"
        blocks.append(Block(text, build_rows(analysis.floor, run.methods, specs, run, ours, {})))
    if run.controls:
        rows = build_rows(analysis.summary, run.controls, specs, run, setting, marks)
        blocks.append(Block("Controls", rows))
    header = ["Method", "Guidance", *map(heading, specs.values())]
    texts = [NOTE, *(column_text(spec, setting) for spec in specs.values())]
    return Table(title, caption, header, blocks, notes, texts)


def column_text(spec: dict[str, Any], setting: Setting) -> str:
    """What a column means, and what is not known of the paper's figure where it is shown."""
    beside = setting.paper and setting.scale == SCALE and "paper_note" in spec
    return f"{spec['name']}: {spec['note']}" + (f" (the paper's: {spec['paper_note']})" if beside else "")


def withheld(summary: pd.DataFrame, specs: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Of each row: what it has no value of, and why."""
    void = summary[summary["mean"].isna() & (summary["reason"] != "") & summary["metric"].isin(list(specs))]
    texts: dict[str, list[str]] = {}
    for (method, reason), rows in void.groupby(["method", "reason"], sort=False):
        names = ", ".join(specs[metric]["name"] for metric in rows["metric"])
        texts.setdefault(str(method), []).append(f"no {names}: {reason}")
    return texts


def footnotes(run: Run, setting: Setting, refused: dict[str, list[str]]) -> tuple[list[str], dict[str, str]]:
    """The numbered notes (failures, refusals, what the paper did otherwise), and which each row carries."""
    notes: list[str] = []
    marks: dict[str, str] = {}
    failed = run.failed()
    for method in (*run.methods, *run.controls):
        mine = failed[failed["method"] == method]
        texts = [f", {a.prompt}, seed {a.seed}: failed ({a.reason})" for a in mine.itertuples()]
        texts += [f": {text}" for text in refused.get(method, [])]
        if setting.scale == SCALE and (differs := setting.paper.get(method, {}).get("differs")):
            texts.append(f": {differs}")
        notes += [setting.title(method) + text for text in texts]
        marks[method] = ",".join(str(1 + len(notes) - back) for back in range(len(texts), 0, -1))
    return notes, marks


def build_rows(
    summary: pd.DataFrame,
    methods: list[str],
    specs: dict[str, dict[str, Any]],
    run: Run,
    setting: Setting,
    marks: dict[str, str],
) -> list[Row]:
    """A row a method; bold where its figure is the best and tells itself apart from all others."""
    known = summary.set_index(["method", "metric"]).to_dict("index")
    best = {m: separate_best(summary[summary["metric"] == m], spec) for m, spec in specs.items()}
    guidance = tell_each(run.guidance)
    rows = []
    for method in methods:
        cells = [Cell(text=guidance.get(method, NOTHING))]
        for metric, spec in specs.items():
            figures = known.get((method, metric))
            if figures is None or np.isnan(figures["mean"]):
                cells.append(Cell(details=figures["reason"] if figures else ""))
            else:
                bold = method == best[metric]
                cells.append(build_cell(figures, metric, method, bold, spec, run, setting))
        color = look(method).color if method in run.methods else ""
        rows.append(Row(setting.title(method), cells, marks.get(method, ""), color))
    return rows


def separate_best(rows: pd.DataFrame, spec: dict[str, Any]) -> str:
    """The method whose mean is the best of one metric, if it shares its letters with no other; else nothing.

    rows: method, mean, letters; those without letters (controls, what is not tested) do not compete.
    """
    if "letters" not in rows or "better" not in spec:
        return ""
    rows = rows[rows["letters"] != ""].sort_values("mean", ascending=spec["better"] == "down")
    if len(rows) < 2 or set(rows["letters"].iloc[0]) & set("".join(rows["letters"].iloc[1:])):
        return ""
    return str(rows["method"].iloc[0])


def build_cell(
    figures: Mapping[Any, Any],
    metric: str,
    method: str,
    bold: bool,
    spec: dict[str, Any],
    run: Run,
    setting: Setting,
) -> Cell:
    """One figure with its interval, mark, letters, the paper's value, and everything else as details."""
    interval = f"[{number(figures['low'], spec)}, {number(figures['high'], spec)}]"
    theirs = paper_values(setting.paper, metric) if setting.scale == SCALE else {}
    return Cell(
        value=figures["mean"] * spec["factor"],
        text=number(figures["mean"], spec),
        interval="" if np.isnan(figures["low"]) else interval,
        mark=mark(figures, spec),
        letters=figures.get("letters", ""),
        paper=paper_number(theirs, method, spec) if method in theirs else "",
        best=bold,
        details=describe(figures, metric, method, spec, run, setting),
    )


def number(value: float, spec: dict[str, Any]) -> str:
    text = f"{value * spec['factor']:.{spec['digits']}f}"
    return NOTHING if np.isnan(value) else text.removeprefix("-") if float(text) == 0 else text


def paper_number(theirs: dict[str, float], method: str, spec: dict[str, Any]) -> str:
    """The paper's figure with as many decimals as its column has, and no fewer than ours."""
    figures = {name: f"{value * spec['factor']:.6g}" for name, value in theirs.items()}
    digits = max(len(text.partition(".")[2]) for text in figures.values())
    return f"{float(figures[method]):.{max(digits, spec['digits'])}f}"


def mark(figures: Mapping[Any, Any], spec: dict[str, Any]) -> str:
    """BETTER or WORSE than the reference method, where Holm's p is below ALPHA; else nothing."""
    p = figures.get("holm", float("nan"))
    if np.isnan(p) or p >= ALPHA or "better" not in spec or figures["difference"] == 0:
        return ""
    return BETTER if (figures["difference"] > 0) == (spec["better"] == "up") else WORSE


def describe(
    figures: Mapping[Any, Any], metric: str, method: str, spec: dict[str, Any], run: Run, setting: Setting
) -> str:
    """The tooltip: n, interval, rank, difference to the reference with its p, protocol."""
    parts = [f"{spec['name']} of {setting.title(method)}: {number(figures['mean'], spec)}"]
    if not np.isnan(figures["low"]):
        parts.append(f"95 % interval {number(figures['low'], spec)} to {number(figures['high'], spec)}")
    elif figures["reason"]:
        parts.append(f"no interval: {figures['reason']}")
    ranked = spec.get("study") and setting.study
    parts.append(str(setting.study) if ranked else f"n = {figures['n']:.0f} prompts")
    if not np.isnan(rank := figures.get("rank", float("nan"))):
        chance = "" if np.isnan(figures["first"]) else f", first in {figures['first']:.0%} of resamples"
        parts.append(f"rank {rank:.0f}{chance}")
    if not np.isnan(difference := figures.get("difference", float("nan"))):
        ends = [number(figures[f"difference_{end}"], spec) for end in ("low", "high")]
        size = "+" * (difference > 0) + number(difference, spec)
        size += "" if np.isnan(figures["difference_low"]) else f" [{ends[0]}, {ends[1]}]"
        on = f" on {figures['pairs']:.0f} shared prompts" if figures["pairs"] != figures["n"] else ""
        parts.append(f"against {setting.title(setting.reference)} {size}{on}, p = {figures['p']:.3g}")
        if not np.isnan(figures["holm"]):
            parts.append(f"adjusted p = {figures['holm']:.3g}")
    protocol = run.protocols.get(metric, spec["note"])
    parts.append(spec["note"] if ranked else f"protocol {run.protocol_id or 'unknown'}: {protocol}")
    return "; ".join(parts)
