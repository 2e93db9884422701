"""Kernel distances of features: KID and CMMD, the prompt-paired KID_pp and CMMD_pp, and each prompt's own.

With d_p the difference of the mean embeddings of prompt p's views and of its reference images, all are read
off the products G[p, q] = <d_p, d_q> and off own[p], |d_p|^2 estimated from pairs of different images. All
prompts have the same weight, however many images each has. What each form means: docs/protocols.md.

KID_pp, CMMD_pp   the mean of G over p != q
KID               the mean of G with own on its diagonal
CMMD              the mean of all of G, self pairs included, as published
KID_p, CMMD_p     own[p]

All need block means of the kernel alone, so no Gram matrix of all pairs of images is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

SIGMA = 10.0  # of CMMD's kernel (Jayasumana et al. 2024), on unit embeddings
CMMD_SCALE = 1000.0  # as published
CHUNK = 2048  # rows of the largest piece of a Gram matrix that is ever held


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


def balance(features: np.ndarray) -> np.ndarray:
    """Rows of length sqrt(D), as KID's kernel expects; of a CLIP feature the direction tells alone."""
    return normalize(features) * np.sqrt(features.shape[1])


@dataclass(frozen=True)
class Kernel:
    """A kernel on stored features: what is done to their rows, the function of two sets, the unit printed."""

    prepare: Callable[[np.ndarray], np.ndarray]
    between: Callable[[np.ndarray, np.ndarray], np.ndarray]
    factor: float = 1.0

    def mean(self, x: np.ndarray, y: np.ndarray, chunk: int = CHUNK) -> float:
        """Mean over all pairs of rows (n, D), (m, D), in pieces of at most chunk x chunk."""
        total = 0.0
        for i in range(0, len(x), chunk):
            rows = self.prepare(x[i : i + chunk])
            for j in range(0, len(y), chunk):
                total += float(self.between(rows, self.prepare(y[j : j + chunk])).sum())
        return total / (len(x) * len(y))

    def mean_apart(self, x: np.ndarray, mean: float) -> float:
        """Mean over pairs of different rows (n, D), from the mean over all; NaN below two rows."""
        rows, n = self.prepare(x), len(x)
        selves = sum(float(self.between(row, row).sum()) for row in rows[:, None])  # a row is a set of one
        return (n * n * mean - selves) / (n * (n - 1)) if n > 1 else float("nan")


KID = Kernel(partial(np.asarray, dtype=np.float64), cubic)  # rows as they are
KID_CLIP = Kernel(balance, cubic)
CMMD = Kernel(normalize, gaussian, CMMD_SCALE)


@dataclass(frozen=True)
class Blocks:
    """How a method differs from the reference, prompt by prompt.

    products: <d_p, d_q> (P, P), self pairs among the diagonal's; own: |d_p|^2 without them (P,), NaN where a
    side has a single image.
    """

    products: np.ndarray
    own: np.ndarray

    def without(self, prompt: int) -> Blocks:
        """The blocks with one prompt left out of both sides."""
        kept = np.delete(np.arange(len(self.own)), prompt)
        return Blocks(self.products[np.ix_(kept, kept)], self.own[kept])


def within(kernel: Kernel, x: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean kernel between the prompts of one set (P, P), and between different images of each (P,)."""
    means = np.zeros((len(x), len(x)))
    for p in range(len(x)):
        for q in range(p, len(x)):
            means[p, q] = means[q, p] = kernel.mean(x[p], x[q])
    return means, np.array([kernel.mean_apart(block, means[p, p]) for p, block in enumerate(x)])


def blocks(
    kernel: Kernel, methods: Sequence[Sequence[np.ndarray]], reference: Sequence[np.ndarray]
) -> list[Blocks]:
    """Blocks of each method, the reference's own part computed once.

    methods, reference: one array (n_p, D) a prompt, in the same order.
    """
    yy, theirs = within(kernel, reference)
    found = []
    for x in methods:
        xx, mine = within(kernel, x)
        xy = np.array([[kernel.mean(a, b) for b in reference] for a in x])
        found.append(Blocks(xx - xy - xy.T + yy, mine + theirs - 2 * np.diag(xy)))
    return found


def stratified_mmd2(known: Blocks) -> float:
    """|mean_p d_p|^2 from pairs of different images: unbiased if images are independent."""
    off = known.products.sum() - np.trace(known.products)
    return float((off + known.own.sum()) / len(known.own) ** 2)


def biased_mmd2(known: Blocks) -> float:
    """|mean_p d_p|^2 over all pairs, an image with itself included (V-statistic): never negative."""
    return float(known.products.mean())


def paired_mmd2(known: Blocks) -> float:
    """|E d|^2 from pairs of different prompts: unbiased if the d_p are independent; NaN for one prompt."""
    prompts, off = len(known.own), known.products.sum() - np.trace(known.products)
    return float(off / (prompts * (prompts - 1))) if prompts > 1 else float("nan")


def jackknife(
    statistic: Callable[[Blocks], float], methods: Sequence[Blocks]
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of M methods with all P prompts (M,), and with each prompt left out of both sides (P, M).

    Below three prompts there is no error to find, so none is left out (0, M).
    """
    prompts = len(methods[0].own) if len(methods[0].own) > 2 else 0
    left_out = [[statistic(known.without(p)) for known in methods] for p in range(prompts)]
    return np.array([statistic(known) for known in methods]), np.array(left_out).reshape(-1, len(methods))


def prompt_mmd2(kernel: Kernel, assets: Sequence[np.ndarray], images: np.ndarray) -> np.ndarray:
    """|d|^2 (A,) of each asset's views (n, D) from the images (m, D) of its prompt, in the printed unit.

    From pairs of different images on both sides (U-statistic), so 0 on average for independent images of the
    reference's law, whatever their number, and sometimes below. The views of an asset show one thing: what
    assets of one prompt differ by is in the value, also of a perfect method. NaN where a side has one image.
    """
    found = blocks(kernel, [[asset] for asset in assets], [images])
    return kernel.factor * np.array([known.own[0] for known in found])
