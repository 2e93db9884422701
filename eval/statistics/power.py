"""The smallest differences that a design finds, by simulation of the very tests that are used.

Every test here rejects where its lower limit lies above 0, and a constant added to all differences moves
that limit by as much. So the mean difference that is found with probability POWER is a quantile of minus the
limits of samples with mean 0: no search, and no formula of the test. In standard deviations of the paired
differences, taken as normal. Within 3 % of the noncentral t, where that is the test (test_power.py).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

import numpy as np
import pandas as pd

from ..metrics import columns
from .comparison import ALPHA
from .mean_test import Distance, Evidence, Mean

POWER = 0.8
SAMPLES = 1000
DRAWS = 5000  # sign patterns of a sample, where there are too many to take all
FLIPS, LEDGER, JACKKNIFE = "sign flips", "sign flips and interval", "t on the jackknife's error"
COLUMNS = ["metric", "against", "test", "tests", "n", "spread", "difference"]


@lru_cache(maxsize=64)
def smallest_effect(n: int, tail: float, test: str = FLIPS, seed: int = 0) -> float:
    """The mean difference, in standard deviations, that n prompts find with probability POWER.

    tail: one-sided level of each test, so .05 / 2 / m for the first step of Holm over m two-sided ones. test:
    FLIPS (of the table), LEDGER (mean_test.Mean), JACKKNIFE (of pooled distances). Infinite where no
    difference is large enough for so few prompts.
    """
    if n < 2:
        return float("inf")
    limits = [lower_limit(mean, tail, test) for mean in samples(n, seed)]
    return -float(np.quantile(limits, 1 - POWER, method="inverted_cdf"))


@lru_cache(maxsize=1)  # a sample keeps the means of its subsets, which all tails share
def samples(n: int, seed: int) -> list[Mean]:
    """SAMPLES samples of n standard normal differences."""
    return [Mean(row, DRAWS) for row in np.random.default_rng(seed).standard_normal((SAMPLES, n))]


def lower_limit(mean: Mean, tail: float, test: str) -> float:
    """Below this, the test rejects every bound at this tail."""
    if test == JACKKNIFE:
        error = float(mean.values.std(ddof=1)) / mean.n**0.5
        return Distance(mean.estimate, error, mean.n).limits(tail)[0]
    return mean.flipped(tail) if test == FLIPS else mean.lowest(tail)


def smallest_distance(evidence: Evidence, tail: float) -> float:
    """How far from a bound the ledger's test finds a true value of such evidence, with probability POWER."""
    if isinstance(evidence, Distance):
        return evidence.error * evidence.n**0.5 * smallest_effect(evidence.n, tail, JACKKNIFE)
    effect = smallest_effect(evidence.n, tail, LEDGER)
    return effect if np.isinf(effect) else effect * float(evidence.values.std(ddof=1))


def smallest_differences(comparisons: pd.DataFrame, reference: str, tested: Collection[str]) -> pd.DataFrame:
    """COLUMNS: the mean difference that each tested metric finds with probability POWER, by family of tests.

    comparisons: see pairs.adjust. against: empty for all pairs of methods (letters: Holm over those of the
    metric), the reference for the comparisons with it (marks: Holm over those of all tested metrics). The
    level is that of Holm's first step, which the later ones only ease. spread: root of the mean variance of
    the paired differences; n: the fewest prompts of a pair.
    """
    known, rows = columns(), []
    mine = comparisons[comparisons["metric"].isin(tested) & comparisons["p"].notna()]
    marks = mine[mine["against"] == reference]
    for metric in dict.fromkeys(mine["metric"]):
        test = JACKKNIFE if known[metric].get("pooled") else FLIPS
        for against, family in (("", mine[mine["metric"] == metric]), (reference, marks)):
            pairs = family[family["metric"] == metric]
            if len(pairs):
                n, spread = int(pairs["n"].min()), float((pairs["spread"] ** 2).mean() ** 0.5)
                effect = smallest_effect(n, ALPHA / 2 / len(family), test)
                found = effect if np.isinf(effect) else spread * effect
                rows.append((metric, against, test, len(family), n, spread, found))
    return pd.DataFrame(rows, columns=COLUMNS)
