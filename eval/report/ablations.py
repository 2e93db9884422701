"""The pages of ablations: which picture and which figures belong to each stop of the slider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from segmentdreamer.records import shipped

from ..ablation import SPACES, read_table, readable
from ..metrics import CONTROL_TITLES
from ..variants import NAMES, in_words, read_ablation
from .content import Content

NAME = "ablation_"


def ablations(content: Content) -> list[dict[str, Any]]:
    """Every ablation whose table is made (see describe)."""
    paths = sorted((content.results / "tables").glob(f"{NAME}*.csv"))
    return [describe(content, path) for path in paths if not path.stem.endswith("_per_prompt")]


def describe(content: Content, path: Path) -> dict[str, Any]:
    """name, title, axis, stops of the slider, header; lines: a row of the grid each, by stop; its claims.

    The slider goes over the numeric axis; without one, over the variants.
    """
    name = path.stem.removeprefix(NAME)
    try:
        spec = read_ablation(shipped(SPACES), name)
    except ValueError:  # of a file of the user's own
        spec = {"title": name}
    table = read_table(path)
    table = table[~table["variant"].isin(CONTROL_TITLES)]
    variants = table.drop_duplicates("variant").to_dict("records")
    axis = find_axis(spec, table)
    stops = (
        sorted({row[axis] for row in variants}, key=float) if axis else [flat(r["label"]) for r in variants]
    )
    header, body = readable(table)
    figures = {row["variant"]: cells[1:] for row, cells in zip(variants, body, strict=True)}
    slugs = {(a.method, a.prompt): a.slug for a in reversed(content.assets) if not a.failed}
    reasons = {(a.method, a.prompt): a.failed for a in reversed(content.assets) if a.failed}
    shown = {prompt for row in variants for method, prompt in slugs | reasons if method == row["variant"]}
    prompts = {prompt: known["text"] for prompt, known in content.prompts.items() if prompt in shown}
    lines: dict[str, dict[str, Any]] = {}
    for row in variants:
        line = told(row, variants, spec.get("lines", ""), content) if axis else ""
        stop = row[axis] if axis else flat(row["label"])
        pictures = {p: slugs[row["variant"], p] for p in prompts if (row["variant"], p) in slugs}
        failed = {p: reasons[row["variant"], p] for p in prompts if (row["variant"], p) in reasons}
        told_of = {"figures": figures[row["variant"]], "pictures": pictures, "failed": failed}
        lines.setdefault(line, {})[stop] = told_of
    plots = [f"plots/{NAME}{name}.png", f"plots/{NAME}{name}_grid.png"]
    return {
        "name": name,
        "title": spec["title"],
        "claims": [claim for claim in content.claims if claim["source"] == name],
        "axis": NAMES.get(axis, axis) or "variant",
        "stops": stops,
        "lines": lines,
        "header": header[1:],
        "prompts": prompts,
        "plots": [plot for plot in plots if (content.results / plot).exists()],
    }


def find_axis(spec: dict[str, Any], table: pd.DataFrame) -> str:
    """The field of the slider; where the axis is a measure, the field that varies with it."""
    if (axis := spec.get("x", "")) in table or not axis:
        return axis
    fields = [field for field in spec["space"][0] if field in table and field != spec.get("lines")]
    return next((field for field in fields if table[field].nunique() > 1), "")


def told(row: dict[Any, Any], variants: list[dict[Any, Any]], lines: str, content: Content) -> str:
    """What tells a row of the grid from the others: its method, its label, and each field that varies."""
    fields = [key for key in row if key == lines or key.endswith("enabled")]
    varying = [
        in_words(f, row[f]) for f in fields if f != "method" and len({v[f] for v in variants}) > 1 and row[f]
    ]
    return ", ".join([content.title(str(row["method"])), *varying])


def flat(text: Any) -> str:
    return " ".join(str(text).split())
