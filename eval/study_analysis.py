"""What a ranking study says: mean ranks, agreement and Plackett-Luce worths, with bootstrap intervals.

Rankings by one volunteer are alike, and so are rankings of one prompt; a resample therefore draws
volunteers and prompts, both with replacement, and a ranking counts as often as its volunteer times its
prompt was drawn (Owen 2007, "The pigeonhole bootstrap"; it errs on the wide side).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

RESAMPLES = 2000
PRIOR = 0.1  # pseudo-comparisons of each ordered pair of methods; keeps worths finite


def ranking_matrix(ranks: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """One question's rankings as ranks (N, M), volunteer number (N,), prompt number (N,), methods (M).

    ranks: volunteer, group, prompt, method, rank. Raises ValueError unless each ranking gives 1..M once.
    """
    table = ranks.pivot(index=["volunteer", "group", "prompt"], columns="method", values="rank")
    values = table.to_numpy(dtype=float)
    if not np.array_equal(np.sort(values, 1), np.tile(np.arange(1.0, values.shape[1] + 1), (len(values), 1))):
        raise ValueError(f"a ranking does not give the ranks 1 to {values.shape[1]} once each")
    volunteer = pd.factorize(table.index.get_level_values("volunteer"))[0]
    prompt = pd.factorize(table.index.get_level_values("prompt"))[0]
    return values, volunteer, prompt, [str(name) for name in table.columns]


def crossed_weights(volunteer: np.ndarray, prompt: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each ranking counts in each resample (R, N); resamples without any ranking are drawn anew."""
    rng = np.random.default_rng(seed)

    def draw(labels: np.ndarray, size: int) -> np.ndarray:
        count = int(labels.max()) + 1
        return rng.multinomial(count, np.full(count, 1 / count), size)[:, labels]

    weights = np.zeros((resamples, len(volunteer)))
    while len(empty := np.flatnonzero(weights.sum(1) == 0)):
        weights[empty] = draw(volunteer, len(empty)) * draw(prompt, len(empty))
    return weights


def kendall_w(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Kendall's coefficient of concordance of the rankings, 0 (none) to 1 (all agree): (R,).

    values: ranks (N, M) without ties; weights: (R, N). W = 12 S / (n^2 (M^3 - M)), S the sum of squares of
    the rank sums about their mean.
    """
    m = values.shape[1]
    means = weights @ values / weights.sum(1, keepdims=True)
    return 12 * ((means - (m + 1) / 2) ** 2).sum(1) / (m**3 - m)


def plackett_luce(
    values: np.ndarray, weights: np.ndarray, prior: float = PRIOR, steps: int = 5000, tolerance: float = 1e-9
) -> np.ndarray:
    """Worths (R, M), summing to 1: a method's chance to be ranked first among all.

    values: ranks (N, M); weights: (R, N), a fit for each row. A ranking is a series of choices, each of the
    best among those still in. Maximum likelihood by the MM algorithm of Hunter 2004, "MM algorithms for
    generalized Bradley-Terry models". `prior` adds that many comparisons of each ordered pair, without which
    a method that always wins has no finite worth.
    """
    m = values.shape[1]
    still_in = values[:, None, :] >= np.arange(1, m)[:, None]  # (N, choices, M)
    sets, which = np.unique(still_in.reshape(-1, m), axis=0, return_inverse=True)
    choices = np.eye(len(sets))[which.ravel()].reshape(len(values), m - 1, -1).sum(1)  # (N, sets)
    pairs = np.array([[k in pair for k in range(m)] for pair in combinations(range(m), 2)])
    sets = np.concatenate([sets, pairs]).astype(float)
    seen = np.hstack([weights @ choices, np.full((len(weights), len(pairs)), 2 * prior)])  # (R, sets)
    wins = weights @ (values < m) + prior * (m - 1)
    worth = np.full((len(weights), m), 1 / m)
    for _ in range(steps):
        new = wins / ((seen / (worth @ sets.T)) @ sets)
        new /= new.sum(1, keepdims=True)
        change, worth = np.abs(new - worth).max(), new
        if change < tolerance:
            break
    return worth


def limits(drawn: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile limits over the first axis."""
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def questions_of(ranks: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each question with its rankings; ValueError if there are none."""
    if ranks.empty:
        raise ValueError("no rankings to analyze")
    for question, rows in ranks.groupby("question"):
        yield str(question), rows


def analyze(
    ranks: pd.DataFrame, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Mean ranks, worths and agreement.

    ranks: volunteer, group, prompt, question, method, rank. Returns three tables: method, question, mean,
    low, high, n (rank 1 is best, n rankings; the means of M methods sum to M (M + 1) / 2); method,
    question, worth, low, high; question, w, low, high, rankings, volunteers, prompts.
    """
    means, worths, agreement = [], [], []
    for question, rows in questions_of(ranks):
        values, volunteer, prompt, methods = ranking_matrix(rows)
        weights = crossed_weights(volunteer, prompt, resamples, seed)
        once = np.ones((1, len(values)))
        ends = limits(weights @ values / weights.sum(1, keepdims=True), level)
        columns = zip(methods, values.mean(0), *ends, strict=True)
        means += [(m, question, mean, low, high, len(values)) for m, mean, low, high in columns]
        ends = limits(plackett_luce(values, weights), level)
        columns = zip(methods, plackett_luce(values, once)[0], *ends, strict=True)
        worths += [(m, question, worth, low, high) for m, worth, low, high in columns]
        spread = limits(kendall_w(values, weights), level)
        sizes = (len(values), int(volunteer.max()) + 1, int(prompt.max()) + 1)
        agreement.append((question, kendall_w(values, once)[0], *map(float, spread), *sizes))
    return (
        pd.DataFrame(means, columns=["method", "question", "mean", "low", "high", "n"]),
        pd.DataFrame(worths, columns=["method", "question", "worth", "low", "high"]),
        pd.DataFrame(
            agreement, columns=["question", "w", "low", "high", "rankings", "volunteers", "prompts"]
        ),
    )


def prompt_ranks(ranks: pd.DataFrame) -> pd.DataFrame:
    """Mean rank on each prompt, for paired tests: columns method, prompt, metric (q1, q2, q3), value."""
    renamed = ranks.rename(columns={"question": "metric", "rank": "value"})
    return renamed.groupby(["method", "prompt", "metric"])["value"].mean().reset_index()
