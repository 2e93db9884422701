"""Volunteers that are none: rankings drawn from known preferences, to rehearse a study or to plan its size.

Everything that follows from them says `simulated`, in Table 1 as columns of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from segmentdreamer.records import write_table

from .answers import ANSWERS
from .assignment import assign
from .identity import QUESTIONS, SIMULATED


def parse_worths(pairs: Sequence[str], methods: Sequence[str]) -> dict[str, float]:
    """method -> worth, from METHOD=WORTH; 1 where none is given. ValueError in one line for anything else."""
    worths = dict.fromkeys(methods, 1.0)
    for pair in pairs:
        method, _, text = pair.partition("=")
        try:
            worths[method] = float(text)
        except ValueError as error:
            raise ValueError(f"worth {pair!r} is not METHOD=NUMBER") from error
        if method not in methods:
            raise ValueError(f"worth {pair!r}: no such method; they are {', '.join(methods)}")
        if not 0 < worths[method] < float("inf"):
            raise ValueError(f"worth {pair!r} is not positive")
    return worths


def rank_by_worths(key: pd.DataFrame, worths: Mapping[str, float], seed: int = 0) -> pd.DataFrame:
    """Answers (columns ANSWERS) to a whole key by Plackett-Luce: chances to be first go with the worths.

    Exponential waiting times with the worths as rates come in that order. Questions are independent.
    """
    rng, parts = np.random.default_rng(seed), []
    for question in QUESTIONS:
        times = rng.exponential(1 / key["method"].map(worths).to_numpy(dtype=float))
        rank = key.assign(time=times).groupby(["volunteer", "group"])["time"].rank().astype(int)
        parts.append(key.assign(question=question, rank=rank))
    return pd.concat(parts).assign(source=SIMULATED, watched="1")[ANSWERS]


def simulate(
    prompts: Sequence[str], worths: Mapping[str, float], volunteers: int, groups: int, seed: int, out: Path
) -> list[Path]:
    """Write out/key.csv and out/answers/VOLUNTEER.csv, marked as simulated; the answers' paths.

    worths: method -> worth. Raises FileExistsError if `out` has a key already.
    """
    if (out / "key.csv").exists():
        raise FileExistsError(f"{out / 'key.csv'} exists: a study is not overwritten")
    key = assign(prompts, [*worths], volunteers, groups, shuffle_seed=seed, source=SIMULATED)
    write_table(out / "key.csv", key)
    paths = []
    for volunteer, rows in rank_by_worths(key, worths, seed).groupby("volunteer"):
        paths.append(out / "answers" / f"{volunteer}.csv")
        write_table(paths[-1], rows)
    return paths
