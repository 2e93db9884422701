"""Where a metric's variance comes from: prompt, method, prompt x method, seed or view.

The model is y[p,m,s,v] = mu + P[p] + M[m] + PM[p,m] + S[p,m,s] + V[p,m,s,v] with independent random terms.
Components come from sums of squares set equal to their expectations: the classic mean squares when the
table is balanced, Henderson's method III on the cell means when assets or views are missing. The 120 views
are a fixed orbit and resemble their neighbors, so `view` describes the spread within an asset; it is not the
noise that more views would average away.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.linalg import orth

from .intervals import ROUNDING

COMPONENTS = ("prompt", "method", "prompt x method", "seed", "view")
DIGITS = 6  # significant ones of the values in score files


def view_component(sizes: np.ndarray, variances: np.ndarray) -> float:
    """Pooled variance within assets. sizes: views of each asset; variances: theirs (ddof 1, NaN for one)."""
    several = sizes > 1
    freedom = (sizes[several] - 1).sum()
    return float((variances[several] * (sizes[several] - 1)).sum() / freedom) if freedom else float("nan")


def seed_component(assets: pd.DataFrame, view: float) -> float:
    """Variance between the seeds of a (prompt, method), views' noise removed; NaN if none has two.

    assets: prompt, method, mean, size, one row an asset.
    """
    squares, noise, freedom = 0.0, 0.0, 0
    for _, cell in assets.groupby(["prompt", "method"]):
        count = len(cell)
        squares += ((cell["mean"] - cell["mean"].mean()) ** 2).sum()
        noise += (1 - 1 / count) * (view / cell["size"]).sum()
        freedom += count - 1
    return (squares - noise) / freedom if freedom else float("nan")


def projection(matrix: np.ndarray) -> np.ndarray:
    """Orthogonal projector (n, n) on the columns' span."""
    basis = orth(matrix)
    return basis @ basis.T


def crossed_components(cells: pd.DataFrame) -> np.ndarray:
    """Variances of prompt, method and their interaction from cell means; NaN where not estimable.

    cells: prompt, method, y, noise (the variance that seeds and views leave in the mean y), one row a cell.
    Three quadratic forms (prompt given method, method given prompt, residual) are set equal to their
    expectations, E[y'Qy] = sum of sigma_k^2 tr(Z_k' Q Z_k), so cells may be missing.
    """
    found, y, noise = np.full(3, np.nan), cells["y"].to_numpy(), cells["noise"].to_numpy()
    labels = [cells[name].to_numpy() for name in ("prompt", "method")]
    z = [*((each[:, None] == np.unique(each)).astype(float) for each in labels), np.eye(len(y))]
    both = projection(np.hstack(z[:2]))
    forms = [both - projection(z[1]), both - projection(z[0]), np.eye(len(y)) - both]
    usable = [k for k, form in enumerate(forms) if np.trace(form) > 0.5]
    system = np.array([[np.trace(z[j].T @ forms[k] @ z[j]) for j in usable] for k in usable])
    known = np.array([y @ forms[k] @ y - (np.diag(forms[k]) * noise).sum() for k in usable])
    if usable:
        found[usable] = np.linalg.solve(system, known)
    return found


def split_metric(scores: pd.DataFrame) -> np.ndarray:
    """The five components (5,) of one metric, in the order of COMPONENTS.

    scores: method, prompt, seed, view, value, without NaN. A component that the design cannot tell from the
    next finer one (one seed, one view) is NaN and stays in the coarser one. Estimates may be negative.
    """
    by_asset = scores.groupby(["prompt", "method", "seed"])["value"]
    assets = by_asset.agg(["mean", "size", "var"])
    view = view_component(assets["size"].to_numpy(), assets["var"].to_numpy())
    seed = seed_component(assets, np.nan_to_num(view))
    assets["noise"] = np.nan_to_num(seed) + np.nan_to_num(view) / assets["size"]
    by_cell = assets.groupby(["prompt", "method"], as_index=False)
    cells = by_cell.agg(y=("mean", "mean"), noise=("noise", "mean"), seeds=("mean", "size"))
    crossed = crossed_components(cells.assign(noise=cells["noise"] / cells["seeds"]))
    return np.array([*crossed, seed, view])


def variance_split(scores: pd.DataFrame) -> pd.DataFrame:
    """Variance components of each metric: columns metric, component, variance, share.

    scores: the long table (method, prompt, seed, view, metric, value); NaN values are left out. `variance`
    is the unbiased estimate, which may fall below zero; `share` counts negative ones as zero and sums to 1.
    A component that the design cannot tell (a single seed, say) is NaN and belongs to the one before it; all
    are where the values spread by no more than the last digit of score files: rounding has no source.
    Controls should be left out: their distance to the methods would count as variance of methods.
    """
    rows = []
    for metric, group in scores.dropna(subset="value").groupby("metric", sort=False):
        variances = split_metric(group)
        positive = np.clip(variances, 0, None)
        total = np.nansum(positive)
        if total <= last_digit(group["value"].to_numpy()) ** 2:
            variances = positive = np.full(len(COMPONENTS), np.nan)
        variances = np.where(np.abs(variances) <= ROUNDING * total, 0.0, variances)
        shares = positive / total if total > 0 else positive
        rows += [(metric, *row) for row in zip(COMPONENTS, variances, shares, strict=True)]
    return pd.DataFrame(rows, columns=["metric", "component", "variance", "share"])


def last_digit(values: np.ndarray) -> float:
    """One unit of the last digit that score files keep of the largest value; 0 if all are 0."""
    largest = float(np.abs(values).max())
    return 10.0 ** (np.floor(np.log10(largest)) + 1 - DIGITS) if largest > 0 else 0.0
