"""The front page: what was run, Table 1 with links to the assets behind each figure, the claims."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlencode

import pandas as pd

from ..metrics import columns, heading
from ..tables.formats import NOTHING, minus
from ..tables.layout import printed
from .content import Asset, Content


def front(run: Content, content: Content, files: list[str]) -> dict[str, Any]:
    """What index.html shows of a run; content: what of it has pages; files: names of those beside it."""
    return {
        "facts": facts(run) | paged(run, content),
        "table": table_one(content),
        "orders": orders(content),
        "claims": content.claims,
        "plots": pictures(files),
        "files": [name for name in files if name.endswith((".csv", ".md", ".tex", ".json", "table1.html"))],
        "failed": [asset for asset in content.main if asset.failed],
    }


def paged(run: Content, content: Content) -> dict[str, str]:
    """Which assets have pages, where not all have."""
    few, seeds = content.main, {asset.seed for asset in content.main}
    return {"Pages": f"{len(few)} assets, of seed {min(seeds)}"} if seeds and len(few) < len(run.main) else {}


def pictures(files: list[str]) -> list[str]:
    """The sheet and the figures; of one that is there as SVG and PNG, the SVG."""
    found = [name for name in files if name.endswith((".svg", ".png")) and "/ablation_" not in name]
    shown = [name for name in found if name.removesuffix(".png") + ".svg" not in found]
    return sorted(shown, key=lambda name: name == "sheet.png")


def facts(content: Content) -> dict[str, str]:
    """What was run, on what, at which cost, as far as records tell."""
    made = [asset for asset in content.assets if asset.file("assets", "cost.json").exists()]
    costs = pd.DataFrame([asset.record("assets", "cost.json") for asset in made])
    machines = {machine_of(asset) for asset in made}
    seeds = {asset.seed for asset in content.assets if asset.method in content.methods}
    main = content.main
    controls = sum(asset.method not in content.methods for asset in main)
    told = {
        "Scale": content.settings.get("scale") or content.table.get("scale", ""),
        "Methods": ", ".join(content.title(method) for method in content.methods),
        "Prompts": str(len(content.prompts)),
        "Seeds": str(len(seeds)),
        "Assets": f"{len(main) - controls} with views, {controls} of controls"
        + (f", and {more} of ablations" if (more := len(content.assets) - len(main)) else ""),
        "Commit": commits(made),
        "Processor or card": ", ".join(sorted(machines - {""})),
    }
    if len(costs):
        sums = {name: float(costs[name].sum()) for name in ("seconds", "nfe", "tflop") if name in costs}
        told["Time"] = f"{sums.get('seconds', 0) / 3600:.2f} h of optimization, {len(costs)} assets"
        units = {"nfe": "network evaluations", "tflop": "TFLOP"}
        told["Cost"] = ", ".join(f"{sums[name]:,.0f} {unit}" for name, unit in units.items() if name in sums)
    return {name: text for name, text in told.items() if text}


def machine_of(asset: Asset) -> str:
    machine = asset.record("assets", "provenance.json").get("machine", {})
    return machine.get("gpu") or machine.get("processor", "")


def commits(assets: list[Asset]) -> str:
    """The commits under which the assets were made, of several with the number."""
    records = [asset.record("assets", "provenance.json") for asset in assets]
    made = Counter(r["commit"][:7] + "*" * bool(r.get("dirty")) for r in records if r.get("commit"))
    names = [name if len(made) == 1 else f"{name} ({n} assets)" for name, n in sorted(made.items())]
    return ", ".join([*names, *(["* with edited files"] if any("*" in name for name in made) else [])])


def table_one(content: Content) -> dict[str, Any] | None:
    """Header and rows of Table 1, each figure with its interval, letters and the gallery behind it."""
    tables = content.tables
    if not content.table or not (tables / "table1.csv").exists():
        return None
    wide, summary = pd.read_csv(tables / "table1.csv"), pd.read_csv(tables / "summary.csv")
    specs = {m: printed(m, summary) for m in content.table["primary"] if m in wide}
    rows = []
    for row in wide.to_dict("records"):
        shown = row["method"] in content.titles
        rows.append(
            {
                "title": row["title"],
                "guidance": content.table["guidance"].get(row["method"], ""),
                "control": row["method"] not in content.table["methods"],
                "cells": [cell(row, m, spec, shown) for m, spec in specs.items()],
            }
        )
    return {
        "header": [heading(spec) for spec in specs.values()],
        "rows": rows,
        "notes": [f"{spec['name']}: {spec['note']}" for spec in specs.values()],
    }


def cell(row: dict[Any, Any], metric: str, spec: dict[str, Any], shown: bool) -> dict[str, str]:
    """One figure as text; with a link if the row's assets are shown."""

    def tell(key: str) -> str:
        value = row.get(metric + key)
        known = value is not None and value == value
        return minus(f"{value * spec['factor']:.{spec['digits']}f}") if known else ""

    low, high, letters = tell("_low"), tell("_high"), row.get(f"{metric}_letters")
    return {
        "text": tell("") or NOTHING,
        "interval": f"[{low}, {high}]" if low else "",
        "paper": tell("_paper"),
        "letters": letters if isinstance(letters, str) else "",
        "link": "gallery.html#" + urlencode({"method": row["method"], "sort": metric}) if shown else "",
    }


def orders(content: Content) -> list[dict[Any, Any]]:
    """Our order of the methods beside the paper's, a metric a row."""
    path = content.tables / "paper_order.csv"
    if not path.exists():
        return []
    rows = pd.read_csv(path).to_dict("records")
    for row in rows:
        row["metric"] = columns()[row["metric"]]["name"]
        row |= {whose: " > ".join(map(content.title, row[whose].split(" > "))) for whose in ("ours", "paper")}
        row["tau"] = minus(f"{row['tau']:.2f}") if row["tau"] == row["tau"] else NOTHING
    return rows
