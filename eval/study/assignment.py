"""Who ranks what, in which order and under which names: the balanced, blinded plan of a ranking study.

The plan is the study's secret key, one row a video shown: study, source, volunteer, group, kind, position,
video, prompt, seed, method. A group is one prompt (and asset seed) by all methods. Everything follows from
the shuffle seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .identity import CHECK, HUMAN, IDENTITY, RANK, REPEAT, SOURCES

KEY = [*IDENTITY, "volunteer", "group", "kind", "position", "video", "prompt", "seed", "method"]


def choose_prompts(prompts: int, volunteers: int, groups: int, rng: np.random.Generator) -> np.ndarray:
    """Prompt numbers (volunteers, groups), each used equally often, give or take one.

    Each volunteer gets the prompts used least so far, so none twice unless groups > prompts; then every
    prompt comes round once before any comes again. The order within a round is random.
    """
    used = np.zeros(prompts, dtype=int)
    chosen = np.empty((volunteers, groups), dtype=int)
    for volunteer in range(volunteers):
        for start in range(0, groups, prompts):
            size = min(prompts, groups - start)
            rarest = np.lexsort((rng.random(prompts), used))[:size]
            used[rarest] += 1
            chosen[volunteer, start : start + size] = rng.permutation(rarest)
    return chosen


def choose_orders(methods: int, groups: int, rng: np.random.Generator) -> np.ndarray:
    """Method numbers by position (groups, methods), each method equally often at each position, +-1.

    Every run of `methods` groups is a Latin square of its own: the cyclic shifts, in random order, of a
    random order.
    """
    blocks = []
    for _ in range(-(-groups // methods)):
        order = rng.permutation(methods)
        blocks += [np.roll(order, shift) for shift in rng.permutation(methods)]
    return np.array(blocks[:groups])


def blinded_name(study: str, method: str, prompt: str, seed: int) -> str:
    """A file name for the video of an asset, from which nothing can be read."""
    text = "\0".join([study, method, prompt, str(seed)])
    return hashlib.sha256(text.encode()).hexdigest()[:12] + ".mp4"


def assign(
    prompts: Sequence[str],
    methods: Sequence[str],
    volunteers: int = 40,
    groups: int = 8,
    seeds: int = 1,
    shuffle_seed: int = 0,
    source: str = HUMAN,
) -> pd.DataFrame:
    """The key of a study: columns KEY, a row for each video that a volunteer sees.

    prompts: ids. volunteers are v01, v02, ...; groups and positions count from 1. With several asset seeds
    a prompt's seeds take turns. source: who will rank (SOURCES). Raises ValueError for fewer than two
    methods, a repeated one, counts below one, or another source.
    """
    if len(methods) < 2 or len(set(methods)) < len(methods):
        raise ValueError("a ranking needs at least two different methods")
    if min(volunteers, groups, seeds, len(prompts)) < 1:
        raise ValueError("a study needs at least one volunteer, group, seed and prompt")
    if source not in SOURCES:
        raise ValueError(f"source {source!r} is neither {' nor '.join(SOURCES)}")
    rng = np.random.default_rng(shuffle_seed)
    salt = rng.bytes(16).hex()
    plan = "\0".join([salt, source, *methods, *prompts, f"{volunteers} {groups} {seeds}"])
    study = hashlib.sha256(plan.encode()).hexdigest()[:8]
    chosen = choose_prompts(len(prompts), volunteers, groups, rng)
    orders = iter(choose_orders(len(methods), volunteers * groups, rng))
    turns = dict.fromkeys(prompts, 0)
    width = max(2, len(str(volunteers)))
    rows = []
    for volunteer, group in np.ndindex(chosen.shape):
        prompt = prompts[int(chosen[volunteer, group])]
        seed = turns[prompt] % seeds
        turns[prompt] += 1
        for position, number in enumerate(next(orders), 1):
            method = methods[number]
            video = blinded_name(study + salt, method, prompt, seed)
            who = f"v{volunteer + 1:0{width}d}"
            rows.append((study, source, who, group + 1, RANK, position, video, prompt, seed, method))
    return pd.DataFrame(rows, columns=KEY)


def add_checks(key: pd.DataFrame, shuffle_seed: int = 0) -> pd.DataFrame:
    """The key with two more groups for each volunteer, which no mean rank counts.

    Half way, a check of attention: an earlier group's videos, under a text that says what to press. At the
    end, a group of the first half once more, its videos in another order.
    """
    rng, parts = np.random.default_rng([shuffle_seed, 1]), []
    for _, mine in key.groupby("volunteer"):
        groups, videos = int(mine["group"].max()), int(mine["position"].max())
        half = (groups + 1) // 2
        first, second = (mine[mine["group"] == group] for group in rng.integers(1, half + 1, 2))
        turn = rng.integers(1, videos)
        again = (second["position"] - 1 + turn) % videos + 1
        parts += [
            mine.assign(group=mine["group"] + (mine["group"] > half)),
            first.assign(group=half + 1, kind=CHECK),
            second.assign(group=groups + 2, kind=REPEAT, position=again),
        ]
    return pd.concat(parts).sort_values(["volunteer", "group", "position"], ignore_index=True)
