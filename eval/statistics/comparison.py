"""Paired comparison of each method against a reference, prompt by prompt.

`difference` is the mean of the paired differences, which the sign flips test and whose interval is given:
printed figures and marks take their direction from it, never from `shift`, which is descriptive. Tests are
two-sided. Positive differences mean that the method's figure is the larger one, whichever direction is
better; `won` already knows the direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import t

from .intervals import ROUNDING, SMALLEST_SAMPLE, mean_interval

ALPHA = 0.05
EXACT_UP_TO = 14  # pairs; 2^14 sign patterns are all counted
DRAWS = 100_000  # sign patterns drawn above that
COLUMNS = ["method", "metric", "n", "difference", "spread", "low", "high", "shift", "won", "p"]


@lru_cache(maxsize=2)
def sign_patterns(n: int, draws: int, seed: int) -> np.ndarray:
    """Signs (patterns, n) in {-1, 1}: all 2^n of them up to EXACT_UP_TO pairs, else seeded draws."""
    if n <= EXACT_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (draws, n), dtype=np.int8)
    signs = np.where(bits, 1.0, -1.0)
    signs.setflags(write=False)
    return signs


def sign_flip_p(differences: np.ndarray, draws: int = DRAWS, seed: int = 0) -> float:
    """p of the paired permutation test: how many of the sign patterns give a mean as far from zero.

    differences: (n,), one a prompt. Exact for n <= 14; beyond, (1 + hits) / (1 + draws) (Phipson and
    Smyth 2010). NaN without pairs. The null is that the two methods can be exchanged on each prompt, so
    differences are symmetric about zero; then the level holds exactly, however skewed the scores are.
    """
    differences = np.asarray(differences, dtype=float)
    n = len(differences)
    if n == 0:
        return float("nan")
    sums = np.abs(sign_patterns(n, draws, seed) @ differences)
    rounding = 1e-12 * np.abs(differences).sum()  # equal sums may differ by the order of summation
    hits = int((sums >= abs(differences.sum()) - rounding).sum())
    return hits / len(sums) if n <= EXACT_UP_TO else (1 + hits) / (1 + draws)


def smallest_p(n: int, draws: int = DRAWS) -> float:
    """The smallest p that sign_flip_p can return on n prompts: 2^(1-n) where it is exact; NaN for none."""
    if n < 1:
        return float("nan")
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (1 + draws)


def hodges_lehmann(differences: np.ndarray) -> float:
    """Shift: the median of the means of all pairs i <= j of differences (n,); NaN without any."""
    i, j = np.triu_indices(len(differences))
    return float(np.median((differences[i] + differences[j]) / 2)) if len(i) else float("nan")


def share_won(differences: np.ndarray, better: str) -> float:
    """Share of prompts on which the method is better than the reference, ties half; NaN without pairs.

    differences: method minus reference (n,); better: "up" or "down".
    """
    if better not in ("up", "down"):
        raise ValueError(f"better is {better!r}, neither up nor down")
    if len(differences) == 0:
        return float("nan")
    gain = np.asarray(differences) if better == "up" else -np.asarray(differences)
    return float((gain > 0).mean() + 0.5 * (gain == 0).mean())


def compare(
    means: pd.DataFrame, better: Mapping[str, str], reference: str = "sctd", seed: int = 0
) -> pd.DataFrame:
    """Each method against the reference on each metric: COLUMNS.

    means: method, prompt, metric, value (see prompt_means); better: metric -> "up" or "down", and only
    these metrics are compared. Only prompts where both have a value are paired; n counts them. low, high:
    the 95 % interval of the mean difference (mean_interval); spread: the standard deviation of the paired
    differences, NaN of one. Raises ValueError if the reference has no rows.
    """
    if reference not in set(means["method"]):
        raise ValueError(f"no method {reference!r} to compare with")
    rows = []
    for metric, direction in better.items():
        mine = means[means["metric"] == metric]
        table = mine.pivot(index="prompt", columns="method", values="value")
        if reference not in table:
            continue
        for method in mine["method"].drop_duplicates():
            if method != reference:
                both = table[[method, reference]].dropna().to_numpy()
                pairs = np.where(agree(both), 0.0, both[:, 0] - both[:, 1])
                tests = hodges_lehmann(pairs), share_won(pairs, direction), sign_flip_p(pairs, seed=seed)
                mean = pairs.mean() if len(pairs) else float("nan")
                spread = pairs.std(ddof=1) if len(pairs) > 1 else float("nan")
                rows.append((method, metric, len(pairs), mean, spread, *mean_interval(pairs), *tests))
    return pd.DataFrame(rows, columns=COLUMNS)


def agree(values: np.ndarray) -> np.ndarray:
    """Whether the values of each row (n, M) are equal up to the rounding of means over views: (n,)."""
    return np.ptp(values, axis=1) <= ROUNDING * np.abs(values).max(axis=1)


def distance_p(difference: float, error: float, n: int) -> float:
    """p of a difference of distances (FID, KID) from its jackknife standard error over n prompts.

    Student's t with n - 1 degrees of freedom: with few prompts the error itself is uncertain. NaN if
    there is no error to judge by (NaN, negative, or n < 2); 0 error leaves 1 for no difference, else 0.
    """
    if np.isnan(difference) or not error >= 0 or n < 2:
        return float("nan")
    if error == 0:
        return float(difference == 0)
    return float(2 * t.sf(abs(difference) / error, n - 1))


def compare_distances(distances: pd.DataFrame) -> pd.DataFrame:
    """Rows of compare() for pooled distances.

    distances: method, metric, difference (method minus reference), error (jackknife SE of it), n.
    `shift` and `won` are NaN: a pooled distance has no value on a single prompt. `spread` is that of
    values whose mean would have this error.
    """
    difference, error, n = (distances[name].astype(float) for name in ("difference", "error", "n"))
    reach = (error * t.ppf(0.975, n - 1)).where(n >= SMALLEST_SAMPLE)
    p = [distance_p(*each) for each in zip(difference, error, distances["n"], strict=True)]
    spread = error * n**0.5
    figures = {"spread": spread, "low": difference - reach, "high": difference + reach, "p": p}
    return distances.assign(**figures).reindex(columns=COLUMNS)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p values (n,), in the order given; a NaN stays one and is no member of the family.

    The chance of any false rejection is at most alpha under every dependence (Holm 1979).
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")  # NaN last
    order = order[: int((~np.isnan(p)).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
