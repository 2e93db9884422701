"""A finished study as figures of Table 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .identity import HUMAN, QUESTIONS, Identity, read_result


@dataclass(frozen=True)
class Study:
    """A ranking study, as figures of the table: means and paired differences of the mean ranks.

    means: method, metric, mean, low, high, n; differences: method, against, metric, n, difference, low, high,
    won, p. Metrics of a simulated study are others than those of a human one.
    """

    whose: Identity
    means: pd.DataFrame
    differences: pd.DataFrame


def read_study(path: Path, methods: Iterable[str], prompts: Iterable[str]) -> Study:
    """What `python -m eval.study analyse` wrote to `path` and beside it.

    Raises FileNotFoundError, and ValueError in one line: for a file without the study's identity, files of
    two studies, no ranks of these methods, or ranks on a prompt that is not among `prompts`.
    """
    differences, shown = (path.with_stem(f"{path.stem}_{ending}") for ending in ("differences", "prompts"))
    found = {
        path: read_result(path, ["method", "question"], ["mean", "low", "high"]),
        differences: read_result(
            differences, ["method", "against", "question"], ["difference", "low", "high", "won", "p"]
        ),
        shown: read_result(shown, ["prompt"]),
    }
    whose = found[path][0]
    for other, (theirs, _) in found.items():
        if theirs != whose:
            raise ValueError(f"two studies in one table: {path} is of {whose}; {other} is of {theirs}")
    if foreign := sorted({*found[shown][1]["prompt"]} - {*prompts}):
        raise ValueError(f"{path}: ranks on {', '.join(foreign)}, which this table does not have")
    if not {*found[path][1]["method"]} & {*methods}:
        raise ValueError(f"{path}: no ranks of this table's methods")
    asked = pd.concat([found[name][1]["question"] for name in (path, differences)])
    if unknown := sorted({*asked} - {*QUESTIONS}):
        raise ValueError(f"{path}: unknown question {', '.join(unknown)}")
    units = min(whose.volunteers, whose.prompts)  # what intervals and tests rest on
    means, gaps = (
        found[name][1].assign(metric=found[name][1]["question"].map(whose.metric), n=units)
        for name in (path, differences)
    )
    if whose.source != HUMAN:
        gaps["p"] = float("nan")  # nothing is tested that nobody said
    return Study(whose, means, gaps)
