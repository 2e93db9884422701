"""Honest numbers: the unit is the prompt, so views are averaged first and prompts are resampled."""

from __future__ import annotations

import numpy as np
import pandas as pd

RESAMPLES = 10_000


def prompt_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean over views, then over seeds: columns method, prompt, metric, value.

    scores: columns method, prompt, seed, view, metric, value; views with no value are left out.
    """
    per_seed = scores.groupby(["method", "prompt", "seed", "metric"], as_index=False)["value"].mean()
    return per_seed.groupby(["method", "prompt", "metric"], as_index=False)["value"].mean()


def bootstrap_interval(values: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """BCa bootstrap interval of the mean over prompts; NaN below three prompts, a point if all agree."""
    from scipy.stats import bootstrap

    values = np.asarray(values, dtype=float)
    if len(values) < 3:
        return float("nan"), float("nan")
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    result = bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=RESAMPLES, method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return float(result.low), float(result.high)
