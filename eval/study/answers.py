"""The volunteers' answers: checked against the key, then unblinded. Nothing doubtful is let through.

People answer on the page that `assign` made, which writes the study's id and source into its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .assignment import KEY
from .identity import IDENTITY, QUESTIONS, RANK, read_source, read_table

ANSWERS = [*IDENTITY, "volunteer", "group", "question", "video", "rank", "watched"]
RANKS = [*IDENTITY, "volunteer", "group", "kind", "prompt", "seed", "question", "method", "position", "rank",
         "watched"]  # fmt: skip
USUAL = {"kind": RANK, "position": "", "watched": ""}  # of studies without checks


def read_key(study: Path) -> pd.DataFrame:
    """The key of a study's folder, as strings; ValueError in one line unless it is one study's."""
    key = read_table(study / "key.csv", KEY, USUAL)
    read_source(key, study / "key.csv")
    return key


def check_ids(answers: pd.DataFrame, key: pd.DataFrame, path: Path) -> None:
    """Refuse an answer of another study or source, or with ids that are not in the key."""
    study, source = key[IDENTITY].iloc[0]
    for name, known, told in (
        ("study", [study], f"belongs to study {{!r}}, not to {study!r}"),
        ("source", [source], f"source {{!r}}, but study {study} is {source}"),
        ("question", [*QUESTIONS], "unknown question {!r}"),
    ):
        if len(foreign := answers.loc[~answers[name].isin(known), name]):
            raise ValueError(f"{path}: {told.format(foreign.iloc[0])}")
    names = ["volunteer", "group", "video"]
    for number, name in enumerate(names, 1):
        known = names[:number]
        shown = set(key[known].itertuples(index=False, name=None))
        for ids in answers[known].itertuples(index=False, name=None):
            if ids not in shown:
                where = " of " + ", ".join(map(" ".join, zip(known, ids[:-1], strict=False)))
                raise ValueError(f"{path}: unknown {name} {ids[-1]!r}{where if ids[:-1] else ''}")


def check_rankings(answers: pd.DataFrame, key: pd.DataFrame) -> None:
    """Refuse duplicates, ties, ranks outside 1..M, and groups that are not ranked whole.

    answers: of all files, with a column `path`. Groups without any answer are no error.
    """
    repeated = answers[answers.duplicated(["volunteer", "group", "question", "video"])]
    if len(repeated):
        row = repeated.iloc[0]
        where = f"volunteer {row.volunteer}, group {row.group}, {row.question}"
        raise ValueError(f"{row.path}: duplicate answer for {where}, video {row.video}")
    sizes = key.groupby(["volunteer", "group"]).size().to_dict()
    for ids, rows in answers.groupby(["volunteer", "group"], sort=False):
        path, size = rows["path"].iloc[0], sizes[ids]
        for question in QUESTIONS:
            where = f"{path}: volunteer {ids[0]}, group {ids[1]}, {question}"
            ranks = rows.loc[rows["question"] == question, "rank"]
            wrong = ranks[~ranks.isin([str(rank) for rank in range(1, size + 1)])]
            if len(wrong):
                raise ValueError(f"{where}: rank {wrong.iloc[0]!r} is not one of 1 to {size}")
            if ranks.duplicated().any():
                raise ValueError(f"{where}: tie, rank {ranks[ranks.duplicated()].iloc[0]} is given twice")
            if len(ranks) < size:
                raise ValueError(f"{where}: {len(ranks)} of {size} videos are ranked")


def collect(study: Path, files: Sequence[Path]) -> pd.DataFrame:
    """All rankings, unblinded: columns RANKS, sorted.

    study: the folder with key.csv; files: the CSVs that the volunteers saved. Raises ValueError in one
    line, with file and place, for a tie, an unknown id, a duplicate, an incomplete or a foreign answer.
    """
    key = read_key(study)
    tables = []
    for path in files:
        table = read_table(path, ANSWERS, USUAL)[ANSWERS]
        check_ids(table, key, path)
        tables.append(table.assign(path=str(path)))
    answers = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*ANSWERS, "path"])
    if answers.empty:
        raise ValueError("no answers to collect")
    check_rankings(answers, key)
    joined = answers.merge(key.drop(columns=IDENTITY), on=["volunteer", "group", "video"])
    joined = joined.astype({"group": int, "seed": int, "rank": int})
    return joined[RANKS].sort_values(["volunteer", "group", "question", "rank"], ignore_index=True)
