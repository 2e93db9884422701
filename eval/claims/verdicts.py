"""The rule of the ledger: from the evidence of a claim's contrasts to their verdicts and to the claim's.

A contrast claims that the true value lies in a region, say above 0. It holds if a p says so, and fails if one
says that the value lies outside. The rule in plain words stands at the top of workflow/config/claims.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf, log2

import numpy as np

from ..statistics.comparison import holm
from ..statistics.mean_test import Evidence
from ..statistics.power import smallest_distance

ALPHA = 0.05
SUPPORTED, CONTRADICTED, UNRESOLVED = "supported", "contradicted", "unresolved"
UNDECIDABLE, UNMEASURED = "undecidable", "not measured"
TWO_SIDED, ONE_SIDED, TOST = "two-sided", "one-sided", "two one-sided tests"
COMPARED, TOLERANT, ABSOLUTE = ("higher", "lower"), ("same", "not lower", "not higher"), ("above", "below")


@dataclass(frozen=True)
class Question:
    """Whether a true value lies in `direction`; bound: 0, the margin or the threshold."""

    direction: str
    bound: float = 0.0

    @property
    def region(self) -> tuple[float, float]:
        """What is claimed: the value lies between these."""
        low = {"higher": 0.0, "not lower": -self.bound, "same": -self.bound, "above": self.bound}
        high = {"lower": 0.0, "not higher": self.bound, "same": self.bound, "below": self.bound}
        return low.get(self.direction, -inf), high.get(self.direction, inf)

    @property
    def sides(self) -> int:
        """Of the test that it holds: one for equivalence and "no worse", two for all others."""
        return 1 if self.direction in TOLERANT else 2

    @property
    def test(self) -> str:
        """What that test is called."""
        return TWO_SIDED if self.sides == 2 else TOST if self.direction == "same" else ONE_SIDED

    def holds(self, evidence: Evidence) -> float:
        """p of the claimed side: of both limits of the region, the weaker."""
        low, high = self.region
        return min(1.0, self.sides * max(evidence.above(low), evidence.below(high)))

    def fails(self, evidence: Evidence) -> float:
        """Two-sided p of the other side."""
        low, high = self.region
        return min(1.0, 2 * min(evidence.below(low), evidence.above(high)))

    def leans(self, evidence: Evidence) -> bool:
        """Whether the estimate lies on the claimed side."""
        low, high = self.region
        return low <= evidence.estimate <= high


@dataclass(frozen=True)
class Decision:
    """A contrast's verdict with what decides it.

    p is of the side on which the estimate lies, `corrected` the same after the correction that applies there;
    the interval at `level` excludes the region's edge just where `corrected` is below .05.
    """

    verdict: str
    low: float  # infinite where so few prompts have no interval of this level
    high: float
    level: float
    p: float
    corrected: float
    rule: str


def decide(questions: Sequence[Question], evidence: Sequence[Evidence]) -> list[Decision]:
    """The measured contrasts of one claim: all must hold, uncorrected; any can fail it, Holm over all."""
    fails = np.array([q.fails(e) for q, e in zip(questions, evidence, strict=True)])
    found = zip(questions, evidence, fails, holm(fails), holm_factors(fails), strict=True)
    return [decide_one(*each, family=len(fails)) for each in found]


def decide_one(
    question: Question, evidence: Evidence, fails: float, corrected: float, factor: int, family: int
) -> Decision:
    holds = question.holds(evidence)
    verdict = SUPPORTED if holds < ALPHA else CONTRADICTED if corrected < ALPHA else UNRESOLVED
    if question.leans(evidence):
        tail, rule = ALPHA / question.sides, question.test
        fails = corrected = holds
    else:
        tail, rule = ALPHA / 2 / factor, f"Holm over {family}" if family > 1 else TWO_SIDED
    low, high = evidence.limits(tail)
    return Decision(verdict, low, high, 1 - 2 * tail, float(fails), float(corrected), rule)


def holm_factors(p: np.ndarray) -> np.ndarray:
    """What Holm multiplies each p (n,) by: n for the smallest, less for the next while they are rejected."""
    factors = np.empty(len(p), dtype=int)
    factor, stopped = len(p), False
    for place in np.argsort(p, kind="stable"):
        factors[place] = factor
        stopped = stopped or bool(p[place] * factor >= ALPHA)
        factor -= not stopped
    return factors


def combine(verdicts: Sequence[str]) -> str:
    """The verdict of a claim whose contrasts must all hold."""
    if all(verdict == UNMEASURED for verdict in verdicts):
        return UNMEASURED
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return SUPPORTED if all(verdict == SUPPORTED for verdict in verdicts) else UNRESOLVED


def shortage(questions: Sequence[Question], evidence: Sequence[Evidence]) -> tuple[bool, str]:
    """Whether so few prompts can give neither verdict, and in words which they cannot, and how many could."""
    family = len(questions)
    pairs = list(zip(questions, evidence, strict=True))
    short = [(q, e) for q, e in pairs if q.sides * e.least >= ALPHA]
    support = max((prompts_needed(q.sides) for q, _ in short), default=0)
    contradict = 0 if any(2 * family * e.least < ALPHA for _, e in pairs) else prompts_needed(2 * family)
    few = min(e.n for _, e in short or pairs)
    if support and contradict:
        return True, f"{few} prompts decide nothing: {support} can support it, {contradict} contradict it"
    if support:
        return False, f"{few} prompts cannot support it, {support} can"
    return False, f"{few} prompts cannot contradict it, {contradict} can" if contradict else ""


def reach(question: Question, evidence: Evidence, family: int) -> tuple[float, float]:
    """How far the true value must lie within the claimed region to support it, beyond it to contradict it.

    Each is found with the probability of power.POWER; the second at Holm's first step over the family.
    """
    tails = ALPHA / question.sides, ALPHA / 2 / family
    supports, contradicts = (smallest_distance(evidence, tail) for tail in tails)
    return supports, contradicts


def prompts_needed(factor: int) -> int:
    """The fewest prompts at which the smallest one-sided p, 2^-n, times `factor` is below .05."""
    return floor(log2(factor / ALPHA)) + 1
