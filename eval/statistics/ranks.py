"""Ranks of the methods over prompts: mean rank, chance to be first, and who cannot be told apart.

Protocol: Demsar 2006, "Statistical comparisons of classifiers over multiple data sets", with prompts in
the part of data sets. Rank 1 is best, ties share their mean rank, and only prompts with all methods count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, rankdata, studentized_range


@dataclass(frozen=True)
class CriticalDifference:
    """What a critical-difference diagram draws: methods from best to worst and the bars that join them."""

    methods: list[str]
    mean_ranks: np.ndarray  # (M,), in the order of methods
    difference: float  # Nemenyi's critical difference of mean ranks; NaN for one method or no prompt
    groups: list[list[str]]  # maximal runs of two or more methods not significantly different
    friedman_p: float  # NaN below three methods or two prompts
    n: int  # prompts


def value_table(means: pd.DataFrame, metric: str, methods: Sequence[str]) -> pd.DataFrame:
    """Prompts x methods of one metric, complete prompts only. means: method, prompt, metric, value."""
    mine = means[(means["metric"] == metric) & means["method"].isin(methods)]
    table = mine.pivot(index="prompt", columns="method", values="value")
    return table.reindex(columns=list(methods)).dropna()


def rank_rows(values: np.ndarray, better: str) -> np.ndarray:
    """Ranks along the last axis, 1 the best, ties sharing the mean; better: "up" or "down"."""
    return rankdata(-values if better == "up" else values, axis=-1)


def first_probability(values: np.ndarray, better: str, resamples: int = 10_000, seed: int = 0) -> np.ndarray:
    """Share of prompt bootstraps in which each method has the best mean, ties shared: (M,), sums to 1.

    values: prompts x methods (P, M), complete.
    """
    n = len(values)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    means = counts @ (values if better == "up" else -values) / n  # (R, M)
    scale = 1e-12 * (1 + np.abs(values).max())  # equal methods may differ by the order of summation
    first = means >= means.max(1, keepdims=True) - scale
    return (first / first.sum(1, keepdims=True)).mean(0)


def friedman_p(values: np.ndarray) -> float:
    """p of Friedman's test that all methods rank alike (chi-squared; conservative for few prompts).

    values: (P, M). NaN below three methods or two prompts; 1 if every prompt ties all methods.
    """
    if values.shape[1] < 3 or len(values) < 2:
        return float("nan")
    if (np.ptp(values, axis=1) == 0).all():
        return 1.0
    return float(friedmanchisquare(*values.T).pvalue)


def nemenyi_difference(methods: int, n: int, alpha: float = 0.05) -> float:
    """Mean ranks over n prompts that lie this far apart differ at level alpha over all pairs of methods."""
    if methods < 2 or n < 1:
        return float("nan")
    quantile = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / np.sqrt(2)
    return quantile * float(np.sqrt(methods * (methods + 1) / (6 * n)))


def joined_groups(methods: Sequence[str], mean_ranks: np.ndarray, difference: float) -> list[list[str]]:
    """Maximal runs of at least two methods whose mean ranks span less than the critical difference.

    methods and mean_ranks: from best to worst.
    """
    groups: list[list[str]] = []
    reached = 0
    for start, rank in enumerate(mean_ranks):
        end = int((mean_ranks - rank < difference).sum())
        if end > max(reached, start + 1):
            groups.append(list(methods[start:end]))
            reached = end
    return groups


def critical_difference(
    means: pd.DataFrame, metric: str, better: str, methods: Sequence[str], alpha: float = 0.05
) -> CriticalDifference:
    """The data of the critical-difference diagram of one metric.

    means: method, prompt, metric, value (see prompt_means). Raises ValueError if no prompt has all methods.
    """
    table = value_table(means, metric, methods)
    if not len(table):
        raise ValueError(f"no prompt has a value of {metric} for all of {', '.join(methods)}")
    ranks = rank_rows(table.to_numpy(), better).mean(0)
    order = np.argsort(ranks, kind="stable")
    names, ranks = [methods[i] for i in order], ranks[order]
    difference, p = nemenyi_difference(len(names), len(table), alpha), friedman_p(table.to_numpy())
    groups = joined_groups(names, ranks, difference)
    return CriticalDifference(names, ranks, difference, groups, p, len(table))


def rank_summary(
    means: pd.DataFrame, better: Mapping[str, str], methods: Sequence[str], seed: int = 0
) -> pd.DataFrame:
    """Columns metric, method, mean_rank, first, n: mean rank, bootstrap chance to be first, prompts.

    means: method, prompt, metric, value; better: metric -> "up" or "down". Metrics that lack a method's
    value on every prompt are left out.
    """
    rows = []
    for metric, direction in better.items():
        values = value_table(means, metric, methods).to_numpy()
        if len(values):
            ranks = rank_rows(values, direction).mean(0)
            first = first_probability(values, direction, seed=seed)
            rows += [(metric, m, r, f, len(values)) for m, r, f in zip(methods, ranks, first, strict=True)]
    return pd.DataFrame(rows, columns=["metric", "method", "mean_rank", "first", "n"])
