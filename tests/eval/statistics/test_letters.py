"""Compact letters: what they say about a pair is what its test says, whatever the pattern of differences."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from eval.statistics.letters import compact_letters, letter, letter_groups

NAMES = list("STUVWXYZ")
PAIRS = [frozenset(pair) for pair in combinations(NAMES, 2)]
PATTERNS = st.lists(st.booleans(), min_size=len(PAIRS), max_size=len(PAIRS)).map(
    lambda chosen: {pair for pair, taken in zip(PAIRS, chosen, strict=True) if taken}
)


@given(PATTERNS)
def test_two_methods_share_a_letter_exactly_if_they_do_not_differ(different: set[frozenset[str]]) -> None:
    letters = compact_letters(NAMES, different)
    for pair in PAIRS:
        one, other = pair
        assert bool(set(letters[one]) & set(letters[other])) == (pair not in different)
    assert all(letters.values())


@settings(max_examples=50)
@given(PATTERNS)
def test_no_letter_could_be_left_out_and_none_could_be_given_to_one_more(
    different: set[frozenset[str]],
) -> None:
    groups = letter_groups(NAMES, different)
    alike = [pair for pair in PAIRS if pair not in different]
    for group in groups:
        rest = [other for other in groups if other is not group]
        covered = all(any(pair <= other for other in rest) for pair in alike)
        assert not (covered and all(any(name in other for other in rest) for name in NAMES))
        for name in set(NAMES) - group:
            assert any(frozenset((name, member)) in different for member in group)


@given(PATTERNS, st.permutations(NAMES))
def test_the_groups_do_not_depend_on_the_order_of_the_names(
    different: set[frozenset[str]], names: list[str]
) -> None:
    alike = {pair for pair in PAIRS if pair not in different}
    for order in (NAMES, names):
        groups = letter_groups(order, different)
        assert {frozenset(pair) for group in groups for pair in combinations(group, 2)} == alike


def test_what_does_not_carry_over_gets_two_letters() -> None:
    """b differs from neither neighbor, though they differ from each other."""
    assert compact_letters(list("abc"), {frozenset("ac")}) == {"a": "a", "b": "ab", "c": "b"}
    assert compact_letters(list("abc"), set()) == {"a": "a", "b": "a", "c": "a"}
    everything = {frozenset(pair) for pair in combinations("abc", 2)}
    assert compact_letters(list("abc"), everything) == {"a": "a", "b": "b", "c": "c"}
    assert compact_letters([], set()) == {} and compact_letters(["x"], set()) == {"x": "a"}


def test_a_group_whose_pairs_all_lie_in_others_gets_no_letter() -> None:
    """Of the six maximal sets of these differences 1346 is dispensable: 13, 14 and 34 stand elsewhere."""
    names = list("12345678")
    different = {frozenset(pair) for pair in ("17", "18", "24", "25", "35")}
    groups = ["".join(sorted(group)) for group in letter_groups(names, different)]
    assert groups == ["1236", "1456", "23678", "34678", "45678"]


def test_every_group_has_a_sign_of_its_own() -> None:
    assert "".join(map(letter, (0, 25, 26, 51, 52, 53, 54))) == "azAZαβγ"
    assert len({letter(number) for number in range(200)}) == 200
