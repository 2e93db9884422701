"""Compact letter display: methods that share a letter do not differ, those that share none do.

Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from string import ascii_letters

Pair = frozenset[str]


def letter_groups(names: Sequence[str], different: Collection[Pair]) -> list[frozenset[str]]:
    """Sets of names that do not differ, together covering every pair that does not; none is dispensable.

    "Not different" need not be transitive: a name may belong to several sets. Each pair that differs splits
    the sets that hold both (insert), and a set within another goes (absorb); then a set goes whose names and
    pairs all lie in others (sweep). Ordered by the first names, as given.
    """
    order = {name: place for place, name in enumerate(names)}
    groups = {frozenset(names)} if names else set()
    for pair in different:
        held = {group for group in groups if group >= pair}
        split = groups - held | {group - {name} for group in held for name in pair}
        groups = {group for group in split if not any(group < other for other in split)}
    placed = sorted(groups, key=lambda group: sorted(order[name] for name in group))
    for group in sorted(placed, key=len):
        others = [other for other in placed if other is not group]
        inner = [*map(frozenset, combinations(group, 2))] or [group]
        if all(any(other.issuperset(part) for other in others) for part in inner):
            placed = others
    return placed


def compact_letters(names: Sequence[str], different: Collection[Pair]) -> dict[str, str]:
    """name -> its letters; names from best to worst, so that the best has an a."""
    groups = letter_groups(names, different)
    lettered = list(zip(map(letter, range(len(groups))), groups, strict=True))
    return {name: "".join(sign for sign, group in lettered if name in group) for name in names}


def letter(number: int) -> str:
    """a to z, then A to Z, then Greek and what follows it: one sign for each set."""
    beyond = number - len(ascii_letters)
    return ascii_letters[number] if beyond < 0 else chr(ord("α") + beyond)
