"""From the scores of a run to the figures of Table 1: means, intervals, ranks, tests, floors, variances."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from eval.collection import Run
from eval.columns import columns, primary_columns
from eval.comparison import adjust, compare, compare_distances
from eval.failures import complete_prompts, floor_failures
from eval.pooled import distance_differences, measure_distances
from eval.ranks import rank_summary
from eval.statistics import mean_intervals, prompt_means
from eval.variance import variance_split

SUMMARY = ["method", "metric", "mean", "low", "high", "n"]
FLOOR = "start"  # the control whose values failures are given


@dataclass(frozen=True)
class Analysis:
    """All figures of a run.

    summary: method, metric, mean, low, high, n, reason (why a distance has no value), rank, first,
    difference, difference_low, difference_high, shift, won, p, holm; on complete prompts, controls without
    ranks and tests. floor: SUMMARY's columns and reason for the methods, failures at the floor; empty without
    failures. comparisons: method, against, metric, n, difference, low, high, shift, won, p, holm (method
    minus against; Holm's family: against the reference, primary metrics). variance: metric, component,
    variance, share. per_prompt: method, prompt, metric, value of all that succeeded.
    """

    summary: pd.DataFrame
    floor: pd.DataFrame
    comparisons: pd.DataFrame
    variance: pd.DataFrame
    per_prompt: pd.DataFrame
    complete: list[str]
    primary: list[str]


def analyze(run: Run, scores: pd.DataFrame, reference: str) -> Analysis:
    """All figures of the methods and controls of a run.

    scores: run.scores and, if there was one, the study's. reference: the method that others are tested
    against; without it among the methods no test is made against one. Raises ValueError if no method
    succeeded anywhere or no prompt is complete.
    """
    known = columns()
    seen = [m for m in view_metrics(scores) if m in known]
    alive = [m for m in run.methods if m in set(scores["method"])]
    complete = complete_prompts(scores, alive, seen)
    if not complete:
        raise ValueError("no prompt on which every method succeeded: nothing to compare")
    described = scores[scores["metric"].isin(known)]
    headline = described[described["prompt"].isin(complete)]
    distances = measure_distances(run, alive + run.controls, complete)
    summary = pd.concat([mean_intervals(headline).set_axis(SUMMARY, axis=1), distances], ignore_index=True)
    summary = summary.fillna({"reason": ""})
    primary = primary_columns(shown_metrics(summary, alive))
    means = prompt_means(headline)
    comparisons = compare_pairs(run, means[means["method"].isin(alive)], alive, reference, complete, primary)
    summary = summary.merge(method_ranks(summary, means, alive), how="left", on=["method", "metric"])
    summary = summary.merge(against_reference(comparisons, reference), how="left", on=["method", "metric"])
    variance = variance_split(headline[headline["method"].isin(alive) & headline["metric"].isin(seen)])
    return Analysis(
        summary, count_failures(run, described, seen), comparisons, variance, prompt_means(described),
        complete, primary,
    )  # fmt: skip


def shown_metrics(summary: pd.DataFrame, methods: list[str]) -> set[str]:
    """Those that any row has a value of, or that a method is refused, which a reader must see."""
    refused = summary["method"].isin(methods) & (summary["reason"] != "")
    return set(summary.loc[summary["mean"].notna() | refused, "metric"])


def view_metrics(scores: pd.DataFrame) -> list[str]:
    """The metrics of the views: neither costs nor a study's."""
    known = columns()
    return [
        metric
        for metric in scores["metric"].drop_duplicates()
        if not known.get(metric, {}).get("cost") and metric not in ("q1", "q2", "q3")
    ]


def directions(metrics: list[str] | pd.Series) -> dict[str, str]:
    """metric -> up or down, of those that have a better side."""
    known = columns()
    return {m: known[m]["better"] for m in metrics if "better" in known.get(m, {})}


def method_ranks(summary: pd.DataFrame, means: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Rank of each method's mean, and its chance to be first (pooled metrics: none): method, metric, ..."""
    mine = summary[summary["method"].isin(methods)]
    better = directions(mine["metric"].drop_duplicates())
    parts = [
        group.assign(rank=group["mean"].rank(ascending=better[str(metric)] == "down", method="min"))
        for metric, group in mine.groupby("metric", sort=False)
        if metric in better
    ]
    ranks = pd.concat(parts)[["method", "metric", "rank"]]
    chances = rank_summary(means, better, methods)[["method", "metric", "first"]]
    return ranks.merge(chances, how="left", on=["method", "metric"])


def against_reference(comparisons: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The comparisons with the reference, as columns for the summary."""
    mine = comparisons[comparisons["against"] == reference].drop(columns=["against", "n"])
    return mine.rename(columns={"low": "difference_low", "high": "difference_high"})


def compare_pairs(
    run: Run, means: pd.DataFrame, methods: list[str], reference: str, prompts: list[str], primary: list[str]
) -> pd.DataFrame:
    """Every pair of methods once, those with the reference as method minus reference; Holm over the latter.

    means: method, prompt, metric, value of the methods on the complete prompts.
    """
    order = sorted(methods, key=lambda method: method != reference)
    better = directions(means["metric"].drop_duplicates())
    pooled = distance_differences(run, order, prompts)
    parts = []
    for number, against in enumerate(order[:-1]):
        mine = means[means["method"].isin(order[number:])]
        distances = compare_distances(pooled[pooled["against"] == against])
        found = pd.concat([part for part in (compare(mine, better, against), distances) if len(part)])
        parts.append(
            adjust(found, tested(primary) if against == reference else set()).assign(against=against)
        )
    names = ["method", "against", "metric", "n", "difference", "low", "high", "shift", "won", "p", "holm"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def tested(primary: list[str]) -> set[str]:
    """Holm's family: the primary metrics of quality."""
    known = columns()
    return {metric for metric in primary if not known[metric].get("cost")}


def count_failures(run: Run, scores: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Means over all prompts, each failed asset at its floor: SUMMARY's columns; empty without failures.

    scores: known metrics of all that succeeded; metrics: those of the views.
    """
    if run.failed().empty or FLOOR not in run.controls:
        return pd.DataFrame(columns=SUMMARY)
    filled = floor_failures(scores, metrics, FLOOR, run.assets)
    means = mean_intervals(filled[filled["method"].isin(run.methods)]).set_axis(SUMMARY, axis=1)
    distances = measure_distances(run, run.methods, run.prompts, FLOOR)
    return pd.concat([means, distances], ignore_index=True).fillna({"reason": ""})
