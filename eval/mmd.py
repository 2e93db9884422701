"""Kernel distances of features: classic KID and CMMD, and their prompt-paired forms KID_pp and CMMD_pp.

The classic forms take views for independent samples. Views of one asset are not, so the KID of a perfect
method is above zero. Paired by prompt, with d_p the difference of the mean embeddings of prompt p's views and
of its reference images, the mean of <d_p, d_q> over p != q is an unbiased estimate of |E d|^2, however alike
the views of one asset are. All need sums of the kernel between prompts alone, so no Gram matrix of all pairs
of images is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SIGMA = 10.0  # of CMMD's kernel (Jayasumana et al. 2024), on unit embeddings
CMMD_SCALE = 1000.0  # as published
SUBSETS, SUBSET_SIZE = 100, 1000  # KID's usual ones (Binkowski et al. 2018)
CHUNK = 2048  # rows of the largest piece of a Gram matrix that is ever held

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KID's kernel (x.y / D + 1)^3 of rows (n, D) and (m, D): (n, m)."""
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def gaussian(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """CMMD's kernel exp(-|x - y|^2 / (2 sigma^2)) of unit rows (n, D) and (m, D): (n, m)."""
    return np.exp((x @ y.T - 1) / SIGMA**2)  # |x - y|^2 = 2 - 2 x.y


def normalize(features: np.ndarray) -> np.ndarray:
    """Rows of unit length (n, D), float64."""
    x = np.asarray(features, dtype=np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def kernel_sum(kernel: Kernel, x: np.ndarray, y: np.ndarray, chunk: int = CHUNK) -> float:
    """Sum of the kernel over all pairs of rows, in pieces of at most chunk x chunk."""
    total = 0.0
    for i in range(0, len(x), chunk):
        rows = np.asarray(x[i : i + chunk], dtype=np.float64)
        for j in range(0, len(y), chunk):
            total += float(kernel(rows, np.asarray(y[j : j + chunk], dtype=np.float64)).sum())
    return total


@dataclass(frozen=True)
class KernelSums:
    """Sums of a kernel within and between the prompts of a method (x) and of the reference (y).

    xx, xy, yy: (P, P); x_self, y_self: the part (P,) of the diagonals that pairs an image with itself;
    x_count, y_count: images a prompt (P,).
    """

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray
    x_self: np.ndarray
    y_self: np.ndarray
    x_count: np.ndarray
    y_count: np.ndarray

    def without(self, prompt: int) -> KernelSums:
        """The sums with one prompt left out of both sides."""
        kept = np.delete(np.arange(len(self.xx)), prompt)
        square = np.ix_(kept, kept)
        lines = (self.x_self, self.y_self, self.x_count, self.y_count)
        return KernelSums(self.xx[square], self.xy[square], self.yy[square], *(line[kept] for line in lines))


def within(kernel: Kernel, x: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Sums between the prompts of one set (P, P), and over images paired with themselves (P,)."""
    sums = np.zeros((len(x), len(x)))
    for p in range(len(x)):
        for q in range(p, len(x)):
            sums[p, q] = sums[q, p] = kernel_sum(kernel, x[p], x[q])
    rows = [np.asarray(block, dtype=np.float64)[:, None] for block in x]  # (n, 1, D): a row is a set of one
    own = [sum(float(kernel(row, row).sum()) for row in block) for block in rows]
    return sums, np.array(own)


def kernel_sums(
    kernel: Kernel, methods: Sequence[Sequence[np.ndarray]], reference: Sequence[np.ndarray]
) -> list[KernelSums]:
    """KernelSums of each method, the reference's own part computed once.

    methods, reference: one array (n_p, D) a prompt, in the same order.
    """
    yy, y_self = within(kernel, reference)
    y_count = np.array([len(block) for block in reference], dtype=float)
    found = []
    for x in methods:
        xx, x_self = within(kernel, x)
        xy = np.array([[kernel_sum(kernel, mine, theirs) for theirs in reference] for mine in x])
        x_count = np.array([len(block) for block in x], dtype=float)
        found.append(KernelSums(xx, xy, yy, x_self, y_self, x_count, y_count))
    return found


def unbiased_mmd2(sums: KernelSums) -> float:
    """Squared MMD over pairs of different images: unbiased if images are independent, which views are not."""
    n, m = sums.x_count.sum(), sums.y_count.sum()
    mine = (sums.xx.sum() - sums.x_self.sum()) / (n * (n - 1))
    theirs = (sums.yy.sum() - sums.y_self.sum()) / (m * (m - 1))
    return float(mine + theirs - 2 * sums.xy.sum() / (n * m))


def biased_mmd2(sums: KernelSums) -> float:
    """Squared MMD over all pairs, an image with itself included (V-statistic): never negative."""
    n, m = sums.x_count.sum(), sums.y_count.sum()
    return float(sums.xx.sum() / n**2 + sums.yy.sum() / m**2 - 2 * sums.xy.sum() / (n * m))


def paired_mmd2(sums: KernelSums) -> float:
    """Squared MMD from pairs of different prompts (U-statistic): unbiased with one asset a prompt.

    The mean off the diagonal of G[p, q] = <d_p, d_q>; NaN for a single prompt. May be negative.
    """
    x, y, prompts = sums.x_count, sums.y_count, len(sums.xx)
    if prompts < 2:
        return float("nan")
    xy = sums.xy / np.outer(x, y)
    G = sums.xx / np.outer(x, x) - xy - xy.T + sums.yy / np.outer(y, y)
    return float((G.sum() - np.trace(G)) / (prompts * (prompts - 1)))


def jackknife(
    statistic: Callable[[KernelSums], float], sums: Sequence[KernelSums]
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of M methods with all P prompts (M,), and with each prompt left out of both sides (P, M).

    Below three prompts there is no error to find, so none is left out (0, M).
    """
    prompts = len(sums[0].xx)
    left_out = [[statistic(known.without(p)) for known in sums] for p in range(prompts if prompts > 2 else 0)]
    return np.array([statistic(known) for known in sums]), np.array(left_out).reshape(-1, len(sums))


def kid(
    features: np.ndarray,
    reference: np.ndarray,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
    seed: int = 0,
) -> float:
    """Classic KID: unbiased squared MMD, cubic kernel, mean over random subsets; ignores view clustering.

    features (n, D), reference (m, D). A subset has `size` images of each side, all of the smaller side if it
    has fewer. The subsets depend on n, m and seed alone, so two methods of one size meet the same ones.
    """
    x, y = np.asarray(features), np.asarray(reference)
    size, rng = min(size, len(x), len(y)), np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        mine, theirs = (s[rng.choice(len(s), size, replace=False)].astype(np.float64) for s in (x, y))
        same = sum(K.sum() - np.trace(K) for K in (cubic(mine, mine), cubic(theirs, theirs)))
        values.append(same / (size * (size - 1)) - 2 * cubic(mine, theirs).mean())
    return float(np.mean(values))
