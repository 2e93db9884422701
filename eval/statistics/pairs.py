"""Every pair of methods compared: the family of tests against the reference, and letters for all pairs.

Two corrections, each over what its reader looks at: marks stand for one family over the whole table (methods
against the reference x confirmatory metrics), letters for the pairs of methods within such a metric's column.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from ..metrics import columns
from .comparison import ALPHA, agree, compare, compare_distances, holm
from .letters import compact_letters

COMPARISONS = ["method", "against", "metric", "n", "difference", "spread", "low", "high", "shift", "won", "p",
               "holm", "holm_pairs"]  # fmt: skip


def directions(metrics: list[str] | pd.Series) -> dict[str, str]:
    """metric -> up or down, of those that have a better side."""
    known = columns()
    return {m: known[m]["better"] for m in metrics if "better" in known.get(m, {})}


def compare_pairs(means: pd.DataFrame, pooled: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Every pair of methods once on every metric, later minus earlier: COMPARISONS without the adjusted p.

    means: method, prompt, metric, value on the complete prompts; pooled: see distance_differences.
    """
    better = directions(means["metric"].drop_duplicates())
    parts = []
    for number, against in enumerate(methods[:-1]):
        mine = means[means["method"].isin(methods[number:])]
        distances = compare_distances(pooled[pooled["against"] == against])
        parts += [part.assign(against=against) for part in (compare(mine, better, against), distances)]
    parts = [part for part in parts if len(part)]
    names = COMPARISONS[:-2]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def choose_pairs(differences: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """A study's own comparisons of every ordered pair, as rows of compare_pairs: later minus earlier."""
    places = {method: place for place, method in enumerate(methods)}
    later, earlier = (differences[side].map(places) for side in ("method", "against"))
    return differences[later > earlier].reindex(columns=COMPARISONS[:-2])


def adjust(comparisons: pd.DataFrame, reference: str, tested: Collection[str]) -> pd.DataFrame:
    """COMPARISONS, with two columns of Holm's adjusted p; NaN where a comparison is no member of a family.

    holm: one family, every method against the reference x the tested metrics. holm_pairs: a family for each
    tested metric, all its pairs of methods.
    """
    p, metrics = comparisons["p"].to_numpy(dtype=float), comparisons["metric"].to_numpy()
    family = (comparisons["against"] == reference).to_numpy() & np.isin(metrics, list(tested))
    within = np.full(len(p), np.nan)
    for metric in tested:
        within[metrics == metric] = holm(p[metrics == metric])
    return comparisons.assign(holm=holm(np.where(family, p, np.nan)), holm_pairs=within)


def constant_metrics(means: pd.DataFrame) -> set[str]:
    """Metrics in which all methods agree on every prompt: there is nothing to test.

    means: method, prompt, metric, value. A sign flip of differences that are all 0 has p = 1 whatever the
    data, so that leaving them out of a family keeps its level (Tarone 1990).
    """
    found = set()
    for metric, group in means.dropna(subset="value").groupby("metric"):
        wide = group.pivot(index="prompt", columns="method", values="value")
        if wide.shape[1] > 1 and agree(wide.T.ffill().bfill().T.to_numpy()).all():
            found.add(str(metric))
    return found


def letter_table(summary: pd.DataFrame, comparisons: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Compact letters of the methods in each metric that has adjusted pairs: method, metric, letters.

    summary: method, metric, mean. Best first, so that the best method has an a; two methods without a p are
    not said to differ, and one without a mean has no letters.
    """
    rows: list[tuple[str, str, str]] = []
    judged = comparisons.dropna(subset="holm_pairs")
    better = directions(judged["metric"].drop_duplicates())
    for metric, pairs in judged.groupby("metric"):
        means = summary[(summary["metric"] == metric) & summary["method"].isin(methods)].dropna(subset="mean")
        order = means.sort_values("mean", ascending=better[str(metric)] == "down", kind="stable")["method"]
        apart = pairs[pairs["holm_pairs"] < ALPHA]
        different = {frozenset(pair) for pair in zip(apart["method"], apart["against"], strict=True)}
        rows += [(m, str(metric), found) for m, found in compact_letters(list(order), different).items()]
    return pd.DataFrame(rows, columns=["method", "metric", "letters"])


def against_reference(comparisons: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The comparisons with the reference, as columns for the summary."""
    mine = comparisons[comparisons["against"] == reference]
    mine = mine.drop(columns=["against", "spread", "holm_pairs"])
    return mine.rename(columns={"n": "pairs", "low": "difference_low", "high": "difference_high"})
