"""Frechet distance (FID) of stored features, float64: from moments, with the jackknife over prompts.

FID = |mu_G - mu_R|^2 + tr S_G + tr S_R - 2 tr (S_G S_R)^(1/2) (Heusel et al. 2017), covariances with n - 1.
The last trace is the sum of the square roots of the eigenvalues of A = S_R^(1/2) S_G S_R^(1/2), which is
symmetric: no square root of a general matrix, no imaginary part.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np

from segmentdreamer.records import write_arrays


@dataclass(frozen=True)
class Moments:
    """What FID needs of a set of features; sets of features are joined by adding their moments.

    count: n; total: sum (D,); outer: sum of outer products (D, D); float64. Raw sums lose digits only
    where a mean exceeds its standard deviation by orders of magnitude, which no feature here does.
    """

    count: float
    total: np.ndarray
    outer: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """Moments of features (n, D)."""
        x = np.asarray(features, dtype=np.float64)
        return cls(len(x), x.sum(0), x.T @ x)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.count - other.count, self.total - other.total, self.outer - other.outer)

    def __mul__(self, weight: float) -> Moments:
        return Moments(self.count * weight, self.total * weight, self.outer * weight)

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.count

    @property
    def cov(self) -> np.ndarray:
        """Covariance (D, D) with n - 1; ValueError below two features."""
        if self.count < 2:
            raise ValueError(f"a covariance needs two features, not {self.count:g}")
        return (self.outer - np.outer(self.total, self.mean)) / (self.count - 1)


def save_moments(moments: Mapping[str, Moments], path: Path) -> None:
    """Statistics of each feature space in one npz: SPACE/count, SPACE/mean (D,), SPACE/cov (D, D)."""
    arrays = {
        f"{space}/{name}": np.asarray(getattr(known, name), dtype=np.float64)
        for space, known in moments.items()
        for name in ("count", "mean", "cov")
    }
    write_arrays(path, arrays)


def distances_to(reference: Moments, methods: Sequence[Moments]) -> np.ndarray:
    """FID of each method to one reference (M,), whose root is taken once; ValueError of few features."""
    mean, cov = reference.mean, reference.cov
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T  # eigenvalues below zero are rounding
    found = []
    for method in methods:
        theirs = method.cov
        shared = np.sqrt(np.linalg.eigvalsh(root @ theirs @ root).clip(0)).sum()
        shift = np.square(method.mean - mean).sum()
        found.append(shift + np.trace(theirs) + np.trace(cov) - 2 * shared)
    return np.array(found)


def share(prompts: Sequence[np.ndarray], p: int) -> Moments:
    """Moments of prompt p, weighing as much as any other: a failed seed must not make a prompt lighter."""
    mean = sum(map(len, prompts)) / len(prompts)
    return Moments.of(prompts[p]) * (mean / len(prompts[p]))


def add_up(prompts: Sequence[np.ndarray]) -> Moments:
    """Moments of all prompts' features, one array (n_p, D) a prompt, converted one prompt at a time."""
    return reduce(operator.add, (share(prompts, p) for p in range(len(prompts))))


def jackknife(
    methods: Sequence[Sequence[np.ndarray]], reference: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """FID of M methods with all P prompts (M,), and with each prompt left out of both sides (P, M).

    methods, reference: one array (n_p, D) a prompt, in the same order; prompts have the same weight, however
    many features each has. What is left is the whole less one prompt's moments, and all methods share the
    reference's square root. Below three prompts there is no error to find, so none is left out (0, M).
    """
    whole, base = [add_up(prompts) for prompts in methods], add_up(reference)
    left_out = []
    for p in range(len(reference) if len(reference) > 2 else 0):
        others = [known - share(prompts, p) for known, prompts in zip(whole, methods, strict=True)]
        left_out.append(distances_to(base - share(reference, p), others))
    return distances_to(base, whole), np.array(left_out).reshape(-1, len(methods))
