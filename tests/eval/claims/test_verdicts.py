"""The ledger's rule, sentence by sentence: the test of a contrast, the verdict of a claim, and chance."""

from __future__ import annotations

import numpy as np
import pytest

from eval.claims.verdicts import (
    CONTRADICTED,
    SUPPORTED,
    UNMEASURED,
    UNRESOLVED,
    Decision,
    Question,
    combine,
    decide,
    holm_factors,
    prompts_needed,
    shortage,
)
from eval.statistics.comparison import holm, sign_flip_p
from eval.statistics.intervals import mean_interval
from eval.statistics.mean_test import SMALLEST_TAIL, Distance, Evidence, Mean

HIGHER, LOWER = Question("higher"), Question("lower")


def about(center: float, n: int = 6, spread: float = 0.1) -> Mean:
    """n values around a center, symmetric."""
    return Mean(center + spread * np.linspace(-1, 1, n))


def verdict(question: Question, evidence: Evidence) -> str:
    return decide([question], [evidence])[0].verdict


# The test of a mean ---------------------------------------------------------------------------------------


def draw(shape: str, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values of mean 0: normal, skewed to either side, or mostly ties."""
    if shape == "ties":
        return rng.choice([0.0, 0.0, 0.0, 1.0, -1.0], size)
    return (
        rng.normal(size=size)
        if shape == "normal"
        else {"right": 1, "left": -1}[shape] * (rng.exponential(size=size) - 1)
    )


@pytest.mark.parametrize("n", [3, 5, 6, 9, 14, 15, 40])
@pytest.mark.parametrize("shape", ["normal", "right", "left", "ties"])
def test_an_interval_excludes_a_bound_just_where_its_p_is_small(n: int, shape: str) -> None:
    rng = np.random.default_rng(n)
    for _ in range(5):
        mean = Mean(draw(shape, (n,), rng) + 0.4, draws=2000)
        for tail in (0.05, 0.025, 0.025 / 4):
            low, high = mean.limits(tail)
            for bound in (-0.31, 0.003, 0.17, *rng.normal(size=3)):
                assert (mean.above(bound) < tail) == (bound < low)
                assert (mean.below(bound) < tail) == (bound > high)


@pytest.mark.parametrize("n", [5, 6, 10, 14])
def test_p_is_that_of_the_sign_flips_or_larger(n: int) -> None:
    rng = np.random.default_rng(n)
    for shape in ("normal", "right", "left", "ties"):
        values = draw(shape, (n,), rng) + 0.3
        assert min(1.0, 2 * min(Mean(values).above(0), Mean(values).below(0))) >= sign_flip_p(values) - 1e-9
    equal = np.full(n, 0.3)
    assert 2 * Mean(equal).above(0) == sign_flip_p(equal) == 2 ** (1 - n)


def test_the_flips_limit_is_the_last_bound_that_they_do_not_reject_at_any_tail() -> None:
    mean = Mean(np.random.default_rng(0).normal(size=4))  # 15 subsets have a mean: p are sixteenths

    def p(bound: float) -> float:
        return float((1 + (mean.typical <= bound).sum()) / 16)

    for sixteenths in (1.0, 1.9, 2.1, 3.9, 5.5, 7.9):
        tail = sixteenths / 16
        limit = mean.flipped(tail)
        assert p(limit - 1e-9) <= tail < p(limit)
    assert mean.flipped(0.99 / 16) == -np.inf


def test_the_tail_whose_interval_touches_a_bound_is_at_most_a_half_and_at_least_the_smallest() -> None:
    skewed = Mean(np.random.default_rng(1).exponential(size=7))
    middle, last = skewed.end(0.5), skewed.end(SMALLEST_TAIL)
    assert skewed.touch(middle) == pytest.approx(0.5) and skewed.touch(middle + 0.01) == 0.5
    assert skewed.touch(last - 0.01) == SMALLEST_TAIL
    assert skewed.touch(last) == pytest.approx(SMALLEST_TAIL, rel=1e-3, abs=0)
    for tail in (0.4, 0.025, 1e-4):
        assert skewed.touch(skewed.end(tail)) == pytest.approx(tail, rel=1e-4)


def test_p_has_no_unit() -> None:
    values = np.random.default_rng(2).normal(0.5, 1, 8)
    for bound in (0.0, 0.3, float(values.mean())):
        for unit in (1e-9, 1e6):
            assert Mean(unit * values).above(unit * bound) == pytest.approx(
                Mean(values).above(bound), rel=1e-4
            )


@pytest.mark.parametrize("n", [6, 12, 40])
def test_the_interval_contains_the_tables(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    low, high = Mean(values).limits(0.025)
    table_low, table_high = mean_interval(values)
    assert low <= table_low and high >= table_high


def test_equal_values_are_told_from_a_bound_and_not_from_themselves() -> None:
    ones = Mean(np.ones(8))
    assert ones.above(0.5) == 0.5**8 and ones.above(1.0) == 1.0 and ones.limits(0.025) == (1.0, 1.0)


def test_a_distance_is_judged_by_its_jackknife_error() -> None:
    distance = Distance(-3.0, 1.0, 6)
    low, high = distance.limits(0.025)
    assert high < 0 < low + 2 * 3 and 2 * distance.below(0) == pytest.approx(0.0301, abs=1e-4)
    assert distance.below(high) == pytest.approx(0.025)


# The verdict of a contrast --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "center", "expected"),
    [
        (HIGHER, 0.5, SUPPORTED),
        (HIGHER, -0.5, CONTRADICTED),
        (HIGHER, 0.02, UNRESOLVED),
        (LOWER, -0.5, SUPPORTED),
        (LOWER, 0.5, CONTRADICTED),
        (Question("same", 0.3), 0.1, SUPPORTED),  # a difference too small to matter is still the same
        (Question("same", 0.3), 0.5, CONTRADICTED),
        (Question("same", 0.3), -0.5, CONTRADICTED),
        (Question("same", 0.3), 0.3, UNRESOLVED),
        (Question("not lower", 0.3), -0.1, SUPPORTED),  # worse, but by less than the margin
        (Question("not lower", 0.3), -0.3, UNRESOLVED),
        (Question("not lower", 0.3), -0.5, CONTRADICTED),
        (Question("not higher", 0.3), 0.1, SUPPORTED),
        (Question("not higher", 0.3), 0.5, CONTRADICTED),
        (Question("above", 0.25), 0.5, SUPPORTED),
        (Question("above", 0.25), 0.1, CONTRADICTED),
        (Question("above", 0.25), 0.27, UNRESOLVED),
        (Question("below", 0.25), 0.1, SUPPORTED),
        (Question("below", 0.25), 0.5, CONTRADICTED),
    ],
)
def test_a_contrast_is_decided_by_where_its_mean_surely_lies(
    question: Question, center: float, expected: str
) -> None:
    assert verdict(question, about(center, 8)) == expected


def test_sameness_needs_the_90_percent_interval_inside_the_margins_and_not_the_95_percent() -> None:
    values = Mean(np.array([-0.9, -0.5, -0.2, 0.0, 0.1, 0.3, 0.6, 1.0]))
    (low, high), (_, wide) = values.limits(0.05), values.limits(0.025)
    margin = (max(high, -low) + wide) / 2
    found = decide([Question("same", margin)], [values])[0]
    assert found.verdict == SUPPORTED and found.rule == "two one-sided tests" and found.level == 0.9
    assert (found.low, found.high) == (low, high)


def test_sameness_is_denied_only_beyond_the_margin() -> None:
    """Surely different from 0 and surely within the margin: the same. Unsurely within: open."""
    assert verdict(Question("same", 0.6), about(0.4)) == SUPPORTED
    assert verdict(Question("same", 0.42), about(0.4)) == UNRESOLVED
    assert verdict(Question("same", 0.25), about(0.4)) == CONTRADICTED


def test_support_takes_a_two_sided_p_and_a_margin_a_one_sided_one() -> None:
    five = about(0.5, 5)  # all five on one side: one-sided p 1/32, two-sided 1/16
    assert verdict(HIGHER, five) == UNRESOLVED and verdict(Question("above", 0.1), five) == UNRESOLVED
    assert verdict(Question("not lower", 0.1), five) == SUPPORTED
    assert verdict(Question("same", 1.5), five) == SUPPORTED


# The verdict of a claim -----------------------------------------------------------------------------------


def test_a_claim_needs_all_of_its_contrasts_and_falls_with_any() -> None:
    assert combine([SUPPORTED, SUPPORTED]) == SUPPORTED
    assert combine([SUPPORTED, UNRESOLVED]) == combine([SUPPORTED, UNMEASURED]) == UNRESOLVED
    assert combine([SUPPORTED, UNMEASURED, CONTRADICTED]) == CONTRADICTED
    assert combine([UNMEASURED, UNMEASURED]) == UNMEASURED


def test_support_is_not_corrected_and_contradiction_is() -> None:
    """Six prompts, p = .031 each: twelve contrasts that hold make a claim, two that fail do not break it."""
    held = decide([HIGHER] * 12, [about(1.0)] * 12)
    assert {row.verdict for row in held} == {SUPPORTED} and held[0].corrected == held[0].p == 2 / 64
    assert verdict(HIGHER, about(-1.0)) == CONTRADICTED
    failed = decide([HIGHER] * 2, [about(-1.0)] * 2)
    assert [row.verdict for row in failed] == [UNRESOLVED] * 2
    assert failed[0].p == 2 / 64 and failed[0].corrected == 4 / 64 and failed[0].rule == "Holm over 2"


def test_contradiction_counts_all_measured_contrasts() -> None:
    one_bad = [about(-1.0, 8), *[about(1.0, 8)] * 4]
    assert decide([HIGHER] * 5, one_bad)[0].corrected == pytest.approx(5 * 2 / 2**8)
    assert decide([HIGHER] * 5, one_bad)[0].verdict == CONTRADICTED
    assert decide([HIGHER] * 7, [*one_bad, about(1.0, 8), about(1.0, 8)])[0].verdict == UNRESOLVED


def test_holms_factors_give_holms_rejections() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.choice([0.001, 0.004, 0.012, 0.02, 0.03, 0.2, 1.0], 5)
        assert ((p * holm_factors(p) < 0.05) == (holm(p) < 0.05)).all()
    assert list(holm_factors(np.array([0.9, 0.001, 0.02, 0.03]))) == [3, 4, 3, 3]


def excludes(found: Decision, question: Question) -> bool:
    """Whether the interval lies clear of the region's edge: within the region, or outside of it."""
    low, high = question.region
    inside = low < found.low and found.high < high
    return inside or found.high < low or found.low > high


@pytest.mark.parametrize("n", [5, 6, 8, 12, 40])
def test_what_is_printed_agrees_with_the_verdict(n: int) -> None:
    """p after its correction is below .05 where there is a verdict, and just there the interval is clear."""
    rng = np.random.default_rng(n)
    kinds = [HIGHER, LOWER, Question("same", 0.8), Question("not lower", 0.3), Question("above", 0.2)]
    seen = set()
    for _ in range(12):
        questions = [kinds[k] for k in rng.integers(0, len(kinds), 4)]
        shapes = rng.choice(["normal", "right", "left", "ties"], 4)
        evidence = [Mean(draw(shape, (n,), rng) + rng.normal(), draws=2000) for shape in shapes]
        for question, found in zip(questions, decide(questions, evidence), strict=True):
            decided = found.verdict in (SUPPORTED, CONTRADICTED)
            assert decided == (found.corrected < 0.05) == excludes(found, question), (question, found)
            assert found.p <= found.corrected
            seen.add(found.verdict)
    assert {SUPPORTED, UNRESOLVED} <= seen and (n < 8 or CONTRADICTED in seen)


def test_prompts_that_decide_nothing_are_counted() -> None:
    hopeless, words = shortage([HIGHER] * 2, [about(1.0, 5)] * 2)
    assert hopeless and words == "5 prompts decide nothing: 6 can support it, 7 contradict it"
    hopeless, words = shortage([HIGHER] * 4, [about(1.0, 6)] * 4)
    assert not hopeless and words == "6 prompts cannot contradict it, 8 can"
    assert shortage([HIGHER] * 4, [about(1.0, 8)] * 4) == (False, "")
    same = shortage([Question("same", 1.0)], [about(0.0, 5)])
    assert same == (False, "5 prompts cannot contradict it, 6 can")
    mixed = shortage([HIGHER, HIGHER], [about(1.0, 5), about(1.0, 9)])
    assert mixed == (False, "5 prompts cannot support it, 6 can")
    assert shortage([HIGHER] * 4, [Distance(1.0, 1.0, 6)] * 4) == (False, "")


@pytest.mark.parametrize("family", [1, 2, 4, 12])
def test_the_prompts_that_it_takes_are_the_fewest(family: int) -> None:
    n = prompts_needed(2 * family)
    fewest, fewer = ([about(-1.0, k)] * family for k in (n, n - 1))
    assert decide([HIGHER] * family, fewest)[0].verdict == CONTRADICTED
    assert decide([HIGHER] * family, fewer)[0].verdict == UNRESOLVED


# What chance makes of it ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["normal", "right"])  # skewed to the right, means fall short more often
@pytest.mark.parametrize(("n", "contrasts"), [(6, 4), (40, 4), (40, 12)])
def test_where_nothing_differs_at_most_one_claim_in_twenty_is_contradicted(
    n: int, contrasts: int, shape: str
) -> None:
    """Independent contrasts, the worst case, in which a union of uncorrected intervals errs most."""
    rng = np.random.default_rng([n, contrasts])
    runs = 200
    wrong = 0
    for values in draw(shape, (runs, contrasts, n), rng):
        found = decide([HIGHER] * contrasts, [Mean(row, draws=2000) for row in values])
        wrong += combine([row.verdict for row in found]) == CONTRADICTED
    assert wrong / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)
