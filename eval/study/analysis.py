"""What a ranking study says: mean ranks and their differences, Plackett-Luce worths, agreement.

Rankings by one volunteer are alike, and so are rankings of one prompt; a resample therefore draws
volunteers and prompts, both with replacement, and a ranking counts as often as its volunteer times its
prompt was drawn (Owen 2007, "The pigeonhole bootstrap"; it errs on the wide side). The spread over resamples
is the error of every figure, and Student's t gives interval and p, with as many degrees of freedom as the
fewer of volunteers and prompts, less one. In simulated studies of 5 methods the 95 % intervals cover
94 to 100 % from 6 prompts or 6 volunteers on; the resamples' own quantiles cover 88 % at 6 prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import t as student_t

from ..statistics.intervals import ROUNDING, SMALLEST_SAMPLE

RESAMPLES = 2000
LEVEL = 0.95
PRIOR = 0.1  # pseudo-comparisons of each ordered pair of methods; keeps worths finite


def ranking_matrix(ranks: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """One question's rankings as ranks (N, M), volunteer number (N,), prompt number (N,), methods (M).

    ranks: volunteer, group, prompt, method, rank. Raises ValueError unless each ranking gives 1..M once.
    """
    table = ranks.pivot(index=["volunteer", "group", "prompt"], columns="method", values="rank")
    values = table.to_numpy(dtype=float)
    if (np.sort(values, 1) != np.arange(1, values.shape[1] + 1)).any():
        raise ValueError(f"a ranking does not give the ranks 1 to {values.shape[1]} once each")
    labels = (table.index.get_level_values(name) for name in ("volunteer", "prompt"))
    volunteer, prompt = (pd.factorize(label)[0] for label in labels)
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


def kendall_w(values: np.ndarray) -> float:
    """Kendall's coefficient of concordance of these rankings, 0 (none) to 1 (all agree).

    values: ranks (N, M) without ties. W = 12 S / (n^2 (M^3 - M)), S the sum of squares of the rank sums about
    their mean. It describes: chance adds to it, and resampling adds again, so it has no interval.
    """
    m = values.shape[1]
    return float(12 * ((values.mean(0) - (m + 1) / 2) ** 2).sum() / (m**3 - m))


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


@dataclass(frozen=True)
class Resamples:
    """The crossed bootstrap of one question. weights: (R, N); n: the fewer of volunteers and prompts."""

    weights: np.ndarray
    n: int

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means (R, K) of values (N, K) over each resample."""
        return self.weights @ values / self.weights.sum(1, keepdims=True)

    def error(self, drawn: np.ndarray) -> np.ndarray:
        """Standard errors (K,) of resampled figures (R, K); NaN below SMALLEST_SAMPLE and where all agree."""
        spread = drawn.std(0, ddof=1) * np.sqrt(self.n / max(1, self.n - 1))  # of n units n - 1 are free
        return np.where((self.n >= SMALLEST_SAMPLE) & (spread > ROUNDING), spread, np.nan)

    def reach(self, drawn: np.ndarray) -> np.ndarray:
        """Half the width of the interval at LEVEL."""
        return student_t.ppf((1 + LEVEL) / 2, self.n - 1) * self.error(drawn)

    def p(self, estimate: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Two-sided p of no difference, which agrees with the interval."""
        return 2 * student_t.sf(np.abs(estimate) / self.error(drawn), self.n - 1)


def mean_ranks(values: np.ndarray, resamples: Resamples, methods: list[str]) -> pd.DataFrame:
    """method, mean, low, high; within 1 and the number of methods."""
    mean, reach = values.mean(0), resamples.reach(resamples.means(values))
    low, high = (np.clip(end, 1, len(methods)) for end in (mean - reach, mean + reach))
    return pd.DataFrame({"method": methods, "mean": mean, "low": low, "high": high})


def rank_differences(values: np.ndarray, resamples: Resamples, methods: list[str]) -> pd.DataFrame:
    """Every ordered pair: method, against, difference (of mean ranks), low, high, won, p.

    won: the share of rankings in which `method` stands before `against`.
    """
    pairs = np.array([*permutations(range(len(methods)), 2)])
    gaps = values[:, pairs[:, 0]] - values[:, pairs[:, 1]]
    difference, drawn = gaps.mean(0), resamples.means(gaps)
    reach = resamples.reach(drawn)
    names = np.array(methods)[pairs]
    return pd.DataFrame({
        "method": names[:, 0], "against": names[:, 1], "difference": difference, "low": difference - reach,
        "high": difference + reach, "won": (gaps < 0).mean(0), "p": resamples.p(difference, drawn),
    })  # fmt: skip


def rank_worths(values: np.ndarray, resamples: Resamples, methods: list[str]) -> pd.DataFrame:
    """method, worth, low, high; the interval is Student's on the log-odds of the worth."""
    worth = plackett_luce(values, np.ones((1, len(values))))[0]
    reach = resamples.reach(logit(plackett_luce(values, resamples.weights)))
    low, high = (expit(logit(worth) + sign * reach) for sign in (-1, 1))
    return pd.DataFrame({"method": methods, "worth": worth, "low": low, "high": high})


def check_questions(ranks: pd.DataFrame) -> None:
    """ValueError if there are no rankings, or if questions differ in their number."""
    if ranks.empty:
        raise ValueError("no rankings to analyze")
    counts = ranks.drop_duplicates(["question", "volunteer", "group"])["question"].value_counts(sort=False)
    if counts.nunique() > 1:
        found = ", ".join(f"{question} {count}" for question, count in counts.sort_index().items())
        raise ValueError(f"the questions differ in their number of rankings: {found}")


def analyze(ranks: pd.DataFrame, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The study's tables by the ending of their files' names, each with a column `question`.

    ranks: volunteer, group, prompt, question, method, rank. "": mean_ranks (rank 1 is best; the means of M
    methods sum to M (M + 1) / 2); differences: rank_differences; worths: rank_worths; agreement: w.
    """
    check_questions(ranks)
    tables: dict[str, list[pd.DataFrame]] = {"": [], "differences": [], "worths": [], "agreement": []}
    for question, rows in ranks.groupby("question"):
        values, volunteer, prompt, methods = ranking_matrix(rows)
        weights = crossed_weights(volunteer, prompt, resamples, seed)
        drawn = Resamples(weights, int(min(volunteer.max(), prompt.max())) + 1)
        found = [
            mean_ranks(values, drawn, methods),
            rank_differences(values, drawn, methods),
            rank_worths(values, drawn, methods),
            pd.DataFrame({"w": [kendall_w(values)]}),
        ]
        for parts, table in zip(tables.values(), found, strict=True):
            parts.append(table.assign(question=question)[["question", *table.columns]])
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def prompt_ranks(ranks: pd.DataFrame) -> pd.DataFrame:
    """Mean rank on each prompt: columns method, prompt, question, value. Descriptive: no test rests on it."""
    return ranks.groupby(["method", "prompt", "question"])["rank"].mean().rename("value").reset_index()
