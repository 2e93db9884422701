"""From measured errors to exponents and verdicts: what `eval.theory` says of Theorem 1, prompt by prompt."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from ..statistics.intervals import mean_interval

EDGE = 20  # the lowest target of SCTD and GCS, at which all methods are compared
FIXED = 4  # the step Δt where the length varies
FINE = 8  # exponents in Δt are fitted up to here, and from here on
LARGEST = "largest of N segments"  # the region whose error is the worst segment's
SHOWN = (1, 3, 5, 10)  # numbers of segments that page and figure compare
TOLERANCE = 0.2  # how far from the stated exponent one still agrees
CDS, GCS = f"CDS to t = {EDGE}", "GCS, mean over random e"  # what is compared at EDGE
MEAN_SCTD, LARGEST_SCTD = "SCTD, mean of five segments", "SCTD, largest of five segments"


def fit_exponents(points: pd.DataFrame) -> pd.DataFrame:
    """Exponents by part, method and region: its targets, exponent, low, high, the stated one, the verdict."""
    rows = []
    for (part, method, region), group in points.groupby(["part", "method", "region"], sort=False):
        variable, bound = ("step", 1) if part == "step" else ("length", 1 if part == "length" else 2)
        lines = curves(group, variable, "max" if region == LARGEST else "mean")
        spans = [lines[variable] > 0]
        if part == "step":  # whole numbers of steps are not all of the same size
            spans = [lines["step"] < 1.2 * FINE, lines["step"] > FINE / 1.2]
        targets = group["target"].min(), group["target"].max()
        for chosen in spans:
            span = lines[chosen]
            exponents = slopes(span, variable)
            low, high = mean_interval(exponents)
            rows.append((part, method, region, *targets, variable, span[variable].min(), span[variable].max(),
                         exponents.mean(), low, high, bound, verdict(low, high, bound)))  # fmt: skip
    return pd.DataFrame(rows, columns=[
        "part", "method", "region", "target_low", "target_high", "variable", "from", "to", "exponent", "low",
        "high", "bound", "verdict",
    ])  # fmt: skip


def curves(group: pd.DataFrame, variable: str, over: str) -> pd.DataFrame:
    """One error a prompt and point: over the stretches that share it the mean (or max), then over starts."""
    lines = group.groupby(["prompt", "start", "point"], as_index=False).agg({variable: "mean", "error": over})
    return lines.groupby(["prompt", "point"], as_index=False)[[variable, "error"]].mean()


def slopes(lines: pd.DataFrame, variable: str) -> np.ndarray:
    """The log-log least-squares slope of every prompt."""
    return np.array(
        [
            np.polyfit(np.log(line[variable]), np.log(line["error"]), 1)[0]
            for _, line in lines.groupby("prompt")
        ]
    )


def compare_methods(points: pd.DataFrame) -> pd.DataFrame:
    """Pairs of methods whose bounds differ, the larger one first, by their errors at the common target EDGE.

    GCS's is the mean over its random targets, SCTD's the mean or the largest of five segments. Columns: part,
    larger, smaller, error_larger, error_smaller, ratio, low, high, stated (the ratio of the bounds' lengths,
    squared in one step), verdict on the stated order. Means over starts, then prompts, are geometric: some
    trajectories lie where components part, and magnify what is missed above tenfold.
    """
    rows = []
    for part, power in (("length", 1), ("jump", 2)):
        mine = points[(points["part"] == part) & points["error_edge"].notna()]
        worst = mine[mine["region"] == LARGEST]
        five = worst[worst.groupby(["start", "point"])["t"].transform("size") == 5]
        chosen = {
            CDS: (mine[(mine["method"] == "CDS") & (mine["t"] == mine["t"].max())], "mean"),
            GCS: (mine[mine["method"] == "GCS"], "mean"),
            MEAN_SCTD: (five, "mean"),
            LARGEST_SCTD: (five, "max"),
        }
        logs, lengths = {}, {}
        for name, (group, over) in chosen.items():
            by_start = np.log(group.groupby(["prompt", "start"])["error_edge"].agg(over))
            logs[name], lengths[name] = by_start.groupby("prompt").mean(), group["length"].mean()
        for larger, smaller in ((CDS, GCS), *product((CDS, GCS), (MEAN_SCTD, LARGEST_SCTD))):
            gaps = logs[larger] - logs[smaller]
            low, high = mean_interval(gaps.to_numpy())
            figures = np.exp([logs[larger].mean(), logs[smaller].mean(), gaps.mean(), low, high])
            stated = (lengths[larger] / lengths[smaller]) ** power
            order = "as stated" if low > 0 else "reversed" if high < 0 else "undecided"  # of the logs' signs
            rows.append((part, larger, smaller, *figures, stated, order))
    return pd.DataFrame(rows, columns=["part", "larger", "smaller", "error_larger", "error_smaller", "ratio",
                                       "low", "high", "stated", "verdict"])  # fmt: skip


def verdict(low: float, high: float, bound: float) -> str:
    """Whether an exponent's interval lies within TOLERANCE of the stated one, beyond it, or says neither."""
    if bound - TOLERANCE < low and high < bound + TOLERANCE:
        return "agrees"
    if low > bound + TOLERANCE:
        return "steeper"
    return "shallower" if high < bound - TOLERANCE else "undecided"


def segment_errors(points: pd.DataFrame, part: str) -> pd.DataFrame:
    """Mean over starts for every equal segment: segments (their number), target, t, error, ..."""
    rows = points[(points["part"] == part) & (points["region"] == LARGEST)]
    columns = ["error", "error_edge", "length", "step"]
    mean = rows.groupby(["point", "target", "t"], as_index=False)[columns].mean()
    return mean.assign(segments=mean.groupby("point")["t"].transform("size"))
