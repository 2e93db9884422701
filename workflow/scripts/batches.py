"""How assets are shared out among jobs: even parts of a list of prompts, for rules of their own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Batch(NamedTuple):
    """What one job makes of a method and seed."""

    name: str  # what the names of its rules end in, as "_2"
    prompts: list[str]
    label: str  # of its logs, below the method: a pattern


def split(ids: Sequence[str], most: int, kind: str = "") -> list[Batch]:
    """Even parts of at most so many prompts, in their order; a single asset is a wildcard's, of one rule."""
    if most == 1:
        return [Batch(kind, ["{prompt}"], "{prompt}-{seed}")]
    count = jobs(len(ids), most)
    bounds = [len(ids) * i // count for i in range(count + 1)]
    return [
        Batch(f"{kind}_{i + 1}" if count > 1 else kind, list(ids[low:high]), f"{ids[low]}-{{seed}}")
        for i, (low, high) in enumerate(pairwise(bounds))
    ]


def jobs(prompts: int, most: int) -> int:
    """How many jobs that is."""
    return -(-prompts // most)
