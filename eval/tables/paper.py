"""The paper's figures beside ours: values at its own scale, and the order of the methods at any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from segmentdreamer.recipe.settings import read_yaml

from ..metrics import columns

SCALE = "paper"  # the only scale whose figures may stand beside the paper's


def read_paper(path: Path | None) -> dict[str, dict[str, Any]]:
    """method -> the paper's figures (baselines/paper.yaml), times in seconds; empty without a file."""
    entries = read_yaml(path) if path else {}
    for entry in entries.values():
        if "minutes" in entry:
            entry["seconds"] = 60 * entry["minutes"]
    return entries


def paper_values(paper: dict[str, dict[str, Any]], metric: str, order: bool = False) -> dict[str, float]:
    """method -> the paper's figure of this metric; with `order`, also of one whose order alone compares."""
    spec = columns()[metric]
    key = spec.get("paper") or (order and spec.get("order"))
    return {method: float(entry[key]) for method, entry in paper.items() if key and key in entry}


def compare_orders(
    summary: pd.DataFrame, paper: dict[str, dict[str, Any]], metrics: list[str], methods: list[str]
) -> pd.DataFrame:
    """Our order of the methods against the paper's: metric, ours, paper (best first), tau, methods.

    Kendall's tau-b over the methods that both have; metrics with fewer than two of them are left out.
    """
    from scipy.stats import kendalltau

    rows = []
    for metric in metrics:
        mine = summary[summary["metric"] == metric].set_index("method")["mean"].dropna()
        theirs = pd.Series(paper_values(paper, metric, order=True), dtype=float)
        shared = [m for m in methods if m in mine.index and m in theirs.index]
        if len(shared) < 2:
            continue
        rising = columns()[metric]["better"] == "down"
        orders = [v.loc[shared].sort_values(ascending=rising, kind="stable").index for v in (mine, theirs)]
        tau = kendalltau(mine.loc[shared], theirs.loc[shared]).statistic
        rows.append((metric, " > ".join(orders[0]), " > ".join(orders[1]), tau, len(shared)))
    return pd.DataFrame(rows, columns=["metric", "ours", "paper", "tau", "methods"])
