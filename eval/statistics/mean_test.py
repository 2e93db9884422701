"""What decides a claim: one-sided p of a mean over prompts, or of a distance, and the limits that invert it.

p(bound) < tail just where the limit at that tail excludes the bound, so a printed interval cannot deny the p
beside it. A mean is put to two tests, and the weaker of their results counts:

- The signs of the deviations from the bound are flipped, as for the table's p: exact for symmetric
  differences at any number of prompts. By Hartigan ("Using subsample values as typical values", 1969) that
  counts the means of subsets, of which the limits are quantiles. Skewed differences it rejects too often.
- The table's interval (intervals.mean_interval), which allows for skewness, must exclude the bound; its
  p is the tail at which it just touches it. Where there is none, as of equal values, sign flips decide alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, log

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t

from .comparison import DRAWS, EXACT_UP_TO, sign_patterns
from .intervals import mean_interval

ROUNDING = 1e-12  # of the largest value: equal sums may differ by the order of summation
SMALLEST_TAIL = 1e-12


@dataclass(frozen=True)
class Mean:
    """The mean of one value a prompt, (n,) without NaN: paired differences, or one method's values."""

    values: np.ndarray
    draws: int = DRAWS  # subsets drawn where there are too many to take all
    seed: int = 0

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def estimate(self) -> float:
        return float(self.values.mean())

    @property
    def least(self) -> float:
        """The smallest one-sided p that so many prompts can give."""
        return 0.5**self.n if self.n <= EXACT_UP_TO else 1 / (1 + self.draws)

    @cached_property
    def typical(self) -> np.ndarray:
        """Sorted means of the nonempty subsets of the values, all of them or those drawn."""
        signs = sign_patterns(self.n, self.draws, self.seed)
        size = (self.n - signs.sum(1)) / 2
        sums = (self.values.sum() - signs @ self.values) / 2
        return np.sort(sums[size > 0] / size[size > 0])

    @cached_property
    def mirrored(self) -> Mean:
        return Mean(-self.values, self.draws, self.seed)

    def above(self, bound: float) -> float:
        """One-sided p: small if the true value lies above the bound."""
        if np.isinf(bound):
            return float(bound > 0)
        rounding = ROUNDING * float(np.abs(self.values).max())
        hits = int(np.searchsorted(self.typical, bound + rounding, side="right"))
        flips = (1 + hits) / (1 + len(self.typical))
        return flips if flips >= 0.5 or self.end(flips) > bound else max(flips, self.touch(bound))

    def below(self, bound: float) -> float:
        return self.mirrored.above(-bound)

    def limits(self, tail: float) -> tuple[float, float]:
        """Between these, `above` and `below` reject no bound at this tail; infinite if they reject none."""
        return self.lowest(tail), -self.mirrored.lowest(tail)

    def lowest(self, tail: float) -> float:
        """The lower limit: the smaller of the two tests'."""
        return float(np.nanmin([self.flipped(tail), self.end(tail)]))

    def flipped(self, tail: float) -> float:
        """The lower limit of the sign flips alone."""
        rank = int(tail * (1 + len(self.typical)))
        return float(self.typical[rank - 1]) if rank else -np.inf

    def end(self, tail: float) -> float:
        """The lower end of the table's interval that leaves out this tail; NaN where there is none."""
        return mean_interval(self.values, 1 - 2 * tail)[0]

    def touch(self, bound: float) -> float:
        """The tail whose interval ends at the bound, at most 1/2; 0 where there is no interval."""
        if np.isnan(self.end(0.5)):
            return 0.0
        if bound >= self.end(0.5):
            return 0.5
        if bound < self.end(SMALLEST_TAIL):
            return SMALLEST_TAIL
        return exp(brentq(lambda x: self.end(exp(x)) - bound, log(SMALLEST_TAIL), log(0.5), xtol=1e-6))


@dataclass(frozen=True)
class Distance:
    """A difference of pooled distances with its jackknife error over n >= 2 prompts: Student's t, n - 1."""

    estimate: float
    error: float
    n: int
    least: float = 0.0

    def above(self, bound: float) -> float:
        if self.error == 0:
            return float(self.estimate <= bound)
        return float(t.sf((self.estimate - bound) / self.error, self.n - 1))

    def below(self, bound: float) -> float:
        return Distance(-self.estimate, self.error, self.n).above(-bound)

    def limits(self, tail: float) -> tuple[float, float]:
        reach = float(t.isf(tail, self.n - 1)) * self.error
        return self.estimate - reach, self.estimate + reach


Evidence = Mean | Distance  # an estimate that can be held against a bound
