"""From figures to the cells of Table 1: what is printed, what is bold, what a reader may ask of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from eval.analysis import FLOOR, Analysis
from eval.collection import Run
from eval.columns import columns, control_title, heading
from eval.formats import BETTER, NOTHING, WORSE, Block, Cell, Row, Table
from eval.guidance import NOTE, tell_each
from eval.paper import SCALE, paper_values
from eval.style import look

ALPHA = 0.05


@dataclass(frozen=True)
class Setting:
    """What is printed about a run and is not in its score files."""

    scale: str
    scorer: str
    seeds: int
    reference: str
    titles: dict[str, str]
    paper: dict[str, dict[str, Any]]

    def title(self, method: str) -> str:
        primary = self.titles.get(self.reference, self.reference)
        return self.titles.get(method) or control_title(method, primary)


def printed(metric: str, summary: pd.DataFrame) -> dict[str, Any]:
    """How a column is printed: name, better, digits, factor; long times in their longer unit."""
    spec = {"factor": 1.0} | columns()[metric]
    largest = summary.loc[summary["metric"] == metric, "mean"].max()
    return spec | spec["long"] if "long" in spec and largest > spec["long"]["above"] else spec


def build_table(analysis: Analysis, run: Run, setting: Setting, metrics: list[str], caption: str) -> Table:
    """Methods, then (if anything failed) the same with failures at the floor, then controls."""
    specs = {metric: printed(metric, analysis.summary) for metric in metrics}
    notes, marks = footnotes(run, setting, withheld(analysis.summary, specs))
    ours = replace(setting, paper={})
    blocks = [Block("", build_rows(analysis.summary, run.methods, specs, run, setting, marks))]
    if len(analysis.floor):
        text = f"All {len(run.prompts)} prompts, failed assets counted as {setting.title(FLOOR)}"
        blocks.append(Block(text, build_rows(analysis.floor, run.methods, specs, run, ours, {})))
    if run.controls:
        blocks.append(
            Block("Controls", build_rows(analysis.summary, run.controls, specs, run, setting, marks))
        )
    header = ["Method", "Guidance", *map(heading, specs.values())]
    texts = [NOTE, *(column_text(spec, setting) for spec in specs.values())]
    return Table(caption, header, blocks, notes, texts)


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
    numbers: dict[str, list[int]] = {}
    failed = run.failed()
    for method in (*run.methods, *run.controls):
        mine = failed[failed["method"] == method]
        texts = [f"{setting.title(method)}, {a.prompt}, seed {a.seed}: failed ({a.reason})"
                 for a in mine.itertuples()]  # fmt: skip
        texts += [f"{setting.title(method)}: {text}" for text in refused.get(method, [])]
        if setting.scale == SCALE and (differs := setting.paper.get(method, {}).get("differs")):
            texts.append(f"{setting.title(method)}: {differs}")
        for text in texts:
            notes.append(text)
            numbers.setdefault(method, []).append(len(notes))
    return notes, {method: ",".join(map(str, found)) for method, found in numbers.items()}


def build_rows(
    summary: pd.DataFrame, methods: list[str], specs: dict[str, dict[str, Any]], run: Run, setting: Setting,
    marks: dict[str, str],
) -> list[Row]:  # fmt: skip
    """A row a method; the best figure of methods that compete is bold, controls compete with nobody."""
    known = summary.set_index(["method", "metric"]).to_dict("index")
    best = {metric: best_value(summary, metric, methods, spec) for metric, spec in specs.items()}
    guidance = tell_each(run.guidance)
    rows = []
    for method in methods:
        cells = [Cell(text=guidance.get(method, NOTHING))]
        for metric, spec in specs.items():
            figures = known.get((method, metric))
            if figures is None or np.isnan(figures["mean"]):
                cells.append(Cell(details=figures["reason"] if figures else ""))
            else:
                bold = method in run.methods and figures["mean"] == best[metric]
                cells.append(build_cell(figures, metric, method, bold, spec, run, setting))
        color = look(method).color if method in run.methods else ""
        rows.append(Row(setting.title(method), cells, marks.get(method, ""), color))
    return rows


def best_value(summary: pd.DataFrame, metric: str, methods: list[str], spec: dict[str, Any]) -> float:
    means = summary.loc[(summary["metric"] == metric) & summary["method"].isin(methods), "mean"]
    if "better" not in spec or means.dropna().empty:
        return float("nan")
    return float(means.max() if spec["better"] == "up" else means.min())


def build_cell(
    figures: Mapping[Any, Any], metric: str, method: str, bold: bool, spec: dict[str, Any], run: Run,
    setting: Setting,
) -> Cell:  # fmt: skip
    """One figure with its interval, mark, rank, the paper's value, and everything else as details."""
    factor = spec["factor"]
    interval = f"[{number(figures['low'], spec)}, {number(figures['high'], spec)}]"
    rank = figures.get("rank", float("nan"))
    theirs = paper_values(setting.paper, metric) if setting.scale == SCALE else {}
    return Cell(
        value=figures["mean"] * factor,
        text=number(figures["mean"], spec),
        interval="" if np.isnan(figures["low"]) else interval,
        mark=mark(figures, spec),
        rank="" if np.isnan(rank) else f"#{rank:.0f}",
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
    parts.append(f"n = {figures['n']:.0f} prompts")
    if not np.isnan(chance := figures.get("first", float("nan"))):
        parts.append(f"first in {100 * chance:.0f} % of resamples")
    if not np.isnan(difference := figures.get("difference", float("nan"))):
        ends = [number(figures[f"difference_{end}"], spec) for end in ("low", "high")]
        size = f"{difference * spec['factor']:+.{spec['digits']}f} [{ends[0]}, {ends[1]}]"
        parts.append(f"against {setting.title(setting.reference)} {size}, p = {figures['p']:.3g}")
        if not np.isnan(figures["holm"]):
            parts.append(f"adjusted p = {figures['holm']:.3g}")
    protocol = run.protocols.get(metric, spec["note"])
    parts.append(f"protocol {run.protocol_id or 'unknown'}: {protocol}")
    return "; ".join(parts)
