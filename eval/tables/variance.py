"""Where the variance of each metric comes from, as a table of shares."""

from __future__ import annotations

import pandas as pd

from ..metrics import columns
from ..statistics.variance import COMPONENTS
from .formats import Block, Cell, Row, Table

MODEL = (
    "Value of a view = mean + prompt + method + prompt x method + seed + view, independent random terms; the "
    "share of each in their variance, estimated from sums of squares (below 0 counts as 0). What the design "
    "cannot tell has a dash and stands with the term before it: seeds need two of each prompt and method. "
    "Views are a fixed orbit: their share is spread within an asset, not noise."
)


def variance_table(variance: pd.DataFrame) -> Table:
    """A row a metric that has a split. variance: metric, component, share."""
    rows = []
    for metric, parts in variance.groupby("metric", sort=False):
        shares = parts.set_index("component")["share"].reindex(list(COMPONENTS))
        if shares.notna().any():
            cells = [Cell(share, f"{100 * share:.0f} %") if share == share else Cell() for share in shares]
            rows.append(Row(columns()[str(metric)]["name"], cells))
    return Table("Variance", MODEL, ["Metric", *COMPONENTS], [Block("", rows)])
