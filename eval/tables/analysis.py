"""From the scores of a run to the figures of Table 1: means, intervals, ranks, tests, floors, variances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..metrics import columns, confirmatory_columns, primary_columns
from ..run import Run
from ..statistics.failures import complete_prompts, floor_failures
from ..statistics.intervals import mean_intervals, prompt_means
from ..statistics.pairs import (
    adjust,
    against_reference,
    choose_pairs,
    compare_pairs,
    constant_metrics,
    directions,
    letter_table,
)
from ..statistics.power import smallest_differences
from ..statistics.ranks import rank_summary
from ..statistics.saturation import START, saturated_metrics
from ..statistics.variance import variance_split
from ..study.result import Study
from .pooled import distance_differences, measure_distances

SUMMARY = ["method", "metric", "mean", "low", "high", "n"]


@dataclass(frozen=True)
class Analysis:
    """All figures of a run.

    summary: method, metric, mean, low, high, n, reason (why a distance has no value), rank, first, letters,
    difference, difference_low, difference_high, pairs, shift, won, p, holm; on complete prompts, controls
    without ranks and tests. floor: SUMMARY's columns and reason for the methods, failures at the floor; empty
    without failures. comparisons: see pairs.py. variance: metric, component, variance, share. per_prompt:
    method, prompt, metric, value of all that succeeded. primary: metrics of Table 1, without the saturated
    ones (metric -> why); confirmatory: those that are tested, saturated or not; power: see power.py.
    """

    summary: pd.DataFrame
    floor: pd.DataFrame
    comparisons: pd.DataFrame
    variance: pd.DataFrame
    per_prompt: pd.DataFrame
    complete: list[str]
    primary: list[str]
    saturated: dict[str, str]
    confirmatory: list[str]
    power: pd.DataFrame


def analyze(run: Run, scores: pd.DataFrame, reference: str, study: Study | None = None) -> Analysis:
    """All figures of the methods and controls of a run.

    scores: run.scores, and the distances of each prompt. reference: the method that others are tested
    against; without it among the methods no test is made against one. study: its figures are taken as they
    are, with the intervals and tests of its own design.
    """
    known = columns()
    seen = [m for m in scores["metric"].drop_duplicates() if m in known and not known[m].get("cost")]
    alive = [m for m in run.methods if m in set(scores["method"])]
    complete = complete_prompts(scores, alive, seen)
    alive = alive if complete else []  # without a prompt in common there is nothing to compare
    described = scores[scores["metric"].isin(known)]
    headline = described[described["prompt"].isin(complete)]
    distances = measure_distances(run, alive + run.controls, complete)
    parts = [mean_intervals(headline).set_axis(SUMMARY, axis=1), distances]
    if study:
        parts.append(study.means.loc[study.means["method"].isin(alive), SUMMARY])
    summary = pd.concat(parts, ignore_index=True)
    summary = cut_intervals(summary.fillna({"reason": ""}))
    shown = shown_metrics(summary, alive)
    means = prompt_means(headline)
    mine = means[means["method"].isin(alive)]
    constant = constant_metrics(mine)
    confirmatory = [metric for metric in confirmatory_columns(shown) if metric not in constant]
    saturated = saturated_columns(summary, shown, alive, constant)
    order = sorted(alive, key=lambda method: method != reference)
    comparisons = compare_pairs(mine, distance_differences(run, order, complete), order)
    if study:
        comparisons = pd.concat([comparisons, choose_pairs(study.differences, order)], ignore_index=True)
    comparisons = adjust(comparisons, reference, confirmatory)
    for part in (
        method_ranks(summary, means, alive),
        letter_table(summary, comparisons, alive),
        against_reference(comparisons, reference),
    ):
        summary = summary.merge(part, how="left", on=["method", "metric"])
    summary = summary.fillna({"letters": ""})
    variance = variance_split(headline[headline["method"].isin(alive) & headline["metric"].isin(seen)])
    return Analysis(
        summary, count_failures(run, described, seen), comparisons, variance, prompt_means(described),
        complete, [m for m in primary_columns(shown) if m not in saturated], saturated, confirmatory,
        smallest_differences(comparisons, reference, confirmatory),
    )  # fmt: skip


def saturated_columns(
    summary: pd.DataFrame, shown: set[str], methods: list[str], constant: set[str]
) -> dict[str, str]:
    """Those of Table 1 that are saturated, and why; one method alone saturates nothing, nor do costs."""
    known = columns()
    asked = [m for m in primary_columns(shown) if not known[m].get("cost") and not known[m].get("study")]
    means = {
        str(m): dict(zip(rows["method"], rows["mean"], strict=True)) for m, rows in summary.groupby("metric")
    }
    return saturated_metrics({m: means[m] for m in asked}, methods, constant) if len(methods) > 1 else {}


def cut_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows (metric, low, high, ...) with intervals that end where their metric's range does."""
    ranges = [columns().get(metric, {}).get("within", (-np.inf, np.inf)) for metric in rows["metric"]]
    least, most = np.array(ranges, dtype=float).reshape(-1, 2).T
    return rows.assign(low=rows["low"].clip(lower=least), high=rows["high"].clip(upper=most))


def shown_metrics(summary: pd.DataFrame, methods: list[str]) -> set[str]:
    """Those that any row has a value of, or that a method is refused, which a reader must see."""
    refused = summary["method"].isin(methods) & (summary["reason"] != "")
    return set(summary.loc[summary["mean"].notna() | refused, "metric"])


def method_ranks(summary: pd.DataFrame, means: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Rank of each method's mean, and its chance to be first (pooled metrics: none): method, metric, ..."""
    mine = summary[summary["method"].isin(methods)]
    better = directions(mine["metric"].drop_duplicates())
    cost = mine["mean"] * mine["metric"].map(better).map({"down": 1, "up": -1})
    ranks = mine[["method", "metric"]].assign(rank=cost.groupby(mine["metric"]).rank(method="min"))
    chances = rank_summary(means, better, methods)[["method", "metric", "first"]]
    return ranks.merge(chances, how="left", on=["method", "metric"])


def count_failures(run: Run, scores: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Means over all prompts, each failed asset at its floor: SUMMARY's columns; empty without failures.

    scores: known metrics of all that succeeded; metrics: those of the views.
    """
    if run.failed().empty or START not in set(scores["method"]):
        return pd.DataFrame(columns=SUMMARY)
    filled = floor_failures(scores, metrics, START, run.assets)
    means = mean_intervals(filled[filled["method"].isin(run.methods)]).set_axis(SUMMARY, axis=1)
    distances = measure_distances(run, run.methods, run.prompts, START)
    return cut_intervals(pd.concat([means, distances], ignore_index=True).fillna({"reason": ""}))
